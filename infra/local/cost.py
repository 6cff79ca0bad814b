"""What Admit costs on AWS in a month: prints a bill, and writes docs/COST.md.

usage: python3 infra/local cost BOOKINGS [plane=NAME] [ASSUMPTION=NUMBER …]
       python3 infra/local cost --write    write docs/COST.md from infra/cost
       python3 infra/local cost --check    fail where it would be another
"""

import math
from statistics import mean

import functions
from bill import CONTAINERS_ONLY, CORE_MB, HOURS, LAMBDA_ONLY, LEAST_MB, SIZES_MB, Bill, Tables
from bill import balanced_mb, billed_ms, break_even, cheapest, containers, million, monthly, offered, peak_rate
from bill import read_tables, tasks_needed, uses
from console import Failure, say
from tools import ROOT

PAGE = ROOT / "docs" / "COST.md"
SHOWN = {10_000: "10 thousand", 1_000_000: "1 million", 100_000_000: "100 million"}

NEEDS = {
    "machine": "a template for the machine: PostgreSQL, RabbitMQ and FerretDB (or MongoDB) behind TLS with certificates "
    "that the functions trust, snapshots, patches, and the functions' way out through it. `DataPlane=existing` takes its "
    "endpoints; nothing makes it.",
    "forwarder": "a forwarder: Lambda takes messages from Amazon MQ only, so that something on the machine has to take "
    "announcements from RabbitMQ and invoke `send-notification`. `infra/event-sources` does so locally.",
    "waker": "a waker: starts the machine before an on-sale and stops it after, and with it the schedules of "
    "`settle-bookings` and `send-notification`, which would fail, or keep Aurora awake, each minute.",
    "aurora": "Aurora in place of RDS in `infra/data.yaml`, and limits in time that a database asleep does not break: it "
    "takes up to 15 seconds to wake.",
}


def main(arguments: list[str]) -> None:
    """Prints a bill; or writes docs/COST.md, or compares with it."""
    if arguments == ["--write"]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(read_tables()))
        say(f"  {PAGE.relative_to(ROOT)} is written.")
    elif arguments == ["--check"]:
        check_memory(read_tables())
        if not PAGE.exists() or PAGE.read_text() != page(read_tables()):
            raise Failure("docs/COST.md is not what infra/cost gives: run python3 infra/local cost --write and commit it.")
        say("  docs/COST.md is what infra/cost gives.")
    else:
        bookings, plane, settings = parse(arguments)
        say(printed(chosen(read_tables(settings), bookings, plane)))


def check_memory(tables: Tables) -> None:
    """The functions are measured, and billed, with the memory that the template gives them."""
    template = functions.read()
    for logical, properties in template.functions().items():
        given = {**template.globals["Function"], **properties}["MemorySize"]
        measured = tables.measured["functions"].get(functions.package(logical), {}).get("memory_mb", given)
        if given != measured:
            raise Failure(
                f"{logical} has {given} MB in template.yaml, but {measured} MB in infra/cost/measured.json: "
                "put it right there, or run python3 infra/local measure."
            )


def parse(arguments: list[str]) -> tuple[float, str | None, dict[str, float]]:
    bookings, plane, settings = None, None, {}
    for word in arguments:
        name, equals, value = word.partition("=")
        if equals and name == "plane":
            plane = value
        elif equals:
            settings[name] = number(value, f"{name} must be a number from 0 on")
        elif bookings is None:
            bookings = number(word, "BOOKINGS must be a number above 0, such as 1000000")
        else:
            raise Failure(f"What is {word!r}? Wanted: BOOKINGS [plane=NAME] [ASSUMPTION=NUMBER …]")
    if not bookings:
        raise Failure("How many bookings a month? make cost BOOKINGS=1000000")
    return bookings, plane, settings


def number(text: str, otherwise: str) -> float:
    try:
        value = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise Failure(f"{otherwise}, not {text!r}.")
    return value


