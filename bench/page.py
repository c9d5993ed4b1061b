"""``docs/performance.md`` from the result files: figures, what they were measured against, and what was missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import page_growth, page_parts, page_peers, page_scale
from .measure import RESULTS, ROOT


def results() -> dict[str, Any]:
    """Every result file by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(RESULTS).glob("*.json"))}


def line(what: str, measured: str, goal: str, reached: bool) -> str:
    """One row of the table of goals."""
    return f"| {what} | {measured} | {goal} | {'yes' if reached else 'no'} |"


def reliability(found: dict[str, Any]) -> list[str]:
    """The table of what was survived, in large numbers."""
    rows = ["| hazard | tried | came out |", "|-|-|-|"]
    if one := found.get("reliability-kills"):
        tried = f"{one['kills']:,} seeded kills (-9) over {len(one['by_command'])} commands"
        rows.append(f"| kill | {tried} | {one['failures']} partial files or other results after a rerun |")
    if one := found.get("reliability-flips"):
        for name, kind in one["kinds"].items():
            told = f"{kind['silently_wrong']} read back wrong without a word"
            crashed = f", {kind['crashed_natively']} native crashes" if kind["crashed_natively"] else ""
            rows.append(f"| a flipped bit: {name} | {kind['flipped']:,} | {told}{crashed} |")
    if one := found.get("reliability-rivals"):
        rows.append(
            f"| 8 writers of one output | {one['rounds']} rounds | {one['succeeded']} won, "
            f"{one['refused_naming_the_owner']:,} were refused naming the owner, {one['failures']} failures |"
        )
    if one := found.get("reliability-memory"):
        rows += [
            f"| `--memory 1GB`, {name} of 20 GB | once | peak {one[name]['peak_rss_mb']} MB |"
            for name in ("profile", "select")
        ]
    if one := found.get("reliability-lost"):
        rows += [
            f"| work lost to a kill at 60 %: {name} | once | {each['lost_cpu_seconds_when_killed_at']['0.6']} of "
            f"{each['cpu_seconds']} CPU seconds |"
            for name, each in one.items()
            if isinstance(each, dict) and "cpu_seconds" in each
        ]
    return rows if len(rows) > 2 else []


