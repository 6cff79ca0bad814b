"""Uses a deployed API as a customer does, and checks the effects behind it."""

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import certificates
import urllib3
import walkthrough
from account import Account
from console import Failure, say
from native import OWNER

QUEUE = "admit.notifications"
# How long a thing may take that happens by itself.
PATIENCE_S = 30
# What is printed of an answer.
SHOWN = ("booking_id", "event_id", "payment_id", "user_id", "status", "amount", "available", "title")


@dataclass(frozen=True)
class Api:
    """An API of the emulator's account.

    Requests go to the emulator's path for the API. At its host name the emulator would mistake /login for Cognito's.
    """

    account: Account
    id: str

    def call(self, method: str, path: str, body=None, token: str | None = None) -> tuple[int, dict]:
        url = f"{self.account.url}/_aws/execute-api/{self.id}/$default"
        return walkthrough.call(url, method, path, body, token)

    def expect(self, status: int, method: str, path: str, body=None, token: str | None = None) -> dict:
        """The answer to a request, printed in short."""
        got, answer = self.call(method, path, body, token)
        if got != status:
            raise Failure(f"{method} {path} answered {got}, not {status}: {json.dumps(answer)[:500]}")
        fields = {name: answer[name] for name in SHOWN if name in answer}
        say(f"    {method} {path}: {got} {json.dumps(fields) if fields else ''}")
        return answer

    def await_status(self, path: str, token: str, status: str) -> dict:
        """Asks until the thing at a path has this status."""
        return until(
            lambda: self.call("GET", path, None, token)[1],
            lambda answer: answer.get("status") == status,
            f"GET {path} to say {status}",
        )


@dataclass(frozen=True)
class Customer:
    """Somebody who is registered and has an event to book."""

    api: Api
    user_id: int
    token: str
    event: str

    @staticmethod
    def register(api: Api) -> "Customer":
        name = secrets.token_hex(4)
        user = {"username": f"user-{name}", "password": secrets.token_urlsafe(12)}
        api.expect(201, "POST", "/users", user)
        session = api.expect(200, "POST", "/login", user)
        starts_at = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT20:00:00Z")
        event = {"event_id": f"E-{name}", "name": "Opening Night", "venue": "Main Hall", "price": 50.0, "capacity": 10}
        api.expect(201, "POST", "/events", {**event, "starts_at": starts_at}, session["access_token"])
        customer = Customer(api, session["user_id"], session["access_token"], event["event_id"])
        customer.expect_available(10)
        return customer

    def book(self, tickets: int, card: str = "pm_card_visa", status: int = 201) -> dict:
        wanted = {"user_id": self.user_id, "event_id": self.event, "tickets": tickets, "payment_method": card}
        return self.api.expect(status, "POST", "/bookings", wanted, self.token)

    def get(self, path: str) -> dict:
        return self.api.expect(200, "GET", path, None, self.token)

    def expect_available(self, tickets: int) -> None:
        found = self.api.expect(200, "GET", f"/events/{self.event}")
        if found["available"] != tickets:
            raise Failure(f"{self.event} has {found['available']} tickets left, not {tickets}.")

    def notified_of(self, booking: str) -> bool:
        page = self.api.call("GET", "/notifications", None, self.token)[1]
        return any(item["booking_id"] == booking for item in page.get("items", []))


