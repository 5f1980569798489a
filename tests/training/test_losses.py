"""The loss, term by term, against sums written out by hand, and the learning rate's course."""

from __future__ import annotations

import math

import pytest
import torch
from kornia.metrics import ssim
from torchmetrics.functional.image import structural_similarity_index_measure

from mm.training.losses import (
    PAPER_WEIGHT,
    Representations,
    amplitude,
    amplitude_by_band,
    coarse,
    log_l1,
    loss_terms,
    mean_square,
    structure,
    total_loss,
)
from mm.training.schedule import rate_fraction


def features(**changed: float) -> Representations:
    """Representations that are all 0 but for the named, which are constant."""
    shape = {"texture": (2, 3, 4, 5), "shape_b": (2, 3, 8, 10)}
    values = {
        name: torch.full(shape["shape_b" if name.startswith("shape") else "texture"], changed.get(name, 0.0))
        for name in Representations._fields
    }
    return Representations(**values)


def test_image_term_by_hand():
    prediction = torch.tensor([0.1, 0.5, 0.9, 1.2]).view(1, 1, 2, 2)
    target = torch.tensor([0.2, 0.5, 0.4, 1.0]).view(1, 1, 2, 2)
    terms = loss_terms(prediction, target, features())
    assert terms["image"] == pytest.approx((0.1 + 0.0 + 0.5 + 0.2) / 4)


@pytest.mark.parametrize(
    ("one", "other", "term"),
    [
        ("texture_a", "texture_b", "texture"),
        ("texture_b_perturbed", "texture_y_perturbed", "texture_perturbed"),
        ("shape_b", "shape_b_perturbed", "shape"),
    ],
)
def test_each_term_compares_its_two_representations(one, other, term):
    image = torch.zeros(2, 3, 8, 10)
    for changed, expected in (({one: 0.5}, 0.5), ({other: 0.5}, 0.5), ({one: 0.5, other: -0.25}, 0.75)):
        terms = loss_terms(image, image, features(**changed))
        assert terms.pop(term) == pytest.approx(expected)
        assert all(value == 0 for value in terms.values())


def test_total_weighs_all_but_the_image():
    terms = {
        "image": torch.tensor(1.0),
        "texture": torch.tensor(2.0),
        "texture_perturbed": torch.tensor(3.0),
        "shape": torch.tensor(4.0),
    }
    assert PAPER_WEIGHT == 0.1
    assert total_loss(terms) == pytest.approx(1 + 0.1 * (2 + 3 + 4))
    assert total_loss(terms, 0.0) == 1


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


def test_mean_square_by_hand():
    prediction = torch.tensor([0.1, 0.5, 0.9, 1.2]).view(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([0.2, 0.5, 0.4, 1.0]).view(1, 1, 2, 2)
    assert float(mean_square(prediction, target).detach()) == pytest.approx(15 * (0.01 + 0.25 + 0.04) / 4)
    # As steep as L1 where the difference is 1/30.
    mean_square(prediction, prediction.detach() - 1 / 30).backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([0.25] * 4)


def test_structure_is_that_of_another_implementation():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 24, 40, generator=generator)
    prediction = target.lerp(torch.rand(2, 3, 24, 40, generator=generator), 0.3)
    expected = 1 - structural_similarity_index_measure(prediction, target, data_range=1.0)
    assert structure(prediction, target) == pytest.approx(float(expected), abs=2e-5)
    assert structure(target, target) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", [structure, coarse, amplitude, amplitude_by_band])
