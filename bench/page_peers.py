"""Of ``docs/performance.md``: cuvee beside what a user would pick instead, as bars of ratios and as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import pictures
from .page_words import prose


def section(found: dict[str, Any]) -> list[str]:
    """The picture and the tables."""
    ratios = list(all_ratios(found))
    if not ratios:
        return []
    told = "How many times the CPU of cuvee other programs take for the same work"
    about = [
        "In turns with cuvee, on the same input. MinHash: signatures from texts in memory. Pass: a filter and",
        "duplicate pass from JSONL to JSONL. Facilities: from vectors to chosen rows. k-means: 64 or 256 centres.",
    ]
    rows = [(name, ratio, f"{ratio:,.1f} times", "kept" if ratio >= 1 else "pool") for name, ratio in ratios]
    small = [("cuvee", 1.0, "1", "pool"), *(row for row in rows if row[1] < 50)]
    lines = ["## Beside other programs", ""]
    if len(small) > 1:
        address = pictures.save("peers", pictures.barred(small, told, "times the CPU of cuvee", True))
        lines += [*prose(*about), f"![{told}]({address})", ""]
    large = ", ".join(f"{name} {words}" for name, ratio, words, _ in rows if ratio >= 50)
    lines += prose(f"Too long for the picture: {large}.") if large else []
    parts = filtered(found.get("filter_dedup")), covered(found.get("facility")), transported(found.get("transport"))
    return [*lines, *(line for part in parts for line in part), *consumed(found.get("loaders"))]


def all_ratios(found: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(program and work, its CPU over that of cuvee) of all that was compared."""
    if one := found.get("dsir"):
        for form in ("parquet", "jsonl"):
            yield f"data-selection, {form}", one["end_to_end"][f"ratio_{form}"]
    if one := found.get("near_duplicates"):
        rates = one["mb_per_cpu_second"]
        for name, rate in rates.items():
            if name != "cuvee":
                yield f"{name}, MinHash", rates["cuvee"] / rate
    if one := found.get("filter_dedup"):
        for name, each in one["programs"].items():
            if name != "cuvee":
                yield f"{name} (pass)", each["cpu_over_cuvee"]
    if one := found.get("facility"):
        largest = {name: size for _, size in sorted(one["rows"].items(), key=by_rows) for name in size["programs"]}
        for name, size in largest.items():
            if name != "cuvee":
                yield f"{name.split(',')[0]}, facilities", size["programs"][name]["cpu_over_cuvee"]
    if (one := found.get("transport")) and "seconds_ratio" in one:
        yield "TAROT's release, transport", one["seconds_ratio"]
    if one := found.get("vectors"):
        for k in (64, 256):
            if f"peers: k-means {k}" in one:
                ratio = one[f"peers: k-means {k}"]["cpu_seconds"] / one[f"cuvee: k-means {k}"]["cpu_seconds"]
                yield f"scikit-learn, k-means {k}", ratio


def transported(one: dict[str, Any] | None) -> list[str]:
    """Optimal transport for growing sets of rows."""
    if not one or "released" not in one:
        return []
    lines = ["", "### How many rows a target asks for, by optimal transport", ""]
    lines += prose(
        f"{one['candidates']:,} vectors of 64 dimensions, {one['targets']:,} targets, one thread: TAROT's estimate of",
        "the size and the choice of as many rows. *Released* is the way of the public code: geomloss's Sinkhorn,",
        "solved anew for every size. Memory is what the work takes beyond the libraries' own.",
    )
    lines += ["", "| way | CPU s | working MB | whole process MB | rows | of the wanted kind |", "|-|-|-|-|-|-|"]
    for name in ("cuvee", "released"):
        each = one[name]
        cells = [f"{each['seconds']:.1f}", f"{each['working_mb']:.0f}", f"{each['peak_mb']:.0f}"]
        lines.append("| " + " | ".join([name, *cells, f"{each['rows']:,.0f}", f"{each['wanted']:.0%}"]) + " |")
    return lines


