"""Choose training text like a target, and check the choice against chance.

A pool of eleven kinds of text, a target of 100 pages of SQLite's documentation, a budget of 200,000 tokens: profile the
pool, select by DSIR, draw two controls (random rows, and random rows of the same lengths), write the documents.

    python recipes/target_selection.py [FOLDER]

It prints:

    Usable: ... of ... rows
    dsir ... nearer than 99 of 100 random draws
    random ... no nearer than random draws
    length_matched ... no nearer than random draws
    sqlite-docs: ... of the pool, ... of the kept tokens
    wrote ... documents ...part-00000.jsonl.zst
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import cuvee

TOKENS = 200_000


def main(folder: Path) -> None:
    demo = Path(str(files("cuvee.demo")))
    pool, target = demo / "pool.parquet", demo / "target.jsonl"

    looked = cuvee.profile(pool, output=folder / "profile")
    print(looked.summary["verdict"])

    arms: dict[str, dict[str, Any]] = {
        "dsir": {},
        "random": {},
        "length_matched": {"like": str(folder / "dsir")},  # the lengths of the selection made just before
    }
    kept = {
        name: cuvee.select(pool, target=target, method=name, settings=settings, tokens=TOKENS, output=folder / name)
        for name, settings in arms.items()
    }
    for name, selected in kept.items():
        distance = selected.summary["distance"]
        nearer = distance["kept"] < distance["random_range"][0]
        told = "nearer than 99 of 100 random draws" if nearer else "no nearer than random draws"
        print(f"{name:<15} distance to the target {distance['kept']:.3f}, {told}")

    summary = kept["dsir"].summary
    for domain in summary["domains"]:
        before = domain["pool_tokens"] / summary["counts"]["pool_tokens"]
        after = domain["kept_tokens"] / summary["counts"]["kept_tokens"]
        print(f"{domain['name']}: {before:.1%} of the pool, {after:.1%} of the kept tokens")

    written = cuvee.write_selection(kept["dsir"].folder, folder / "train", format="jsonl.zst", order="shuffled", seed=1)
    print(f"wrote {written.rows:,} documents, {written.tokens:,} tokens: {', '.join(str(p) for p in written.files)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/target_selection"))
