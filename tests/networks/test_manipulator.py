"""What the manipulator must do whatever it has learned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mm.networks import MagnificationNetwork, NetworkConfig


def make(**choices: object) -> MagnificationNetwork:
    torch.manual_seed(5)
    return MagnificationNetwork(NetworkConfig.from_dict({"initialisation": "he", **choices})).eval()


@pytest.fixture
def shapes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 2, 32, 10, 12, generator=generator)
    return a, b


EVERY = [
    {"manipulator": manipulator, "anchor": anchor}
    for manipulator in ("linear", "nonlinear")
    for anchor in ("a", "b")
]


@pytest.mark.parametrize("anchor", ["a", "b"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, 100.0])
def test_linear_is_equation_2(shapes: tuple[Tensor, Tensor], anchor: str, factor: float) -> None:
    a, b = (shape.double() for shape in shapes)
    network = make(manipulator="linear", anchor=anchor)
    torch.testing.assert_close(network.manipulate(a, b, factor), a + factor * (b - a), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("choices", EVERY)
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 10.0, 1000.0])
def test_what_does_not_move_is_not_touched(
    shapes: tuple[Tensor, Tensor], choices: dict[str, str], factor: float
) -> None:
    a, _ = shapes
    assert torch.equal(make(**choices).manipulate(a, a.clone(), factor), a)


@pytest.mark.parametrize("choices", EVERY)
def test_a_factor_of_1_is_exact(shapes: tuple[Tensor, Tensor], choices: dict[str, str]) -> None:
    network = make(**choices)
    assert torch.equal(network.manipulate(*shapes, 1.0), shapes[1])
    assert torch.equal(network.manipulate(*shapes, 1), shapes[1])
    mixed = network.manipulate(*shapes, torch.tensor([1.0, 7.0]))
    assert torch.equal(mixed[0], shapes[1][0])
    assert not torch.allclose(mixed[1], shapes[1][1])


def test_anchor_a_trains_through_a_factor_of_1(shapes: tuple[Tensor, Tensor]) -> None:
    network = make(anchor="a").train()
    assert not torch.allclose(network.manipulate(*shapes, 1.0), shapes[1])


@pytest.mark.parametrize("choices", EVERY)
def test_a_factor_for_each_sample(shapes: tuple[Tensor, Tensor], choices: dict[str, str]) -> None:
    network = make(**choices)
    together = network.manipulate(*shapes, torch.tensor([0.25, 30.0]))
    for index, factor in enumerate((0.25, 30.0)):
        alone = network.manipulate(shapes[0][index, None], shapes[1][index, None], factor)
        torch.testing.assert_close(together[index, None], alone, rtol=1e-4, atol=1e-3)


def test_the_gain_is_not_rounded_to_bfloat16(shapes: tuple[Tensor, Tensor]) -> None:
    a, b = (shape.bfloat16() for shape in shapes)
    network = make(manipulator="linear", anchor="a")
    # 1.0039 rounds to 1.0 or 1.0078 in bfloat16; on zeros plus ones the product shows which gain was used.
    zero, thousand = torch.zeros_like(a), torch.full_like(b, 1024)
    factor = torch.tensor([1.0039, 1.0039]) * 100
    got = network.amplify(zero, thousand, factor).float()
    assert abs(got.mean().item() / (1024 * 100.39) - 1) < 2**-9
    assert got.dtype == torch.float32
    assert network.amplify(a, b, factor).dtype == torch.bfloat16


def test_release_equation(shapes: tuple[Tensor, Tensor]) -> None:
    """M_b + h((α−1)·g(M_b − M_a)), written out with torch's own convolutions."""
    import torch.nn.functional as F

    torch.manual_seed(2)
    network = MagnificationNetwork(NetworkConfig.release2018()).eval()
    state = network.manipulator.state_dict()

    def conv(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        reach = weight.shape[-1] // 2
        return F.conv2d(F.pad(x, (reach,) * 4, mode="reflect"), weight)

    a, b = shapes
    x = conv(9 * conv(b - a, "g").relu(), "h_conv")
    x = x + conv(conv(x, "h_block.conv1").relu(), "h_block.conv2")
    torch.testing.assert_close(network.manipulate(a, b, 10.0), b + x)
