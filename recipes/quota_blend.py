"""A blend with fixed shares by domain, the text within each domain chosen by perplexity.

Prose, manuals and code get a fixed part of 300,000 tokens. Within a domain, perplexity sampling keeps the middle of the
scale: neither boilerplate nor noise. The same shares drawn at random are the control.

    python recipes/quota_blend.py [FOLDER]

It prints:

    perplexity: kept ... tokens in ... rows
      code-go ... asked ... kept
      fiction ... asked ... kept
    random: kept ... tokens in ... rows
    kept by both: ... of the rows
    wrote ... rows to ...
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import cuvee

TOKENS = 300_000
BLEND = {
    "fiction": 0.25,
    "speech": 0.15,
    "python-docs": 0.15,
    "rust-docs": 0.15,
    "code-python": 0.15,
    "code-go": 0.15,
}


def main(folder: Path) -> None:
    pool = Path(str(files("cuvee.demo"))) / "pool.parquet"
    kept = {
        name: cuvee.select(pool, method=name, quota=BLEND, tokens=TOKENS, output=folder / name)
        for name in ("perplexity", "random")
    }
    for name, selected in kept.items():
        counts, notes = selected.summary["counts"], selected.summary["method"]["notes"]
        print(f"{name}: kept {counts['kept_tokens']:,} tokens in {counts['kept']:,} rows")
        for domain, quota in notes["quota"].items():
            if quota["asked"]:
                print(f"  {domain:<12} {quota['asked']:>8,} asked {quota['kept']:>8,} kept")
        for warning in selected.summary["warnings"]:
            print(f"  (!) {warning}")

    keys = [
        pq.read_table(selected.folder / "selection.parquet", columns=["key"]).column("key").to_numpy()
        for selected in kept.values()
    ]
    print(f"kept by both: {np.isin(*keys).mean():.1%} of the rows")

    written = cuvee.write_selection(kept["perplexity"].folder, folder / "train", order="shuffled", seed=1)
    print(f"wrote {written.rows:,} rows to {folder / 'train'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/quota_blend"))