def test_nothing_is_copied_to_the_device(term, monkeypatch):
    """A tensor of Python numbers that is made on a device is copied there, which waits for all other work."""
    frames = torch.rand(4, 1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    arguments = frames[: 4 if term in (amplitude, amplitude_by_band) else 2]
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


def test_structure_sees_the_blur_that_l1_hardly_sees():
    """A faint grating against its mean, and against itself shifted in brightness by as much in L1."""
    x = torch.arange(48.0)
    target = (0.5 + 0.02 * torch.sin(2 * math.pi * x / 6)).expand(1, 3, 48, 48)
    flat = torch.full_like(target, 0.5)
    brighter = target + (flat - target).abs().mean()
    assert structure(flat, target) > 10 * structure(brighter, target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_structure_s_gradient_is_finite_also_where_nothing_is_there(dtype):
    prediction = torch.zeros(1, 3, 16, 16, dtype=dtype, requires_grad=True)
    value = structure(prediction, torch.zeros(1, 3, 16, 16))
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("size", [(32, 48), (37, 51), (10, 9)])
def test_coarse_by_hand(size):
    torch.manual_seed(0)
    prediction, target = torch.rand(2, 3, *size), torch.rand(2, 3, *size)
    expected = []
    for side in (min(side, *size) for side in (4, 8, 16)):
        for sample in (prediction - target).numpy().astype("float64"):
            sums = [
                abs(sample[:, top : top + side, left : left + side].mean(axis=(1, 2))).mean()
                for top in range(0, size[0] - side + 1, side)
                for left in range(0, size[1] - side + 1, side)
            ]
            expected.append(sum(sums) / len(sums))
    assert float(coarse(prediction, target)) == pytest.approx(sum(expected) / len(expected), rel=1e-5)


@pytest.mark.parametrize("period", [4.0, 5.0, 6.0, 7.0, 9.0])
def test_coarse_tells_far_from_near_better_than_l1(period):
    """Fine stripes on a faint wave of 96 px, shown short by 24 px, and by less than a period."""

    def scene(short: float) -> torch.Tensor:
        x = torch.arange(192.0) + short
        wave = 0.5 + 0.06 * torch.sin(2 * math.pi * x / 96) + 0.2 * torch.sin(2 * math.pi * x / period)
        return wave.expand(1, 3, 64, 192)

    def ratio(term) -> float:
        # The mean over a stripe's period: where in it the stripes are must not decide.
        far, near = (
            sum(float(term(scene(short + period * part / 8), scene(0))) for part in range(8)) / 8
            for short in (24.0, 0.0)
        )
        return far / near

    l1 = ratio(lambda prediction, target: loss_terms(prediction, target, None)["image"])
    assert l1 < 1.15
    assert ratio(coarse) > 1.5


def test_coarse_does_not_see_fine_detail():
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 1.0
    target = torch.full((1, 3, 32, 32), 0.5)
    assert float(coarse(board.expand(1, 3, -1, -1), target)) == pytest.approx(0, abs=1e-6)
    assert float(loss_terms(board.expand(1, 3, -1, -1), target, None)["image"]) == pytest.approx(0.5)


def moved_grating(shift: float, *, period: float = 24.0, contrast: float = 0.3) -> torch.Tensor:
    """A grating (1, 3, 64, 96) that lies ``shift`` px to the right."""
    x = torch.arange(96.0)
    return (0.5 + contrast * torch.sin(2 * math.pi * (x - shift) / period)).expand(1, 3, 64, 96)


def amplitude_of(
    output: torch.Tensor, target: torch.Tensor, reference: torch.Tensor, noise: float = 0.0
) -> torch.Tensor:
    """The term, where the network saw the reference with some noise."""
    seen = reference + noise * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    return amplitude(output, target, seen, target - reference)


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.9, 1.1])
@pytest.mark.parametrize("noise", [0.0, 0.5 / 255])
def test_amplitude_is_how_far_the_gain_is_from_1(gain, noise):
    """A grating that should move by 0.3 px moves by a part of it."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    value = amplitude_of(moved_grating(gain * 0.3), target, reference, noise)
    assert value == pytest.approx(abs(gain - 1), rel=0.05)


def test_amplitude_sees_the_bias_and_not_the_scatter():
    """Two outputs as far from the truth: one moved by half as far, one moved right and noisy."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    short = moved_grating(0.15)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    noisy = target + noise * (short - target).square().mean().sqrt()
    assert float(amplitude_of(short, target, reference)) == pytest.approx(0.5, rel=0.05)
    assert amplitude_of(noisy, target, reference) < 0.05


def test_noise_of_the_reference_in_the_output_is_no_motion():
    """Nor the lack of it: what moves half as far costs as much with the noise that the network saw."""
    reference, target, short = moved_grating(0.0), moved_grating(0.3), moved_grating(0.15)
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    plain = float(amplitude(short, target, reference + noise, target - reference))
    for part in (-1.0, -0.3, 0.3, 1.0):
        value = amplitude(short + part * noise, target, reference + noise, target - reference)
        assert value == pytest.approx(plain, rel=0.2)
    # As much as the change is above the noise: 2.9e-4 of 2.9e-4 + 4e-4.
    assert plain == pytest.approx(0.5 * 2.9 / 6.9, rel=0.1)


def test_noise_of_the_target_is_no_motion():
    reference, target = moved_grating(0.0), moved_grating(0.3)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)) / 255
    value = amplitude(moved_grating(0.15), target + noise, reference, target - reference)
    assert value == pytest.approx(0.5, rel=0.1)


def test_amplitude_counts_a_change_of_a_fifth_of_a_grey_level_by_half():
    """Nothing of it shown is an error of all of it, which the floor, as large as the change, halves."""
    still = moved_grating(0.0, period=64.0)
    change = torch.full_like(still, 0.2 / 255)
    missed = amplitude(still, still + change, still, change)
    assert float(missed) == pytest.approx(0.5, rel=0.01)


