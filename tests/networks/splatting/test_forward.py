"""Forward splatting against shifts whose result is known."""

from __future__ import annotations

import pytest
import torch

from mm.networks.splatting.forward import splat


def plane(height: int = 12, width: int = 14) -> torch.Tensor:
    """Values that rise linearly, (1, 2, H, W): bilinear interpolation is exact on them."""
    y, x = torch.meshgrid(torch.arange(height) * 0.3, torch.arange(width) * 0.1, indexing="ij")
    return torch.stack([x + y, x - 2 * y])[None].double()


def constant(dx: float, dy: float, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor([dx, dy], dtype=like.dtype).view(1, 2, 1, 1).expand(1, 2, *like.shape[-2:])


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (3.0, -2.0), (0.25, 0.5), (-1.75, 2.125)])
def test_a_shift_moves_a_plane_exactly(dx: float, dy: float) -> None:
    values = plane()
    moved = splat(values, constant(dx, dy, values))
    y, x = torch.meshgrid(torch.arange(12) - dy, torch.arange(14) - dx, indexing="ij")
    expected = torch.stack([x * 0.1 + y * 0.3, x * 0.1 - 2 * y * 0.3])[None].double()
    inside = (slice(None), slice(None), slice(4, 8), slice(4, 9))
    torch.testing.assert_close(moved[inside], expected[inside])


def test_zero_displacement_returns_the_bits() -> None:
    values = torch.rand(2, 3, 9, 7)
    assert torch.equal(splat(values, torch.zeros(2, 2, 9, 7)), values)


def test_mass_is_kept_inside_and_lost_outside() -> None:
    values = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    values[0, 0, 4, 4] = 1
    assert splat(values, constant(1.3, -0.6, values)).sum().item() == pytest.approx(1)
    # Half of it lands beyond the right border.
    assert splat(values, constant(3.5, 0, values)).sum().item() == pytest.approx(0.5)
    assert splat(values, constant(-1e6, 0, values)).sum().item() == 0


def test_two_pixels_that_land_together_add_up() -> None:
    values = torch.ones(1, 1, 1, 5)
    displacement = torch.zeros(1, 2, 1, 5)
    displacement[0, 0, 0, 1] = 2.0
    assert splat(values, displacement)[0, 0, 0].tolist() == [1, 0, 1, 2, 1]


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    values = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    # Away from whole px, where the derivative jumps.
    displacement = (torch.rand(1, 2, 5, 6, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(splat, (values, displacement))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(1)
    values, displacement = torch.rand(3, 2, 20, 22), torch.randn(3, 2, 20, 22) * 3
    whole = splat(values, displacement)
    for i in range(3):
        assert torch.equal(whole[i : i + 1], splat(values[i : i + 1], displacement[i : i + 1]))
    assert torch.equal(whole, splat(values, displacement))
