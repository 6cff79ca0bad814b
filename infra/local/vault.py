"""The secrets of a stack, in Secrets Manager of AWS's emulator, as template.yaml's parameters want them.

Secrets Manager is the source of truth. stack.json has the passwords that the servers and secrets were created with.
The owners' passwords never rotate, so they stay valid. The others may be outdated after a rotation.
"""

import json
import re
import secrets
import string
from typing import NamedTuple

import cloud

# What local names of secrets begin with.
PREFIX = "admit"
TOKEN_KEY = "TokenKey"


class Login(NamedTuple):
    """How one group of functions, or an owner, comes into a store."""

    component: str
    dbname: str
    username: str


ENGINES = {"postgres": "postgres", "documents": "mongo", "rabbitmq": "rabbitmq"}
# By the names that template.yaml's parameters have, without their ending Secret.
LOGINS = {
    "DatabaseOwner": Login("postgres", "postgres", "admitowner"),
    "Register": Login("postgres", "users_db", "admit_register"),
    "Login": Login("postgres", "users_db", "admit_login"),
    "Organizer": Login("postgres", "booking_db", "admit_organizer"),
    "Desk": Login("postgres", "booking_db", "admit_desk"),
    "Reader": Login("postgres", "booking_db", "admit_reader"),
    "Office": Login("postgres", "booking_db", "admit_office"),
    "DocumentsOwner": Login("documents", "admin", "admitowner"),
    "Payments": Login("documents", "payment_db", "admit_payments"),
    "Notifications": Login("documents", "notification_db", "admit_notifications"),
    "BrokerOwner": Login("rabbitmq", "/", "admitowner"),
    "Broker": Login("rabbitmq", "/", "admit"),
}
# PostgreSQL's roles, which the migrations grant rights to.
ROLES = [login.username for name, login in LOGINS.items() if login.component == "postgres" and name != "DatabaseOwner"]


def names() -> dict[str, str]:
    """The local name of each secret, by its logical one."""
    return {key: f"{PREFIX}/{re.sub('(?!^)(?=[A-Z])', '-', key).lower()}" for key in [*LOGINS, TOKEN_KEY]}


def make_passwords(kept: dict[str, str]) -> None:
    """Adds the passwords that are missing."""
    for key in LOGINS:
        kept.setdefault(key, password())


def password() -> str:
    """32 letters and digits, as GenerateSecretString of data.yaml makes them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


def fill(stack) -> None:
    """Makes the secrets that are missing, and tells the others where their stores are now. Safe to repeat."""
    manager, named = cloud.client("secretsmanager", stack.aws_url), names()
    for key in LOGINS:
        place = account(stack, key)
        if key == "BrokerOwner":
            place["management_port"] = stack.state["ports"]["rabbitmq-management"]
        current = read(manager, named[key])
        if current is None:
            secret = place | {"password": stack.state["secrets"][key]}
            manager.create_secret(Name=named[key], SecretString=json.dumps(secret))
        elif current | place != current:
            # The password stays: it may be one of a rotation's.
            manager.put_secret_value(SecretId=named[key], SecretString=json.dumps(current | place))
    if read(manager, named[TOKEN_KEY]) is None:
        manager.create_secret(Name=named[TOKEN_KEY], SecretString="{}")


def account(stack, key: str) -> dict:
    """Where and how a login comes into its store, but for its password."""
    login = LOGINS[key]
    place = {"engine": ENGINES[login.component], "host": "127.0.0.1", "port": stack.state["ports"][login.component]}
    return place | {"dbname": login.dbname, "username": login.username}


def read(manager, name: str) -> dict | None:
    """The current value of a secret; None where there is no such secret."""
    try:
        return json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
    except manager.exceptions.ResourceNotFoundException:
        return None
