"""The measured part of ``docs/scale.md``, between two marks, from ``bench/results/scale.json``."""

from __future__ import annotations

from typing import Any

from .measure import ROOT

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def _hours(hours: float) -> str:
    if hours * 60 < 2:
        return f"{hours * 3600:,.0f} s"
    if hours < 2:
        return f"{hours * 60:,.0f} min"
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"


def measured(found: dict[str, Any]) -> list[str]:
    """Tables of what was measured here, and of the model."""
    ray, driver, tasks, closing = found["ray"], found["driver"], found["tasks"], found["closing"]
    rows = [
        "| measured on two cores | |",
        "|-|-|",
        f"| CPU of `select --with dsir` on Ray over threads, {ray['megabytes'] / 1000:g} GB, same cores; cluster up, "
        f"its processes counted (goal: at most 1.25) | {ray['cpu_over_local']:.2f} times |",
        f"| wall time likewise | {ray['wall_over_local']:.2f} times |",
        f"| driver's memory in that run | {max(one['driver_peak_mb'] for one in ray['rounds']):.0f} MB |",
        f"| spans of no work that a cluster gets through | {min(one['a_second'] for one in tasks):,.0f} a second, "
        f"{1e3 * max(one['driver_cpu_seconds_a_task'] for one in tasks):.2f} ms of the driver each |",
        "| driver's memory planning and scheduling a pass | "
        + ", ".join(f"{one['peak_mb']:.0f} MB for {one['chunks']:,} chunks" for one in driver)
        + " |",
        f"| driver's CPU for {driver[-1]['chunks']:,} chunks ({driver[-1]['terabytes']:.0f} TB, "
        f"{driver[-1]['spans']:,} spans) | {driver[-1]['plan_seconds'] + driver[-1]['pass_seconds']:.1f} s a pass, "
        f"{driver[-1]['merges']:,} merges |",
        f"| choosing a tenth, controls, report and `selection.parquet`, after the scores | "
        f"{1e6 * closing['of_workers_a_row']:.2f} us a row by all workers, "
        f"{1e6 * closing['of_driver_a_row']:.2f} us by the driver alone |",
        "",
        "| pool | nodes | two passes | of ideal | from storage | cache | driver | failures, work lost | price | "
        "then choosing a tenth | writing it, on all cores | by one process | price of all |",
        "|-|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    for one in found["model"]:
        rows.append(
            f"| {one['pool']} | {one['nodes']:,} | {_hours(one['hours'])} | {one['of_ideal']:.0%} | "
            f"{one['storage_gb_a_second']:,.1f} GB/s of text | {one['cache_gb']:,.0f} GB | "
            f"{one['driver_seconds']:,.0f} s | {one['failures']:,}, {one['lost_share']:.2%} | ${one['dollars']:,.2f} | "
            f"{_hours(one['choose_seconds'] / 3600)} | {_hours(one['write_seconds'] / 3600)} | "
            f"{_hours(one['write_alone_seconds'] / 3600)} | ${one['dollars_in_all']:,.2f} |"
        )
    return rows


def write(found: dict[str, Any]) -> None:
    """Put the tables into the page."""
    page = ROOT / "docs" / "scale.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([before + BEGIN, "", *measured(found), "", END]) + after)