def page(found: dict[str, Any]) -> str:
    """The page's text."""
    rows = ["| figure | measured | goal | reached |", "|-|-|-|-|"]
    if one := found.get("dsir"):
        kernel, whole = one["kernel"], one["end_to_end"]
        rows.append(
            line(
                "n-gram scoring kernel against the public DSIR's inner loop, same texts and core",
                f"{kernel['ratio']:,.0f} times "
                f"({kernel['score_mb_per_s']:,.0f} against {kernel['public_mb_per_s']:.2f} MB/s)",
                "at least 100",
                kernel["ratio"] >= 100,
            )
        )
        for form in ("parquet", "jsonl"):
            ratio = whole[f"ratio_{form}"]
            rows.append(
                line(
                    f"`select --with dsir` from {form} to selection against the public program, per CPU second",
                    f"{ratio:,.0f} times ({whole[f'cuvee_mb_per_cpu_second_{form}']:,.0f} MB/s against "
                    f"{whole['public_mb_per_cpu_second']:.2f})",
                    "at least 100",
                    ratio >= 100,
                )
            )
            rows.append(
                line(
                    f"its CPU time over merely reading the text column ({form}) with PyArrow",
                    f"{whole[f'{form}_cpu_over_reading']:.1f} times "
                    f"({whole['cpu_seconds'][f'select {form}']:.1f} s against "
                    f"{whole['cpu_seconds'][f'read {form}']:.1f} s for {whole['pool_mb']:,.0f} MB)",
                    "at most 4",
                    whole[f"{form}_cpu_over_reading"] <= 4,
                )
            )
    if one := found.get("near_duplicates"):
        rates, best = one["mb_per_cpu_second"], one["fastest_peer"]
        seeds, theirs = one["cuvee_by_seed"], one["quality"].get(best, {})
        recall, precision = (sum(seed[name] for seed in seeds) / len(seeds) for name in ("recall", "precision"))
        spread = [seed["precision"] for seed in seeds]
        slower = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items() if name not in ("cuvee", best))
        rows.append(
            line(
                f"MinHash of {one['permutations']} permutations over word 5-grams, shingling included, against the "
                f"fastest public implementation that was found ({best}; the others: {slower})",
                f"{one['ratio']:.1f} times ({rates['cuvee']:,.0f} against {rates.get(best, 0):,.0f} MB per CPU second; "
                f"recall of planted pairs {recall:.4f} and {theirs.get('recall', 0):.4f}, precision {precision:.3f} "
                f"and {theirs.get('precision', 0):.3f}, where {len(seeds)} seeds give cuvee {min(spread):.3f} to "
                f"{max(spread):.3f})",
                "ahead of all",
                one["ratio"] > 1,
            )
        )
    if one := found.get("scaling"):
        memory = {int(size): peak for size, peak in one["peak_mb_by_pool_mb"].items()}
        for size, ratio in sorted(one["speed_up_of_two_workers_by_pool_mb"].items(), key=lambda pair: int(pair[0])):
            about = f"two workers against one, wall time, {int(size) / 1000:g} GB"
            rows.append(line(about, f"{ratio:.2f} times", "at least 1.7", ratio >= 1.7))
        shown = ", ".join(f"{peak:,.0f} MB at {size / 1000:g} GB" for size, peak in sorted(memory.items()))
        rows.append(line("peak memory, two workers", shown, "under 1,500 MB", max(memory.values()) < 1500))
        if 10_000 in memory:
            change = memory[10_000] / memory[1000] - 1
            rows.append(
                line("peak memory at 10 GB over that at 1 GB", f"{change:+.0%}", "within 10 %", abs(change) <= 0.1)
            )
    if one := found.get("zipfit"):
        rows.append(
            line(
                "one-pass `zipfit` against the faithful one at 50 targets",
                f"{one['median_speed_ratio']:.0f} times, rank correlation "
                f"{one['median_rank_correlation']:.2f} (medians of {len(one['kinds'])} targets)",
                "at least 20",
                one["median_speed_ratio"] >= 20,
            )
        )
    if one := found.get("profile"):
        rows.append(
            line(
                "`profile` of 10,000 short texts, from process start",
                f"{one['short_texts_wall_seconds']:.1f} s",
                "at most 2 s",
                one["short_texts_wall_seconds"] <= 2,
            )
        )
        rows.append(
            line(
                "`profile` of 1 GB",
                f"{one['gigabyte_wall_seconds']:.0f} s, {one['gigabyte_peak_mb']:,.0f} MB",
                "at most 90 s and 1,000 MB",
                one["gigabyte_wall_seconds"] <= 90 and one["gigabyte_peak_mb"] <= 1000,
            )
        )
    if one := found.get("transformer"):
        rows += [
            line(
                f"training the {size} transformer proxy against a plain PyTorch loop of the same model, one core",
                f"{each['ratio']:.2f} times ({each['tokens_per_second']:,.0f} tokens per CPU second)",
                "at least 1",
                each["ratio"] >= 1,
            )
            for size, each in one["sizes"].items()
        ]
    if one := found.get("million"):
        peaks = {name: each["peak_mb"] for name, each in one["methods"].items()}
        name = max(peaks, key=lambda each: peaks[each])
        rows.append(
            line(
                f"`select` over a million vectors of 256 dimensions, peak memory, {one['workers']} workers: "
                f"{len(peaks)} methods, rules and ways to combine",
                f"{min(peaks.values()):,} to {peaks[name]:,} MB (`{name}`)",
                f"under {one['bound_mb']:,} MB",
                peaks[name] < one["bound_mb"],
            )
        )
    machine = next(one["machine"] for one in found.values() if "machine" in one)
    about = (
        f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}, NumPy {machine['numpy']}, "
    )
    return "\n".join(
        [
            "# Performance",
            "",
            "Generated by `python -m bench` from `bench/results/`; every ratio comes from one run in which both sides",
            "took turns on the same input. Times are CPU seconds of whole processes, start-up included, medians of",
            "three runs.",
            "",
            f"Measured on {about}PyArrow {machine['pyarrow']}.",
            "",
            *rows,
            *[line(*goal) for goal in page_growth.goals(found)],
            "",
            (ROOT / "bench" / "notes.md").read_text().strip(),
            "",
            *page_peers.section(found),
            *page_growth.section(found),
            *page_parts.section(found),
            "## Reliability",
            "",
            "By `python -m bench.reliability`; smaller numbers of the same run with the tests.",
            "",
            *reliability(found),
            "",
        ]
    )


def write() -> None:
    """Write the page, and what ``docs/scale.md`` says of measurements."""
    found = results()
    (ROOT / "docs" / "performance.md").write_text(page(found))
    if "scale" in found:
        page_scale.write(found["scale"])
