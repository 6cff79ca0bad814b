"""What Admit costs on AWS in a month, from infra/cost.toml: prints a bill, and writes docs/COST.md."""

import tomllib

from console import Failure, say
from tools import ROOT

TABLE = ROOT / "infra" / "cost.toml"
PAGE = ROOT / "docs" / "COST.md"
HOURS = 730
SHOWN = (10_000, 1_000_000, 100_000_000)
# Each assumption is doubled, to see what it does to a bill of so many bookings.
TYPICAL = 1_000_000

Bill = dict[str, tuple[float, float]]


def main(arguments: list[str]) -> None:
    """Prints the bill of so many bookings; or writes docs/COST.md (--write), or compares with it (--check)."""
    tables = tomllib.loads(TABLE.read_text())
    match arguments:
        case ["--write"]:
            PAGE.write_text(page(tables))
        case ["--check"]:
            if PAGE.read_text() != page(tables):
                raise Failure("docs/COST.md is not what infra/cost.toml gives: run python3 infra/local cost --write.")
            say("  docs/COST.md is what infra/cost.toml gives.")
        case [count] if count.isdigit() and int(count) > 0:
            say("\n".join(table(tables, cheapest(tables, int(count)), int(count))))
        case _:
            raise Failure("make cost BOOKINGS=1000000 wants a number of bookings a month.")


def cheapest(tables: dict, bookings: int) -> str:
    """The smallest data plane that carries so many bookings a month, and their peak."""
    for name, plane in tables["planes"].items():
        if bookings <= plane["bookings"] and peak(tables, bookings) <= plane["peak"]:
            return name
    raise Failure(f"No data plane here carries {bookings:,} bookings a month.")


def peak(tables: dict, bookings: int) -> float:
    """Bookings a second in the busiest minute."""
    assumed = tables["assumed"]
    return bookings / (assumed["busy_hours"] * 3600) * assumed["peak_factor"]


def bill(tables: dict, plane: str, bookings: int) -> Bill:
    """Dollars a month by service: what stands, and what the bookings cost."""
    assumed, prices, size = tables["assumed"], tables["prices"], tables["bytes"]
    parts = tables["planes"][plane]
    gigabytes = {name: bookings * count / 1e9 for name, count in size.items()}
    kept = assumed["months_kept"]
    requests, invocations = assumed["requests"], assumed["requests"] + assumed["invocations"]
    # Two functions of 256 MB wait for the gateway; the others run at 1769 MB.
    seconds = 2 * assumed["gateway_ms"] / 1000 / 4 + invocations * assumed["work_ms"] / 1000 * 1.7
    scheduled = assumed["scheduled"]
    stands = {name: dollars * HOURS for name, dollars in parts["hourly"].items()}
    for name, dollars in parts["monthly"].items():
        stands[name] += dollars
    stands |= {
        "CloudWatch": prices["alarm"] * assumed["alarms"] + prices["dashboard"] + 4 * prices["metric"] + prices["key"]
        + scheduled * 700 / 1e9 * prices["log_gb"] + scheduled * prices["trace"],
        "Secrets Manager": prices["secret"] * assumed["secrets"],
        # Empty polls of five pollers of the queue, each twenty seconds long.
        "SQS": 5 * 3 * 60 * HOURS * prices["queue_request"],
        "Lambda": scheduled * (prices["invocation"] + prices["schedule"] + 0.1 / 4 * prices["gb_second"]),
    }  # fmt: skip
    booked = {
        "RDS PostgreSQL": gigabytes["row"] * kept * (prices["row_gb"] * parts["copies"] + prices["backup_gb"] / 2),
        "DocumentDB": gigabytes["documents"] * kept * prices["document_gb"] + bookings * 8 * prices["document_io"],
        "HTTP API": bookings * requests * prices["api_request"],
        "Lambda": bookings * (invocations * prices["invocation"] + seconds * prices["gb_second"]),
        "CloudWatch": gigabytes["logged"] * prices["log_gb"] + bookings * requests * assumed["traced"] * prices["trace"],
        "Secrets Manager": bookings * invocations * 0.02 * prices["secret_read"],
        "Network": gigabytes["answered"] * prices["out_gb"] + gigabytes["called"] * prices["nat_gb"]
        + gigabytes["stored_across"] * prices["zone_gb"],
    }  # fmt: skip
    return {name: (stands.get(name, 0), booked.get(name, 0)) for name in [*stands, *(booked.keys() - stands.keys())]}



def table(tables: dict, plane: str, bookings: int) -> list[str]:
    """A bill, dearest first."""
    parts = sorted(bill(tables, plane, bookings).items(), key=lambda part: (-sum(part[1]), part[0]))
    lines = [f"{bookings:,} bookings a month, data plane `{plane}`:", "", "| service | standing | by bookings |"]
    lines += ["| --- | ---: | ---: |"]
    lines += [f"| {name} | {stands:,.2f} | {booked:,.2f} |" for name, (stands, booked) in parts]
    stands, booked = (sum(part[column] for _, part in parts) for column in (0, 1))
    return [*lines, f"| **together, ${stands + booked:,.0f}** | **{stands:,.2f}** | **{booked:,.2f}** |"]


def what_matters(tables: dict) -> list[tuple[str, float]]:
    """The assumptions whose doubling changes a booking's own cost most, with the change in hundredths of it."""
    plane = cheapest(tables, TYPICAL)
    once = sum(booked for _, booked in bill(tables, plane, TYPICAL).values())
    changes = []
    for name in tables["assumed"]:
        twice = {**tables, "assumed": {**tables["assumed"], name: 2 * tables["assumed"][name]}}
        changed = sum(booked for _, booked in bill(twice, plane, TYPICAL).values())
        changes.append((name, 100 * (changed / once - 1)))
    return sorted(changes, key=lambda change: -change[1])[:3]


def page(tables: dict) -> str:
    """docs/COST.md."""
    lines = [
        "# What it costs", "",
        "Written by `python3 infra/local cost --write` from `infra/cost.toml`, which has every price and assumption.",
        "Dollars a month, us-east-1, November 2026. **No AWS bill has confirmed these numbers**: use them as an",
        "order of magnitude, and put your own in. `make cost BOOKINGS=250000` prints one bill.", "",
        "| bookings a month | data plane | standing | by bookings | together | one more booking |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for count in SHOWN:
        plane = cheapest(tables, count)
        stands, booked = (sum(part[column] for part in bill(tables, plane, count).values()) for column in (0, 1))
        cents = 100 * booked / count
        lines.append(f"| {count:,} | `{plane}` | ${stands:,.0f} | ${booked:,.2f} | **${stands + booked:,.0f}** | {cents:.4f} ¢ |")
    lines += ["", "The functions cost next to nothing; the stores run whether somebody books or not.", ""]
    for name, plane in tables["planes"].items():
        lines.append(f"- `{name}`: {plane['about']}. To {plane['bookings']:,} bookings a month, {plane['peak']:,} a second.")
    lines += ["", "## Three assumptions that matter", ""]
    lines += [f"What doubling one adds to a booking's own cost, at {TYPICAL:,} bookings:", ""]
    lines += [f"- `{name}` = {tables['assumed'][name]:g}: {change:.0f} %" for name, change in what_matters(tables)]
    lines += ["", "What matters more than all three is how many bookings share the standing part."]
    lines += ["", "## A bill", "", *table(tables, cheapest(tables, TYPICAL), TYPICAL), ""]
    return "\n".join(lines)
