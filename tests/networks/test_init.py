"""The state that training starts from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mm.networks import MagnificationNetwork, NetworkConfig

Picture = Callable[..., Tensor]


def make(**choices: object) -> MagnificationNetwork:
    torch.manual_seed(4)
    return MagnificationNetwork(NetworkConfig.from_dict(choices)).eval()


@pytest.fixture
def shapes() -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, 2, 32, 10, 12, generator=torch.Generator().manual_seed(1))
    return a, b


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("factor", [0.0, 10.0])
def test_the_manipulator_begins_as_equation_2_on_half_of_the_channels(
    shapes: tuple[Tensor, Tensor], kernel: int, factor: float
) -> None:
    a, b = shapes
    out = make(manipulator_kernel=kernel).manipulate(a, b, factor)
    added = ((factor - 1) * (b - a)).std()
    assert (out - (a + factor * (b - a)))[:, :16].std() < 0.05 * added
    assert (out - b)[:, 16:].std() < 0.05 * added
    at_random = make(manipulator_kernel=kernel, initialisation="he").manipulate(a, b, factor)
    assert (at_random - (a + factor * (b - a)))[:, :16].std() > 0.5 * added


def test_the_frames_colours_come_through(picture: Picture) -> None:
    # Enlarged: only what is smooth passes the texture branch, at a quarter of the resolution.
    frame = torch.nn.functional.interpolate(picture(12, 16), scale_factor=8, mode="bilinear")
    with torch.no_grad():
        out, at_random = (make(initialisation=start)(frame, frame, 1.0) for start in ("linear-start", "he"))

    def likeness(one: Tensor) -> float:
        return torch.corrcoef(torch.stack([one.flatten(), frame.flatten()]))[0, 1].item()

    assert likeness(out) > 0.7
    assert abs(likeness(at_random)) < 0.4
    assert (out - frame).abs().mean() < 0.5 * (at_random - frame).abs().mean()


@pytest.mark.parametrize("choices", [{"channels": 4}, {"stem_channels": 4}, {"channels": 7, "bias": False}])
def test_narrow_networks_can_be_made(choices: dict[str, object], picture: Picture) -> None:
    frame = picture(16, 16)
    assert make(**choices)(frame, frame, 2.0).isfinite().all()


def test_residual_blocks_begin_near_the_identity() -> None:
    network = make()
    x = torch.rand(1, 64, 24, 24)
    with torch.no_grad():
        for block in network.decoder.blocks:
            change = block(x) - x
            assert 0.01 < change.square().mean().sqrt() / x.square().mean().sqrt() < 0.3


def test_no_two_channels_are_alike() -> None:
    """Channels that begin alike would get like gradients and stay alike."""
    for name, parameter in make().named_parameters():
        if name.endswith("weight"):
            rows = parameter.detach().flatten(1)
            distance = torch.cdist(rows, rows) + torch.eye(len(rows))
            assert distance.min() > 1e-3, name


def test_a_seed_decides_it() -> None:
    one, other = make().state_dict(), make().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    network = make()
    network.reset_parameters()
    assert not torch.equal(network.encoder.conv2.weight, one["encoder.conv2.weight"])
