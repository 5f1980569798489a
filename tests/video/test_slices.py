"""Slices: the right line, at the right times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mm.errors import InputError
from mm.video import slice_clip, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    codes = torch.randint(0, 256, (20, 3, 16, 24), generator=torch.Generator().manual_seed(0))
    write_clip(tmp_path / "clip.mkv", codes / 255, rate=10, lossless=True)
    return tmp_path / "clip.mkv", codes / 255


def test_row_and_column(clip: tuple[Path, torch.Tensor]) -> None:
    path, frames = clip
    row = slice_clip(path, row=5)
    torch.testing.assert_close(row.lines, frames[:, :, 5, :])
    torch.testing.assert_close(row.image, frames[:, :, 5, :].permute(1, 0, 2))
    assert (row.along, row.position) == ("x", 5)
    column = slice_clip(path, column=23)
    torch.testing.assert_close(column.image, frames[:, :, :, 23].permute(1, 2, 0))
    torch.testing.assert_close(column.times, torch.arange(20, dtype=torch.float64) / 10)


def test_part_of_the_clip(clip: tuple[Path, torch.Tensor]) -> None:
    part = slice_clip(clip[0], row=0, start=0.5, end=1.0)
    torch.testing.assert_close(part.times, torch.arange(5, 10, dtype=torch.float64) / 10)
    torch.testing.assert_close(part.lines, clip[1][5:10, :, 0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"row": 16}, "row 16 lies outside .* rows 0 to 15"),
        ({"column": -1}, "column -1 lies outside .* columns 0 to 23"),
        ({}, "either a row or a column"),
        ({"row": 1, "column": 1}, "either a row or a column"),
    ],
)
def test_lines_that_are_not_there(
    clip: tuple[Path, torch.Tensor], line: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        slice_clip(clip[0], **line)