def until(ask, good, what: str):
    """Asks again and again until the answer is good; that answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not good(answer := ask()):
        if time.monotonic() > deadline:
            raise Failure(f"Waited {PATIENCE_S} s in vain for {what}; last: {json.dumps(answer)[:300]}")
        time.sleep(0.3)
    return answer


def go_through(api: Api, stack, functions: dict[str, str]) -> None:
    """Every route and every trigger; `functions` are names of functions or their aliases by logical name."""
    customer = Customer.register(api)
    api.expect(200, "GET", "/events")
    booking = customer.book(2)
    customer.get(f"/bookings/{booking['booking_id']}")
    customer.get("/bookings")
    customer.get(f"/payments/{booking['payment_id']}")
    customer.expect_available(8)
    payment = {"user_id": customer.user_id, "amount": 12.5}
    api.expect(201, "POST", "/payments", payment, customer.token)
    declined = customer.book(1, "pm_card_visa_chargeDeclined", 402)
    if "payment" not in declined.get("type", ""):
        raise Failure(f"A declined card answers something else: {declined}")
    customer.expect_available(8)
    for path in ("/openapi.json", "/docs", "/docs/swagger-ui.css"):
        api.expect(200, "GET", path)
    unknown = settle(customer)
    deliver(customer, stack, functions, [booking["booking_id"], unknown])
    customer.get("/notifications")
    cancel(customer, booking)


def settle(customer: Customer) -> str:
    """Books with a payment whose answer is lost and that the SQS message settles. Returns the booking's id."""
    account = customer.api.account
    booking = customer.book(1, "pm_admit_timeout", 202)["booking_id"]
    began = time.monotonic()
    customer.api.await_status(f"/bookings/{booking}", customer.token, "CONFIRMED")
    # The schedule settles too, but nothing that is younger than a minute.
    say(f"    settled {time.monotonic() - began:.0f} s later, too early for the schedule: by the message in SQS")
    what = "EventSourceMappings[?contains(EventSourceArn, ':sqs:')].UUID"
    [mapping] = account.listed("lambda", "list_event_source_mappings", what)
    until(
        lambda: account.client("lambda").get_event_source_mapping(UUID=mapping)["LastProcessingResult"],
        lambda said: said.startswith("OK"),
        "the queue's event source mapping to say that it is done",
    )
    return booking


def deliver(customer: Customer, stack, functions: dict[str, str], bookings: list[str]) -> None:
    """Plays the event source mapping of Amazon MQ, which the emulator has but does not poll."""
    messages = take(stack, QUEUE)
    event = {
        "eventSource": "aws:rmq",
        "eventSourceArn": functions["BrokerArn"],
        "rmqMessagesByQueue": {f"{QUEUE}::/": [delivered(message) for message in messages]},
    }
    customer.api.account.invoke(functions["SendNotification"], event)
    say(f"    {len(messages)} messages taken from RabbitMQ and given to send-notification by this test:")
    say("    AWS's emulator has the event source mapping of Amazon MQ, but doesn't poll RabbitMQ")
    for booking in bookings:
        until(lambda: customer.notified_of(booking), bool, f"the notification of {booking}")


def take(stack, queue: str) -> list[dict]:
    """Takes the messages off a queue."""
    url = f"https://127.0.0.1:{stack.state['ports']['rabbitmq-management']}/api/queues/%2F/{queue}/get"
    headers = urllib3.make_headers(basic_auth=f"{OWNER}:{stack.state['secrets']['BrokerOwner']}")
    wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
    with urllib3.PoolManager(ca_certs=str(certificates.authority(stack)), timeout=10) as broker:
        answer = broker.request("POST", url, headers=headers, json=wanted)
    if answer.status != 200:
        raise Failure(f"RabbitMQ's management gave no messages of {queue}: {answer.status}")
    return answer.json()


def delivered(message: dict) -> dict:
    """A message as Lambda's event source mapping of Amazon MQ hands it on."""
    properties = message["properties"]
    fields = {
        "contentType": "content_type",
        "contentEncoding": "content_encoding",
        "deliveryMode": "delivery_mode",
        "priority": "priority",
        "correlationId": "correlation_id",
        "replyTo": "reply_to",
        "expiration": "expiration",
        "messageId": "message_id",
        "timestamp": "timestamp",
        "type": "type",
        "userId": "user_id",
        "appId": "app_id",
        "clusterId": "cluster_id",
    }
    basic = {name: properties.get(field) for name, field in fields.items()}
    basic |= {"headers": properties.get("headers", {}), "bodySize": message["payload_bytes"]}
    return {"basicProperties": basic, "redelivered": message["redelivered"], "data": message["payload"]}


def cancel(customer: Customer, booking: dict) -> None:
    """A booking given back: its tickets at once, its money too."""
    path = f"/bookings/{booking['booking_id']}/cancel"
    customer.api.expect(200, "POST", path, None, customer.token)
    payment = f"/payments/{booking['payment_id']}"
    customer.api.await_status(payment, customer.token, "REFUNDED")
    customer.get(payment)
    customer.expect_available(9)
