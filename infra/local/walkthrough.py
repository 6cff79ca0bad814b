"""The booking of a ticket as a user does it, through the API, each step with its answer."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import urllib3

from console import Failure, say
from tools import ROOT

# The events of the shop's first page. A number in braces is the day so many days from now.
DEMO = ROOT / "infra" / "demo.json"
USER = {"username": "testuser", "password": "password123"}
EVENT = {
    "event_id": "E123",
    "name": "Opening Night",
    "venue": "Main Hall",
    "starts_at": "{3650}T20:00:00Z",
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


def expect(wanted: tuple[int, ...], url: str, method: str, path: str, body=None, token: str | None = None) -> dict:
    """The answer to a request, if its status is one of those wanted."""
    status, answer = call(url, method, path, body, token)
    if status not in wanted:
        raise Failure(f"{method} {path} answered {status}: {json.dumps(answer)}. See make logs.")
    return answer


def load_demo(url: str) -> str:
    """Makes sure that the demo user and event exist; the user's token."""
    expect((201, 409), url, "POST", "/users", USER)
    token = expect((200,), url, "POST", "/login", USER)["access_token"]
    expect((201, 409), url, "POST", "/events", dated(json.dumps(EVENT)), token)
    return token


def dated(text: str):
    """JSON with its days as dates."""
    now = datetime.now(UTC)
    return json.loads(re.sub(r"\{(\d+)\}", lambda days: f"{now + timedelta(days=int(days[1])):%Y-%m-%d}", text))


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


def load_shop(url: str, user: int, token: str) -> bool:
    """Three events: one of several ticket types, one that is free, one that is sold out. Whether they are new."""
    for event in dated(DEMO.read_text()):
        made = expect((201, 409), url, "POST", "/events", event, token)
        if event["event_id"] == "comedy" and "capacity" in made:
            last = {"user_id": user, "event_id": "comedy", "tickets": made["capacity"]}
            expect((201,), url, "POST", "/bookings", last, token)
    return "capacity" in made


def book(url: str) -> None:
    """Books a ticket of the demo event as the demo user, and waits for the notification; the first time also a basket."""
    load_demo(url)
    say("\nBooking a ticket, as a user would")

    def show(wanted: int, method: str, path: str, body=None, token: str | None = None) -> dict:
        answer = expect((wanted,), url, method, path, body, token)
        say(f"\n  {method} {path}{'' if body is None else f' {json.dumps(body)}'}")
        # A token is longer than a line.
        shown = {name: f"{value[:24]}…" if len(str(value)) > 120 and isinstance(value, str) else value for name, value in answer.items()}
        say(f"    {wanted} {json.dumps(shown, ensure_ascii=False)}")
        return answer

    session = show(200, "POST", "/login", USER)
    token, user = session["access_token"], session["user_id"]
    show(200, "GET", "/events/E123")
    booking = show(201, "POST", "/bookings", {"user_id": user, "event_id": "E123", "tickets": 2}, token)
    show(200, "GET", f"/payments/{booking['payment_id']}", None, token)
    notification = await_notification(url, token, booking["booking_id"])
    say(f"\n  GET /notifications\n    200 … {json.dumps(notification)}")
    if load_shop(url, user, token):
        say("\nA basket, held until it is paid")
        standing, seat, *_ = expect((200,), url, "GET", "/events/fair")["ticket_types"]
        items = [{"ticket_type_id": kind["ticket_type_id"], "quantity": quantity} for kind, quantity in ((standing, 2), (seat, 1))]
        held = show(201, "POST", "/bookings", {"user_id": user, "event_id": "fair", "items": items, "hold": True}, token)
        show(200, "POST", f"/bookings/{held['booking_id']}/pay", {"payment_method": "pm_card_visa"}, token)


def await_notification(url: str, token: str, booking_id: str) -> dict:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for notification in expect((200,), url, "GET", "/notifications", None, token)["items"]:
            if notification["booking_id"] == booking_id:
                return notification
        time.sleep(0.2)
    raise Failure("The booking's notification did not arrive within 30 s. See make logs.")
