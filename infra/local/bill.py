"""A month's bill on AWS, from measured durations, a dated price table and assumptions in the open: infra/cost.

A bill has two columns: what is paid when nobody books, and what bookings add. Nothing here asks AWS.
"""

import json
import math
import tomllib
from dataclasses import dataclass, field

from console import Failure
from tools import ROOT

TABLES = ROOT / "infra" / "cost"
HOURS = 730
GB = 1e9
# What runs the functions, against what any program with these stores would pay too.
LAMBDA_ONLY = {"Lambda", "HTTP API", "Scheduler", "X-Ray", "CloudWatch logs"}
CONTAINERS_ONLY = {"Fargate", "Load balancer", "CloudWatch logs"}
# Lambda's pollers of a queue ask this often though it is empty: five of them, waiting 20 seconds each.
EMPTY_POLLS_A_MINUTE = 15
# A batch of announcements waits up to a second for more, and has at most so many: template.yaml.
BATCH_WINDOW_S, BATCH_MOST = 1, 100
# Functions that wait for the payment gateway.
WAITING = {"create-booking", "cancel-booking", "create-payment", "charge-payment", "settle-bookings"}
# Functions that no customer waits for.
BEHIND = {"send-notification", "settle-bookings"}
# With so much memory Lambda gives a whole processor, with less a share in proportion (its documentation).
CORE_MB = 1769
# Sizes that are compared. With less than LEAST_MB a start, which takes processor time, is felt.
SIZES_MB, LEAST_MB = (128, 256, 512, 1024, CORE_MB), 256
TASK_VCPU, TASK_GB = 0.5, 1


@dataclass(frozen=True)
class Tables:
    """All that a bill is computed from."""

    dated: str
    region: str
    prices: dict
    assumed: dict
    reasons: dict
    measured: dict
    planes: dict

    def routes(self) -> list[str]:
        """The functions behind the API: those with a measurement and a number of requests for each booking."""
        return [name for name in self.measured["functions"] if name in self.assumed]


def read_tables(settings: dict[str, float] | None = None) -> Tables:
    prices = tomllib.loads((TABLES / "prices.toml").read_text())
    dated, region = prices.pop("dated"), prices.pop("region")
    reasons = tomllib.loads((TABLES / "assumptions.toml").read_text())
    assumed = {name: entry["value"] for name, entry in reasons.items()}
    for name, value in (settings or {}).items():
        if name not in assumed:
            raise Failure(f"{name} is no assumption. There are: {', '.join(assumed)}.")
        assumed[name] = value
    if not 0 < assumed["busy_hours"] <= HOURS:
        raise Failure(f"busy_hours must be above 0 and at most {HOURS}, the hours of a month.")
    measured = json.loads((TABLES / "measured.json").read_text())
    planes = json.loads((TABLES / "planes.json").read_text())
    return Tables(dated, region, prices, assumed, reasons, measured, planes)


@dataclass
class Line:
    service: str
    what: str
    standing: float
    bookings: float


@dataclass
class Bill:
    """A month's bill; `standing` is paid when nobody books, `bookings` comes with them."""

    tables: Tables
    plane: str
    count: float
    lines: list[Line] = field(default_factory=list)

    def add(self, service: str, what: str, price: str, standing: float = 0, bookings: float = 0) -> None:
        """Adds so many units of a price. Where it gets cheaper with more, the gain is the bookings'."""
        base = cost(self.tables, price, standing)
        whole = cost(self.tables, price, standing + bookings)
        if whole > 0:
            self.lines.append(Line(service, what, base, whole - base))

    @property
    def standing(self) -> float:
        return sum(line.standing for line in self.lines)

    @property
    def bookings(self) -> float:
        return sum(line.bookings for line in self.lines)

    @property
    def total(self) -> float:
        return self.standing + self.bookings

    def services(self) -> dict[str, tuple[float, float]]:
        sums: dict[str, tuple[float, float]] = {}
        for line in self.lines:
            standing, bookings = sums.get(line.service, (0, 0))
            sums[line.service] = (standing + line.standing, bookings + line.bookings)
        return sums

    def part(self, services: set[str]) -> float:
        return sum(line.standing + line.bookings for line in self.lines if line.service in services)


def cost(tables: Tables, key: str, units: float) -> float:
    """Dollars for so many units of a price."""
    price = tables.prices.get(key)
    if price is None:
        raise Failure(f"infra/cost/prices.toml has no price {key}.")
    if tables.assumed["free_tier"]:
        units = max(0, units - price.get("free", 0))
    dollars, begin = 0.0, 0
    for end, amount in price.get("tiers") or [[math.inf, price["amount"]]]:
        dollars += amount * max(0, min(units, end) - begin)
        begin = end
    return dollars


