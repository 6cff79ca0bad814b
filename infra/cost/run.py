"""What Admit costs on AWS in a month, from cost.toml.

    python3 infra/cost/run.py BOOKINGS   prints the bill of so many bookings
    python3 infra/cost/run.py --write    writes docs/COST.md; --check compares with it
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "local"))

import tools  # noqa: E402

tools.enter_environment()

import commands  # noqa: E402
import jinja2  # noqa: E402
from console import Failure, say  # noqa: E402

TABLE, TEMPLATE, PAGE = HERE / "cost.toml", HERE / "COST.md.jinja", tools.ROOT / "docs" / "COST.md"
HOURS = 730
SHOWN = (10_000, 1_000_000, 100_000_000)
# Each assumption is doubled, to see what it does to a bill of so many bookings.
TYPICAL = 1_000_000

Bill = dict[str, tuple[float, float]]


def main(word: str) -> None:
    tables = tomllib.loads(TABLE.read_text())
    if word == "--write":
        PAGE.write_text(page(tables))
    elif word == "--check" and PAGE.read_text() != page(tables):
        raise Failure("docs/COST.md is not what infra/cost gives: run python3 infra/cost/run.py --write.")
    elif word.isdigit() and int(word) > 0:
        say("\n".join(table(tables, cheapest(tables, int(word)), int(word))))
    elif word != "--check":
        raise Failure("make cost BOOKINGS=1000000 wants a number of bookings a month.")


def page(tables: dict) -> str:
    """docs/COST.md."""
    jinja = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return jinja.from_string(TEMPLATE.read_text()).render(
        tables=tables, shown=SHOWN, typical=TYPICAL, cheapest=cheapest, sums=sums,
        what_matters=what_matters, table=table,
    )  # fmt: skip


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


def sums(tables: dict, plane: str, bookings: int) -> tuple[float, float]:
    """What stands, and what the bookings cost, together."""
    parts = bill(tables, plane, bookings).values()
    return sum(stands for stands, _ in parts), sum(booked for _, booked in parts)


def table(tables: dict, plane: str, bookings: int) -> list[str]:
    """A bill, dearest first."""
    parts = sorted(bill(tables, plane, bookings).items(), key=lambda part: (-sum(part[1]), part[0]))
    lines = [f"{bookings:,} bookings a month, data plane `{plane}`:", "", "| service | standing | by bookings |"]
    lines += ["| --- | ---: | ---: |"]
    lines += [f"| {name} | {stands:,.2f} | {booked:,.2f} |" for name, (stands, booked) in parts]
    stands, booked = sums(tables, plane, bookings)
    return [*lines, f"| **together, ${stands + booked:,.0f}** | **{stands:,.2f}** | **{booked:,.2f}** |"]


def what_matters(tables: dict) -> list[tuple[str, float]]:
    """The assumptions whose doubling changes a booking's own cost most, with the change in hundredths of it."""
    plane = cheapest(tables, TYPICAL)
    _, once = sums(tables, plane, TYPICAL)
    changes = []
    for name in tables["assumed"]:
        twice = {**tables, "assumed": {**tables["assumed"], name: 2 * tables["assumed"][name]}}
        _, changed = sums(twice, plane, TYPICAL)
        changes.append((name, 100 * (changed / once - 1)))
    return sorted(changes, key=lambda change: -change[1])[:3]


if __name__ == "__main__":
    sys.exit(commands.main(lambda: main(sys.argv[1])))
