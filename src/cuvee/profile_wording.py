"""The sentences about a profile: verdict, warnings, limits, the next command, and the screen."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .layout import REJECTS, REPORT
from .pool import Opened, Reading
from .quantities import next_lines, shell_path, shell_word
from .report.terminal import number, percent, plural, safe, share, short, size, spark, warned
from .report.text import fit
from .wording import LINES, WIDTH

MARKED = 0.01
"""The worst finding is marked where it concerns at least this share of the rows."""


def verdict(summary: Mapping[str, Any]) -> str:
    counts = summary["counts"]
    text = f"Usable: {number(counts['usable'])} of {plural(counts['rows'], 'row')}"
    if summary["spec"]["text"] is not None:
        return f"{text}, {size(counts['bytes'])}"
    return text + (f", {number(summary['dimensions'])} dimensions" if summary["dimensions"] else "")


def warnings(summary: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    counts, copies, ids = summary["counts"], summary["duplicates"], summary["repeated_ids"]
    found = [f"{note[:1].upper()}{note[1:]}." for note in notes]
    if ids["groups"]:
        named = ", ".join(f"'{safe(name, 60)}' {number(count)} times" for count, name in ids["first"])
        found.append(
            f"{plural(ids['groups'], 'id')} in column '{ids['column']}' {_verb(ids['groups'], 'occur')} more than once "
            f"({named}). cuvee select "
            "refuses that: mend them, or give --key content."
        )
    if copies["rows"] >= MARKED * counts["usable"]:
        found.append(
            f"{plural(copies['rows'], 'row')} ({share(copies['rows'], counts['usable'])}) "
            f"{_verb(copies['rows'], 'repeat')} another row exactly; a model would see the same more than once."
        )
    if counts["rejected"] >= MARKED * counts["rows"]:
        found.append(
            f"{plural(counts['rejected'], 'row')} ({share(counts['rejected'], counts['rows'])}) cannot be used. cuvee "
            "select refuses such a pool unless --skip-bad is given."
        )
    return found


def limits(reading: Reading, opened: Opened, fewest_words: int) -> list[str]:
    found = []
    if opened.spec.text is not None:
        if reading.tokenizer is None and opened.spec.tokens is None:
            found.append(
                "Token counts are estimates: one token for every 4 bytes of text. Give --tokenizer for exact ones."
            )
        found += [
            "Languages are guessed from script and little words at the beginning of sampled texts: good for shares, "
            "not for deciding about a row.",
            "Typical and strange rows are those with the highest and lowest mean log probability per word 1- and "
            f"2-gram under the pool's own distribution, over all rows of at least {fewest_words} words; of equal texts "
            "one is shown, and no typical one that repeats itself throughout. Scripts without spaces between words "
            "look stranger than they are.",
            "The vocabulary's growth comes from the heads of sampled texts; its exponent says how fast new words "
            "appear, not whether they are good ones.",
        ]
    found.append("Duplicates are exact ones, to the byte; near ones are what cuvee guard looks for.")
    if opened.skipped:
        named = ", ".join(f"{path} ({why})" for path, why in opened.skipped[:5])
        was = "was" if len(opened.skipped) == 1 else "were"
        found.append(f"{plural(len(opened.skipped), 'file')} {was} passed over as no data: {named}")
    return found


def next_command(paths: Sequence[str], reading: Reading, summary: Mapping[str, Any]) -> str:
    """The command that a user most likely wants now, with the same columns and what this pool needs."""
    typed = " ".join(map(shell_path, paths))
    parts = ["cuvee select", typed if len(typed) <= 120 else "POOL"]
    for name in ("text", "id", "domain", "embedding", "label"):
        if getattr(reading, name) is not None:
            parts.append(f"--{name} {shell_word(getattr(reading, name))}")
    if reading.tokens is not None:
        parts.append(f"--token-column {shell_word(reading.tokens)}")
    if reading.key == "content" or summary["repeated_ids"]["groups"]:
        parts.append("--key content")
    if summary["counts"]["rejected"]:
        parts.append("--skip-bad")
    if summary["spec"]["text"] is None:
        return " ".join([*parts, f"--rows {_round_amount(summary['counts']['usable'] // 10)}"])
    return " ".join([*parts, "--target FILE", f"--tokens {_round_amount(summary['counts']['tokens'] // 10)}"])


def _round_amount(amount: int) -> str:
    """One leading digit, with a unit: 123,456 -> "100k"."""
    digits = str(max(1, amount))
    rounded = int(digits[0]) * 10 ** (len(digits) - 1)
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if rounded >= unit:
            return f"{rounded // unit}{name}"
    return str(rounded)


def profile_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee profile`` prints: verdict first, at most 24 lines of 80 columns."""
    counts, copies, rejects = summary["counts"], summary["duplicates"], summary["rejects"]
    lines = [f"{summary['verdict']}, in {summary['reproduce']['timings']['total']:.1f} s"]
    parts = {"rejected": counts["rejected"] / counts["rows"], "duplicate": copies["rows"] / counts["usable"]}
    worst = max(parts, key=parts.__getitem__)
    mark = {worst: "  <- worst"} if parts[worst] >= MARKED else {}
    if counts["rejected"]:
        ranked = sorted(rejects["by_reason"].items(), key=lambda pair: -pair[1])
        shown = ", ".join(f"{number(n)} {why}" for why, n in ranked)
        lines += _field("rejected", f"{safe(shown, 120)} -> {REJECTS} (file, line, why){mark.get('rejected', '')}", 3)
    groups = f" in {plural(copies['groups'], 'group')}" if copies["groups"] else ""
    portion = f" ({share(copies['rows'], counts['usable'])})" if copies["rows"] else ""
    lines += _field("duplicate", f"{number(copies['rows'])} exact{groups}{portion}{mark.get('duplicate', '')}")
    lines += [line for name, text in _facts(summary) for line in _field(name, text, 3)]
    for warning in summary["warnings"][:3]:
        lines += warned(warning, WIDTH)
    tail = [*next_lines(safe(summary["next"], 400)), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, what was found) for the screen."""
    found = []
    quantiles = summary["quantiles"].get("characters") or summary["quantiles"].get("pool")
    if quantiles:
        unit = "characters" if summary["quantiles"].get("characters") else "bytes"
        shown = "  ".join(f"{name} {number(value)}" for name, value in quantiles.items())
        found.append(("length", f"{shown} {unit}  {spark(summary['lengths']['pool'], 24)}"))
    if summary["spec"]["domain"] is not None and summary["domains"]:
        unit = "tokens" if summary["spec"]["text"] is not None else "rows"
        whole = summary["counts"]["usable" if unit == "rows" else unit]
        ranked = sorted(summary["domains"], key=lambda one: (-one[unit], one["name"]))
        named = [f"{safe(one['name'], 20)} {share(one[unit], whole)}" for one in ranked]
        found.append((safe(summary["spec"]["domain"], 10), _enumerate(named, "more")))
    if summary.get("languages"):
        named = [f"{one['name']} {percent(one['share'])}" for one in summary["languages"]]
        rows = plural(summary["language_rows"], "row")
        found.append(("language", f"{_enumerate(named, 'more', 5)} (roughly, from {rows})"))
    vocabulary = summary.get("vocabulary")
    if vocabulary and vocabulary["tokens"]:
        distinct, words = vocabulary["distinct"][-1], vocabulary["tokens"][-1]
        text = f"{plural(distinct, 'distinct word')} among the {short(words)} sampled"
        growth = vocabulary["exponent"]
        found.append(("vocabulary", text + (f"; grows like words^{growth:.2f}" if growth is not None else "")))
    for name, key in (("typical", "typical"), ("strangest", "strange")):
        ids = [safe(one["id"] or f"{Path(one['file']).name} row {one['row']:,}", 32) for one in summary[key]]
        if ids:
            found.append((name, _enumerate(ids, "", 3)))
    return found


def _enumerate(parts: Sequence[str], more: str, most: int = 6) -> str:
    shown = "  ".join(parts[:most])
    return f"{shown}  and {len(parts) - most:,} {more}" if more and len(parts) > most else shown


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb


def _field(name: str, text: str, most: int = 2) -> list[str]:
    """``name`` and a text of at most so many lines beside it, which ends in an ellipsis where it is cut."""
    wrapped = textwrap.wrap(text, WIDTH - 13, break_on_hyphens=False, max_lines=most, placeholder=" …")
    return [f"  {name if at == 0 else '':<10} {part}" for at, part in enumerate(wrapped)]
