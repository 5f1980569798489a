"""The lines and the moment of most motion, on clips drawn from formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mm.reports.motion_line import Place, find_place
from mm.temporal import Band
from mm.video import write_clip

HEIGHT, WIDTH, FPS, FRAMES = 72, 120, 30.0, 30
Signal = Callable[[Tensor], Tensor]
# Discs of radius 12: one that moves along x, one along y.
ACROSS, DOWN, RADIUS = (30, 24), (88, 46), 12
MIDDLE = Place(36, 60, (60, 36), 0)


def sway(amplitude: float, frequency: float) -> Signal:
    return lambda t: amplitude * torch.sin(2 * math.pi * frequency * t)


def knock(t: Tensor) -> Tensor:
    return 0.4 * torch.exp(-(((t * FPS - 17) / 2) ** 2))


def clip(across: Signal = torch.zeros_like, down: Signal = torch.zeros_like, zoom: int = 1) -> Tensor:
    """(T, 3, H, W): two textured discs before a texture that stands still; exact at any displacement."""
    t = torch.arange(FRAMES, dtype=torch.float64) / FPS
    y, x = torch.meshgrid(
        (torch.arange(HEIGHT * zoom, dtype=torch.float64) + 0.5) / zoom - 0.5,
        (torch.arange(WIDTH * zoom, dtype=torch.float64) + 0.5) / zoom - 0.5,
        indexing="ij",
    )

    def texture(x: Tensor, y: Tensor, period: float) -> Tensor:
        step = 2 * math.pi / period
        return 0.5 + 0.12 * (torch.sin(step * x) + torch.sin(step * y) + torch.sin(0.7 * step * (x - y)))

    picture = texture(x, y, 11.0).expand(FRAMES, -1, -1)
    still = torch.zeros_like(t)
    for (left, top), dx, dy in ((ACROSS, across(t), still), (DOWN, still, down(t))):
        u, v = x - left - dx.view(-1, 1, 1), y - top - dy.view(-1, 1, 1)
        mask = torch.sigmoid(2 * (RADIUS - torch.hypot(u, v)))
        picture = picture * (1 - mask) + mask * texture(u, v, 9.0)
    return picture[:, None].expand(-1, 3, -1, -1).float()


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., Place]:
    def of(frames: Tensor, **options: Any) -> Place:
        write_clip(tmp_path / "clip.mkv", frames, rate=FPS, lossless=True)
        return find_place(tmp_path / "clip.mkv", **options)

    return of


def near(point: tuple[int, int], middle: tuple[int, int], zoom: int = 1) -> bool:
    return math.dist(point, (middle[0] * zoom, middle[1] * zoom)) <= (RADIUS + 1) * zoom


def test_each_line_goes_through_what_moves_along_it(found: Callable[..., Place]) -> None:
    frames = clip(sway(0.3, 3), sway(0.1, 9))
    place = found(frames)
    assert abs(place.row - ACROSS[1]) <= RADIUS
    assert abs(place.column - DOWN[0]) <= RADIUS
    assert near(place.point, ACROSS)
    # In the band is the smaller motion alone, and in the region.
    assert near(found(frames, mode="temporal", band=Band(7, 11, FPS)).point, DOWN)
    assert near(found(frames, mode="temporal", band=Band(7, 11, FPS, "ideal")).point, DOWN)
    inside = found(frames, region=(60, 20, 60, 50))
    assert near(inside.point, DOWN)
    assert abs(inside.row - DOWN[1]) <= RADIUS
    # On a line that is given.
    assert abs(found(frames, row=20).point[0] - ACROSS[0]) <= RADIUS
    assert abs(found(frames, column=90).point[1] - DOWN[1]) <= RADIUS
    assert found(frames, row=3, column=5).point == (5, 3)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_flicker_and_noise_are_no_motion(found: Callable[..., Place], mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    gain = 1 + 0.1 * torch.randn(FRAMES, 1, 1, 1, generator=generator)

    def recorded(frames: Tensor) -> Tensor:
        noise = torch.randn(frames.shape, generator=generator) * 2 / 255
        return (frames * gain * 0.8 + noise).clamp(0, 1)

    nothing = found(recorded(clip()), mode=mode)
    assert nothing.found == (False, False)
    assert (nothing.row, nothing.column, nothing.point) == (36, 60, (60, 36))
    assert near(found(recorded(clip(sway(0.3, 3))), mode=mode).point, ACROSS)


def test_the_moment(found: Callable[..., Place]) -> None:
    assert found(clip(knock)).frame == 17
    # The step to the next frame is largest on the flanks, √2 frames from the top.
    assert found(clip(knock), mode="dynamic").frame in (15, 16, 19)


def test_large_frames_are_looked_at_smaller(found: Callable[..., Place]) -> None:
    place = found(clip(sway(0.3, 3), zoom=5)[:10])
    assert near(place.point, ACROSS, 5)
    assert abs(place.row - 5 * ACROSS[1]) <= 5 * RADIUS


def test_nothing_to_find_is_the_middle(found: Callable[..., Place]) -> None:
    assert found(clip()) == MIDDLE
    assert found(torch.full((12, 3, HEIGHT, WIDTH), 0.5)) == MIDDLE
    assert found(clip(sway(0.3, 3))[:1]) == MIDDLE
    short = found(clip(sway(0.3, 3))[:5], mode="temporal", band=Band(2, 5, FPS))
    assert (short.point, short.frame) == (MIDDLE.point, 2)


@pytest.mark.parametrize("mode", ["static", "temporal"])
def test_a_cut_is_no_motion(found: Callable[..., Place], mode: str) -> None:
    other = clip().flip(-1, -2).roll((9, 31), (-2, -1)) * 0.6 + 0.3
    still, moving = torch.cat([clip(), other]), torch.cat([other, clip(sway(0.3, 3))])
    options: dict[str, Any] = {"mode": mode, "band": Band(2, 6, FPS) if mode == "temporal" else None}
    assert found(still, cuts=[FRAMES], **options).found == (False, False)
    assert found(still, **options).found != (False, False)
    place = found(moving, cuts=[FRAMES], **options)
    assert near(place.point, ACROSS)
    assert place.frame >= FRAMES


def test_places_in_a_resized_clip() -> None:
    class Info:
        height, width = 100, 200

    place = Place(99, 100, (199, 0), 7).scaled(Info(), (50, 100))  # type: ignore[arg-type]
    assert (place.row, place.column, place.point, place.frame) == (49, 50, (99, 0), 7)
