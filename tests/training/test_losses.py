"""The loss, term by term, against sums written out by hand."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from kornia.metrics import ssim
from torchmetrics.functional.image import structural_similarity_index_measure

from mm.errors import InputError
from mm.training.losses import (
    PaperLoss,
    l1,
    log_l1,
    motion_gain_loss,
    ssim_loss,
)

BY_BAND = partial(motion_gain_loss, by_band=True)
FRAMES = ("xa", "xb", "xb_perturbed", "y_perturbed")


class Constants:
    """A network whose representations of each frame are constant: the frame's value, plus what is set."""

    def __init__(
        self, texture: dict[str, float] | None = None, shape: dict[str, float] | None = None
    ) -> None:
        self.texture, self.shape = texture or {}, shape or {}

    def encode(self, frames: torch.Tensor, shapes: int) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(frames) // 4

        def constant(values: dict[str, float]) -> torch.Tensor:
            each = torch.tensor([values.get(name, 0.0) for name in FRAMES]).repeat_interleave(count)
            return each.view(-1, 1, 1, 1).expand(-1, 3, 4, 5)

        return constant(self.texture), constant(self.shape)[:shapes]

    def manipulate(self, a: torch.Tensor, b: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        return b

    def decode(self, texture: torch.Tensor, shape: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.full((len(texture), 3, *size), 0.25)


def batch_of(y: float = 0.25) -> dict[str, torch.Tensor]:
    frames = {name: torch.zeros(2, 3, 8, 10) for name in FRAMES}
    return {**frames, "y": torch.full((2, 3, 8, 10), y), "factor": torch.ones(2)}


def test_l1_by_hand():
    prediction = torch.tensor([0.1, 0.5, 0.9, 1.2]).view(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([0.2, 0.5, 0.4, 1.0]).view(1, 1, 2, 2)
    value = l1(prediction, target)
    assert value.item() == pytest.approx((0.1 + 0.0 + 0.5 + 0.2) / 4)
    value.backward()
    assert prediction.grad.flatten().tolist() == [-0.25, 0, 0.25, 0.25]
    # A mean over a million values is beyond bf16's 8 bits.
    half = torch.full((1, 1, 1000, 1000), 0.5, dtype=torch.bfloat16)
    assert l1(half, half.float() + 2**-9) == pytest.approx(2**-9)


@pytest.mark.parametrize(
    ("kind", "one", "other", "term"),
    [
        ("texture", "xa", "xb", "texture"),
        ("texture", "xb_perturbed", "y_perturbed", "texture_perturbed"),
        ("shape", "xb", "xb_perturbed", "shape"),
    ],
)
def test_each_term_compares_its_two_representations(kind, one, other, term):
    for changed, expected in (({one: 0.5}, 0.5), ({other: 0.5}, 0.5), ({one: 0.5, other: -0.25}, 0.75)):
        terms = PaperLoss()(Constants(**{kind: changed}), batch_of())
        assert terms.pop(term) == pytest.approx(expected)
        assert all(value == 0 for value in terms.values())


def test_total_of_the_paper():
    """L1 of the image, and a tenth of the three other terms (paper, section 3.3)."""
    network = Constants({"xa": 2.0, "xb_perturbed": 3.0}, {"xb": 4.0})
    loss = PaperLoss()
    assert loss.total(loss(network, batch_of(y=1.25))) == pytest.approx(1 + 0.1 * (2 + 3 + 4))


@pytest.mark.parametrize("name", ["ssim", "motion_gain"])
def test_a_weight_counts_its_own_term(name):
    loss = PaperLoss(**{name: 2.0})
    terms = {each: torch.tensor(float(place)) for place, each in enumerate(loss.names)}
    others = PaperLoss().total(terms)
    assert loss.total(terms) == pytest.approx(others + 2 * terms[name])


def test_log_l1_takes_the_place_of_l1_which_is_logged():
    loss = PaperLoss(weight=0.0, image="log")
    assert loss.names == ("image", "image_log")
    assert loss.total({"image": torch.tensor(0.5), "image_log": torch.tensor(0.25)}) == 0.25


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ({"ssim": float("nan")}, "ssim must be at least 0, got nan"),
        ({"motion_gain": -1.0}, "motion_gain must be at least 0, got -1"),
        ({"image": "l2"}, "image must be l1 or log, got 'l2'"),
        ({"by_band": True}, "motion_gain"),
    ],
)
def test_values_out_of_range(options, said):
    with pytest.raises(InputError, match=said):
        PaperLoss(**options)


def test_log_l1_by_hand():
    """Samples with errors 0.003 and 0.27: 0.03 · (log 2 + log 91) / 2."""
    target = torch.full((2, 3, 4, 4), 0.5)
    prediction = target + torch.tensor([0.003, -0.27]).view(2, 1, 1, 1)
    assert log_l1(prediction, target) == pytest.approx(0.03 * (math.log(2) + math.log(91)) / 2, rel=1e-4)
    assert log_l1(target, target) == 0


def test_log_l1_weighs_samples_by_their_own_error():
    """At an error of 0.027 the gradient is L1's, at 0.003 five times that, at 0.297 a tenth."""
    errors = torch.tensor([0.027, 0.003, 0.297])
    prediction = errors.view(3, 1, 1, 1).expand(3, 3, 4, 4).clone().requires_grad_()
    log_l1(prediction, torch.zeros(3, 3, 4, 4)).backward()
    of_l1 = 1 / prediction.numel()
    assert prediction.grad[:, 0, 0, 0] / of_l1 == pytest.approx([1.0, 5.0, 0.1], rel=1e-4)


def test_log_l1_is_finite_in_half_precision():
    prediction = torch.zeros(2, 3, 8, 8, dtype=torch.bfloat16, requires_grad=True)
    value = log_l1(prediction, torch.zeros(2, 3, 8, 8))
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad.isfinite().all()


def test_ssim_loss_is_that_of_another_implementation():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 24, 40, generator=generator)
    prediction = target.lerp(torch.rand(2, 3, 24, 40, generator=generator), 0.3)
    expected = 1 - structural_similarity_index_measure(prediction, target, data_range=1.0)
    assert ssim_loss(prediction, target) == pytest.approx(float(expected), abs=2e-5)
    assert ssim_loss(target, target) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", [ssim_loss, motion_gain_loss, BY_BAND])
