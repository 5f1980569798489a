"""Clips side by side: where the panels lie, what is written above them, and that they run in step."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.reports.side_by_side import Grid, Panel, compose, draw_label
from mm.video import VideoWriter, read_clip, write_clip

COLOURS = ((0.8, 0.1, 0.1), (0.1, 0.7, 0.1), (0.1, 0.1, 0.8))


def plain(colour: tuple[float, ...], frames: int, height: int, width: int) -> Tensor:
    """A clip of one colour that grows brighter with time."""
    course = torch.linspace(0.6, 1, frames).view(-1, 1, 1, 1)
    return course * torch.tensor(colour).view(1, 3, 1, 1).expand(frames, 3, height, width)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("size", [(1, 1), (24, 32), (135, 241), (480, 640), (1080, 1920), (1920, 608)])
def test_panels_fill_the_picture_without_overlap(count: int, size: tuple[int, int]) -> None:
    grid = Grid.of(count, size)
    height, width = grid.size
    assert height % 2 == width % 2 == 0
    assert width <= 3840
    assert height <= 2304
    assert grid.rows * grid.columns - count < grid.columns
    taken = torch.zeros(height, width)
    for number in range(count):
        y, x = grid.place(number)
        taken[y : y + grid.bar + grid.panel[0], x : x + grid.panel[1]] += 1
        assert y + grid.bar + grid.panel[0] <= height
        assert x + grid.panel[1] <= width
    assert taken.max() == 1
    assert abs(grid.panel[0] / grid.panel[1] / (size[0] / size[1]) - 1) < 0.01


def test_a_grid_is_neither_a_column_nor_a_row_where_there_are_many() -> None:
    assert (Grid.of(2, (480, 640)).rows, Grid.of(2, (480, 640)).columns) == (1, 2)
    assert (Grid.of(4, (480, 640)).rows, Grid.of(4, (480, 640)).columns) == (2, 2)
    assert (Grid.of(6, (480, 640)).rows, Grid.of(6, (480, 640)).columns) == (2, 3)
    # Upright clips lie in a row.
    assert Grid.of(4, (1920, 608)).rows == 1


def ink(name: str, more: str, width: int, height: int) -> np.ndarray:
    """Columns of a label in which something is written."""
    pixels = np.array(draw_label(name, more, width, height)).astype(int)
    assert pixels.shape == (height, width, 3)
    return np.flatnonzero((np.abs(pixels - pixels[0, 0]).max(-1) > 60).any(0))


@pytest.mark.parametrize(("width", "height"), [(320, 32), (640, 64), (1920, 72)])
def test_labels_fit(width: int, height: int) -> None:
    written = ink("learned", "× 10", width, height)
    assert written.min() >= 4
    assert written.max() < width - 4
    # The name alone is shorter: the factor is there.
    assert ink("learned", "", width, height).max() < written.max() - 10


def test_a_long_name_is_made_smaller_and_then_cut() -> None:
    name = "a-network-with-a-rather-long-name-of-its-own"
    written = ink(name, "× 10", 320, 32)
    assert written.max() < 318
    assert ink(name * 3, "× 10", 320, 32).max() < 318
    assert len(ink("a name", "× 10", 12, 20)) < 12


def test_letters_are_large_enough_to_read() -> None:
    for width in (320, 960, 1920):
        bar = Grid.of(1, (width * 9 // 16, width)).bar
        pixels = np.array(draw_label("H", "", width, bar)).astype(int)
        rows = np.flatnonzero((pixels - pixels[0, 0]).max(-1).max(1) > 60)
        assert rows.max() - rows.min() >= 8
        assert rows.max() - rows.min() < bar
        # In the middle of the bar.
        assert abs((rows.max() + rows.min()) / 2 - bar / 2) < 0.15 * bar


def test_clips_run_in_step_in_their_places(tmp_path: Path) -> None:
    # 33×25 px: H.264 repeats the last row and column, which are cut off again.
    clips = [plain(colour, 11, 25, 33) for colour in COLOURS]
    write_clip(tmp_path / "in.mkv", clips[0], rate=10, lossless=True)
    for number in (1, 2):
        write_clip(tmp_path / f"{number}.mp4", clips[number], rate=10)
    panels = [Panel("input"), *(Panel(str(n), "× 3", tmp_path / f"{n}.mp4") for n in (1, 2))]
    seen: list[tuple[int, list[Tensor], tuple[float, ...]]] = []
    grid = compose(tmp_path / "in.mkv", panels, tmp_path / "out.mp4", watch=lambda *chunk: seen.append(chunk))
    frames, info = read_clip(tmp_path / "out.mp4")
    assert frames.shape == (11, 3, *grid.size)
    assert info.rate == 10
    assert info.pixel_format == "yuv420p"
    for number, wanted in enumerate(clips):
        y, x = grid.place(number)
        panel = frames[
            :, :, y + grid.bar + 4 : y + grid.bar + grid.panel[0] - 4, x + 4 : x + grid.panel[1] - 4
        ]
        assert (panel - wanted[:, :, :1, :1]).abs().max() < 0.05
        # The bar above holds light letters on a dark ground.
        bar = frames[0, :, y : y + grid.bar, x : x + grid.panel[1]]
        assert bar.median() < 0.2
        assert bar.max() > 0.7
    assert [first for first, *_ in seen] == [0, 4, 8]
    assert torch.tensor([time for *_, times in seen for time in times]) == pytest.approx(
        torch.arange(11) / 10
    )
    for number, wanted in enumerate(clips):
        watched = torch.cat([shown[number] for _, shown, _ in seen])
        assert watched.shape == wanted.shape
        assert (watched - wanted).abs().max() < 0.02


def test_a_part_and_another_size(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mkv", plain(COLOURS[0], 20, 48, 64), rate=10, lossless=True)
    write_clip(tmp_path / "a.mp4", plain(COLOURS[1], 8, 24, 32), rate=10)
    panels = [Panel("input"), Panel("a", "", tmp_path / "a.mp4")]
    sizes = []
    compose(
        tmp_path / "in.mkv",
        panels,
        tmp_path / "out.mp4",
        scale=0.5,
        start=0.5,
        end=1.3,
        watch=lambda _, shown, times: sizes.append((len(times), *shown[0].shape[-2:], *shown[1].shape[-2:])),
    )
    assert sizes == [(4, 24, 32, 24, 32)] * 2


def test_ten_bits_become_eight_and_uneven_times_stay(tmp_path: Path) -> None:
    pts = (0, 1, 2, 5, 6)
    for name in ("in", "a"):
        with VideoWriter(
            tmp_path / f"{name}.mp4", (32, 32), rate=10, time_base=Fraction(1, 10), bit_depth=10
        ) as writer:
            writer.write(plain(COLOURS[0], 5, 32, 32), pts)
    compose(tmp_path / "in.mp4", [Panel("input"), Panel("a", "", tmp_path / "a.mp4")], tmp_path / "out.mp4")
    info = read_clip(tmp_path / "out.mp4")[1]
    assert info.bit_depth == 8
    times: list[float] = []
    compose(
        tmp_path / "out.mp4", [Panel("input")], tmp_path / "again.mp4", watch=lambda *x: times.extend(x[2])
    )
    assert times == pytest.approx([0, 0.1, 0.2, 0.5, 0.6])


def test_a_clip_of_another_length_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", plain(COLOURS[0], 9, 32, 32))
    write_clip(tmp_path / "short.mp4", plain(COLOURS[1], 7, 32, 32))
    with pytest.raises(InputError, match="another number of frames"):
        compose(
            tmp_path / "in.mp4",
            [Panel("input"), Panel("short", "", tmp_path / "short.mp4")],
            tmp_path / "out.mp4",
        )
    assert not (tmp_path / "out.mp4").exists()
