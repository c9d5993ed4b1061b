"""The sentences about duplicates: what was asked, verdict, warnings, limits, and the screen."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .feature.minhash import PRESETS, detection
from .layout import CLUSTERS, REJECTS, REPORT
from .pool import Opened, Reading
from .quantities import next_lines
from .report.terminal import number, percent, plural, safe, share, warned
from .report.text import fit
from .wording import LINES, WIDTH

if TYPE_CHECKING:
    from .near_duplicates import Rule

LEAST_FOUND = 0.5
"""Settings that make fewer of the pairs at the threshold candidates are warned of."""
STEPS_TOLD = {
    "bytes": "the bytes as they are",
    "space": "lower-cased, white space folded",
    "punctuation": "lower-cased, white space folded, punctuation removed",
    "digits": "lower-cased, white space folded, punctuation removed, every number as one 0",
}
_UNITS = {
    "word": "words (runs of word characters; Unicode classes, lower-cased, punctuation passed over)",
    "token": "words and runs of signs (lower-cased)",
    "blank": "words between white space (lower-cased)",
    "char": "characters (lower-cased, white space folded)",
}


def told(rule: Rule) -> dict[str, str]:
    """What counts as a duplicate and what becomes of it, in words by subject."""
    found = {"exact": f"equal after: {STEPS_TOLD[rule.step]}"}
    if rule.minhash is not None and rule.preset is not None:
        m, preset = rule.minhash, PRESETS[rule.preset]
        found["near"] = (
            f"{rule.preset}: {m.permutations} permutations over {m.n}-grams of {_UNITS[m.unit]}"
            f"{', every number as one 0' if m.digits else ''}; {m.bands} bands of {m.rows}; " + _verified(rule)
        )
        found["preset"] = preset.source + (f"; here, {preset.differs}" if preset.differs else "")
        found["finds"] = ", ".join(
            f"{float(detection(at, m.bands, m.rows)):.0%} of pairs at {at:g}" for at in (0.5, 0.7, 0.8, 0.9)
        ) + (" as candidates" if rule.threshold or rule.edit else "")
    found["compares"] = "rows of the same domain only" if rule.by_domain else "all rows with each other"
    kept = {"first": "the first rows of the pool", "longest": "the longest", "random": f"random ones, seed {rule.seed}"}
    found["keeps"] = (
        "every row; copies are recorded" if rule.record else f"{rule.copies} of a cluster: {kept[rule.keep]}"
    )
    return found


def _verified(rule: Rule) -> str:
    """How candidates are looked at again."""
    exactly = "exact" if rule.edit else "estimated"
    found = [f"{exactly} Jaccard similarity at least {rule.threshold:g}"] if rule.threshold else []
    found += [f"edit similarity at least {rule.edit:g}"] if rule.edit else []
    return " and ".join(found) or "no verification"


def verdict(summary: dict[str, Any]) -> str:
    """The first line of the screen and the heading of the report."""
    counts, near = summary["counts"], "near" in summary["method"]
    repeats = counts["exact"] + counts["near"]
    if not repeats:
        kind = "exact or near duplicate" if near else "exact duplicate"
        return f"No {kind} among {plural(counts['usable'], 'row')}: all of them are kept."
    kinds = f"{number(counts['exact'])} exactly" + (f", {number(counts['near'])} nearly" if near else "")
    clusters = plural(counts["clusters"], "cluster")
    verb = "repeats another" if repeats == 1 else "repeat others"
    text = f"{number(repeats)} of {plural(counts['usable'], 'row')} ({share(repeats, counts['usable'])}) {verb}: "
    text += f"{kinds}, in {clusters}."
    if not counts["removed"]:
        return text + " None was removed."
    tokens = counts["pool_tokens"] - counts["kept_tokens"]
    copies = summary["method"]["parameters"]["copies"]
    if copies > 1:
        beyond = f"those beyond {copies} of a cluster"
        text += f" Removed {number(counts['removed'])}, {beyond}, and kept {number(counts['kept'])};"
    else:
        text += f" Kept {number(counts['kept'])};"
    return text + f" {share(tokens, counts['pool_tokens'])} of the tokens went."


def warnings(summary: dict[str, Any], notes: list[str]) -> list[str]:
    """What a user should know before training on what is left, gravest first."""
    found = [f"{note[:1].upper()}{note[1:]}." for note in notes]
    counts, parameters = summary["counts"], summary["method"]["parameters"]
    for one in [one for one in summary["across"] if one["by"] == "split"][:2]:
        found.append(
            f"Splits {between(one)} share {spans(one)}: what a model is tested on may be what it was trained on. Take "
            "such rows out of one of the two; clusters.parquet lists them."
        )
    if "near" in summary["method"]:
        at, bands, rows = parameters["threshold"] or 0.8, parameters["bands"], parameters["rows"]
        if (chance := float(detection(at, bands, rows))) < LEAST_FOUND:
            found.append(
                f"With {plural(bands, 'band')} of {plural(rows, 'row')}, {percent(chance)} of the pairs at similarity "
                f"{at:g} become candidates: most near-duplicates stay unseen. More bands or fewer rows find more."
            )
    size = max((size for size, _ in summary["sizes"]), default=0)
    if size >= 100 and size >= 0.02 * counts["usable"] and counts["near"]:
        found.append(
            f"The largest cluster holds {size:,} rows. Clusters grow by chains, A like B and B like C: look at it in "
            "the report before trusting it, and raise --threshold if its texts differ."
        )
    if counts["unbroken"] > 0.02 * counts["usable"]:
        found.append(
            f"{plural(counts['unbroken'], 'long text')} ({share(counts['unbroken'], counts['usable'])}) hardly have an "
            f"n-gram of {parameters['n']} units: writing without blanks, as in Chinese, Japanese or Thai, or long "
            "codes. Near-duplicates of them go unseen; --preset cuvee:unit=char,n=13 finds them."
        )
    similar = summary["similarities"]
    low = [value for value in similar if value < 0.5]
    if len(similar) >= 8 and len(low) > len(similar) / 4:
        gone = bool(counts["removed"])
        found.append(
            f"{len(low)} of {len(similar)} {'removed ' * gone}rows looked at share less than half of their n-grams "
            f"with {'the row that was kept for them' if gone else 'another of their cluster'}. A higher --threshold "
            "joins fewer."
        )
    if parameters.get("digits") or parameters["step"] == "digits":
        found.append(
            "Numbers were folded: pages that differ in dates, prices or sums alone count as duplicates. Do not use "
            "that for mathematics, tables or code."
        )
    for one in summary["domains"]:
        gone = one["pool_rows"] - one["kept_rows"]
        if len(summary["domains"]) > 1 and one["pool_rows"] >= 100 and gone > 0.5 * one["pool_rows"]:
            found.append(
                f"Domain '{safe(one['name'], 60)}' loses {number(gone)} of its {plural(one['pool_rows'], 'row')} "
                f"({share(gone, one['pool_rows'])})."
                + ("" if parameters["by_domain"] else " Compared by itself (--scope domain) it might lose fewer.")
            )
    return found


def limits(summary: dict[str, Any], reading: Reading, opened: Opened) -> list[str]:
    """What the result does not say."""
    found = []
    if reading.tokenizer is None and opened.spec.tokens is None:
        found.append(
            "Token counts are estimates: one token for every 4 bytes of text. Give --tokenizer for exact ones."
        )
    method = summary["method"]
    if "near" in method:
        n = method["parameters"]["n"]
        found += [
            f"A text of fewer than {n} units has no {n}-gram: it has exact duplicates only.",
            "The measured curve comes from copies of this pool's own texts in which words were replaced; real "
            "duplicates differ in other ways, too (an added footer, a cut end).",
            "Clusters are what hangs together through pairs, so two rows of one cluster need not be alike.",
            "Fewer duplicates make a model memorise less; whether it also gets better is for cuvee prove to say.",
        ]
    if opened.skipped:
        named = ", ".join(f"{path} ({why})" for path, why in opened.skipped[:5])
        found.append(f"{plural(len(opened.skipped), 'file')} passed over as no data: {named}")
    return found


def guard_lines(folder: Path, summary: dict[str, Any]) -> list[str]:
    """What ``cuvee guard`` prints: verdict first, at most 24 lines of 80 columns."""
    counts, method = summary["counts"], summary["method"]
    lines = textwrap.wrap(safe(summary["verdict"], 240), WIDTH)
    if counts["rejected"]:
        reasons = ", ".join(f"{n:,} {why}" for why, n in summary["rejects"]["by_reason"].items())
        lines += _entry("rejected", f"{reasons} -> {folder / REJECTS}")[:3]
    lines += _entry("exact", method["exact"])
    if "near" in method:
        lines += _entry("near", method["near"])[:3]
        lines += _entry("finds", _found(summary))
        if summary["similarities"]:
            lines += _entry("checked", looked_at(summary))
    lines += _entry("keeps", method["keeps"] + (", within its domain" if "same" in method["compares"] else ""))
    if summary["sizes"]:
        largest = max(size for size, _ in summary["sizes"])
        pairs = sum(count for size, count in summary["sizes"] if size == 2)
        lines += _entry("clusters", f"{counts['clusters']:,}: {plural(pairs, 'pair')}, the largest of {largest:,} rows")
    for one in [one for one in summary["across"] if one["by"] == "domain"][:1]:
        lines += _entry("across", f"domains {between(one)} share {spans(one)}")[:2]
    rows = [one for one in summary["domains"] if one["kept_rows"] < one["pool_rows"]]
    rows.sort(key=lambda one: one["kept_rows"] - one["pool_rows"])
    if len(summary["domains"]) > 1:
        for one in rows[:5]:
            gone = one["pool_rows"] - one["kept_rows"]
            lines.append(
                f"  {safe(one['name'], 16):<16} {share(gone, one['pool_rows']):>6} of {one['pool_rows']:,} removed"
            )
        if len(rows) > 5:
            lines.append(f"  and {plural(len(rows) - 5, 'more domain')} {'loses' if len(rows) == 6 else 'lose'} rows")
    for warning in summary["warnings"][:4]:
        lines += warned(warning, WIDTH)
    tail = [f"  digest     {summary['reproduce']['digest']} (any worker count)"]
    tail += [f"  listed     {safe(folder / CLUSTERS, WIDTH - 13)}"] if summary["sizes"] else []
    tail += [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def looked_at(summary: dict[str, Any]) -> str:
    """How like the drawn rows are to what was kept for them, or to another of their cluster where nothing went."""
    similar, gone = summary["similarities"], bool(summary["counts"]["removed"])
    rows = plural(len(similar), "removed row" if gone else "row")
    if len(similar) == 1:
        against = "the row kept for it" if gone else "another of its cluster"
    else:
        against = "the rows kept for them" if gone else "another of their cluster"
    first, last, middle = (f"{value:.2f}" for value in (similar[0], similar[-1], similar[len(similar) // 2]))
    spread = first if first == last else f"{first} to {last}, median {middle}"
    return f"{rows} against {against}: exact Jaccard similarity {spread}"


def between(pair: dict[str, Any]) -> str:
    """Two splits or domains by name."""
    one, other = (safe(name, 40) for name in pair["between"])
    return f"'{one}' and '{other}'"


def spans(pair: dict[str, Any]) -> str:
    """What two splits or domains have in common."""
    rows = " and ".join(f"{plural(count, 'row')}" for count in pair["rows"])
    return f"{plural(pair['clusters'], 'cluster')} ({rows})"


def _entry(name: str, words: str) -> list[str]:
    return textwrap.wrap(f"  {name:<10} {safe(words, 300)}", WIDTH, subsequent_indent=" " * 13)


def _found(summary: dict[str, Any]) -> str:
    """Planted pairs found, where they are nearest to the similarities that people ask about."""
    planted = [one for one in summary["curve"]["planted"] if one["pairs"] >= 20]
    parts = []
    for aim in (0.6, 0.7, 0.8, 0.9):
        some = [one for one in planted if abs(one["similarity"] - aim) < 0.04]
        if some:
            best = min(some, key=lambda one: abs(one["similarity"] - aim))
            parts.append(f"{percent(best['found'] / best['pairs'])} at {best['similarity']:.2f}")
    if parts:
        return "planted pairs by similarity: " + ", ".join(parts)
    return str(summary["method"]["finds"])
