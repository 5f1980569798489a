"""Following a region: against transforms that are known exactly, of pictures that are known everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.affine import Spline, apply, compose, grid, identity, inverse, shifted
from mm.methods.signal import SignalBand
from mm.methods.stabilisation import AffineStabiliser, Fit, inner_distance
from mm.temporal import Band

HEIGHT, WIDTH = 112, 160
CENTRE, RADIUS = (56.0, 56.0), 28.0


class Texture:
    """A sum of plane waves of 6 to 40 px, which has a value at every point."""

    def __init__(self, seed: int, contrast: float = 0.17, mean: float = 0.5) -> None:
        generator = torch.Generator().manual_seed(seed)
        length = 6 * (40 / 6) ** torch.rand(30, generator=generator, dtype=torch.float64)
        angle, self._phase = math.pi * torch.rand(2, 30, generator=generator, dtype=torch.float64)
        self._waves = torch.stack([angle.cos(), angle.sin()]) * 2 * math.pi / length
        self._contrast, self._mean = contrast / math.sqrt(30), mean

    def __call__(self, points: Tensor) -> Tensor:
        return self._mean + self._contrast * math.sqrt(2) * torch.sin(points @ self._waves + self._phase).sum(
            -1
        )


FRONT, BACK = Texture(1), Texture(2)


def about(x: float = 0.0, y: float = 0.0, degrees: float = 0.0, scale: float = 1.0) -> Tensor:
    """Turn and scale about the region's centre, then shift."""
    turn = math.radians(degrees)
    linear = (
        scale * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()
    )
    centre = torch.tensor(CENTRE).double()
    return torch.cat([linear, (centre + torch.tensor([x, y]).double() - linear @ centre)[:, None]], dim=1)


def share(transform: Tensor) -> Tensor:
    """How much of each pixel is the region's: a disc that moves with the transform, its rim 1 px soft."""
    places = apply(inverse(transform), grid(HEIGHT, WIDTH))
    away = torch.hypot(*(places - torch.tensor(CENTRE)).unbind(-1)) - RADIUS
    return (0.5 * torch.special.erfc(away / math.sqrt(2))).view(HEIGHT, WIDTH)


def picture(transform: Tensor) -> Tensor:
    """(1, H, W): the region where the transform takes it, before a background that stands still."""
    own = share(transform).flatten()
    places = grid(HEIGHT, WIDTH)
    values = own * FRONT(apply(inverse(transform), places)) + (1 - own) * BACK(places)
    return values.view(1, HEIGHT, WIDTH).float()


def error(fit: Fit, transform: Tensor) -> float:
    """Mean distance over the region, px, of where it is put from where it is."""
    places = grid(HEIGHT, WIDTH)[(share(identity()) > 0.5).flatten()]
    return float((apply(fit.transform, places) - apply(transform, places)).norm(dim=1).mean())


def follow(
    transforms: Sequence[Tensor], change: Callable[[Tensor, int], Tensor] = lambda x, _: x
) -> list[Fit]:
    stabiliser = AffineStabiliser(picture(identity()), share(identity()))
    return [stabiliser.follow(change(picture(one), number)) for number, one in enumerate(transforms)]


def crossing(count: int) -> list[Tensor]:
    """24 px to the right and 6 down with a turn and a growth, and 0.1 px back and forth on the way."""
    steps = [number / 59 for number in range(count)]
    return [
        about(24 * s + 0.1 * math.sin(2 * math.pi * 3 * 59 * s / 30), 6 * s, 6 * s, 1 + 0.1 * s)
        for s in steps
    ]


def test_a_known_crossing_is_followed_to_a_hundredth_of_a_pixel() -> None:
    transforms = crossing(60)
    fits = follow(transforms)
    assert all(fit.found for fit in fits)
    errors = [error(*pair) for pair in zip(fits, transforms, strict=True)]
    assert max(errors) < 0.02
    # What magnification would multiply: the error of the region's place that changes from frame to frame.
    centre = torch.tensor([CENTRE]).double()
    off = torch.cat(
        [apply(f.transform, centre) - apply(t, centre) for f, t in zip(fits, transforms, strict=True)]
    )
    assert off.diff(dim=0).norm(dim=1).max() < 0.005


@pytest.mark.parametrize(
    ("x", "y", "degrees", "scale"),
    [(0, 0, 0, 1), (0.01, 0, 0, 1), (0.37, -0.52, 0, 1), (4.5, 3, 5, 1), (-9, 7, -8, 0.9), (6, -2, 3, 1.15)],
)
def test_one_frame(x: float, y: float, degrees: float, scale: float) -> None:
    transform = about(x, y, degrees, scale)
    assert error(follow([transform])[0], transform) < 0.02