def awake_hours(tables: Tables, plane: dict) -> float:
    return tables.assumed["busy_hours"] if plane.get("sleeps") else HOURS


def mean_rate(tables: Tables, bookings: float) -> float:
    """Bookings a second in the busy hours."""
    return bookings / (tables.assumed["busy_hours"] * 3600)


def peak_rate(tables: Tables, bookings: float) -> float:
    return mean_rate(tables, bookings) * tables.assumed["peak_factor"]


def offered(tables: Tables, plane: str, bookings: float) -> bool:
    capacity = tables.planes[plane]["capacity"]
    return bookings <= capacity["bookings"] and peak_rate(tables, bookings) <= capacity["peak"]


@dataclass
class Use:
    """One function in a month: invocations and milliseconds of each, by schedule and by bookings."""

    name: str
    memory_mb: int
    scheduled: float
    scheduled_ms: float
    booked: float
    booked_ms: float

    def gb_seconds(self) -> tuple[float, float]:
        share = self.memory_mb / 1024 / 1000
        return self.scheduled * self.scheduled_ms * share, self.booked * self.booked_ms * share


def uses(tables: Tables, plane: dict, bookings: float) -> list[Use]:
    """All functions along a booking's way, and those that the clock starts."""
    assumed = tables.assumed
    hours = awake_hours(tables, plane)
    sweeps, unknown = hours * 60, bookings * assumed["unknown_payments"]
    batch = min(BATCH_MOST, 1 + mean_rate(tables, bookings) * BATCH_WINDOW_S)
    # Each sweep has charge-payment sweep too; a refund and a settlement are invocations of it.
    charges = bookings * (assumed["create-booking"] + assumed["cancel-booking"]) + unknown
    counts = {name: (0.0, bookings * assumed[name]) for name in tables.routes()}
    counts["charge-payment"] = (sweeps, charges)
    counts["settle-bookings"] = (sweeps, unknown)
    counts["send-notification"] = (hours, bookings / batch)
    result = []
    for name, (scheduled, booked) in counts.items():
        if name not in tables.measured["functions"]:
            raise Failure(f"infra/cost/measured.json has no {name}.")
        memory = tables.measured["functions"][name]["memory_mb"]
        ms = billed_ms(tables, name, memory)
        # What the clock starts finds nothing to do, and asks no gateway.
        idle = ms - gateway_ms(tables, name)
        result.append(Use(name, memory, scheduled, idle, booked, ms))
    return result


def billed_ms(tables: Tables, name: str, memory_mb: float) -> float:
    """What an invocation takes with so much memory, and so much of a processor, with its share of a start."""
    assumed, function = tables.assumed, tables.measured["functions"][name]
    waits = max(0, function["duration_ms"] - function["cpu_ms"]) * assumed["wait_factor"]
    cpu = function["cpu_ms"] + assumed["cold_starts"] * function["start_cpu_ms"]
    works = cpu * assumed["cpu_factor"] / min(1, memory_mb / CORE_MB)
    return waits + works + assumed["cold_starts"] * assumed["cold_wait_ms"] + gateway_ms(tables, name)


def gateway_ms(tables: Tables, name: str) -> float:
    return tables.assumed["gateway_ms"] if name in WAITING else 0


def million(tables: Tables, name: str, memory_mb: float) -> float:
    """Dollars for a million invocations with so much memory, without discounts."""
    second, request = tables.prices["lambda_gb_second"]["tiers"][0][1], tables.prices["lambda_request"]["amount"]
    return billed_ms(tables, name, memory_mb) / 1000 * memory_mb / 1024 * second * 1e6 + request


def balanced_mb(tables: Tables, name: str) -> int:
    """The size at which time and dollars have the least product: twice as quick may cost twice as much.

    Where no customer waits, the least.
    """
    if name in BEHIND:
        return LEAST_MB
    sizes = [size for size in SIZES_MB if size >= LEAST_MB]
    return min(sizes, key=lambda size: billed_ms(tables, name, size) * million(tables, name, size))


def monthly(tables: Tables, plane: str, bookings: float, network: str | None = None) -> Bill:
    """The bill of the functions with a data plane."""
    bill = Bill(tables, plane, bookings)
    design = tables.planes[plane]
    used = uses(tables, design, bookings)
    add_functions(bill, design, used)
    add_watching(bill, design, used)
    add_secrets(bill, used)
    add_stores(bill, design)
    add_network(bill, design, network, ["lambda", "secretsmanager", "sqs", "sts"])
    return bill