def consumed(one: dict[str, Any] | None) -> list[str]:
    """Exported mixes in the hands of loaders."""
    if not one:
        return []
    lines = ["", "### Exported mixes, drawn by the loaders themselves", ""]
    lines += prose(
        "`cuvee mix export` of eleven sources, read unchanged by the real packages and counted by source: documents of",
        f"unequal length, and packed sequences of {one['sequence_tokens']} tokens. *Off* is the largest difference of",
        "a source's count from the plan, in examples and in standard errors of independent draws; p is that of",
        "chi-square; *prefix* is the largest difference anywhere on the way; *tokens* is the largest difference of a",
        "source's share of training tokens from the plan.",
    )
    lines += ["| loader, example | draws | off | in standard errors | p | prefix | tokens |", "|-|-|-|-|-|-|-|"]
    packages = {"grain": "grain", "huggingface": "datasets", "streaming": "Streaming"}
    for name, each in one["loaders"].items():
        loader, unit = name.split(", ")
        lines.append(
            f"| {packages[loader]} {each['version']}, {unit} | {each['draws']:,} | {each['largest_difference']:,.1f} | "
            f"{each['largest_in_standard_errors']:.3f} | {each['p_value']:.2f} | {each['prefix']:,.1f} | "
            f"{each['largest_difference_of_a_share_of_tokens']:.3%} |"
        )
    return [*lines, ""]


def by_rows(pair: tuple[str, Any]) -> int:
    """The order of sizes."""
    return int(pair[0])


def filtered(one: dict[str, Any] | None) -> list[str]:
    """The pass over 100 MB of JSONL."""
    if not one:
        return []
    rows = [
        "### A filter and duplicate pass",
        "",
        *prose(
            f"{one['pool_mb']:,.0f} MB of JSONL, {one['rows']:,} rows, one core: drop texts below 200 characters, then",
            f"exact and near duplicates ({one['bands']} bands of {one['rows_a_band']} over word 5-grams for all), and",
            "write the rest. Of planted near copies with a similarity of at least 0.8,",
            f"{one['near_copies_expected']:.1%} are expected to be missed.",
        ),
        "| program | CPU s | over cuvee | MB per CPU s | peak MB | rows kept | exact copies kept | near copies kept |",
        "|-|-|-|-|-|-|-|-|",
    ]
    packages = {"datatrove": "datatrove", "datatrove, blanks": "datatrove", "Data-Juicer": "py-data-juicer"}
    for name, each in one["programs"].items():
        version = one["versions"].get(packages.get(name, ""))
        rows.append(
            f"| {name}{f' ({version})' if version else ''} | {each['cpu_seconds']:,.1f} | "
            f"{each['cpu_over_cuvee']:.1f} | {each['mb_per_cpu_second']:.1f} | {each['peak_mb']:,.0f} | "
            f"{each['rows_kept']:,} | {each['exact_copies_kept']:.1%} | {each['near_copies_kept']:.1%} |"
        )
    twice = ["datatrove is shown twice: as it comes, cutting words by spaCy, and cutting them at blanks."]
    return [*rows, "", *(prose(*twice) if "datatrove, blanks" in one["programs"] else [])]


def covered(one: dict[str, Any] | None) -> list[str]:
    """Facility location."""
    if not one:
        return []
    rows = [
        "### Facility location from vectors",
        "",
        *prose(
            f"One row in twenty of unit vectors of {one['width']} dimensions, lazy greedy, one thread, similarities",
            "and start-up included.",
        ),
        "| rows | program | CPU s | over cuvee | peak MB | value over the best |",
        "|-|-|-|-|-|-|",
    ]
    for count, size in one["rows"].items():
        for name, each in size["programs"].items():
            rows.append(
                f"| {int(count):,} | {name} | {each['cpu_seconds']:.1f} | {each['cpu_over_cuvee']:.1f} | "
                f"{each['peak_mb']:,.0f} | {each['value_over_best']:.4f} |"
            )
    return [*rows, ""]
