"""The journal of an output that is being written: one sealed line for each finished shard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..layout import sealed


def journal_line(job: str, number: int, shard: dict[str, Any], counts: list[int], **more: Any) -> bytes:
    """``job``: its digest; ``shard``: as the manifest will list it; ``counts``: what the next run goes on with."""
    content = sealed({"job": job, "number": number, "shard": shard, "counts": counts, **more})
    return json.dumps(content).encode() + b"\n"


def journal_lines(journal: bytes, job: str) -> Iterator[dict[str, Any]]:
    """What a journal says, up to its first line that is cut short, damaged or another job's; "line" is the line."""
    for number, line in enumerate(journal.splitlines(keepends=True)):
        try:
            content = json.loads(line)
            right = (sealed(content)["seal"], job, number)
            if (content["seal"], content["job"], content["number"]) != right:
                return
            yield {**content, "line": line}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