def test_amplitude_leaves_alone_what_is_no_small_motion():
    """Nothing moves; half a period, of which no gain can be read; a change far below a grey level."""
    reference = moved_grating(0.0)
    output = reference + 0.01
    assert amplitude_of(output, reference, reference, noise=0.02) == 0
    assert amplitude_of(output, moved_grating(12.0), reference) == 0
    assert amplitude_of(reference, moved_grating(0.002), reference) < 0.02


@pytest.mark.parametrize("period", [2.5, 3.0, 4.0, 24.0])
def test_amplitude_leaves_alone_motion_by_half_a_period(period):
    position = torch.arange(96.0).expand(1, 3, 64, 96)
    reference, target = (
        0.5 + 0.1 * torch.cos(2 * torch.pi * (position - by) / period) for by in (0, period / 2)
    )
    assert amplitude_of(reference, target, reference) < 0.01


def test_amplitude_of_a_window_that_does_not_change_is_not_its_neighbours():
    """Change in the last columns alone; the output is wrong where nothing should change."""
    reference = torch.full((1, 3, 64, 64), 0.5)
    target, output = reference.clone(), reference.clone()
    # What is near enough to be in the windows of the right half has its blur in the left ones.
    target[..., 32:48] += 0.2
    output[..., 32:48] += 0.2
    output[..., :32] += 0.01
    assert amplitude_of(output, target, reference) < 0.02


def test_amplitude_does_not_make_up_for_detail_that_is_not_shown():
    """A coarse grating that moves right is right, though fine texture moves too and is not shown at all."""
    fine = 0.05 * torch.cos(2 * torch.pi * 0.4 * torch.arange(96.0)).expand(1, 3, 64, 96)
    turned = 0.05 * torch.cos(2 * torch.pi * 0.4 * (torch.arange(96.0) - 0.3)).expand(1, 3, 64, 96)
    reference, target = moved_grating(0.0) + fine, moved_grating(0.3) + turned
    change = target - reference
    # Most of the change is the texture's.
    assert (turned - fine).square().mean() > 0.5 * change.square().mean()
    right, too_far = (amplitude_of(moved_grating(by) + fine, target, reference) for by in (0.3, 0.45))
    assert right < 0.15
    assert too_far > 0.3


def test_amplitude_takes_each_window_by_itself():
    """The left half moves too little and the right half too far: they do not cancel."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = torch.cat([moved_grating(0.15)[..., :48], moved_grating(0.45)[..., 48:]], dim=-1)
    # Only the middle one of five columns of windows sees both.
    assert amplitude_of(output, target, reference) == pytest.approx(0.5 * 4 / 5, rel=0.1)


def test_amplitude_is_bounded_where_an_output_is_nothing_like_the_truth():
    assert amplitude_of(moved_grating(-30.0), moved_grating(0.3), moved_grating(0.0)) <= 2


def test_amplitude_pulls_towards_the_truth():
    """Where a motion is too short, its gradient is against the change."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = moved_grating(0.15).clone().requires_grad_()
    amplitude_of(output, target, reference).backward()
    assert (output.grad * (target - reference)).sum() < 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(64, 64), (20, 12)])
def test_amplitude_s_gradient_is_finite_also_where_nothing_is_there(dtype, size):
    prediction = torch.zeros(2, 3, *size, dtype=dtype, requires_grad=True)
    nothing = torch.zeros(2, 3, *size)
    value = amplitude(prediction, nothing, nothing, nothing)
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_amplitude_under_autocast_is_that_of_32_bit(gain):
    """A change of an eighth of a grey level would be lost in bfloat16's 8 bits beside 0.5."""
    reference, target = moved_grating(0.0, contrast=0.1), moved_grating(0.02, contrast=0.1)
    output = moved_grating(gain * 0.02, contrast=0.1)
    plain = amplitude_of(output, target, reference)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = amplitude_of(output, target, reference)
    assert mixed.dtype == torch.float32
    assert plain > 0.002
    assert mixed == pytest.approx(float(plain), rel=1e-4)


def by_band(output: torch.Tensor, target: torch.Tensor, reference: torch.Tensor) -> float:
    return float(amplitude_by_band(output, target, reference, target - reference))


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.9, 1.1])
def test_amplitude_by_band_is_how_far_the_gain_is_from_1(gain):
    reference, target = moved_grating(0.0), moved_grating(0.3)
    assert by_band(moved_grating(gain * 0.3), target, reference) == pytest.approx(abs(gain - 1), rel=0.05)


