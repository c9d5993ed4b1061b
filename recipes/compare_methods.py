"""Several methods on one pool, one target and one budget: do they agree, and does any beat chance?

    python recipes/compare_methods.py [FOLDER]

It prints three tables, a column or a line for each of dsir, classifier, zipfit, perplexity and random:

    distance to the target (chance: 0... to 0...)
      dsir ...
      random ...
    share of the kept tokens by domain
      sqlite-docs ...
    overlap: share of the line's rows that the column keeps too
      random ...
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import cuvee

TOKENS = 200_000
METHODS: dict[str, dict[str, Any]] = {
    "dsir": {},
    "classifier": {},
    "zipfit": {"mode": "pooled"},  # "exact" is the paper's, and 20 to 30 times as slow
    "perplexity": {"fit_on": "target", "rule": "lowest"},
    "random": {},
}


def main(folder: Path) -> None:
    demo = Path(str(files("cuvee.demo")))
    kept = {
        name: cuvee.select(
            demo / "pool.parquet",
            target=demo / "target.jsonl",
            method=name,
            settings=settings,
            tokens=TOKENS,
            output=folder / name,
        )
        for name, settings in METHODS.items()
    }
    width = max(map(len, METHODS)) + 2
    head = "".join(f"{name:>{width}}" for name in METHODS)

    low, high = kept["random"].summary["distance"]["random_range"]
    print(f"distance to the target (chance: {low:.3f} to {high:.3f})")
    for name, selected in kept.items():
        print(f"  {name:<14}{selected.summary['distance']['kept']:.3f}")

    print(f"\nshare of the kept tokens by domain\n  {'':<14}{head}")
    columns = []
    for selected in kept.values():
        tokens = np.array([domain["kept_tokens"] for domain in selected.summary["domains"]])
        columns.append(tokens / tokens.sum())
    names = [domain["name"] for domain in kept["random"].summary["domains"]]
    for name, shares in zip(names, np.array(columns).T, strict=True):
        print(f"  {name:<14}" + "".join(f"{share:>{width}.1%}" for share in shares))

    print(f"\noverlap: share of the line's rows that the column keeps too\n  {'':<14}{head}")
    keys = {
        name: pq.read_table(selected.folder / "selection.parquet", columns=["key"]).column("key").to_numpy()
        for name, selected in kept.items()
    }
    for name, own in keys.items():
        print(f"  {name:<14}" + "".join(f"{np.isin(own, other).mean():>{width}.2f}" for other in keys.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/compare_methods"))
