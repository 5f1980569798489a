"""How large motions are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from mm.errors import InputError
from mm.synthesis import MotionLimits, TravellingWave
from mm.synthesis.limits import measure_field


def draws(limits: MotionLimits, count: int = 40000) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors, and input motions of fields that are nowhere steep."""
    torch.manual_seed(0)
    factor = limits.factor(torch.rand(count))
    peak = torch.rand(count) * 5 + 0.1
    return factor, limits.amplitude(torch.rand(count), factor, peak, torch.zeros(count)) * peak


def share(values: torch.Tensor, low: float, high: float) -> float:
    return float(((values >= low) & (values < high)).float().mean())


@pytest.mark.parametrize("distribution", ["log-uniform", "uniform"])
def test_limits_hold(distribution: str) -> None:
    limits = MotionLimits(distribution=distribution)
    factor, motion = draws(limits)
    assert factor.min() >= 1
    assert factor.max() <= 100.001
    assert motion.min() >= 0.00999
    assert motion.max() <= 10.001
    assert (factor * motion).max() <= 30.01


def test_small_motions_and_large_factors_are_well_covered() -> None:
    factor, motion = draws(MotionLimits())
    for low, high in ((1, 3.16), (3.16, 10), (10, 31.6), (31.6, 101)):
        assert share(factor, low, high) == pytest.approx(0.25, abs=0.02)
    for low, high in ((0.0099, 0.03), (0.03, 0.1), (0.1, 0.3), (0.3, 1)):
        assert share(motion, low, high) > 0.15
    assert share(motion, 1, 11) > 0.15
    for low, high in ((0.1, 1), (1, 3), (3, 10), (10, 31)):
        assert share(factor * motion, low, high) > 0.15
    assert motion[factor >= 10].median() < 0.1


def test_a_steep_field_moves_less() -> None:
    limits = MotionLimits(max_gradient=0.25)
    n = 1000
    factor, peak, gradient = torch.full((n,), 10.0), torch.full((n,), 4.0), torch.full((n,), 1.0)
    gain = limits.amplitude(torch.linspace(0, 0.999, n), factor, peak, gradient)
    assert float((gain * gradient * factor).max()) == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("heading", [0.0, 0.25, 0.125, 0.06])
def test_no_wave_is_larger_or_steeper_than_measured(heading: float) -> None:
    """The shortest wave, in all phases: its peaks may lie between the points at which it is measured."""
    wave = TravellingWave(min_wavelength=24.0, max_wavelength=24.0, packet=1e4)
    parameters = torch.full((60, 6), 0.5)
    parameters[:, 0] = heading
    parameters[:, 4] = torch.linspace(0, 1, 60)
    peak, gradient = measure_field(wave, parameters, 48, 60)
    steepest = 2 * math.pi / 24
    for measured, true in ((peak, 1.0), (gradient, steepest)):
        assert measured.min() >= 0.999 * true
        assert measured.max() <= 1.06 * true


def test_below_factor_1_the_input_motion_is_limited() -> None:
    limits = MotionLimits(min_factor=0.2, max_factor=0.9, max_magnified=5.0)
    factor, motion = draws(limits)
    assert motion.max() <= 5.001
    assert (factor * motion).max() <= 5.0
    steep = limits.amplitude(
        torch.tensor([0.999]), torch.tensor([0.2]), torch.tensor([9.0]), torch.tensor([1.0])
    )
    assert float(steep) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_motion": 0.0}, "min_motion 0.0"),
        ({"min_motion": 11.0}, "max_motion 10.0"),
        ({"min_factor": 0.0}, "min_factor 0.0"),
        ({"max_factor": 0.5}, "max_factor 0.5"),
        ({"max_factor": 5000.0}, "50 px is more than max_magnified = 30 px"),
        ({"max_gradient": 0.0}, "max_gradient"),
        ({"max_gradient": 0.7}, "0.7"),
        ({"distribution": "normal"}, "'normal'"),
    ],
)
def test_bad_limits(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MotionLimits(**arguments)  # type: ignore[arg-type]


def test_balanced_amplitudes_are_half_on_each_scale() -> None:
    limits = MotionLimits(min_motion=0.01, max_motion=10.0, max_magnified=30.0, distribution="balanced")
    u = (torch.arange(10000) + 0.5) / 10000
    one = torch.ones_like(u)
    found = limits.amplitude(u, 3 * one, one, 0 * one)
    assert float(found.min()) == pytest.approx(0.01, rel=1e-2)
    assert float(found.max()) == pytest.approx(10.0, rel=1e-2)
    # Below a tenth of the range: half × two decades of three, and half × (0.99 / 9.99).
    assert float((found < 1.0).float().mean()) == pytest.approx(0.5 * 2 / 3 + 0.5 * 0.099, abs=0.01)
    # The factor stays log-uniform: as many from 1 to 10 as from 10 to 100.
    assert float((limits.factor(u) < 10).float().mean()) == pytest.approx(0.5, abs=0.01)
