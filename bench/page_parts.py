"""Of ``docs/performance.md``: where the time of a selection goes, beside the machine's limits and plain scans."""

from __future__ import annotations

from typing import Any

from . import pictures
from .page_words import prose


def section(found: dict[str, Any]) -> list[str]:
    """Where the time goes, and the floor under a profile."""
    return [*parts(found.get("parts")), *scans(found.get("scan"))]


def parts(one: dict[str, Any] | None) -> list[str]:
    """Bars of CPU seconds, and rates."""
    if not one:
        return []
    spent, total = one["seconds_in_select"], one["select_cpu_seconds"]
    bars = [
        (name, seconds, f"{seconds:.2f} s", "pool" if name == "not accounted for" else "kept")
        for name, seconds in spent.items()
    ]
    told = f"CPU seconds of select by DSIR, {one['text_mb']:,.0f} MB of text, one thread, {total:.1f} s in all"
    address = pictures.save("parts", pictures.barred(bars, told, "CPU seconds"))
    rows = [
        "## Where the time goes",
        "",
        *prose(
            f"`select --with dsir` of {one['text_mb']:,.0f} MB of text ({one['packed_mb']:,.0f} MB of Parquet) on one",
            f"thread takes {total:.1f} CPU seconds. Each part was run by itself on the same pool:",
        ),
        f"![{told}]({address})",
        "",
        "| part | MB per CPU second |",
        "|-|-|",
    ]
    for name, rate in one["mb_per_cpu_second"].items():
        unit = {"read the files' bytes": " (of packed bytes)", "write a tenth, reading included": " (of written text)"}
        rows.append(f"| {name}{unit.get(name, '')} | {'-' if rate is None else f'{rate:,.0f}'} |")
    return [
        *rows,
        "",
        *prose(
            f"Against the limits: {one['select_over_reading_bytes']:,.0f} times the CPU of reading the packed files",
            f"without decoding them, {one['select_over_decoding']:.1f} times that of decoding the text column once,",
            f"and {one['share_of_copying_in_memory']:.2%} of the rate at which one core copies memory.",
        ),
    ]


def scans(one: dict[str, Any] | None) -> list[str]:
    """A table of scans."""
    if not one:
        return []
    programs = one["programs"]
    rows = [
        "### The floor under `cuvee profile`",
        "",
        *prose(
            f"To count the rows of {one['text_mb']:,.0f} MB of text and add up their lengths is the least that any",
            "look into a pool takes; a profile also hashes rows, looks for duplicates, tells languages, draws examples",
            "and writes a report.",
        ),
        "| program | CPU s | wall s | peak MB | profile over this, CPU |",
        "|-|-|-|-|-|",
    ]
    versions = {"DuckDB": one["versions"].get("duckdb"), "Polars": one["versions"].get("polars")}
    for name, each in programs.items():
        version = versions.get(name.split()[0])
        rows.append(
            f"| {name}{f' ({version})' if version else ''} | {each['cpu_seconds']:.1f} | {each['wall_seconds']:.1f} | "
            f"{each['peak_mb']:,.0f} | {each['profile_over_this']:.1f} times |"
        )
    return [*rows, ""]
