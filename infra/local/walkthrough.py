"""The booking of a ticket as a user does it, through the API, each step with its answer."""

import json
import time
from datetime import UTC, datetime, timedelta

import urllib3

from console import Failure, say

USER = {"username": "testuser", "password": "password123"}
EVENT = {
    "event_id": "E123",
    "name": "Opening Night",
    "venue": "Main Hall",
    "price": 50.0,
    "capacity": 10_000,
}
# What the sample events are about.
SAMPLE_BOOKING, SAMPLE_PAYMENT = "bk_01a205dacee771e7b946b9382a1b206c", "pay_01a205dacee771e7b946b9382a1b206c"


def call(url: str, method: str, path: str, body=None, token: str | None = None) -> tuple[int, dict]:
    """One request: its status and its JSON, or what else it is as a text."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        # What is None has no body; urllib3 sends anything else as JSON.
        sent = {} if body is None else {"json": body}
        answer = urllib3.request(method, url + path, headers=headers, timeout=60, retries=False, **sent)
    except urllib3.exceptions.HTTPError as error:
        raise Failure(f"{method} {path} got no answer ({error}). See make logs.") from None
    try:
        return answer.status, json.loads(answer.data or b"{}")
    except ValueError:
        return answer.status, {"text": answer.data.decode(errors="replace")}


def load_demo(url: str) -> str:
    """Makes sure that the demo user and event exist; the user's token."""
    expect(call(url, "POST", "/users", USER), (201, 409), "POST /users")
    _, session = expect(call(url, "POST", "/login", USER), (200,), "POST /login")
    starts_at = (datetime.now(UTC) + timedelta(days=3650)).strftime("%Y-%m-%dT20:00:00Z")
    event = {**EVENT, "starts_at": starts_at}
    expect(call(url, "POST", "/events", event, session["access_token"]), (201, 409), "POST /events")
    return session["access_token"]


def as_demo_user(event: str, url: str) -> str:
    """A sample event as the demo user sends it, about a booking of theirs that is paid."""
    token = load_demo(url)
    bookings = call(url, "GET", "/bookings", None, token)[1]["items"]
    booking = next((booking for booking in bookings if booking["payment_id"]), None)
    if booking is None:
        raise Failure("The demo user has no booking that is paid: make up books one.")
    return (
        event.replace("Bearer TOKEN", f"Bearer {token}")
        .replace('\\"user_id\\": 1', f'\\"user_id\\": {booking["user_id"]}')
        .replace(SAMPLE_BOOKING, booking["booking_id"])
        .replace(SAMPLE_PAYMENT, booking["payment_id"])
    )


def load_shop(url: str, token: str) -> bool:
    """Three events for the shop's first page: one of several ticket types, one that is free, one that is sold out.

    Whether they were not there before.
    """
    for event in shop():
        status, made = expect(call(url, "POST", "/events", event, token), (201, 409), "POST /events")
        if status == 201 and event["event_id"] == "comedy":
            _, session = expect(call(url, "POST", "/login", USER), (200,), "POST /login")
            last = {"user_id": session["user_id"], "event_id": "comedy", "tickets": made["capacity"]}
            expect(call(url, "POST", "/bookings", last, token), (201,), "POST /bookings")
    return status == 201


def shop() -> list[dict]:
    def at(days: int, time: str) -> str:
        return (datetime.now(UTC) + timedelta(days=days)).strftime(f"%Y-%m-%dT{time}:00Z")

    fair = {
        "event_id": "fair", "name": "Spring Fair", "venue": "Hall 1, Berlin", "starts_at": at(150, "17:00"),
        "ends_at": at(150, "21:00"), "time_zone": "Europe/Berlin", "currency": "EUR", "capacity": 500,
        "max_per_user": 20, "quotas": [{"name": "Chairs", "capacity": 200}],
        "ticket_types": [
            {"name": "Standing", "price": 25},
            {"name": "Seat", "price": 40, "quotas": [{"name": "Chairs"}]},
            {"name": "Pair", "price": 70, "admits": 2, "units": 2, "quotas": [{"name": "Chairs", "units": 2}]},
            {"name": "Late night", "price": 15, "sale_from": at(120, "08:00")},
        ],
    }  # fmt: skip
    run = {
        "event_id": "run", "name": "City Park Winter Run", "venue": "Volkspark, Hamburg", "starts_at": at(60, "08:00"),
        "time_zone": "Europe/Berlin", "currency": "EUR", "price": 0, "capacity": 300,
    }  # fmt: skip
    comedy = {
        "event_id": "comedy", "name": "Late Comedy Hour", "venue": "The Old Vault, Manchester",
        "starts_at": at(30, "19:30"), "time_zone": "Europe/London", "currency": "GBP", "price": 12.5, "capacity": 8,
    }  # fmt: skip
    return [comedy, run, fair]


def expect(answer: tuple[int, dict], wanted: tuple[int, ...], request: str) -> tuple[int, dict]:
    """The answer, if it is one of those wanted."""
    if answer[0] not in wanted:
        raise Failure(f"{request} answered {answer[0]}: {json.dumps(answer[1])}. See make logs.")
    return answer


def book(url: str) -> None:
    """Books a ticket of the demo event as the demo user, and waits for the notification; the first time also a basket."""
    new = load_shop(url, load_demo(url))
    say("\nBooking a ticket, as a user would")

    def show(method: str, path: str, body=None, token=None, wanted=(200,)) -> dict:
        status, answer = expect(call(url, method, path, body, token), wanted, f"{method} {path}")
        sent = "" if body is None else f" {json.dumps(body)}"
        say(f"\n  {method} {path}{sent}")
        shown = {name: shorten(value) for name, value in answer.items()}
        say(f"    {status} {json.dumps(shown)}")
        return answer

    session = show("POST", "/login", USER)
    token, user_id = session["access_token"], session["user_id"]
    show("GET", "/events/E123")
    wanted = {"user_id": user_id, "event_id": "E123", "tickets": 2}
    booking = show("POST", "/bookings", wanted, token, (201,))
    show("GET", f"/payments/{booking['payment_id']}", None, token)
    notification = await_notification(url, token, booking["booking_id"])
    say(f"\n  GET /notifications\n    200 … {json.dumps(notification)}")
    if new:
        say("\nA basket, held until it is paid")
        _, fair = expect(call(url, "GET", "/events/fair"), (200,), "GET /events/fair")
        standing, seat, *_ = (kind["ticket_type_id"] for kind in fair["ticket_types"])
        items = [{"ticket_type_id": standing, "quantity": 2}, {"ticket_type_id": seat, "quantity": 1}]
        wanted = {"user_id": user_id, "event_id": "fair", "items": items, "hold": True}
        held = show("POST", "/bookings", wanted, token, (201,))
        show("POST", f"/bookings/{held['booking_id']}/pay", {"payment_method": "pm_card_visa"}, token)


def shorten(value):
    """A token is longer than a line."""
    return f"{value[:24]}…" if isinstance(value, str) and len(value) > 120 else value


def await_notification(url: str, token: str, booking_id: str) -> dict:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        _, page = expect(call(url, "GET", "/notifications", None, token), (200,), "GET /notifications")
        for notification in page["items"]:
            if notification["booking_id"] == booking_id:
                return notification
        time.sleep(0.2)
    raise Failure("The booking's notification did not arrive within 30 s. See make logs.")
