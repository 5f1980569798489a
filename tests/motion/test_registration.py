"""The estimator is held against patterns whose displacement is known from a formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.registration import phase_cross_correlation
from torch import Tensor

from mm.errors import InputError
from mm.motion import local_displacement, measure_displacement
from mm.motion.registration import measured_exactly

DISPLACEMENTS = [
    (0.01, 0.0),
    (0.0, -0.01),
    (0.02, 0.05),
    (0.3, -0.45),
    (0.5, 0.5),
    (-3.3, 1.7),
    (12.25, -29.6),
]


def blobs(
    height: int, width: int, at: tuple[float, float] = (0.0, 0.0), seed: int = 0, count: int = 400
) -> Tensor:
    """Gaussian blobs moved by ``at``: an image known everywhere by formula, and not periodic."""
    generator = torch.Generator().manual_seed(seed)
    x, y, value, size = torch.rand(4, count, 1, generator=generator, dtype=torch.float64)
    # Spread beyond the frame, so that new content comes in.
    x, y, size = (width + 80) * x - 40 + at[0], (height + 80) * y - 40 + at[1], 1.6 + 3 * size
    across = torch.exp(-0.5 * ((torch.arange(width, dtype=torch.float64) - x) / size) ** 2)
    down = torch.exp(-0.5 * ((torch.arange(height, dtype=torch.float64) - y) / size) ** 2)
    return (0.5 + 0.2 * torch.einsum("nh,nw->hw", down * (value - 0.5), across))[None]


def wave(period: float, at: tuple[float, float], side: int = 128) -> Tensor:
    position = torch.arange(side, dtype=torch.float64)
    across = torch.cos(2 * math.pi * (position - at[0]) / period)
    down = torch.cos(2 * math.pi * (position - at[1]) / period + 1)
    return (0.5 + 0.2 * across[None, :] + 0.2 * down[:, None])[None]


@pytest.mark.parametrize("displacement", DISPLACEMENTS)
def test_registration_is_right_to_a_thousandth(displacement: tuple[float, float]) -> None:
    found = measure_displacement(blobs(96, 117), blobs(96, 117, displacement))
    assert (found - torch.tensor(displacement)).abs().max() < 1e-4


def test_registration_has_no_bias_at_a_hundredth_of_a_pixel() -> None:
    """A gain error of the resampling would show as a share of the displacement, not of a pixel."""
    for cut in (0.1, 0.01):
        found = measure_displacement(blobs(96, 96), blobs(96, 96, (cut, -cut)))
        torch.testing.assert_close(
            found / cut, torch.tensor([1.0, -1.0], dtype=torch.float64), atol=1e-3, rtol=0
        )


def test_single_precision_is_enough_for_frames() -> None:
    found = measure_displacement(blobs(96, 96).float(), blobs(96, 96, (0.01, 0.02)).float())
    assert found.dtype == torch.float32
    assert (found - torch.tensor([0.01, 0.02])).abs().max() < 2e-5


def test_half_precision_frames_are_measured_in_single() -> None:
    found = measure_displacement(blobs(64, 64).bfloat16(), blobs(64, 64, (2, 0)).bfloat16())
    assert found.dtype == torch.float32
    assert (found - torch.tensor([2.0, 0.0])).abs().max() < 0.02


def test_mixed_precision_around_it_changes_nothing() -> None:
    a, b = blobs(64, 64).float(), blobs(64, 64, (0.1, -0.2)).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found, field = measure_displacement(a, b), local_displacement(a, b)
    assert torch.equal(found, measure_displacement(a, b))
    assert torch.equal(field.displacement, local_displacement(a, b).displacement)
    assert not found.requires_grad


def test_products_are_taken_in_float32_whatever_the_settings() -> None:
    """TensorFloat-32, which a training on a GPU may have switched on, has 3 digits."""
    cudnn: Any = torch.backends.cudnn

    def settings(frames: Tensor) -> tuple[bool, str]:
        return cudnn.allow_tf32, torch.get_float32_matmul_precision()

    before = settings(torch.zeros(1))
    try:
        cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("medium")
        assert measured_exactly(settings)(torch.zeros(1)) == (False, "highest")
        assert settings(torch.zeros(1)) == (True, "medium")
    finally:
        cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


@pytest.mark.parametrize("displacement", [(0.1, -0.37), (3.3, 7.8)])
def test_another_implementation_agrees(displacement: tuple[float, float]) -> None:
    a, b = blobs(96, 96), blobs(96, 96, displacement)
    window = np.outer(np.hanning(96), np.hanning(96))
    theirs, *_ = phase_cross_correlation(
        (a[0].numpy() - 0.5) * window, (b[0].numpy() - 0.5) * window, upsample_factor=50, normalization=None
    )
    # The taper, which does not move with the content, pulls theirs toward zero.
    np.testing.assert_allclose(measure_displacement(a, b).numpy(), -theirs[::-1], atol=0.25, rtol=0.05)


def test_noise_adds_scatter_but_no_bias() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = blobs(64, 64).expand(48, 1, 64, 64), blobs(64, 64, (0.3, -0.2)).expand(48, 1, 64, 64)
    noisy = [x + 0.01 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (a, b)]
    found = measure_displacement(*noisy)
    error = found.mean(0) - torch.tensor([0.3, -0.2])
    assert found.std(0).max() > 1e-3
    assert (error.abs() < 4 * found.std(0) / 48**0.5).all()


def test_brightness_and_contrast_are_not_motion() -> None:
    found = measure_displacement(blobs(96, 96), 0.7 * blobs(96, 96, (0.1, 0.2)) + 0.2)
    assert (found - torch.tensor([0.1, 0.2])).abs().max() < 1e-4


def test_one_reference_serves_a_batch_in_colour() -> None:
    colour = torch.tensor([0.9, 1.0, 0.6], dtype=torch.float64)[:, None, None]
    wanted = torch.tensor([[0.0, 0.0], [0.25, -0.5], [4.0, 2.0]])
    moved = torch.stack([blobs(72, 80, tuple(d.tolist())) * colour for d in wanted])
    found = measure_displacement(blobs(72, 80) * colour, moved)
    assert (found - wanted).abs().max() < 1e-3


def test_a_weight_measures_one_of_two_motions() -> None:
    """Left half moves one way, right half another."""
    left, right = (0.4, -0.2), (-1.3, 0.6)
    halves = [
        torch.cat([blobs(96, 96, d)[..., :48], blobs(96, 96, e)[..., 48:]], -1)
        for d, e in (((0, 0),) * 2, (left, right))
    ]
    for columns, wanted in ((slice(8, 36), left), (slice(60, 88), right)):
        weight = torch.zeros(96, 96)
        weight[8:88, columns] = 1
        found = measure_displacement(*halves, weight=weight)
        assert (found - torch.tensor(wanted)).abs().max() < 2e-3


def test_nothing_to_measure_is_not_a_number() -> None:
    flat = torch.full((3, 64, 64), 0.5)
    assert measure_displacement(flat, flat).isnan().all()
    # The content has gone; what came in has nothing to do with it.
    weight = torch.zeros(64, 64)
    weight[20:40, 44:56] = 1
    near = (30.0, 0.0)
    assert (
        measure_displacement(blobs(64, 64), blobs(64, 64, (30, 0)), weight=weight, near=near, limit=2)
        .isnan()
        .all()
    )


@pytest.mark.parametrize("period", [8, 16, 37.3, 64])
@pytest.mark.parametrize("size", [0.01, 0.3, 3.0, 10.0])
def test_phase_is_exact_on_a_sinusoid(period: float, size: float) -> None:
    wanted = (size, -0.6 * size)
    found = measure_displacement(
        wave(period, (0.4, 0.1)), wave(period, (0.4 + size, 0.1 - 0.6 * size)), period=period, near=wanted
    )
    assert (found - torch.tensor(wanted, dtype=torch.float64)).abs().max() < 1e-7


def test_phase_wraps_without_a_hint_and_follows_one() -> None:
    a, b = wave(8, (0, 0)), wave(8, (10, 0))
    assert measure_displacement(a, b, period=8)[0] == pytest.approx(2, abs=1e-9)
    assert measure_displacement(a, b, period=8, near=(9.0, 0.0))[0] == pytest.approx(10, abs=1e-9)


def test_phase_of_a_pattern_along_one_axis() -> None:
    a, b = (wave(16, d)[:, 64:65].expand(1, 128, 128) for d in ((0.0, 0.0), (0.05, 0.0)))
    found = measure_displacement(a, b, period=16)
    assert found[0] == pytest.approx(0.05, abs=1e-9)
    assert found[1].isnan()


def test_both_estimators_agree() -> None:
    a, b = wave(16, (0, 0)), wave(16, (0.07, -0.11))
    torch.testing.assert_close(
        measure_displacement(a, b), measure_displacement(a, b, period=16), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("displacement", [(0.02, -0.01), (0.6, 0.3), (-7.4, 14.6)])
def test_local_displacement_is_right_in_every_window(displacement: tuple[float, float]) -> None:
    found = local_displacement(blobs(128, 128, count=900), blobs(128, 128, displacement, count=900))
    known = found.agreement > 0.9
    # Windows whose content has left are known as such; all others are right.
    assert known.float().mean() > 0.7
    assert (found.displacement - torch.tensor(displacement)).abs()[known].max() < 2e-3
    assert (found.displacement[found.agreement == 0] == 0).all()


def test_local_displacement_tells_two_motions_apart() -> None:
    motions = [(2.0, 0.0), (-5.0, 1.0)]
    rest = torch.cat([blobs(96, 96, count=900)[..., :48], blobs(96, 96, count=900)[..., 48:]], -1)
    moved = torch.cat(
        [blobs(96, 96, motions[0], count=900)[..., :48], blobs(96, 96, motions[1], count=900)[..., 48:]], -1
    )
    found = local_displacement(rest, moved, window=32, stride=8)
    for wanted, columns in zip(
        motions, (found.centre[0, :, 0] < 30, found.centre[0, :, 0] > 68), strict=True
    ):
        assert (
            found.displacement[0, :, columns].median(0).values.median(0).values - torch.tensor(wanted)
        ).abs().max() < 0.05


def test_confidence_wants_texture_in_both_directions() -> None:
    textured = blobs(64, 64, count=1500)
    edge = wave(20, (0, 0), 64)[:, 32:33].expand(1, 64, 64)
    flat = torch.full((1, 64, 64), 0.5, dtype=torch.float64)
    level = [float(local_displacement(x, x).confidence.median()) for x in (textured, edge, flat)]
    assert level[0] > 0.5 > 0.01 > level[1] >= level[2] == 0


def test_windows_are_centred_in_the_frame() -> None:
    centre = local_displacement(blobs(70, 101), blobs(70, 101), window=32, stride=16).centre
    assert (centre[0, 0] + centre[-1, -1] - torch.tensor([100.0, 69.0])).abs().max() <= 1


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("of one size", (torch.zeros(3, 64, 64), torch.zeros(3, 64, 65), {})),
        ("too small", (torch.zeros(3, 12, 64), torch.zeros(3, 12, 64), {})),
        ("channels", (torch.zeros(4, 64, 64), torch.zeros(4, 64, 64), {})),
        ("cannot be compared", (torch.zeros(2, 3, 64, 64), torch.zeros(3, 3, 64, 64), {})),
        ("period along y", (torch.zeros(3, 64, 96), torch.zeros(3, 64, 96), {"period": 80})),
        ("weight", (torch.zeros(3, 64, 64), torch.zeros(3, 64, 64), {"weight": torch.ones(32, 32)})),
        ("nowhere above 0", (torch.rand(3, 64, 64), torch.rand(3, 64, 64), {"weight": torch.zeros(64, 64)})),
        (
            "nowhere above 0",
            (torch.rand(3, 64, 64), torch.rand(3, 64, 64), {"weight": torch.zeros(64, 64), "period": 16}),
        ),
    ],
)
def test_bad_input(message: str, arguments: tuple[Tensor, Tensor, dict[str, object]]) -> None:
    with pytest.raises(InputError, match=message):
        measure_displacement(*arguments[:2], **arguments[2])  # type: ignore[arg-type]


def test_a_frame_smaller_than_a_window() -> None:
    with pytest.raises(InputError, match="smaller than the window of 32 px"):
        local_displacement(torch.zeros(3, 28, 64), torch.zeros(3, 28, 64))