def test_amplitude_by_band_does_not_offset_coarse_detail_by_fine():
    """Coarse detail moves too far, fine detail of as much change too little: as a whole, it is right."""

    def seen(shift: float, by_coarse: float = 1.0, by_fine: float = 1.0) -> torch.Tensor:
        broad = moved_grating(by_coarse * shift, period=32.0, contrast=0.2)
        return broad + moved_grating(by_fine * shift, period=8.0, contrast=0.05) - 0.5

    reference, target = seen(0.0), seen(0.3)
    offset = seen(0.3, by_coarse=1.2, by_fine=0.6)
    assert amplitude_of(offset, target, reference) < 0.06
    assert by_band(offset, target, reference) > 0.12
    assert by_band(target, target, reference) == 0


def test_amplitude_by_band_leaves_alone_what_cannot_be_told():
    """Nothing moves; half a period, of which no gain can be read; and what is below the noise, by as much."""
    reference, target = moved_grating(0.0), moved_grating(0.3)
    assert by_band(reference + 0.01, reference, reference) == 0
    assert by_band(reference, moved_grating(12.0), reference) == 0
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    hidden = float(amplitude_by_band(moved_grating(0.15), target, reference + noise, target - reference))
    # A grating's change is in its bands whole, white noise by its share alone: more is left.
    assert 0.5 * 2.9 / 6.9 < hidden < 0.49


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_amplitude_by_band_has_a_finite_gradient_towards_the_truth(dtype):
    reference, target = moved_grating(0.0), moved_grating(0.3)
    output = moved_grating(0.15).to(dtype).clone().requires_grad_()
    amplitude_by_band(output, target, reference, target - reference).backward()
    assert (output.grad.float() * (target - reference)).sum() < 0
    nothing = torch.zeros(2, 3, 20, 12)
    prediction = nothing.to(dtype).requires_grad_()
    amplitude_by_band(prediction, nothing, nothing, nothing).backward()
    assert prediction.grad.isfinite().all()


def test_total_weighs_amplitude_on_its_own():
    terms = {"image": torch.tensor(1.0), "texture": torch.tensor(2.0), "amplitude": torch.tensor(0.5)}
    assert total_loss(terms, 0.1, amplitude_weight=0.4) == pytest.approx(1 + 0.1 * 2 + 0.4 * 0.5)


def test_total_weighs_coarse_on_its_own():
    terms = {"image": torch.tensor(0.5), "texture": torch.tensor(1.0), "coarse": torch.tensor(0.25)}
    assert float(total_loss(terms, weight=0.1, coarse_weight=2.0)) == pytest.approx(0.5 + 0.1 + 0.5)
    assert float(total_loss(terms, weight=0.1)) == pytest.approx(0.6)


def test_total_weighs_structure_on_its_own():
    terms = {"image": torch.tensor(1.0), "texture": torch.tensor(2.0), "structure": torch.tensor(0.5)}
    assert total_loss(terms, 0.1, 0.4) == pytest.approx(1 + 0.1 * 2 + 0.4 * 0.5)


def test_log_l1_takes_the_place_of_l1():
    terms = {"image": torch.tensor(1.0), "texture": torch.tensor(2.0), "image_log": torch.tensor(0.25)}
    assert total_loss(terms, 0.1) == pytest.approx(0.25 + 0.1 * 2)


def test_terms_are_float32_in_half_precision():
    """1000 differences of 1/512 beside 0.75: in bf16 the sum would stand still, and 0.75 + 1/512 be 0.75."""
    target = torch.full((1, 1, 25, 40), 0.75)
    prediction = (target + 2**-8).bfloat16()
    terms = loss_terms(prediction, target, features())
    assert terms["image"].dtype == torch.float32
    assert terms["image"] == pytest.approx(2**-8)
    assert loss_terms(prediction, target + 2**-9, features())["image"] == pytest.approx(2**-9)


def test_gradient_is_the_sign_over_the_count():
    prediction = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2).requires_grad_()
    loss_terms(prediction, torch.full((1, 1, 1, 2), 0.5), features())["image"].backward()
    assert prediction.grad.flatten().tolist() == [-0.5, 0.5]


def test_constant_rate_after_warmup():
    rates = [rate_fraction(step, "constant", warmup_steps=4) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_rate():
    def rate(step: int) -> float:
        return rate_fraction(step, "cosine", warmup_steps=10, total_steps=110, final_fraction=0.2)

    assert rate(10) == 1
    assert rate(60) == pytest.approx(0.6)
    assert rate(35) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert rate(110) == rate(500) == pytest.approx(0.2)