def containers(tables: Tables, plane: str, bookings: float) -> Bill:
    """The bill of a pair of containers that never stop, and more of them in the busy hours where two are too few."""
    bill, assumed, design = Bill(tables, plane, bookings), tables.assumed, tables.planes[plane]
    used = uses(tables, design, bookings)
    tasks = tasks_needed(tables, bookings)
    hours, more = 2 * HOURS, (tasks - 2) * assumed["busy_hours"]
    bill.add("Fargate", "tasks, vCPU", "fargate_vcpu", hours * TASK_VCPU, more * TASK_VCPU)
    bill.add("Fargate", "tasks, memory", "fargate_gb", hours * TASK_GB, more * TASK_GB)
    requests = api_requests(tables, bookings)
    moved = requests * assumed["response_kb"] * 1e3 / GB
    connections = requests / assumed["requests_per_connection"]
    bill.add("Load balancer", "hours", "alb_hour", HOURS)
    bill.add("Load balancer", "capacity units", "alb_lcu", 0, max(moved, connections / 25 / 3600))
    bill.add("Load balancer", "2 public addresses", "ipv4_hour", 2 * HOURS)
    # A line for what would be an invocation; none of Lambda's or the API's own.
    line = (assumed["line_bytes"] + assumed["event_bytes"]) / GB
    standing, booked = (sum(use.scheduled for use in used), sum(use.booked for use in used))
    bill.add("CloudWatch logs", "application", "logs_ingested", standing * line, booked * line)
    add_queue(bill)
    add_alarms(bill)
    bill.add("Secrets Manager", "secrets", "secret", assumed["secrets"])
    add_stores(bill, design)
    add_network(bill, design, None, ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"])
    return bill


def tasks_needed(tables: Tables, bookings: float) -> int:
    cpu = peak_rate(tables, bookings) * booking_cpu_ms(tables, bookings) / 1000
    return max(2, math.ceil(cpu / tables.assumed["cpu_use"] / TASK_VCPU))


def booking_cpu_ms(tables: Tables, bookings: float) -> float:
    """Processor time of one of so many bookings with all its requests, and of what follows from it."""
    used = uses(tables, tables.planes["small"], bookings)
    measured = sum(use.booked * tables.measured["functions"][use.name]["cpu_ms"] for use in used)
    return measured / bookings * tables.assumed["cpu_factor"]


def api_requests(tables: Tables, bookings: float) -> float:
    return bookings * sum(tables.assumed[name] for name in tables.routes())


def add_functions(bill: Bill, design: dict, used: list[Use]) -> None:
    scheduled, booked = (sum(use.scheduled for use in used), sum(use.booked for use in used))
    bill.add("Lambda", "invocations", "lambda_request", scheduled / 1e6, booked / 1e6)
    seconds = [use.gb_seconds() for use in used]
    bill.add("Lambda", "GB-seconds", "lambda_gb_second", sum(s for s, _ in seconds), sum(b for _, b in seconds))
    requests = api_requests(bill.tables, bill.count)
    bill.add("HTTP API", "requests", "http_api_request", 0, requests / 1e6)
    bill.add("Scheduler", "each minute, each hour", "scheduler_invocation", awake_hours(bill.tables, design) * 61 / 1e6)
    add_queue(bill)


def add_queue(bill: Bill) -> None:
    empty = EMPTY_POLLS_A_MINUTE * 60 * HOURS
    # Sent, received, deleted.
    messages = 3 * bill.count * bill.tables.assumed["unknown_payments"]
    bill.add("SQS", "requests, most of them empty polls", "sqs_request", empty / 1e6, messages / 1e6)


def add_watching(bill: Bill, design: dict, used: list[Use]) -> None:
    """Logs, traces and alarms."""
    assumed = bill.tables.assumed
    # One line of ours and three of Lambda's an invocation; the API writes one a request.
    line = (assumed["line_bytes"] + assumed["platform_bytes"] + 4 * assumed["event_bytes"]) / GB
    access = (assumed["access_bytes"] + assumed["event_bytes"]) / GB
    requests = api_requests(bill.tables, bill.count)
    standing = sum(use.scheduled for use in used) * line
    booked = sum(use.booked for use in used) * line + requests * access
    bill.add("CloudWatch logs", "written", "logs_ingested", standing, booked)
    kept = assumed["log_months"] * 0.15  # they are stored compressed
    bill.add("CloudWatch logs", "kept", "logs_stored", standing * kept, booked * kept)
    sweeps = awake_hours(bill.tables, design) * 60
    seconds = assumed["busy_hours"] * 3600
    first = seconds * (1 - math.exp(-requests / seconds))
    traces = first + assumed["trace_share"] * (requests - first)
    bill.add("X-Ray", "traces", "xray_trace", sweeps / 1e6, traces / 1e6)
    add_alarms(bill)


def add_alarms(bill: Bill) -> None:
    assumed = bill.tables.assumed
    bill.add("CloudWatch alarms", "alarms", "alarm", assumed["alarms"])
    bill.add("CloudWatch alarms", "dashboard", "dashboard", assumed["dashboards"])
    bill.add("CloudWatch alarms", "metrics", "metric", assumed["metrics"])
    bill.add("CloudWatch alarms", "the key of their topic", "kms_key", 1)


def add_secrets(bill: Bill, used: list[Use]) -> None:
    assumed = bill.tables.assumed
    bill.add("Secrets Manager", "secrets", "secret", assumed["secrets"])
    standing = sum(use.scheduled for use in used) * assumed["secret_reads"] / 1e6
    booked = sum(use.booked for use in used) * assumed["secret_reads"] / 1e6
    bill.add("Secrets Manager", "reads", "secret_read", standing, booked)
    bill.add("Secrets Manager", "decryption", "kms_request", standing, booked)


def add_stores(bill: Bill, design: dict) -> None:
    """The data plane: what runs, and what it holds."""
    assumed = bill.tables.assumed
    hours = {"all": HOURS, "busy": assumed["busy_hours"], "none": 1}
    for item in design["standing"]:
        units = item["count"] * hours[item.get("hours", "all")]
        bill.add(item["service"], item["what"], item["price"], units)
    for store in design["stores"]:
        held = bill.count * assumed["months_kept"] * sum(assumed[size] for size in store["holds"]) / GB
        more = max(0, held - store["least_gb"])
        copies = store["copies"]
        bill.add(store["service"], "storage", store["price"], store["least_gb"] * copies, more * copies)
        bill.add(store["service"], "backups", store["backup"], 0, held * assumed["backup_share"])
        if "io" in store:
            bill.add(store["service"], "I/O", store["io"], 0, bill.count * assumed[store["ios"]] / 1e6)


def add_network(bill: Bill, design: dict, network: str | None, endpoints: list[str]) -> None:
    assumed, count = bill.tables.assumed, bill.count
    network = network or design["network"]
    called = count * assumed["service_kb"] * 1e3 / GB
    zones = design["zones"]
    if network == "nat":
        gateways = design.get("nat_gateways", 1)
        bill.add("Network", f"{gateways} NAT", "nat_hour", gateways * HOURS)
        bill.add("Network", "its public addresses", "ipv4_hour", gateways * HOURS)
        bill.add("Network", "through NAT", "nat_gb", 0, called)
    elif network == "endpoints":
        bill.add("Network", f"{len(endpoints)} endpoints, {zones} zones", "endpoint_hour", len(endpoints) * zones * HOURS)
        bill.add("Network", "through endpoints", "endpoint_gb", 0, called)
    if zones > 1:
        crossing = count * assumed["store_kb"] * 1e3 / GB / 2
        bill.add("Network", "between zones", "transfer_zone_gb", 0, crossing)
    out = api_requests(bill.tables, count) * assumed["response_kb"] * 1e3 / GB
    bill.add("Network", "to the internet", "transfer_out_gb", 0, out)


def break_even(tables: Tables, plane: str) -> float | None:
    """From how many bookings a month on the functions cost more than the containers that they replace."""

    def dearer(bookings: float) -> bool:
        ours, theirs = monthly(tables, plane, bookings), containers(tables, plane, bookings)
        return ours.part(LAMBDA_ONLY) > theirs.part(CONTAINERS_ONLY)

    low, high = 1.0, 1e9
    if dearer(low) or not dearer(high):
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if dearer(middle) else (middle, high)
    return high


def cheapest(tables: Tables, bookings: float, built_only: bool) -> Bill | None:
    bills = [
        monthly(tables, name, bookings)
        for name, design in tables.planes.items()
        if offered(tables, name, bookings) and not (built_only and design["needs"])
    ]
    return min(bills, key=lambda bill: bill.total, default=None)