def test_nothing_is_copied_to_the_device(term, monkeypatch):
    """A tensor of Python numbers that is made on a device is copied there, which waits for all other work."""
    frames = torch.rand(4, 1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    arguments = frames[: 2 if term is ssim_loss else 4]
    made, real = [], torch.tensor

    def note(*args, **kwargs):
        made.append(kwargs.get("device"))
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "tensor", note)
    ssim(*frames[:2], 11)
    assert any(made)  # what it is for
    made.clear()
    assert term(*arguments) >= 0
    assert not any(made)


def test_ssim_loss_sees_the_blur_that_l1_hardly_sees():
    """A faint grating against its mean, and against itself shifted in brightness by as much in L1."""
    x = torch.arange(48.0)
    target = (0.5 + 0.02 * torch.sin(2 * math.pi * x / 6)).expand(1, 3, 48, 48)
    flat = torch.full_like(target, 0.5)
    brighter = target + (flat - target).abs().mean()
    assert ssim_loss(flat, target) > 10 * ssim_loss(brighter, target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ssim_loss_s_gradient_is_finite_also_where_nothing_is_there(dtype):
    prediction = torch.zeros(1, 3, 16, 16, dtype=dtype, requires_grad=True)
    value = ssim_loss(prediction, torch.zeros(1, 3, 16, 16))
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad.isfinite().all()


def moved_grating(shift: float, *, period: float = 24.0, contrast: float = 0.3) -> torch.Tensor:
    """A grating (1, 3, 64, 96) that lies ``shift`` px to the right."""
    x = torch.arange(96.0)
    return (0.5 + contrast * torch.sin(2 * math.pi * (x - shift) / period)).expand(1, 3, 64, 96)


def gain_of(
    output: torch.Tensor, target: torch.Tensor, reference: torch.Tensor, noise: float = 0.0
) -> torch.Tensor:
    """The term, where the network saw the reference with some noise."""
    seen = reference + noise * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    return motion_gain_loss(output, target, seen, target - reference)


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.9, 1.1])
@pytest.mark.parametrize("noise", [0.0, 0.5 / 255])
def test_gain_is_how_far_the_gain_is_from_1(gain, noise):
    """A grating that should move by 0.3 px moves by a part of it."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    value = gain_of(moved_grating(gain * 0.3), target, reference, noise)
    assert value == pytest.approx(abs(gain - 1), rel=0.05)


def test_gain_sees_the_bias_and_not_the_scatter():
    """Two outputs as far from the truth: one moved by half as far, one moved right and noisy."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    short = moved_grating(0.15)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    noisy = target + noise * (short - target).square().mean().sqrt()
    assert float(gain_of(short, target, reference)) == pytest.approx(0.5, rel=0.05)
    assert gain_of(noisy, target, reference) < 0.05


