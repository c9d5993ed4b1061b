"""Summaries as the commands hand them over, small but complete."""

from __future__ import annotations

from typing import Any

RECIPE: dict[str, Any] = {
    "command": "cuvee select pool.jsonl --target target.jsonl --tokens 2M",
    "digest": "7c1e55d0",
    "seed": 0,
    "versions": {"cuvee": "0.1.0", "numpy": "2.1.0"},
    "citations": ["@article{shannon1948,\n  title = {A Mathematical Theory of Communication}\n}"],
    "timings": {"read": 0.8, "score": 2.94},
    "files": [["pool.jsonl", 9_981], ["target.jsonl", 100]],
}
REJECTS: dict[str, Any] = {
    "count": 19,
    "by_reason": {"no text": 12, "bad JSON": 4, "bad UTF-8": 3},
    "first": ["pool.jsonl:17: no text", "pool.jsonl:231: bad JSON"],
    "file": "out/rejects.jsonl",
}
EDGES = [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0]


def example(i: int, reason: str = "Among the highest scores") -> dict[str, Any]:
    return {
        "id": f"row-{i}",
        "domain": "web",
        "score": 1.5 - i,
        "tokens": 120,
        "file": "pool.jsonl",
        "row": i,
        "text": f"Create TABLE number {i}.\nThe planner reads the whole table once. " * (1 + 20 * i),
        "reason": reason,
        "because": [["create table", 0.31], ["the planner", 0.1], ["whole", -0.2]],
    }


def select(domains: int = 3) -> dict[str, Any]:
    names = [f"domain {i}" for i in range(domains)]
    return {
        "title": "pool.jsonl toward target.jsonl",
        "verdict": "Kept 3,102 of 9,981 rows (2.00M tokens).",
        "warnings": ["Kept texts are longer than the pool's."],
        "next": "cuvee prove out/select --against random --seeds 8",
        "counts": {
            "rows": 10_000,
            "usable": 9_981,
            "rejected": 19,
            "kept": 3_102,
            "kept_tokens": 2_000_000,
            "pool_tokens": 8_000_000,
        },
        "method": {
            "name": "dsir",
            "parameters": {"buckets": 10_000},
            "summary": "Compares word pairs.",
            "chooser": "gumbel",
            "chooser_parameters": {"temperature": 1.0},
        },
        "budget": "2M tokens",
        "domains": [
            {
                "name": name,
                "pool_tokens": 1000 + 10 * i,
                "kept_tokens": 40 * i,
                "random_tokens": 250,
                "pool_rows": 100,
                "kept_rows": 2 * i,
            }
            for i, name in enumerate(names)
        ],
        "lengths": {
            "edges": EDGES,
            "pool": [5, 50, 300, 90, 4],
            "kept": [1, 9, 80, 40, 3],
            "random": [1, 10, 60, 20, 1],
        },
        "quantiles": {g: {"p5": 40.0, "p50": 254.0, "p95": 2_210.0} for g in ("pool", "kept", "random")},
        "scores": {"edges": [-2.0, -1.0, 0.0, 1.0, 2.0], "pool": [40, 200, 90, 8], "kept": [0, 0, 60, 8]},
        "score_by_length": {
            "length_edges": EDGES,
            "median": [0.1, 0.2, None, 0.4, 0.3],
            "p10": [-1.0, -0.9, None, -0.5, -0.6],
            "p90": [1.0, 1.1, None, 1.0, 0.9],
        },
        "distance": {
            "name": "KL of word pairs",
            "pool": 0.41,
            "kept": 0.12,
            "random": 0.4,
            "length_matched": 0.37,
            "rows": 1000,
        },
        "controls": {"random": {"overlap": 0.31}, "length_matched": {"overlap": 0.33}},
        "effective_sample_size": 1130.2,
        "duplicates": {"rows": 672, "groups": 201},
        "examples": {
            "kept": [example(0), example(1)],
            "borderline": [example(2, "Kept by 0.002")],
            "dropped": [example(3, "Unlike")],
        },
        "rejects": REJECTS,
        "limits": ["Only a training run proves that it helps."],
        "reproduce": RECIPE,
    }


def profile(domains: int = 3) -> dict[str, Any]:
    return {
        "title": "pool.jsonl",
        "verdict": "Usable: 9,981 of 10,000 rows, 7.1 MB.",
        "warnings": ["672 rows repeat another one."],
        "next": "cuvee select pool.jsonl --dedup near",
        "counts": {
            "rows": 10_000,
            "usable": 9_981,
            "rejected": 19,
            "files": 1,
            "bytes": 7_100_000,
            "tokens": 1_800_000,
        },
        "rejects": REJECTS,
        "duplicates": {
            "rows": 672,
            "groups": 201,
            "largest": [{"count": 31, "text": "Same text.", "file": "pool.jsonl", "row": 3}],
        },
        "lengths": {"edges": EDGES, "pool": [5, 50, 300, 90, 4]},
        "quantiles": {"pool": {"p5": 58.0, "p50": 254.0, "p95": 2_210.0}},
        "domains": [
            {"name": f"domain {i}", "rows": 10 + i, "tokens": 900 * i, "bytes": 4_000 * i} for i in range(domains)
        ],
        "languages": [{"name": "English", "share": 0.91}, {"name": "German", "share": 0.004}],
        "language_rows": 2_000,
        "typical": [example(1)],
        "strange": [example(2)],
        "sample": [example(3)],
        "vocabulary": {"tokens": [10, 100, 1_000, 10_000], "distinct": [9, 70, 400, 2_100], "exponent": 0.61},
        "limits": ["Languages are guessed."],
        "reproduce": RECIPE,
    }
