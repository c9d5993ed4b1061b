"""Two steps: a filter that throws out what is unlike the target, then a weighted sample of what is left.

A linear classifier scores the log odds that a row comes from the target rather than from the pool; everything at or
above 0 passes. What passes is written out and is the pool of the second step, in which DSIR draws half as many tokens
with a high temperature, so that the sample stays diverse. The top of the classifier alone is the comparison.

    python recipes/filter_then_select.py [FOLDER]

It prints:

    classifier: AUC ... (95 %: ... to ...), of text length alone ...
    filter: ... of ... rows pass
    sample: ... tokens, distance to the target ..., effective sample size ...
    top: ... tokens, distance to the target ...
    rows of the sample that the top has too: ...
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import cuvee

MOST = 100.0
"""Log odds never come near this: the filter has no upper end."""


def main(folder: Path) -> None:
    demo = Path(str(files("cuvee.demo")))
    pool, target = demo / "pool.parquet", demo / "target.jsonl"

    passed = cuvee.select(
        pool,
        target=target,
        method="classifier",
        choose="threshold",
        choose_settings={"minimum": 0.0, "maximum": MOST},
        fraction=1.0,
        output=folder / "filter",
    )
    notes, counts = passed.summary["method"]["notes"], passed.summary["counts"]
    print(
        f"classifier: AUC {notes['auc']:.3f} (95 %: {notes['auc_low']:.3f} to {notes['auc_high']:.3f}), "
        f"of text length alone {notes['auc_of_length']:.3f}"
    )
    print(f"filter: {counts['kept']:,} of {counts['usable']:,} rows pass")
    documents = cuvee.write_selection(passed.folder, folder / "passed")

    budget = documents.tokens // 2
    sample = cuvee.select(
        list(documents.files),
        target=target,
        method="dsir",
        settings={"temperature": 100.0},
        tokens=budget,
        output=folder / "sample",
    )
    top = cuvee.select(pool, target=target, method="classifier", choose="top_k", tokens=budget, output=folder / "top")
    keys = []
    for name, selected in (("sample", sample), ("top", top)):
        summary = selected.summary
        size = summary["effective_sample_size"]
        line = f"{name}: {summary['counts']['kept_tokens']:,} tokens, distance to the target "
        line += f"{summary['distance']['kept']:.3f}" + (f", effective sample size {size:,.0f}" if size else "")
        print(line)
        keys.append(pq.read_table(selected.folder / "selection.parquet", columns=["key"]).column("key").to_numpy())
    print(f"rows of the sample that the top has too: {np.isin(*keys).mean():.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/filter_then_select"))