def test_noise_of_the_reference_in_the_output_is_no_motion():
    """Nor the lack of it: what moves half as far costs as much with the noise that the network saw."""
    reference, target, short = moved_grating(0.0), moved_grating(0.3), moved_grating(0.15)
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    plain = float(motion_gain_loss(short, target, reference + noise, target - reference))
    for part in (-1.0, -0.3, 0.3, 1.0):
        value = motion_gain_loss(short + part * noise, target, reference + noise, target - reference)
        assert value == pytest.approx(plain, rel=0.2)
    # As much as the change is above the noise: 2.9e-4 of 2.9e-4 + 4e-4.
    assert plain == pytest.approx(0.5 * 2.9 / 6.9, rel=0.1)


def test_noise_of_the_target_is_no_motion():
    reference, target = moved_grating(0.0), moved_grating(0.3)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)) / 255
    value = motion_gain_loss(moved_grating(0.15), target + noise, reference, target - reference)
    assert value == pytest.approx(0.5, rel=0.1)


def test_gain_counts_a_change_of_a_fifth_of_a_grey_level_by_half():
    """Nothing of it shown is an error of all of it, which the floor, as large as the change, halves."""
    still = moved_grating(0.0, period=64.0)
    change = torch.full_like(still, 0.2 / 255)
    missed = motion_gain_loss(still, still + change, still, change)
    assert float(missed) == pytest.approx(0.5, rel=0.01)


def test_gain_leaves_alone_what_is_no_small_motion():
    """Nothing moves; half a period, of which no gain can be read; a change far below a grey level."""
    reference = moved_grating(0.0)
    output = reference + 0.01
    assert gain_of(output, reference, reference, noise=0.02) == 0
    assert gain_of(output, moved_grating(12.0), reference) == 0
    assert gain_of(reference, moved_grating(0.002), reference) < 0.02


@pytest.mark.parametrize("period", [2.5, 3.0, 4.0, 24.0])
def test_gain_leaves_alone_motion_by_half_a_period(period):
    position = torch.arange(96.0).expand(1, 3, 64, 96)
    reference, target = (
        0.5 + 0.1 * torch.cos(2 * torch.pi * (position - by) / period) for by in (0, period / 2)
    )
    assert gain_of(reference, target, reference) < 0.01


def test_gain_of_a_window_that_does_not_change_is_not_its_neighbours():
    """Change in the last columns alone; the output is wrong where nothing should change."""
    reference = torch.full((1, 3, 64, 64), 0.5)
    target, output = reference.clone(), reference.clone()
    # What is near enough to be in the windows of the right half has its blur in the left ones.
    target[..., 32:48] += 0.2
    output[..., 32:48] += 0.2
    output[..., :32] += 0.01
    assert gain_of(output, target, reference) < 0.02


def test_gain_does_not_make_up_for_detail_that_is_not_shown():
    """A coarse grating that moves right is right, though fine texture moves too and is not shown at all."""
    fine = 0.05 * torch.cos(2 * torch.pi * 0.4 * torch.arange(96.0)).expand(1, 3, 64, 96)
    turned = 0.05 * torch.cos(2 * torch.pi * 0.4 * (torch.arange(96.0) - 0.3)).expand(1, 3, 64, 96)
    reference, target = moved_grating(0.0) + fine, moved_grating(0.3) + turned
    change = target - reference
    # Most of the change is the texture's.
    assert (turned - fine).square().mean() > 0.5 * change.square().mean()
    right, too_far = (gain_of(moved_grating(by) + fine, target, reference) for by in (0.3, 0.45))
    assert right < 0.15
    assert too_far > 0.3


