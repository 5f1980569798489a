"""Least-squares shifts against patterns that were shifted exactly."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mm.networks.splatting.least_squares import equations, residual, solve

SIZE = 128


def shifted_texture(dx: float, dy: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A band-limited texture and the same shifted by the Fourier theorem, (1, 3, 128, 128) each."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.fft.rfft2(torch.randn(3, SIZE, SIZE, generator=generator))
    fy, fx = torch.fft.fftfreq(SIZE)[:, None], torch.fft.rfftfreq(SIZE)[None]
    spectrum = spectrum * torch.exp(-2 * (math.pi * 0.7) ** 2 * (fx**2 + fy**2)) / (0.01 + fx.hypot(fy))
    phase = torch.exp(-2j * math.pi * (fx * dx + fy * dy))
    frames = torch.fft.irfft2(torch.stack([spectrum, spectrum * phase]), s=(SIZE, SIZE))
    frames = 0.5 + frames / (5 * frames[0].std())
    return frames[0:1], frames[1:2]


@pytest.mark.parametrize(("dx", "dy"), [(0.01, 0.02), (-0.1, 0.05), (0.5, -0.3)])
def test_small_shifts_are_read_within_three_percent(dx: float, dy: float) -> None:
    found = equations(*shifted_texture(dx, dy))
    shift, _ = solve(F.avg_pool2d(found.fine, 8))
    size = math.hypot(dx, dy)
    assert (shift.mean((0, 2, 3)) - torch.tensor([dx, dy])).norm().item() < 0.03 * size


def test_several_px_are_read_at_coarse_scales() -> None:
    shift, _ = solve(F.avg_pool2d(equations(*shifted_texture(4.0, -3.0)).coarse[1], 4))
    assert (shift.mean((0, 2, 3)) - torch.tensor([4.0, -3.0])).norm().item() < 1.0


def test_the_shift_is_linear_in_the_difference() -> None:
    a, b = shifted_texture(0.2, 0.1)
    middle, half = (a + b) / 2, (b - a) / 2
    full, _ = solve(equations(middle - half, middle + half).fine)
    tenth, _ = solve(equations(middle - half / 10, middle + half / 10).fine)
    torch.testing.assert_close(tenth * 10, full, rtol=1e-3, atol=1e-5)


def test_equal_frames_and_flat_frames_have_no_shift() -> None:
    a, _ = shifted_texture(0.2, 0.1)
    assert not solve(equations(a, a).fine)[0].any()
    flat = torch.full((1, 3, 32, 32), 0.4)
    shift, known = solve(equations(flat, flat + 0.01).fine)
    assert shift.abs().max() < 1e-3
    assert bool(known.isfinite().all())


def test_times_multiplies_the_solution() -> None:
    found = equations(*shifted_texture(0.2, 0.1))
    shift, _ = solve(found.fine)
    longer, _ = solve(found.times(torch.full((1, 1, 1, 1), 7.0)).fine)
    torch.testing.assert_close(longer, 7 * shift, rtol=1e-4, atol=1e-6)


def test_the_true_shift_leaves_least_unexplained() -> None:
    fine = equations(*shifted_texture(0.3, -0.2)).fine
    candidates = torch.tensor([[0.3, -0.2], [0.0, 0.0], [0.3, 0.2], [0.6, -0.4]])
    shifts = candidates.view(1, 4, 2, 1, 1).expand(1, 4, 2, *fine.shape[-2:])
    left = residual(fine, shifts).mean((0, 2, 3))
    assert int(left.argmin()) == 0
