"""Spread over scenes, tables in three forms, and the renderers' agreement."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mm.errors import InputError
from mm.evaluation.tables import (
    COLUMNS,
    Row,
    Spread,
    Table,
    agreement,
    best_of,
    by_level,
    csv_text,
    read_csv,
    to_csv,
)

NAN = math.nan


def row(renderer: str, method: str, ssim: float, motion: float = 1.0, gain: float = NAN) -> Row:
    return Row("subpixel", "objects", renderer, method, motion, 10.0, 0.0, 1, ssim=ssim, gain=gain)


def test_the_spread_is_the_sample_deviation_of_what_was_measured() -> None:
    spread = Spread.of_measured([1.0, 2.0, NAN, 4.0])
    assert spread.count == 3
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.deviation == pytest.approx(1.5275, abs=1e-4)
    assert spread.median == 2
    assert math.isnan(Spread.of([5.0]).deviation)
    assert math.isnan(Spread.of_measured([NAN]).mean)
    assert Spread.of_measured([NAN]).count == 0
    assert Spread.of([math.inf, 20.0, 30.0]).mean == math.inf
    assert Spread.of([math.inf, 20.0, 30.0]).median == 30
    assert math.isnan(Spread.of_measured([]).median)


def test_a_score_that_is_missing_in_one_scene_is_missing() -> None:
    spread = Spread.of([0.9, NAN, 0.8])
    assert all(math.isnan(value) for value in (spread.mean, spread.deviation, spread.median))


def test_the_best_score_is_no_missing_one_and_a_gain_is_best_near_one() -> None:
    assert best_of([NAN, 0.9, 0.8]) == 1
    assert best_of([NAN, 0.5, 1.3, 0.8], "gain") == 3
    assert best_of([NAN, NAN]) is None


def test_a_table_of_levels() -> None:
    rows = [row("a", "x", 0.5), row("a", "y", 0.75), row("a", "x", 0.5, 2.0), row("a", "y", 0.25, 2.0)]
    (table,) = by_level("subpixel", rows)
    assert table.markdown().splitlines() == [
        "| px | × | noise | x | y |",
        "| ---: | ---: | ---: | ---: | ---: |",
        "| 1 | 10 | 0 | 0.500 | **0.750** |",
        "| 2 | 10 | 0 | **0.500** | 0.250 |",
    ]
    assert Table("", ["a", "b"], [["c", "1"]], text=1).markdown().splitlines()[1] == "| --- | ---: |"


def test_the_table_survives_the_file(tmp_path: Path) -> None:
    rows = [row("a", "x", 1 / 3, gain=0.1), row("b", 'y, "so"', NAN)]
    text = to_csv(rows)
    assert tuple(text.splitlines()[0].split(",")) == COLUMNS
    assert "nan" not in text
    path = tmp_path / "static.csv"
    path.write_text(text)
    again = read_csv(path)
    assert to_csv(again) == text
    assert [each.method for each in again] == [each.method for each in rows]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is no table of a measurement"):
        read_csv(path)
    assert csv_text(("a", "b"), [("x", 0.1234567), (2, NAN)]) == "a,b\nx,0.123457\n2,\n"


def test_the_renderers_agreement_is_counted_by_pairs() -> None:
    same = [row(name, method, ssim) for name in "ab" for method, ssim in (("x", 0.1), ("y", 0.5), ("z", 0.9))]
    assert agreement(same) == (3, 3)
    # At another level the second renderer puts y before z; x is last in both.
    other = [row("a", "x", 0.1, 2.0), row("a", "y", 0.5, 2.0), row("a", "z", 0.9, 2.0)]
    other += [row("b", "x", 0.1, 2.0), row("b", "y", 0.9, 2.0), row("b", "z", 0.5, 2.0)]
    assert agreement(same + other) == (5, 6)
    # What neither tells apart, and what is missing, is no pair; one renderer alone agrees with nobody.
    close = [row(name, "x", 0.5, 3.0) for name in "ab"]
    close += [row("a", "y", 0.501, 3.0), row("b", "y", 0.499, 3.0)]
    lost = [row("a", "x", 0.5, 4.0), row("b", "x", NAN, 4.0)]
    lost += [row(name, "y", 0.9, 4.0) for name in "ab"]
    assert agreement(close + lost) == (0, 0)
    assert agreement([line for line in same if line.renderer == "a"]) == (0, 0)


def test_gains_agree_by_their_distance_from_one() -> None:
    gains = {("a", "x"): 0.5, ("a", "y"): 1.1, ("b", "x"): 1.9, ("b", "y"): 0.9}
    assert agreement([row(*key, NAN, gain=gain) for key, gain in gains.items()]) == (1, 1)
