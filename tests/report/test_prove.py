"""The report of a proof: what its pictures and tables say, and that no summary breaks it."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.report.charts import Chart
from cuvee.report.html import MOST_BYTES
from cuvee.report.prove import render
from cuvee.report.text import Markup
from tests.report.page import payloads, read
from tests.report.test_charts import check
from tests.report.test_page import NUMBERLESS

ENDS = ("_low", "", "_high")


def proof(groups: int = 4, seeds: int = 8, evaluations: int = 2) -> dict[str, Any]:
    """A summary as ``cuvee prove`` hands it over; the candidate gains, and one subgroup loses."""
    draw = random.Random(5)
    names = ["sqlite", "speeches", "licences", "novels", "manuals", "code", "dialogues", "scripture"][:evaluations]
    arms = [("kept", "candidate"), ("random", "random"), ("length_matched", "length_matched"), ("full", "full")]
    gains = {"kept": -0.31, "random": 0.0, "length_matched": -0.02, "full": -0.12}
    tokens = [12_500, 25_000, 50_000, 100_000]

    def comparison(evaluation: str, against: str, group: str | None, mean: float, half: float) -> dict[str, Any]:
        made = [draw.gauss(mean, half * seeds**0.5 / 3) for _ in range(seeds)]
        made = [mean + value - sum(made) / seeds for value in made]
        verdict = "better" if mean + half < 0 else "worse" if mean - half > 0 else "not shown"
        interval = {"low": mean - half, "high": mean + half} if seeds > 1 else {"low": None, "high": None}
        return {
            "arm": "kept",
            "against": against,
            "evaluation": evaluation,
            "group": group,
            "primary": group is None and against == "random",
            "mean": mean,
            **interval,
            "t_low": mean - 0.9 * half,
            "t_high": mean + 0.9 * half,
            "bootstrap_low": mean - 0.8 * half,
            "bootstrap_high": mean + 0.8 * half,
            "level": 0.983 if group is None and against == "random" else 0.95,
            "verdict": verdict if seeds > 1 else "not shown",
            "differences": made,
            "detectable": 1.2 * half,
        }

    comparisons = []
    for i, evaluation in enumerate(names):
        comparisons.append(comparison(evaluation, "random", None, -0.31 + 0.16 * i, 0.04))
        comparisons += [
            comparison(evaluation, "random", f"part {g}" if g else "code", 0.06 - 0.12 * g % 0.5, 0.05)
            for g in range(groups)
        ]
        comparisons.append(comparison(evaluation, "length_matched", None, -0.28 + 0.15 * i, 0.04))

    def curve(arm: str, i: int) -> dict[str, Any]:
        mean = [3.1 - 0.3 * i + gains[arm] * (0.6 + 0.1 * k) - 0.28 * k for k in range(len(tokens))]
        band = {"low": [m - 0.05 for m in mean], "high": [m + 0.05 for m in mean]}
        return {"tokens": [t * (2 if arm == "full" else 1) for t in tokens], "mean": mean, **band}

    return {
        "title": "Proof of kept",
        "verdict": "Better than random: -0.31 bits per byte [-0.35, -0.27], 8 paired seeds.",
        "warnings": ["The average gains, but 'code' loses."],
        "limits": ["Small n-gram models; larger ones may differ."],
        "next": "cuvee write kept/ --format jsonl.zst -o train/",
        "unit": "bits per byte",
        "seeds": list(range(1, seeds + 1)),
        "proxy": {"name": "ngram", "summary": "Interpolated byte n-grams.", "settings": {"order": 5, "table_bits": 18}},
        "margin": 0.01,
        "level": 0.95,
        "arms": [
            {
                "name": name,
                "kind": kind,
                "tokens": 200_000 if kind == "full" else 100_000,
                "documents": 287 + i,
                "selection_tokens": 200_000,
                "passes": 1.0 + 0.5 * i,
                "select_seconds": [2.1, 0.02, 0.3, 0.0][i],
                "train_seconds": 0.4 + 0.4 * (kind == "full"),
                "train_flops": 1e9,
                "select_flops": 2.3e9,
                "diverged": 0,
                "losses": {n: {"mean": 2.1 + 0.1 * i, "low": 2.0 + 0.1 * i, "high": 2.2 + 0.1 * i} for n in names},
            }
            for i, (name, kind) in enumerate(arms)
        ],
        "evaluations": [
            {
                "name": name,
                "documents": 60,
                "bytes": 120_000,
                "groups": ["code", "part 1"],
                "consulted": i + 1,
                "overlap": {"exact": 0, "near": 2},
            }
            for i, name in enumerate(names)
        ],
        "comparisons": comparisons,
        "curves": {name: {arm: curve(arm, i) for arm, _ in arms} for i, name in enumerate(names)},
        "group_curves": [
            {
                "evaluation": name,
                "majority": "code",
                "minority": f"part {i + 1}",
                "documents": [40, 12],
                "trials": 24,
                "arms": 6,
                "answer": "curve" if i else "line",
                "against": bool(i),
                **{f"{what}{end}": 0.4 + 0.1 * e for what in ("slope", "bend", "end") for e, end in enumerate(ENDS)},
                "aicc_gain": 3.1,
                "f": 9.5,
                "p": 0.031 if i else None,
                "spread": 0.02,
                "coefficients": [1.0, 0.5, 0.1 * i],
                "points": [
                    [arm, 2 + 0.1 * k, 2 + 0.11 * k] for k in range(6) for arm in ("kept", "random", "random x2")
                ],
                "said": "Small groups follow.",
            }
            for i, name in enumerate(names)
        ],
        "multiples": [
            {
                "evaluation": name,
                "tokens": [50_000, 100_000, 200_000, 400_000],
                "loss": [2.62 - 0.1 * i, 2.41 - 0.1 * i, 2.24 - 0.1 * i, 2.1 - 0.1 * i],
                "candidate_loss": 1.9 if i == 1 else 2.1 - 0.1 * i,
                "times": 4.0,
                "bound": "more than" if i == 1 else None,
                "low": 3.6,
                "high": 4.5,
            }
            for i, name in enumerate(names)
        ],
        "costs": [
            {
                "arm": name,
                "total_seconds": [2.5, 0.42, 0.7, 0.8][i],
                "select_seconds": [2.1, 0.02, 0.3, 0.0][i],
                "train_seconds": 0.4 + 0.4 * (kind == "full"),
                "gain": gains[name],
                "low": gains[name] - 0.04 * (i != 1),
                "high": gains[name] + 0.04 * (i != 1),
            }
            for i, (name, kind) in enumerate(arms)
        ],
        "power": {
            "detectable": 0.012,
            "seeds_for": [
                {"effect": 0.02, "seeds": 5},
                {"effect": 0.005, "seeds": 40},
                {"effect": 0.001, "seeds": None},
            ],
        },
        "holdout": {"from": "kept/", "rows": 60, "seed": 7},
        "overlap": [
            {
                "evaluation": names[0],
                "arm": "kept",
                "documents": 2,
                "removed": 2,
                "examples": [
                    {
                        "evaluation_id": "eval-12",
                        "training_id": "pool-4411",
                        "shared": "CREATE TABLE shared(a, b); the planner reads the whole table once",
                        "tokens": "41 of 46",
                    }
                ],
            }
        ],
        "reproduce": {
            "command": "cuvee prove kept/ --against random --seeds 8",
            "digest": "7c1e55d0",
            "versions": {"cuvee": "0.1.0"},
            "citations": ["@article{student1908,\n  title = {The Probable Error of a Mean}\n}"],
            "timings": {"train": 12.8},
        },
    }


ODD = [math.nan, math.inf, -math.inf, 0, -1, 1, 1e-300, 1e308, -1e289, 10**400, None, True, "inf", "nine"]
FREE = {"kept", "random", "length_matched", "full", "sqlite", "speeches", "order", "table_bits", "exact", "near"}
FREE |= {"from", "rows", "seed", "cuvee", "train"}


def spoiled(value: Any, number: Any = None, text: str | None = None) -> Any:
    """The same structure with every number, or every string and every key that is a name, replaced."""
    if isinstance(value, dict):
        return {
            f"{text}{i}" if text is not None and k in FREE else k: spoiled(v, number, text)
            for i, (k, v) in enumerate(value.items())
        }
    if isinstance(value, list):
        return [spoiled(v, number, text) for v in value]
    if isinstance(value, str):
        return value if text is None else text
    return value if text is not None or isinstance(value, bool) or value is None else number


def drawn(page: str, question: str) -> str:
    """The wide picture under a question."""
    return page.split(f"<h3>{question}</h3>")[1].split("<svg")[1]


def words(page: str) -> str:
    return " ".join(read(page).words + read(page).labels())


def test_every_question_has_a_picture_with_its_numbers() -> None:
    page = render(proof())
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == 9
    for figure in figures:
        assert figure.count("<svg") == 2 and figure.count('role="img" aria-label="') == 2
        assert "<table>" in figure.split("<details>")[1]
    marks = ["verdict", "Did it help?", "Does every seed agree?", "How do the losses fall?", "What would random need?"]
    marks += ["What does it cost?", "The numbers</h2>", "Every subgroup", "What was trained", "What it was measured on"]
    marks += ["Texts on both sides", "Limits</h2>", "How to reproduce"]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    ids = [a["id"] for _, a in read(page).seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert not NUMBERLESS.search(words(page))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|javascript:", page.split("</head>")[1])


def test_what_the_page_says() -> None:
    told = words(render(proof()))
    for sentence in (
        "8 of 8",
        "the smallest effect seen in 4 of 5 repetitions is 0.012",
        "out of reach",
        "98.3 % each, so that 95 % hold for all of them together; the others of",
        "-0.310 [-0.350, -0.270]",
        "41 of 46",
        "exact",
        "2 times",
        "cuvee prove kept/ --against random",
        "7c1e55d0",
        "student1908",
    ):
        assert sentence in told, sentence
    assert "would need 4.0 times the tokens (3.6 to 4.5)" in told
    assert "would need more than 4.0 times the tokens for what" in told


def test_the_forest_draws_each_verdict_in_its_own_shape() -> None:
    summary = proof(groups=0, evaluations=1)
    row = summary["comparisons"][0]
    made = [("better", -0.3, 0.1), ("worse", 0.3, 0.1), ("equivalent", 0.0, 0.005), ("not shown", -0.1, 0.2)]
    summary["comparisons"] = [
        {**row, "evaluation": f"set {v}", "verdict": v, "mean": m, "low": m - h, "high": m + h} for v, m, h in made
    ]
    picture = drawn(render(summary), "Did it help?")
    for mark in ('<circle cx="', 'class="dot better"', 'class="dot worse"', 'class="dot same"', 'class="ring"'):
        assert mark in picture
    assert picture.count('class="margin"') == 1 and "← better" in picture and "worse →" in picture
    assert all(f">{verdict}</text>" in picture for verdict, _, _ in made)
    assert 'class="margin"' not in drawn(render({**summary, "margin": None}), "Did it help?")


def test_losing_subgroups_are_flagged_and_come_first() -> None:
    page = render(proof(evaluations=1))
    table = page.split("Every subgroup, the worst first")[1].split("</section>")[0]
    assert "The average gains, but 1 subgroup loses, and is shown to be worse: <bdi>code</bdi>." in table
    assert table.index("<bdi>code</bdi></th>") < table.index("<bdi>part 1</bdi></th>")
    assert table.count("the average gains</mark>") == 1
    good = proof(evaluations=1)
    good["comparisons"] = [c for c in good["comparisons"] if c["group"] != "code"]
    assert "The average gains" not in render(good).split("<main>")[1].split("Every subgroup")[1]


def test_small_groups_over_the_largest() -> None:
    page = render(proof(evaluations=2))
    picture = drawn(page, "Do small groups follow the largest?")
    assert picture.split("</svg>")[0].count('class="dot kept"') == 6
    assert picture.split("</svg>")[0].count('class="ring"') == 6  # multiples have no sign of their own
    assert "bits per byte on <bdi>part 1</bdi> over those on <bdi>code</bdi>" in page
    table = page.split("<caption>Small groups over the largest")[1].split("</table>")[0]
    assert re.findall(r"<td[^>]*>(line|against)</td>", table) == ["line", "against"]
    assert "24, 6" in table and "+0.500 [+0.400, +0.600]" in table
    assert "Do small groups" not in render({**proof(), "group_curves": []})


def test_the_picture_of_a_set_is_of_the_group_that_goes_against() -> None:
    rows = proof(evaluations=2)["group_curves"]
    rows = [{**one, "evaluation": "sqlite"} for one in rows]
    page = render({**proof(evaluations=1), "group_curves": rows})
    assert "on <bdi>part 2</bdi> over" in page and "on <bdi>part 1</bdi> over" not in page
    assert page.count("over those on <bdi>code</bdi>") == 1


def test_two_hundred_subgroups() -> None:
    summary = proof(groups=200)
    page = render(summary)
    rows = drawn(page, "Did it help?")
    assert rows.count(" better</title>") + rows.count(" worse</title>") + rows.count(" not shown</title>") == 40
    assert "364 subgroups more, in the tables below" in rows and "and 340 more" in page
    means = {c["mean"] for c in summary["comparisons"] if c["group"]}
    assert f"{max(means):+.3f} [" in rows and f"{min(means):+.3f} [" not in rows
    assert len(page.encode()) < 500_000


def test_one_seed_has_no_interval() -> None:
    page = render(proof(seeds=1, groups=1))
    assert "(no interval)" in page and "1 of 1 better" in page
    assert not NUMBERLESS.search(words(page))


def test_an_interval_that_is_open_ends_in_an_arrow() -> None:
    summary = proof(groups=0, evaluations=1)
    for row in summary["comparisons"]:
        row |= {"low": "-inf"}
    assert 'class="whisker better open"' in drawn(render(summary), "Did it help?")


def test_no_text_hides_what_is_shared() -> None:
    shown, hidden = render(proof()), render(proof(), no_text=True)
    assert "the planner reads" in shown and "the planner reads" not in hidden
    assert "eval-12" in hidden and "hidden on request" in hidden
    read(hidden)


@pytest.mark.parametrize("text", payloads(), ids=range(len(payloads())))
def test_hostile_strings_in_every_field(text: str) -> None:
    for page in (render(spoiled(proof(), text=text)), render(spoiled(spoiled(proof(), number=text), text=text))):
        read(page)
        assert "<script" not in page.lower()
        assert len(page.encode()) < MOST_BYTES


def test_hostile_strings_are_still_readable() -> None:
    assert words(render(spoiled(proof(), text="<b>bold & 'brave'"))).count("<b>bold & 'brave'") > 40


@pytest.mark.parametrize("odd", ODD)
def test_odd_numbers_everywhere(odd: Any) -> None:
    page = render(spoiled(proof(), number=odd))
    reader = read(page)
    assert isinstance(odd, str) or not NUMBERLESS.search(words(page))
    values = [str(v) for tag, a in reader.seen if tag in ("path", "line", "rect", "circle", "text") for v in a.values()]
    assert not any(re.search(r"nan|inf", v) for v in values)


def test_missing_parts() -> None:
    assert "No verdict" in render({})
    whole = proof(groups=1, evaluations=1, seeds=2)
    for key, value in whole.items():
        read(render({k: v for k, v in whole.items() if k != key}))
        assert not NUMBERLESS.search(words(render({key: value})))
        assert render({**whole, key: None})
        read(render({**whole, key: [None, {}, [], "text", 3]}))
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for inner in value[0]:
                assert render({**whole, key: [{k: v for k, v in row.items() if k != inner} for row in value]})
    read(render({k: [] if isinstance(v, list) else {} if isinstance(v, dict) else "" for k, v in whole.items()}))


LABELS = [
    proof(),
    proof(evaluations=1, groups=0),
    proof(groups=200, evaluations=8),
    proof(seeds=1),
    spoiled(proof(), text="a name that is far too long for any chart " * 9),
    spoiled(proof(), text="日本語のとても長い名前" * 9),
    spoiled(proof(), number=1e200),
    spoiled(proof(), number=0),
]


@pytest.mark.parametrize("summary", LABELS, ids=range(len(LABELS)))
def test_labels_do_not_fall_on_each_other(summary: dict[str, Any]) -> None:
    page = render(summary)
    for figure in re.findall(r"<figure.*?</figure>", page, re.DOTALL):
        wide, narrow = (f"<svg{part}" for part in figure.split("</svg>")[0:2] for part in part.split("<svg")[1:])
        check(Chart(Markup(f"{wide}</svg>"), Markup(f"{narrow}</svg>"), Markup("")))


WILD = st.none() | st.floats() | st.floats(-3, 3) | st.integers(-9, 9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(WILD, WILD, WILD, st.floats(0, 1e9)), min_size=1, max_size=8), st.booleans())
def test_any_numbers_are_drawn_inside(rows: list[tuple[Any, Any, Any, float]], margin: bool) -> None:
    base = proof(groups=0, evaluations=1)
    one = base["comparisons"][0]
    summary = {
        "margin": 0.3 if margin else None,
        "arms": base["arms"],
        "comparisons": [
            {**one, "evaluation": f"e{i}", "mean": m, "low": a, "high": b, "differences": [a, m, b]}
            for i, (m, a, b, _) in enumerate(rows)
        ],
        "curves": {
            "e": {
                f"arm {i}": {"tokens": [t, 2 * t, 4 * t], "mean": [m, a, b], "low": [a], "high": [b]}
                for i, (m, a, b, t) in enumerate(rows)
            }
        },
        "multiples": [
            {"tokens": [t, 2 * t], "loss": [m, a], "candidate_loss": b, "times": a, "low": m, "high": b}
            for m, a, b, t in rows[:3]
        ],
        "costs": [
            {"arm": f"arm {i}", "total_seconds": t, "gain": m, "low": a, "high": b}
            for i, (m, a, b, t) in enumerate(rows)
        ],
    }
    for figure in re.findall(r"<figure.*?</figure>", render(summary), re.DOTALL):
        for svg in re.findall(r"<svg.*?</svg>", figure, re.DOTALL):
            check(Chart(Markup(svg), Markup(svg), Markup("")))


@pytest.mark.parametrize("named", [True, False], ids=["every text", "names of kinds kept"])
def test_largest_page(named: bool) -> None:
    worst = '"' * 3_000
    summary = proof(groups=20, seeds=60, evaluations=8)
    summary["arms"] = [
        {**arm, "losses": {f"{i}{worst}": {"mean": 1, "low": 1, "high": 1} for i in range(9)}}
        for arm in summary["arms"]
    ] * 20
    summary["costs"] *= 30
    summary["evaluations"] *= 15
    summary["comparisons"] += [{**row, "primary": True} for row in summary["comparisons"] if row["group"] is None] * 3
    summary["overlap"] = [{**summary["overlap"][0], "examples": summary["overlap"][0]["examples"] * 20}] * 120
    summary["warnings"] = summary["limits"] = [worst] * 60
    for curve in [curve for arms in summary["curves"].values() for curve in arms.values()] + summary["multiples"]:
        curve |= {"tokens": [t + 1 for t in range(200)]}
        curve |= {key: [2.0 - t / 900 for t in range(200)] for key in ("mean", "low", "high", "loss")}
    for arms in summary["curves"].values():
        arms |= {f"{worst}{i}": next(iter(arms.values())) for i in range(10)}
    summary["reproduce"]["citations"] = [worst] * 60
    summary["reproduce"]["versions"] = {f"{i}{worst}": worst for i in range(70)}
    summary["reproduce"]["files"] = [[worst, 1]] * 70
    summary["proxy"]["settings"] = summary["holdout"] = summary["reproduce"]["versions"]
    worse = spoiled(summary, text=worst)
    for i, arm in enumerate(worse["arms"] if not named else []):
        arm |= {"kind": ["candidate", "random", "full"][i % 3], "name": f"{i}{worst}"}
    made = render(worse)
    read(made)
    assert len(made.encode()) <= MOST_BYTES
