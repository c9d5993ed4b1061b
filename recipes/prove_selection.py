"""Select by DSIR, and prove with small models that it helped: near the target, and everywhere else.

Two evaluation sets: held-out pages like the target, and nine other kinds of text. Trials go to a ledger, which is read
at the end. (A small proxy and three seeds, to be quick. The defaults are "ngram" and 8.)

    python recipes/prove_selection.py [FOLDER]

It prints:

    Better than random: ...
    random ... near ... better
    random ... other ... worse
    trials of ... seeds
    kept ... near ... other ...
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import cuvee
from cuvee.proof.ledger import Ledger


def main(folder: Path) -> None:
    demo = Path(str(files("cuvee.demo")))
    pool, target = demo / "pool.parquet", demo / "target.jsonl"
    kept = cuvee.select(pool, target=target, method="dsir", tokens=200_000, output=folder / "kept")
    lines = (demo / "evaluation.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for name, near in (("near", True), ("other", False)):
        chosen = [line for line in lines if (json.loads(line)["domain"] == "sqlite-docs") == near]
        (folder / f"{name}.jsonl").write_text("".join(chosen), encoding="utf-8")
    proved = cuvee.prove(
        kept.folder,
        evaluations={name: folder / f"{name}.jsonl" for name in ("near", "other")},
        against="random",
        proxy="ngram:order=3,table_bits=18",
        seeds=3,
        ledger=folder / "ledger",
        output=folder / "proof",
    )
    print(proved.summary["verdict"])
    for one in proved.summary["comparisons"]:
        if one["primary"]:
            interval = f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
            print(f"{one['against']:<12}{one['evaluation']:<7}{interval}  {one['verdict']}")

    trials = Ledger(folder / "ledger").trials()
    print(f"{len(trials)} trials of {len({trial.seed for trial in trials})} seeds, in bits per byte:")
    for trial in sorted(trials, key=lambda trial: (trial.arm, trial.seed)):
        losses = "  ".join(f"{name} {trial.metrics[name]:.3f}" for name in ("near", "other"))
        print(f"  {trial.arm:<12}seed {trial.seed}  {losses}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/prove_selection"))