def chosen(tables: Tables, bookings: float, plane: str | None) -> Bill:
    """The bill of the data plane that was asked for, or of the cheapest that the templates make."""
    if plane is not None and plane not in tables.planes:
        raise Failure(f"{plane} is no data plane. There are: {', '.join(tables.planes)}.")
    if plane is not None:
        return monthly(tables, plane, bookings)
    bill = cheapest(tables, bookings, built_only=True)
    if bill is None:
        raise Failure(f"No data plane is offered for {bookings:,.0f} bookings a month; plane=NAME takes one anyway.")
    return bill


# What a person reads in a terminal.


def printed(bill: Bill) -> str:
    tables, plane = bill.tables, bill.tables.planes[bill.plane]
    head = f"\n{bill.count:,.0f} bookings a month, data plane {bill.plane} ({plane['title']}), {tables.region}, prices of {tables.dated}"
    lines = [head, "", f"  {'':20} {'':34} {'standing':>12} {'by bookings':>12}"]
    last = None
    for line in sorted(bill.lines, key=order(bill)):
        service = "" if line.service == last else line.service
        lines.append(f"  {service:20} {line.what:34} {line.standing:12,.2f} {line.bookings:12,.2f}")
        last = line.service
    lines += [
        f"  {'Together':20} {'dollars a month':34} {bill.standing:12,.2f} {bill.bookings:12,.2f}",
        "",
        f"  {money(bill.total)} a month: {cents(bill.total / bill.count)} a booking, {cents(bill.bookings / bill.count)} "
        "of it caused by the booking itself.",
        f"  What dominates: {dominant(bill)}.",
        "",
        "  The same with other data planes:",
    ]
    for name in tables.planes:
        other = monthly(tables, name, bill.count)
        remark = "" if offered(tables, name, bill.count) else "; too small for it"
        remark += "; not built" if tables.planes[name]["needs"] else ""
        lines.append(f"    {name:12} {money(other.total):>12}  ({money(other.standing)} standing{remark})")
    pair = containers(tables, bill.plane, bill.count)
    tasks = f"2 to {needed}" if (needed := tasks_needed(tables, bill.count)) > 2 else "2"
    lines += [
        "",
        f"  Always-on containers in place of the functions ({tasks} Fargate tasks, a load balancer, the same stores): "
        f"{money(pair.total)}.",
        "  Much of it rests on guesses about use: infra/cost/assumptions.toml has them, docs/COST.md explains.",
    ]
    return "\n".join(lines)


def order(bill: Bill):
    """Services by what they cost, dearest first, their lines together."""
    sums = {service: -sum(both) for service, both in bill.services().items()}
    return lambda line: (sums[line.service], line.service)


def dominant(bill: Bill) -> str:
    """The two services that cost most, with their shares."""
    sums = sorted(((sum(both), service) for service, both in bill.services().items()), reverse=True)
    return ", ".join(f"{service} {amount / bill.total:.0%}" for amount, service in sums[:2])


def money(dollars: float) -> str:
    return f"${dollars:,.0f}" if dollars >= 100 else f"${dollars:,.2f}"


def cents(dollars: float) -> str:
    return f"{dollars * 100:,.2f} ¢" if dollars >= 0.001 else f"{dollars * 100:.4f} ¢"


# docs/COST.md


def page(tables: Tables) -> str:
    sections = [
        in_short, data_planes, every_plane, bills, every_function, against_containers, way_out, memory, measured, assumptions, prices, redo
    ]
    return "\n".join(section(tables) for section in sections)