def test_noise_and_8_bits_leave_it_well_below_a_tenth() -> None:
    generator = torch.Generator().manual_seed(0)

    def record(frame: Tensor, _: int) -> Tensor:
        return ((frame + 0.01 * torch.randn(frame.shape, generator=generator)) * 255).round().clamp(
            0, 255
        ) / 255

    transforms = crossing(20)
    errors = [error(*pair) for pair in zip(follow(transforms, record), transforms, strict=True)]
    assert max(errors) < 0.05


def test_fast_motion_is_followed() -> None:
    transforms = [
        about(25 * math.sin(0.5 * t), 12 * math.sin(0.4 * t), 12 * math.sin(0.3 * t)) for t in range(20)
    ]
    steps = torch.stack([one[:, 2] for one in transforms]).diff(dim=0).norm(dim=1)
    assert steps.max() > 12
    errors = [error(*pair) for pair in zip(follow(transforms), transforms, strict=True)]
    assert max(errors) < 0.02


def test_what_covers_a_part_is_no_motion() -> None:
    def cover(frame: Tensor, number: int) -> Tensor:
        frame[:, :, 40 + 2 * number : 52 + 2 * number] = 0.1
        return frame

    transforms = crossing(12)
    errors = [error(*pair) for pair in zip(follow(transforms, cover), transforms, strict=True)]
    assert max(errors) < 0.03


def test_a_changing_light_is_no_motion() -> None:
    transforms = [identity()] * 6
    fits = follow(transforms, lambda frame, number: frame * (1 - 0.08 * number) + 0.03 * number)
    assert max(error(fit, identity()) for fit in fits) < 0.003


def test_directions_without_texture_stay_as_they_were() -> None:
    places = grid(64, 64)

    def stripes(shift: float) -> Tensor:
        return (0.5 + 0.2 * torch.sin(2 * math.pi * (places[:, 0] - shift) / 11)).view(1, 64, 64).float()

    mask = torch.zeros(64, 64)
    mask[16:48, 16:48] = 1
    fit = AffineStabiliser(stripes(0.0), mask).follow(stripes(1.5))
    assert fit.found
    moved = apply(fit.transform, torch.tensor([[32.0, 32.0]]).double())[0]
    assert moved[0] == pytest.approx(33.5, abs=0.02)
    assert moved[1] == pytest.approx(32.0, abs=0.05)


def test_a_region_that_leaves_the_frame_is_lost_and_found_where_it_left() -> None:
    out = [about(-6.0 * t) for t in range(19)]
    fits = follow([*out, *out[::-1]])
    assert not fits[18].found
    assert fits[18].inside < 0.6
    assert all(fit.transform.isfinite().all() for fit in fits)
    # While enough of it is to be seen it is where it should be.
    for number in (4, 8, 33, 37):
        assert fits[number].found
        assert error(fits[number], [*out, *out[::-1]][number]) < 0.1


def test_what_is_not_the_region_is_not_taken_for_it() -> None:
    stabiliser = AffineStabiliser(picture(identity()), share(identity()))
    for other in (
        torch.full((1, HEIGHT, WIDTH), 0.5),
        BACK(grid(HEIGHT, WIDTH)).view(1, HEIGHT, WIDTH).float(),
    ):
        fit = stabiliser.follow(other)
        assert not fit.found
        assert torch.equal(fit.transform, identity())
    assert stabiliser.follow(picture(about(1.0))).found


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_region_without_texture_is_refused(value: float) -> None:
    mask = torch.zeros(32, 40)
    mask[8:24, 10:30] = 1
    with pytest.raises(
        InputError, match=r"20×16 px at 10,8 has no texture in the first frame .*choose another"
    ):
        AffineStabiliser(torch.full((1, 32, 40), value), mask)


def test_the_whole_frame_may_be_the_region() -> None:
    stabiliser = AffineStabiliser(BACK(grid(48, 64)).view(1, 48, 64).float(), torch.ones(48, 64))
    moved = BACK(grid(48, 64) - torch.tensor([1.3, -0.4])).view(1, 48, 64).float()
    found = apply(stabiliser.follow(moved).transform, torch.tensor([[30.0, 20.0]]).double())[0]
    torch.testing.assert_close(found, torch.tensor([31.3, 19.6]).double(), atol=0.01, rtol=0)


def test_the_distance_to_the_rim_knows_no_rim_at_the_frame() -> None:
    inside = torch.zeros(9, 12, dtype=torch.bool)
    inside[:, :5] = True
    torch.testing.assert_close(
        inner_distance(inside)[4], torch.tensor([5.0, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0])
    )
    assert inner_distance(torch.ones(4, 4, dtype=torch.bool)).isinf().all()


# --- the plane ------------------------------------------------------------------------------------


