"""Of ``docs/performance.md``: cost as the pool grows, with its picture and its goals."""

from __future__ import annotations

from typing import Any

from . import pictures
from .page_words import gigabytes, prose

ROLES = {"all": "kept", "profile": "arm1", "select": "arm2", "write": "arm3"}
NAMES = {"all": "all three", "profile": "profile", "select": "select", "write": "write"}
START = "1"


def goals(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(figure, measured, goal, reached)."""
    if not (one := found.get("growth")):
        return []
    largest = max(one["text_bytes"], key=int)
    peak = max(each[largest] for each in one["peak_mb"].values())
    rows = [
        (
            f"profile, `select --with dsir`, write of {gigabytes(largest)}: peak memory",
            f"{peak:,.0f} MB",
            "under 1,500 MB at 10 GB",
            peak < 1500 and int(largest) >= 10_000,
        )
    ]
    each = one["growth"]["all"]
    if "between_sizes" in each:
        measured = (
            f"{each['per_byte_over_100_mb'] - 1:+.0%} as it is; {each['net_per_byte_over_100_mb'] - 1:+.0%} net of "
            f"start-up; {each['between_sizes'] - 1:+.0%} from 1 GB on over up to 1 GB"
        )
        reached = max(each["per_byte_over_100_mb"], each["net_per_byte_over_100_mb"], each["between_sizes"]) <= 1.15
        rows.append(
            (f"their CPU per byte at {gigabytes(largest)} over that at 100 MB", measured, "at most +15 %", reached)
        )
    return rows


def section(found: dict[str, Any]) -> list[str]:
    """Tables and the picture."""
    if not (one := found.get("growth")):
        return []
    sizes = sorted(one["text_bytes"], key=int)
    lines = [
        pictures.Line(
            f"{NAMES[name]} {each[sizes[-1]]:,.0f} s",
            ROLES[name],
            [(one["text_bytes"][size] / 1e6, each[size]) for size in sizes if size != START],
        )
        for name, each in one["cpu_seconds"].items()
    ]
    slope = one["growth"]["all"]["exponent"]
    told = "CPU seconds over megabytes of text on logarithmic axes" + (f": exponent {slope:.2f}" if slope else "")
    address = pictures.save("growth", pictures.logarithmic(lines, "MB of text", "CPU seconds", told))
    rows = [
        "## As the pool grows",
        "",
        *prose(
            "`cuvee profile`, `select --with dsir --fraction 10%` and `write`, one after the other with one cache,",
            f"each a whole process that may use {one['workers']} cores.",
        ),
        f"![{told}]({address})",
        "",
        "| text | " + " | ".join(f"{name}: CPU s, peak MB" for name in one["peak_mb"]) + " | all: CPU s, wall s |",
        "|-|" + "-|" * (len(one["peak_mb"]) + 1),
    ]
    for size in sizes:
        cells = [f"{one['cpu_seconds'][name][size]:,.1f}, {peak[size]:,.0f}" for name, peak in one["peak_mb"].items()]
        wall = sum(each[size] for each in one["wall_seconds"].values())
        rows.append(
            f"| {gigabytes(size)} | {' | '.join(cells)} | {one['cpu_seconds']['all'][size]:,.1f}, {wall:,.1f} |"
        )
    rows += ["", "| exponent of CPU over bytes, 10 MB and more (1: linear) | as it is | net of start-up |", "|-|-|-|"]
    for name, each in one["growth"].items():
        values = [each["exponent"], each["exponent_net"]]
        rows.append(f"| {NAMES[name]} | {' | '.join('-' if v is None else f'{v:.2f}' for v in values)} |")
    rows += ["", f"Start-up is what a pool of 1 MB costs: {one['cpu_seconds']['all'][START]:.1f} s for all three.", ""]
    return rows
