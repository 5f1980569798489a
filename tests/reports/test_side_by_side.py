"""Clips side by side: places of the panels, labels above them, and that they run in step."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.reports.side_by_side import Grid, compose
from mm.video import VideoWriter, read_clip, write_clip

COLOURS = ((0.8, 0.1, 0.1), (0.1, 0.7, 0.1), (0.1, 0.1, 0.8))


def plain(colour: tuple[float, ...], frames: int, height: int, width: int) -> Tensor:
    """A clip of one colour that grows brighter with time."""
    growth = torch.linspace(0.6, 1, frames).view(-1, 1, 1, 1)
    return growth * torch.tensor(colour).view(1, 3, 1, 1).expand(frames, 3, height, width)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("size", [(1, 1), (24, 32), (135, 241), (1080, 1920), (1920, 608)])
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
        assert y + grid.panel[0] <= height
        assert x + grid.panel[1] <= width
        taken[y - grid.bar : y + grid.panel[0], x : x + grid.panel[1]] += 1
    assert taken.max() == 1
    assert abs(grid.panel[0] / grid.panel[1] / (size[0] / size[1]) - 1) < 0.01


def test_a_grid_is_about_as_wide_as_a_screen() -> None:
    shapes = [(Grid.of(n, (480, 640)).rows, Grid.of(n, (480, 640)).columns) for n in (2, 4, 6)]
    assert shapes == [(1, 2), (2, 2), (2, 3)]
    assert Grid.of(4, (1920, 608)).rows == 1


def test_clips_run_in_step_in_their_places(tmp_path: Path) -> None:
    # 33×25 px: H.264 repeats the last row and column, which are cut off again.
    clips = [plain(colour, 11, 25, 33) for colour in COLOURS]
    write_clip(tmp_path / "in.mkv", clips[0], rate=10, lossless=True)
    for number in (1, 2):
        write_clip(tmp_path / f"{number}.mp4", clips[number], rate=10)
    long = "a name that is far too long for a panel of so few px, and is cut"
    others = {"a × 3": tmp_path / "1.mp4", long: tmp_path / "2.mp4"}
    seen: list[tuple[int, list[Tensor], tuple[float, ...]]] = []
    grid = compose(tmp_path / "in.mkv", others, tmp_path / "out.mp4", watch=lambda *chunk: seen.append(chunk))
    frames, info = read_clip(tmp_path / "out.mp4")
    assert frames.shape == (11, 3, *grid.size)
    assert (info.rate, info.pixel_format) == (10, "yuv420p")
    for number, wanted in enumerate(clips):
        y, x = grid.place(number)
        panel = frames[:, :, y + 4 : y + grid.panel[0] - 4, x + 4 : x + grid.panel[1] - 4]
        assert (panel - wanted[:, :, :1, :1]).abs().max() < 0.05
        # The bar above holds light letters on a dark ground, and room at both ends.
        bar = frames[0, :, y - grid.bar : y, x : x + grid.panel[1]]
        assert bar.median() < 0.2
        assert bar.max() > 0.7
        assert max(bar[..., :4].max(), bar[..., -4:].max()) < 0.3
    assert [first for first, *_ in seen] == [0, 4, 8]
    assert [time for *_, times in seen for time in times] == pytest.approx([n / 10 for n in range(11)])
    for number, wanted in enumerate(clips):
        watched = torch.cat([shown[number] for _, shown, _ in seen])
        assert watched.shape == wanted.shape
        assert (watched - wanted).abs().max() < 0.02


def test_a_part_at_another_size(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mkv", plain(COLOURS[0], 20, 48, 64), rate=10, lossless=True)
    write_clip(tmp_path / "a.mp4", plain(COLOURS[1], 8, 24, 32), rate=10)
    sizes = []
    compose(
        tmp_path / "in.mkv",
        {"a": tmp_path / "a.mp4"},
        tmp_path / "out.mp4",
        scale=0.5,
        start=0.5,
        end=1.3,
        watch=lambda _, shown, times: sizes.append((len(times), *shown[0].shape[-2:], *shown[1].shape[-2:])),
    )
    assert sizes == [(4, 24, 32, 24, 32)] * 2


def test_ten_bits_become_eight_and_uneven_times_stay(tmp_path: Path) -> None:
    clip, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with VideoWriter(clip, (32, 32), rate=10, time_base=Fraction(1, 10), bit_depth=10) as writer:
        writer.write(plain(COLOURS[0], 5, 32, 32), (0, 1, 2, 5, 6))
    times: list[float] = []
    compose(clip, {"a": clip}, out)
    compose(out, {}, tmp_path / "again.mp4", watch=lambda *x: times.extend(x[2]))
    assert read_clip(out)[1].bit_depth == 8
    assert times == pytest.approx([0, 0.1, 0.2, 0.5, 0.6])


def test_a_clip_of_another_length_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", plain(COLOURS[0], 9, 32, 32))
    write_clip(tmp_path / "short.mp4", plain(COLOURS[1], 7, 32, 32))
    with pytest.raises(InputError, match=r"short\.mp4"):
        compose(tmp_path / "in.mp4", {"short": tmp_path / "short.mp4"}, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
