"""What ``cuvee rate`` prints, and the file with another wording."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..quantities import shell_line
from ..report.terminal import number, plural, safe
from .criteria import check_prompt
from .job import ANSWERS, RATINGS, Rated


def read_prompt(path: Path) -> str:
    """The file's text, checked."""
    try:
        return check_prompt(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The prompt {path} cannot be read as UTF-8 text: {error}") from error


def lines(rated: Rated, command: str) -> list[str]:
    """The screen."""
    found, cost = rated.summary, rated.summary["cost"]
    price = f", {number(cost['price'])} in all" if "price" in cost else ""
    told = (
        f"{plural(cost['requests'], 'request')} to {safe(found['model'], 40)}, about {number(cost['tokens_in'])} "
        f"tokens sent and {number(cost['tokens_out'])} received{price}"
    )
    before = f"; {number(found['answered_before'])} answered before" if found["answered_before"] else ""
    if found["same_text"]:
        before += f"; {number(found['same_text'])} with the text of another"
    few = (
        [f"  the pool has only {plural(found['rows'], 'document')}"] if found["rows"] < found["rows_asked_for"] else []
    )
    if not found["started"]:
        return [f"Would take {told}{before}", *few, f"next: {command} --yes"]
    scores = "   ".join(f"{score}: {number(rows)}" for score, rows in found["overall_score"].items())
    shown = [f"Rated: {number(found['rated'])} of {plural(found['rows'], 'document')}", f"  {told}{before}", *few]
    shown.append(f"  overall score   {scores}")
    if found["malformed"]:
        kept = found["malformed"] - found["no_answer"]
        shown.append(
            f"  malformed       {number(found['malformed'])} (!): {number(kept)} in "
            f"{safe(str(rated.folder / ANSWERS), 40)}, {number(found['no_answer'])} without text"
        )
    ratings = str(rated.folder / RATINGS)
    return [
        *shown,
        "next: " + shell_line(["cuvee", "select", "POOL", "--with", f"dataman:ratings={ratings}", "--tokens", "2M"]),
    ]
