"""``cuvee profile``: 10,000 short texts from a cold start, and a pool of 1 GB."""

from __future__ import annotations

import json
import sys

from .dsir import fresh
from .measure import in_turn, middle, record
from .pools import jsonl_pool, parquet_pool, scratch


def main() -> None:
    """Wall seconds and peak memory."""
    short = scratch() / "short.jsonl"
    with jsonl_pool(100).open(encoding="utf-8") as lines, short.open("w", encoding="utf-8") as stream:
        for number, line in enumerate(lines):
            if number == 10_000:
                break
            row = json.loads(line)
            stream.write(json.dumps({"id": row["id"], "text": row["text"][:700]}) + "\n")
    base = [sys.executable, "-m", "cuvee.cli", "profile", "-o", str(scratch() / "profile"), "--quiet"]
    small = in_turn({"short": fresh([*base, str(short)])}, 5)["short"]
    large = in_turn({"large": fresh([*base, str(parquet_pool(1000))])}, 1)["large"]
    record(
        "profile",
        {
            "short_texts_wall_seconds": middle([one.wall for one in small]),
            "short_texts_cpu_seconds": middle([one.cpu for one in small]),
            "gigabyte_wall_seconds": large[0].wall,
            "gigabyte_cpu_seconds": large[0].cpu,
            "gigabyte_peak_mb": large[0].peak_mb,
        },
    )