def test_gain_takes_each_window_by_itself():
    """The left half moves too little and the right half too far: they do not cancel."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = torch.cat([moved_grating(0.15)[..., :48], moved_grating(0.45)[..., 48:]], dim=-1)
    # Only the middle one of five columns of windows sees both.
    assert gain_of(output, target, reference) == pytest.approx(0.5 * 4 / 5, rel=0.1)


def test_gain_is_bounded_where_an_output_is_nothing_like_the_truth():
    assert gain_of(moved_grating(-30.0), moved_grating(0.3), moved_grating(0.0)) <= 2


def test_gain_pulls_towards_the_truth():
    """Where a motion is too short, its gradient is against the change."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = moved_grating(0.15).clone().requires_grad_()
    gain_of(output, target, reference).backward()
    assert (output.grad * (target - reference)).sum() < 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(64, 64), (20, 12)])
def test_gain_s_gradient_is_finite_also_where_nothing_is_there(dtype, size):
    prediction = torch.zeros(2, 3, *size, dtype=dtype, requires_grad=True)
    nothing = torch.zeros(2, 3, *size)
    value = motion_gain_loss(prediction, nothing, nothing, nothing)
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_gain_under_autocast_is_that_of_32_bit(gain):
    """A change of an eighth of a grey level would be lost in bfloat16's 8 bits beside 0.5."""
    reference, target = moved_grating(0.0, contrast=0.1), moved_grating(0.02, contrast=0.1)
    output = moved_grating(gain * 0.02, contrast=0.1)
    plain = gain_of(output, target, reference)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = gain_of(output, target, reference)
    assert mixed.dtype == torch.float32
    assert plain > 0.002
    assert mixed == pytest.approx(float(plain), rel=1e-4)


def by_band(output: torch.Tensor, target: torch.Tensor, reference: torch.Tensor) -> float:
    return float(BY_BAND(output, target, reference, target - reference))


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.9, 1.1])
def test_gain_by_band_is_how_far_the_gain_is_from_1(gain):
    reference, target = moved_grating(0.0), moved_grating(0.3)
    assert by_band(moved_grating(gain * 0.3), target, reference) == pytest.approx(abs(gain - 1), rel=0.05)


def test_gain_by_band_does_not_offset_coarse_detail_by_fine():
    """Coarse detail moves too far, fine detail of as much change too little: as a whole, it is right."""

    def seen(shift: float, by_coarse: float = 1.0, by_fine: float = 1.0) -> torch.Tensor:
        broad = moved_grating(by_coarse * shift, period=32.0, contrast=0.2)
        return broad + moved_grating(by_fine * shift, period=8.0, contrast=0.05) - 0.5

    reference, target = seen(0.0), seen(0.3)
    offset = seen(0.3, by_coarse=1.2, by_fine=0.6)
    assert gain_of(offset, target, reference) < 0.06
    assert by_band(offset, target, reference) > 0.12
    assert by_band(target, target, reference) == 0


def test_gain_by_band_leaves_alone_what_cannot_be_told():
    """Nothing moves; half a period, of which no gain can be read; and what is below the noise, by as much."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    assert by_band(reference + 0.01, reference, reference) == 0
    assert by_band(reference, moved_grating(12.0), reference) == 0
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    hidden = float(BY_BAND(moved_grating(0.15), target, reference + noise, target - reference))
    # A grating's change is in its bands whole, white noise by its share alone: more is left.
    assert 0.5 * 2.9 / 6.9 < hidden < 0.49


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gain_by_band_has_a_finite_gradient_towards_the_truth(dtype):
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = moved_grating(0.15).to(dtype).clone().requires_grad_()
    BY_BAND(output, target, reference, target - reference).backward()
    assert (output.grad.float() * (target - reference)).sum() < 0
    nothing = torch.zeros(2, 3, 20, 12)
    prediction = nothing.to(dtype).requires_grad_()
    BY_BAND(prediction, nothing, nothing, nothing).backward()
    assert prediction.grad.isfinite().all()
