"""What benchmarks compute from their measurements, and the pictures that they draw."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from bench import methods, pictures
from bench.filter_dedup import quality, rewritten
from bench.growth import exponent, slopes
from bench.page_growth import goals
from cuvee import registry
from cuvee.core import Policy
from cuvee.examples import as_batch
from cuvee.feature.minhash import MinHash, jaccard

SIZES = {size: size * 1_000_000 for size in (1, 10, 100, 1000, 10_000)}


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_exponent_of_a_power_law(power: float) -> None:
    sizes = [1e7, 1e8, 1e9, 1e10]
    assert exponent(sizes, [3 * one**power for one in sizes]) == pytest.approx(power)


def test_exponent_is_missing_where_a_cost_is_not_positive() -> None:
    assert math.isnan(exponent([1e7, 1e8], [0.0, 1.0]))


def test_start_up_hides_growth_only_in_the_figure_as_it_is() -> None:
    linear = {size: 3.0 + 0.01 * size for size in SIZES}
    found = slopes(SIZES, linear)
    assert found["between_sizes"] == pytest.approx(1)
    assert found["per_byte_over_100_mb"] == pytest.approx((3 + 100) / 100 / (3 + 1))
    assert found["exponent_net"] == pytest.approx(1)
    steeper = {size: 3.0 + 0.01 * size * (1.5 if size > 1000 else 1) for size in SIZES}
    assert (slopes(SIZES, steeper)["between_sizes"] or 0) > 1.5


def test_goal_of_growth_is_missed_if_one_reading_misses_it() -> None:
    def page(between: float) -> dict[str, object]:
        each = {"per_byte_over_100_mb": 0.3, "net_per_byte_over_100_mb": 1.0, "between_sizes": between}
        return {
            "growth": {
                "text_bytes": {"1": 1, "10000": 2},
                "peak_mb": {"profile": {"1": 1.0, "10000": 400.0}},
                "growth": {"all": each},
            }
        }

    assert [reached for *_, reached in goals(page(1.1))] == [True, True]
    assert [reached for *_, reached in goals(page(1.2))] == [True, False]


def test_rewritten_copies_have_the_similarity_that_is_aimed_at() -> None:
    draw = np.random.default_rng(0)
    words = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(600)]
    text = " ".join(draw.choice(words, 5_000))
    copy = rewritten(text, 0.8, draw, [word.upper() + "x" for word in words])
    left, right = MinHash(5).shingles(as_batch([text.encode(), copy.encode()]))
    assert jaccard(left, right) == pytest.approx(0.8, abs=0.05)


def test_quality_counts_copies_beside_their_originals_only() -> None:
    pairs = [("b1", "e1", 1.0), ("b2", "e2", 1.0), ("b3", "n3", 0.9), ("b4", "n4", 0.5)]
    found = quality({"b1", "b2", "e2", "n3", "b4", "n4"}, pairs)
    assert found == {"rows_kept": 6, "exact_copies_kept": 0.5, "near_copies_kept": 0.0}


def test_pictures_stand_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    lines = [
        pictures.Line("a < b & c", "kept", [(10, 1.0), (100, 2.0)]),
        pictures.Line("d", "arm1", [(10, 1), (100, 2)]),
    ]
    drawn = pictures.logarithmic(lines, "MB", "seconds", "told <so>")
    pictures.save("lines", drawn)
    pictures.save("bars", pictures.barred([("a", 1.0, "1 s", "kept"), ("b", 0.0, "0 s", "pool")], "caption", "s"))
    for name in ("lines", "bars"):
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "url(" not in text and "<script" not in text and "href" not in text
        used = {name for one in root.iter() for name in one.get("class", "").split()}
        assert {"kept"} <= used
        _, _, x, y = (float(one) for one in root.attrib["viewBox"].split())
        assert (x, y) == (float(root.attrib["width"]), float(root.attrib["height"]))
    labels = [one for one in ET.fromstring((tmp_path / "lines.svg").read_text()).iter() if one.tag.endswith("text")]
    ends = [float(one.attrib["y"]) for one in labels if (one.text or "") in ("a < b & c", "d")]
    assert len(ends) == 2 and abs(ends[0] - ends[1]) >= 12  # lines that end in one point have names that do not collide


def test_slow_methods_are_drawn_on_along_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up and training are paid once, rows each; others are taken as they are, less the start."""
    monkeypatch.setattr(methods, "several", lambda words, rows: (7.0 + 0.03 * rows, 100.0 + rows))
    slow = methods.measured("less", [], 2.0)
    assert slow["cpu_seconds"] == pytest.approx(5 + 0.03 * methods.ROWS) and slow["estimated"]
    assert slow["documents"] == methods.FEWER["less"][1] and slow["peak_mb"] == 100 + slow["documents"]
    plain = methods.measured("dsir", [], 2.0)
    assert plain["cpu_seconds"] == pytest.approx(slow["cpu_seconds"]) and not plain["estimated"]


def test_every_method_and_rule_is_measured_with_the_files_of_its_example() -> None:
    found = methods.cases()
    for name, entry in registry.entries().items():
        if entry.point is None:
            assert (name in found) != issubclass(entry.load(), Policy), name
    there = Path("/pools/a")
    assert methods.placed(found["dsir"], there) == ["--target", "/pools/a/target.parquet", "--with", "dsir"]
    assert methods.placed(found["preselect"], there)[-1] == "preselect:losses=/pools/a/losses.parquet"
    assert methods.placed(found["length_matched"], there)[-1] == "length_matched:like=/pools/a/kept"
