"""The line and the moment of most motion, on clips drawn from formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.reports.motion_line import MotionMap, map_motion
from mm.temporal import Band

HEIGHT, WIDTH, FPS, FRAMES = 72, 120, 30.0, 30
Course = Callable[[Tensor], Tensor]
# Discs of radius 12: one that moves along x, one along y.
ACROSS, DOWN, RADIUS = (30, 24), (88, 46), 12


def still(t: Tensor) -> Tensor:
    return torch.zeros_like(t)


def sway(amplitude: float, frequency: float) -> Course:
    return lambda t: amplitude * torch.sin(2 * math.pi * frequency * t)


def clip(across: Course = still, down: Course = still, zoom: int = 1) -> Tensor:
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
    for (left, top), dx, dy in ((ACROSS, across(t), still(t)), (DOWN, still(t), down(t))):
        u, v = x - left - dx.view(-1, 1, 1), y - top - dy.view(-1, 1, 1)
        mask = torch.sigmoid(2 * (RADIUS - torch.hypot(u, v)))
        picture = picture * (1 - mask) + mask * texture(u, v, 9.0)
    return picture[:, None].expand(-1, 3, -1, -1).float()


def located(frames: Tensor, **options: object) -> MotionMap:
    return map_motion(frames.split(7), **options)  # type: ignore[arg-type]


def within(position: int, middle: int, zoom: int = 1) -> bool:
    return abs(position - middle * zoom) <= RADIUS * zoom


def test_each_line_goes_through_what_moves_along_it() -> None:
    found = located(clip(sway(0.3, 3), sway(0.2, 5)))
    assert within(found.row(), ACROSS[1])
    assert within(found.column(), DOWN[0])
    x, y = found.point()
    assert math.hypot(x - ACROSS[0], y - ACROSS[1]) <= RADIUS + 1
    # RMS of a sinusoid; the damping takes a little, and slanted edges show less or more.
    assert float(found.shift[0].max()) == pytest.approx(0.3 / math.sqrt(2), rel=0.3)
    away = found.shift[:, 4:10, 60:110]
    assert float(away.max()) < 0.001


def test_the_smaller_motion_where_it_alone_is_in_the_band() -> None:
    frames = clip(sway(0.3, 3), sway(0.1, 9))
    found = located(frames, mode="temporal", band=Band(7, 11, FPS))
    x, y = found.point()
    assert math.hypot(x - DOWN[0], y - DOWN[1]) <= RADIUS + 1
    assert within(found.row(), DOWN[1])
    assert within(located(frames).point()[0], ACROSS[0])


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_flicker_and_noise_are_no_motion(mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    gain = 1 + 0.1 * torch.randn(FRAMES, 1, 1, 1, generator=generator)

    def recorded(frames: Tensor) -> Tensor:
        noise = torch.randn(frames.shape, generator=generator) * 2 / 255
        return (frames * gain * 0.8 + noise).clamp(0, 1)

    nothing = located(recorded(clip()), mode=mode)
    assert not nothing.moves
    assert (nothing.point(), nothing.row(), nothing.column()) == ((60, 36), 36, 60)
    found = located(recorded(clip(sway(0.3, 3))), mode=mode)
    x, y = found.point()
    assert math.hypot(x - ACROSS[0], y - ACROSS[1]) <= RADIUS + 1
    assert within(found.row(), ACROSS[1])


def test_nothing_moves_in_a_still_clip() -> None:
    found = located(clip())
    assert not found.moves
    assert not located(torch.full((12, 3, 20, 24), 0.5)).moves
    assert found.frame(60, 36) == 0


def test_the_moment() -> None:
    def knock(t: Tensor) -> Tensor:
        return 0.4 * torch.exp(-(((t * FPS - 17) / 2) ** 2))

    found = located(clip(knock))
    assert found.frame(*found.point()) == 17
    # The step to the next frame is largest on the flanks, √2 frames from the top.
    moving = located(clip(knock), mode="dynamic")
    assert moving.frame(*moving.point()) in (15, 16, 19)


def test_only_within_the_region() -> None:
    frames = clip(sway(0.3, 3), sway(0.2, 5))
    found = located(frames, region=(60, 20, 60, 50))
    assert math.dist(found.point(), DOWN) <= RADIUS + 1
    assert within(found.row(), DOWN[1])


def test_a_line_that_is_given_is_kept() -> None:
    found = located(clip(sway(0.3, 3), sway(0.2, 5)))
    x, y = found.point(row=20)
    assert y == 20
    assert within(x, ACROSS[0])
    x, y = found.point(column=90)
    assert x == 90
    assert within(y, DOWN[1])
    assert found.point(row=3, column=5) == (5, 3)


def test_large_frames_are_looked_at_smaller_and_told_in_their_own_px() -> None:
    zoom = 5  # 600 px wide
    found = located(clip(sway(0.3, 3), zoom=zoom)[:10])
    assert found.size == (HEIGHT * zoom, WIDTH * zoom)
    assert within(found.row(), ACROSS[1], zoom)
    assert math.dist(found.point(), (ACROSS[0] * zoom, ACROSS[1] * zoom)) <= (RADIUS + 1) * zoom
    # In px of the large frames: about 5 × 0.3 px, RMS over these frames.
    t = torch.arange(10) / FPS
    rms = float((0.3 * zoom * torch.sin(2 * math.pi * 3 * t)).square().mean().sqrt())
    assert float(found.shift[0].max()) == pytest.approx(rms, rel=0.4)


@pytest.mark.parametrize("band", [None, Band(2, 5, FPS), Band(2, 5, FPS, "ideal")])
def test_chunks_make_no_difference(band: Band | None) -> None:
    frames = clip(sway(0.3, 3), sway(0.2, 5))
    mode = "static" if band is None else "temporal"
    one, other = (map_motion(frames.split(n), mode=mode, band=band) for n in (1, 30))  # type: ignore[arg-type]
    torch.testing.assert_close(one.shift, other.shift, rtol=1e-4, atol=1e-5)
    # Of a swing of ten frames, every tenth shows the same: which of them is ahead, rounding says.
    assert (one.frame(*ACROSS) - other.frame(*ACROSS)) % 10 == 0


def test_what_cannot_be_looked_at() -> None:
    with pytest.raises(InputError, match="fewer than 2 frames"):
        located(clip()[:1])
    with pytest.raises(InputError, match="needs a band"):
        located(clip(), mode="temporal")
    with pytest.raises(InputError, match="needs at least"):
        located(clip()[:5], mode="temporal", band=Band(2, 5, FPS))


def test_two_frames_are_enough() -> None:
    frames = clip(sway(0.3, 3))[[0, 2]]
    assert located(frames, mode="dynamic").shift.isfinite().all()


class TestCuts:
    """A shot in which nothing moves but the camera's place, and one in which the discs do."""

    @staticmethod
    def other(frames: Tensor) -> Tensor:
        """Another picture that stands still."""
        return clip().flip(-1, -2).roll((9, 31), (-2, -1))[: len(frames)] * 0.6 + 0.3

    def test_a_cut_is_no_motion(self) -> None:
        one, two = clip()[:14], self.other(clip()[:16])
        found = located(torch.cat([one, two]))
        assert found.cuts == (14,)
        assert found.frames == 30
        assert not found.moves
        # Which a look that takes it for one shot does not know.
        across = located(torch.cat([one, two]), cuts=False)
        assert across.moves
        assert across.cuts == ()

    @pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
    def test_each_shot_is_measured_by_itself(self, mode: str) -> None:
        band = Band(2, 6, FPS) if mode == "temporal" else None
        moving = clip(sway(0.3, 3))
        alone = located(moving, mode=mode, band=band)
        found = located(torch.cat([self.other(moving), moving]), mode=mode, band=band)
        assert found.cuts == (FRAMES,)
        assert found.row() == alone.row()
        assert found.point() == alone.point()
        # The moment is told in frames of the clip, and the mean is over all of it.
        assert found.frame(*found.point()) == FRAMES + alone.frame(*alone.point())
        torch.testing.assert_close(found.shift, alone.shift / math.sqrt(2), rtol=1e-4, atol=1e-6)

    def test_a_shot_too_short_for_the_band_does_not_count(self) -> None:
        band, moving = Band(2, 6, FPS), clip(sway(0.3, 3))
        alone = located(moving, mode="temporal", band=band)
        found = located(torch.cat([self.other(moving)[:6], moving]), mode="temporal", band=band)
        assert found.cuts == (6,)
        torch.testing.assert_close(found.shift, alone.shift)
        with pytest.raises(InputError, match="has 1 cut, and the longest part between them has 12 frames"):
            located(torch.cat([self.other(moving)[:12], moving[:11]]), mode="temporal", band=band)