def table(*rows: list[str]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    right = [cell.startswith(">") for cell in rows[0]]
    rule = "|" + "|".join(" ---: " if is_right else " --- " for is_right in right) + "|"
    return "\n".join([head.replace("| >", "| "), rule, *body, ""])


def in_short(tables: Tables) -> str:
    return f"""# What it costs

Written by `python3 infra/local cost --write` from `infra/cost`; don't edit it. Prices of {tables.dated}, {tables.region},
dollars a month, on demand, without taxes, support or what the payment gateway takes.

**No bill of AWS has been seen for this.** The durations were measured on another machine, half of the assumptions are
guesses, and some prices are unsure (marked below). Take it for the size of things, and put your own numbers in.

## In short

The cheapest data plane that `infra/data.yaml` makes, or would make with larger instances:

{shortest(tables, built_only=True)}
The cheapest of all, where what it needs is built:

{shortest(tables, built_only=False)}
"Without standing" is what one more booking costs. At few bookings nearly all is standing: stores that run whether
somebody books or not. The functions themselves stand for next to nothing.
"""


def shortest(tables: Tables, built_only: bool) -> str:
    rows = [["bookings", "data plane", ">standing", ">by bookings", ">together", ">a booking", ">without standing", "what dominates"]]
    for count, name in SHOWN.items():
        bill = cheapest(tables, count, built_only)
        if bill is None:
            rows.append([name, "none is offered", "", "", "", "", "", ""])
            continue
        row = [name, bill.plane, money(bill.standing), money(bill.bookings), f"**{money(bill.total)}**"]
        rows.append([*row, cents(bill.total / count), cents(bill.bookings / count), dominant(bill)])
    return table(*rows)


def data_planes(tables: Tables) -> str:
    rows = [["data plane", "", "needs, unbuilt", ">to bookings a month", ">and a second, at the peak", ">stands for"]]
    for name, plane in tables.planes.items():
        capacity = plane["capacity"]
        standing = money(monthly(tables, name, 0).standing)
        needs = ", ".join(plane["needs"]) or "nothing"
        rows.append([f"`{name}`", plane["text"], needs, f"{capacity['bookings']:,}", str(capacity["peak"]), standing])
    needs = "\n".join(f"- **{name}**: {text}" for name, text in NEEDS.items())
    return f"""## Data planes

{table(*rows)}
Above its capacity a plane is not offered. The capacities are guesses, none was loaded on AWS. What stands includes
secrets, alarms and the sweeps, and no booking.

What the unbuilt ones need:

{needs}

Amazon MQ and DocumentDB cannot idle: a broker runs always (RabbitMQ's smallest new one is mq.m7g.medium, as mq.t3.micro
is no longer given), and DocumentDB's serverless kind keeps at least half a unit, about $30 a month. So whatever idles at nearly
nothing has its own RabbitMQ, and its own care. `idle` and `machine` keep the record of payments on one disk: its
snapshots are the only backup.
"""


def every_plane(tables: Tables) -> str:
    rows = [["data plane", *(f">{name}" for name in SHOWN.values())]]
    for name in tables.planes:
        cells = [money(monthly(tables, name, count).total) if offered(tables, name, count) else "–" for count in SHOWN]
        rows.append([f"`{name}`", *cells])
    peaks = ", ".join(f"{peak_rate(tables, count):,.1f}" for count in SHOWN)
    return f"""Together, a month:

{table(*rows)}
At these volumes the assumed peaks are {peaks} bookings a second.
"""


def bills(tables: Tables) -> str:
    parts = ["## The bills\n"]
    for count, name in SHOWN.items():
        bill = cheapest(tables, count, built_only=True)
        if bill is None:
            continue
        rows = [["service", "", ">standing", ">by bookings"]]
        last = None
        for line in sorted(bill.lines, key=order(bill)):
            service = "" if line.service == last else line.service
            rows.append([service, line.what, f"{line.standing:,.2f}", f"{line.bookings:,.2f}"])
            last = line.service
        rows.append(["**together**", "", f"**{bill.standing:,.2f}**", f"**{bill.bookings:,.2f}**"])
        parts.append(f"### {name} bookings, `{bill.plane}`\n\n{table(*rows)}")
    return "\n".join(parts)


def every_function(tables: Tables) -> str:
    count = 1_000_000
    second, request = tables.prices["lambda_gb_second"]["tiers"][0][1], tables.prices["lambda_request"]["amount"] / 1e6
    rows = [["function", ">memory, MB", ">billed, ms", ">by schedule", ">by bookings", ">GB-s", ">dollars"]]
    for use in uses(tables, tables.planes["small"], count):
        seconds = sum(use.gb_seconds())
        dollars = seconds * second + (use.scheduled + use.booked) * request
        row = [f"`{use.name}`", str(use.memory_mb), f"{use.booked_ms:,.0f}", f"{use.scheduled:,.0f}", f"{use.booked:,.0f}"]
        rows.append([*row, f"{seconds:,.0f}", f"{dollars:,.2f}"])
    return f"""## The functions, at {SHOWN[count]} bookings

{table(*rows)}
`create-booking` invokes `charge-payment` and waits for it, so that the charge is billed twice: as its own duration, and
within the other's. Most of both is the wait for the payment gateway. Billed are the processor time that was measured, by
the share of a processor that the memory buys; {tables.assumed['wait_factor']:g} times the wait that was measured; the gateway
where it is waited for; and a share of the starts, which Lambda bills since August 2025.
By schedule `settle-bookings` and `charge-payment` run each minute without a wait for the gateway, and
`send-notification` each hour.
"""


def against_containers(tables: Tables) -> str:
    rows = [["bookings", "data plane", ">tasks at the peak", ">containers' part", ">functions' part", ">all, containers", ">all, functions"]]
    for count, name in SHOWN.items():
        ours = cheapest(tables, count, built_only=True)
        if ours is None:
            continue
        theirs = containers(tables, ours.plane, count)
        parts = [money(theirs.part(CONTAINERS_ONLY)), money(ours.part(LAMBDA_ONLY))]
        rows.append([name, ours.plane, str(tasks_needed(tables, count)), *parts, money(theirs.total), money(ours.total)])
    point = break_even(tables, "available")
    said = f"about {round_to(point):,} bookings a month on" if point else "no number of bookings on"
    return f"""## Against an always-on pair of containers

Two Fargate tasks of half a vCPU and 1 GB (arm64) behind a load balancer that never stop, more of them in the busy hours
where the peak needs them, with the same stores. "Part" is what differs: compute, entry, traces and logs.

{table(*rows)}
From {said}, the functions cost more than the containers. Both are small beside the stores there; containers are a
program that is not written, and their scaling in time for an on-sale is somebody's work. On `machine`, one more process
on the machine would cost nothing, and need no forwarder.
"""


def round_to(value: float) -> int:
    digits = 1 - math.floor(math.log10(value))
    return int(round(value, digits))


def way_out(tables: Tables) -> str:
    rows = [["data plane", *(f">{name}, NAT" for name in SHOWN.values()), *(f">{name}, endpoints" for name in SHOWN.values())]]
    for name, plane in tables.planes.items():
        if plane["network"] == "machine":
            continue
        cells = []
        for network in ("nat", "endpoints"):
            for count in SHOWN:
                cells.append(money(monthly(tables, name, count, network).part({"Network"})) if offered(tables, name, count) else "–")
        rows.append([f"`{name}`", *cells])
    return f"""## NAT or endpoints

The functions reach Lambda, SQS, Secrets Manager and STS (which Amazon MQ's event source asks for) either way. The whole
line "Network", with transfer:

{table(*rows)}
Endpoints do not reach a payment gateway on the internet: with a real one, NAT is needed in any case. One NAT gateway
fails with its zone. S3's gateway endpoint costs nothing.
"""


def assumptions(tables: Tables) -> str:
    rows = [["assumption", ">value", "kind", ""]]
    for name, entry in tables.reasons.items():
        why = entry["why"] or "–"
        if name in tables.routes():
            why = f"requests a booking; {entry['why']}".removesuffix("; ")
        rows.append([f"`{name}`", f"{entry['value']:,g}", entry["kind"], why])
    return f"""## Assumptions

Each can be changed for once: `python3 infra/local cost 1000000 login=1 peak_factor=50`; or for good in
`infra/cost/assumptions.toml`.

{table(*rows)}"""


def prices(tables: Tables) -> str:
    rows = [["price", ">dollars", "for a", ">free a month", "sure", "note"]]
    for name, price in tables.prices.items():
        tiers = price.get("tiers") or [[math.inf, price["amount"]]]
        amounts = ", then ".join(f"{amount:.10f}".rstrip("0").rstrip(".") for _, amount in tiers)
        free = f"{price['free']:,g}" if "free" in price else ""
        rows.append([f"`{name}`", amounts, price["unit"], free, price["sure"], price.get("note", "")])
    return f"""## Prices

Dated {tables.dated}, {tables.region}. *Seen*: a page or price list of 2026 says so too. *Remembered*: public for long, not looked
up anew. *Unsure*: derived, or sources disagree. Where it gets cheaper with more, the bounds are in
`infra/cost/prices.toml`. What is free is the account's, and counted only with `free_tier=1`.

{table(*rows)}"""


def memory(tables: Tables) -> str:
    rows = [["function", *(f">{size} MB" for size in SIZES_MB), ">balanced", ">template.yaml"]]
    for name, function in tables.measured["functions"].items():
        cells = [f"{billed_ms(tables, name, size):,.0f} ms, ${million(tables, name, size):,.2f}" for size in SIZES_MB]
        rows.append([f"`{name}`", *cells, str(balanced_mb(tables, name)), str(function["memory_mb"])])
    starts = [function["start_cpu_ms"] for function in tables.measured["functions"].values()]
    most = max(function["peak_mb"] for function in tables.measured["functions"].values())
    return f"""## Memory

Lambda gives processor time with memory: a whole processor at {CORE_MB:,} MB. So each function's memory is chosen by what
it works and what it waits for, from the measurements below: milliseconds of an invocation, and dollars for a million.

{table(*rows)}
*Balanced* is the size with the least product of both, from {LEAST_MB} MB on, and the least where no customer waits. With
128 MB the start of a process, which takes some {mean(starts):.0f} ms of processor time, would be felt. What a function holds in
memory decides nothing: the most that was seen is {most} MB. A share of a processor is taken for an even one; as Lambda
hands it out in slices of some milliseconds, short work may be quicker with little memory than is shown here.
"""


def measured(tables: Tables) -> str:
    about = tables.measured
    columns = [">invocations", ">taken, ms", ">of it processor, ms", ">a start, processor, ms", ">most memory, MB"]
    rows = [["function", *columns]]
    for name, function in about["functions"].items():
        figures = [function[key] for key in ("invocations", "duration_ms", "cpu_ms", "start_cpu_ms", "peak_mb")]
        rows.append([f"`{name}`", *(f"{figure:,g}" for figure in figures)])
    return f"""## Measured

Of {about['date']}, on {about['machine']}: {about['how']}. Each
figure is a mean; memory is the most. The kernel counts processor time in steps of 10 ms, so that a start is good to some
10 ms; where passwords are hashed it can't be told from their hashing. What invokes another function waits for the
emulator too.

{table(*rows)}"""


def redo(tables: Tables) -> str:
    return f"""## To redo it

1. Durations and memory: `python3 infra/local measure` on an idle machine (like `make test-deploy`, half an hour at
   first) writes `infra/cost/measured.json`. With an account: Lambda's REPORT lines of a day, and the gateway's own time.
2. Prices: `infra/cost/prices.toml`, from AWS's price list of your region; date it.
3. Assumptions: `infra/cost/assumptions.toml`; data planes and their capacities: `infra/cost/planes.json`.
4. `python3 infra/local cost --write`; `--check` fails while this page is older than its tables.

Not counted: custom domains, certificates, WAF, deployments and their storage, rotation of secrets, log queries, the
network's flow logs and the stores' own logs, RDS' Enhanced Monitoring, longer retention of logs, failed
requests beyond `create-booking`'s share, reserved instances and savings plans (20 to 40 % off the stores for a year's
commitment). A month has {HOURS} hours.
"""
