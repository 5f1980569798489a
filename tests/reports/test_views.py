"""Slices and crops that are taken while clips go by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mm.reports import views
from mm.reports.views import Place, Views


def codes(count: int) -> Tensor:
    """(T, 3, 10, 12): a frame's code stands in all of its pixels, its row in the green ones."""
    frames = torch.zeros(count, 3, 10, 12)
    frames[:, 0] = (torch.arange(count) % 256).view(-1, 1, 1)
    frames[:, 1] = torch.arange(10.0).view(-1, 1)
    return frames / 255


def looked(count: int, moment: int, known: bool = True) -> Views:
    place = Place(row=3, column=5, point=(6, 5), frame=moment, focus=(6, 5))
    made = Views(place, 2, count if known else None)
    first = 0
    for chunk in codes(count).split(7):
        times = tuple((first + k) / 10 for k in range(len(chunk)))
        made(first, [chunk, 1 - chunk], times)
        first += len(chunk)
    return made


def test_a_short_clip_is_shown_whole() -> None:
    made = looked(30, 11)
    assert made.span is None
    assert made.frames == 30
    assert made.seconds == pytest.approx(1.1)
    across, negative = made.slices("x")
    torch.testing.assert_close(across.lines[:, 0, 0] * 255, torch.arange(30.0))
    assert (across.lines[:, 1] * 255 == 3).all()
    torch.testing.assert_close(negative.lines, 1 - across.lines, rtol=0, atol=1e-6)
    torch.testing.assert_close(made.slices("y")[0].lines[4, 1] * 255, torch.arange(10.0))
    assert made.still is not None
    assert (made.still[0] == 11).all()
    assert len(made.crops) == 2


@pytest.mark.parametrize(
    ("moment", "known", "span"),
    [(100, True, (80, 119)), (3, True, (0, 39)), (195, True, (160, 199)), (195, False, (175, 199))],
)
def test_of_a_long_clip_the_slices_show_what_is_round_the_moment(
    monkeypatch: pytest.MonkeyPatch, moment: int, known: bool, span: tuple[int, int]
) -> None:
    monkeypatch.setattr(views, "LONGEST", 40)
    made = looked(200, moment, known)
    assert made.span == span
    (across, _) = made.slices("x")
    assert (across.lines[:, 0, 0] * 255).round().tolist() == list(range(span[0], span[1] + 1))
    assert across.times[0] == pytest.approx(span[0] / 10)
    assert made.frames == 200
