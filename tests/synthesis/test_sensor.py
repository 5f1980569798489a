"""Photon noise and stochastic rounding."""

from __future__ import annotations

import pytest
import torch

from mm.synthesis.sensor import photon_noise, quantise


def test_variance_is_proportional_to_the_value() -> None:
    torch.manual_seed(0)
    values = torch.tensor([0.05, 0.25, 0.5, 0.8])
    strength = torch.tensor([0.004, 0.012])
    frames = values[None, :, None].expand(2, 4, 50000)
    noise = photon_noise(frames, strength, torch.randn(2, 4, 50000)) - frames
    assert noise.mean(-1).abs().max() < 3e-4
    # At mid-grey the strength is the standard deviation.
    expected = strength[:, None] ** 2 * values / 0.5
    assert (noise.var(-1) / expected - 1).abs().max() < 0.03


def test_black_has_no_noise() -> None:
    black = torch.tensor([[0.0, -1e-3]])
    assert torch.equal(photon_noise(black, torch.tensor([0.1]), torch.ones(1, 2)), black)


def test_value_between_two_steps_becomes_the_upper_as_often_as_it_is_near() -> None:
    torch.manual_seed(0)
    levels = quantise(torch.full((100000,), 102.3 / 255), torch.rand(100000)) * 255
    upper = levels.round() == 103
    assert ((levels - levels.round()).abs() < 1e-4).all()
    assert (upper | (levels.round() == 102)).all()
    assert float(upper.float().mean()) == pytest.approx(0.3, abs=0.006)


@pytest.mark.parametrize("value", [0, 1, 102, 254, 255])
def test_a_step_stays_itself(value: int) -> None:
    uniform = torch.tensor([0.0, 0.5, 1 - 2.0**-24])
    levels = quantise(torch.full((3,), value / 255), uniform) * 255
    # 1/255 · 255 is a rounding error off a whole number for some values, which may show at the very ends.
    assert (levels[1] - value).abs() < 1e-4
    assert ((levels - value).abs() < 1 + 1e-4).all()
    assert levels.max() <= 255


def test_what_is_out_of_range_is_clamped() -> None:
    levels = quantise(torch.tensor([-0.2, 1.3]), torch.tensor([0.99, 0.99]))
    assert levels.tolist() == [0.0, 1.0]
