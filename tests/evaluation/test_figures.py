"""The figures: a method keeps its colour, and no curve falls outside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mm.evaluation import figures
from mm.evaluation.tables import Row


def row(
    measurement: str,
    method: str,
    noise: float,
    ssim: float = 0.5,
    gain: float = math.nan,
    case: tuple[float, float] = (0.5, 20.0),
) -> Row:
    return Row(measurement, "objects", "fourier", method, *case, noise, 1, ssim=ssim, gain=gain)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(label, colour) of every curve, in the order of drawing."""
    found: list[tuple[str, str]] = []
    draw = figures._draw_curve

    def spy(axis, x, mean, deviation, **style) -> None:
        found.append((style["label"], str(style["color"])))
        draw(axis, x, mean, deviation, **style)

    monkeypatch.setattr(figures, "_draw_curve", spy)
    return found


def test_a_method_has_one_colour_in_all_panels(tmp_path: Path, drawn: list[tuple[str, str]]) -> None:
    rows = [row("subpixel", name, 0.0) for name in ("input", "learned", "phase", "2018")]
    rows += [row("noise", name, level) for name in ("input", "learned", "linear", "2018") for level in (1, 3)]
    figures.draw_figure8(tmp_path / "figure.png", rows)
    assert len(drawn) == 8
    colours = dict(drawn)
    assert len(set(drawn)) == len(colours) == 5
    assert len(set(colours.values())) == 5


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure, as it was when it was saved."""
    found: list[Any] = []
    make = figures._figure

    def spy(*args, **options):
        found.append(make(*args, **options))
        return found[-1]

    monkeypatch.setattr(figures, "_figure", spy)
    return found


def test_panels_have_the_letters_of_the_paper(tmp_path: Path, made: list[Any]) -> None:
    """Also where some are missing: what is drawn alone keeps its letter, and static has none."""
    figures.draw_figure8(tmp_path / "a.png", [row(name, "mine", 1.0) for name in ("static", "noise")])
    figures.draw_figure8(tmp_path / "b.png", [row("subpixel", "mine", 0.0)])
    cases = [(0.05, 200.0), (0.2, 7.0)]
    figures.draw_figure8(tmp_path / "c.png", [row("noise", "mine", 1.0, case=case) for case in cases])
    titles = [axis.get_title() for figure in made for axis in figure.axes]
    assert titles == [
        "(c) noise, 0.5 px × 20: fourier renderer",
        "static: fourier renderer",
        "(a) sub-pixel: fourier renderer",
        "(b) noise, 0.05 px × 200: fourier renderer",
        "noise, 0.2 px × 7: fourier renderer",
    ]


def test_a_gain_far_from_one_is_in_the_picture(tmp_path: Path, made: list[Any]) -> None:
    for gain in (0.9, -3.2, 4.0):
        figures.draw_gain(tmp_path / "gain.png", [row("gain", "mine", 0.0, math.nan, gain)])
    limits = [figure.axes[0].get_ylim() for figure in made]
    assert limits[0] == (0, 1.5)
    assert limits[1][0] < -3.2 < 1.5 == limits[1][1]
    assert limits[2][1] > 4.0