def test_transforms_are_a_group() -> None:
    one, two = about(3, -2, 10, 1.2), about(-1, 5, -25, 0.8)
    points = grid(3, 4, (5.0, -7.0))
    torch.testing.assert_close(apply(compose(one, two), points), apply(one, apply(two, points)))
    torch.testing.assert_close(compose(one, inverse(one)), identity(), atol=1e-12, rtol=0)
    moved = shifted(one, (2.0, 3.0), (10.0, 20.0))
    torch.testing.assert_close(
        apply(moved, points),
        apply(one, points + torch.tensor([2.0, 3.0])) - torch.tensor([10.0, 20.0]).double(),
    )


@pytest.mark.parametrize(("length", "limit"), [(10, 1e-4), (5, 1e-3), (4, 5e-3)])
def test_a_wave_between_the_pixels(length: float, limit: float) -> None:
    wave = torch.sin(2 * math.pi * torch.arange(120) / length).expand(1, 40, 120)
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = points * torch.tensor([80.0, 39.0]) + torch.tensor([20.0, 0.0])
    truth = torch.sin(2 * math.pi * points[:, 0] / length).float()
    torch.testing.assert_close(Spline(wave).at(points)[0].float(), truth, atol=limit, rtol=0)


def test_a_spline_passes_through_every_pixel_and_repeats_the_border() -> None:
    noise = torch.rand(3, 9, 14, generator=torch.Generator().manual_seed(0))
    spline = Spline(noise)
    torch.testing.assert_close(spline.at(grid(9, 14)).view_as(noise).float(), noise, atol=1e-5, rtol=0)
    beyond = spline.at(torch.tensor([[-5.0, 3.0], [40.0, 8.0]]).double()).float()
    torch.testing.assert_close(
        beyond, torch.stack([noise[:, 3, 0], noise[:, 8, 13]], dim=1), atol=1e-5, rtol=0
    )


def test_the_blur_is_the_gaussian() -> None:
    wave = torch.sin(2 * math.pi * torch.arange(120) / 9).expand(1, 40, 120)
    blurred = Spline(wave, 1.5).at(grid(1, 80, (20.0, 20.0)))[0].float()
    gain = math.exp(-0.5 * (2 * math.pi * 1.5 / 9) ** 2)
    torch.testing.assert_close(blurred, gain * wave[0, 0, 20:100], atol=1e-4, rtol=0)


# --- the course -----------------------------------------------------------------------------------


def course(values: Tensor, band: Band) -> tuple[Tensor, Tensor]:
    split = SignalBand(band)
    done = [pair for one in values for pair in split.push(one)]
    done += list(split.flush())
    return torch.stack([one for one, _ in done]), torch.stack([one for _, one in done])


@pytest.mark.parametrize("filter_", ["butter", "fir", "iir", "ideal", "butter-causal"])
def test_even_motion_has_nothing_in_the_band(filter_: str) -> None:
    band = Band(1.5, 6.0, 30.0, filter_)
    ramp = torch.arange(60).double()[:, None] * torch.tensor([0.5, -2.0, 0.001]).double()
    values, passed = course(ramp, band)
    torch.testing.assert_close(values, ramp)
    # Of 30 px and 120 px.
    assert passed.abs().max() < (0.6 if filter_ in ("ideal", "butter-causal") else 0.02)


def test_the_vibration_on_it_is_all_that_is_in_the_band() -> None:
    time = torch.arange(90).double() / 30
    vibration = 0.1 * torch.sin(2 * math.pi * 3 * time)
    _, passed = course((20 * time + vibration)[:, None], Band(1.5, 6.0, 30.0))
    torch.testing.assert_close(passed[15:-15, 0], vibration[15:-15], atol=0.006, rtol=0)
    # At its ends the clip does not tell how the vibration goes on.
    assert (passed[:, 0] - vibration).abs().max() < 0.07


@pytest.mark.parametrize("count", [20, 21, 40, 300])
def test_every_frame_comes_once_and_little_is_held(count: int) -> None:
    split = SignalBand(Band(1.5, 6.0, 30.0))
    given = late = 0
    for number in range(count):
        given += len(list(split.push(torch.tensor([float(number)]))))
        late = max(late, number + 1 - given)
        assert len(split._recent) <= split._ends + 1
    assert late <= split.delay + 1
    rest = list(split.flush())
    assert given + len(rest) == count
    assert rest[-1][0] == count - 1
    # And it is ready for another.
    np.testing.assert_allclose(course(torch.ones(30, 1), split.band)[1], 0, atol=1e-12)


def test_a_course_too_short_for_the_band_is_refused() -> None:
    with pytest.raises(InputError, match="the clip has 5 frames at 30 a second"):
        course(torch.rand(5, 2), Band(1.5, 6.0, 30.0))
