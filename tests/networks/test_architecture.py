"""The layers, against the numbers in the paper and in the 2018 release."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.blocks import PaddedConv, ResidualBlock


def convolutions(module: nn.Module) -> list[tuple[int, int, int, int]]:
    """(in, out, kernel, stride) of every convolution, in order."""
    return [
        (conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0])
        for conv in module.modules()
        if isinstance(conv, nn.Conv2d)
    ]


def test_the_papers_layers() -> None:
    network = MagnificationNetwork()
    block = [(32, 32, 3, 1)] * 2
    assert convolutions(network.encoder) == [
        (3, 16, 7, 1),
        (16, 32, 3, 2),
        *block * 3,
        (32, 32, 3, 2),
        *block * 2,
        (32, 32, 3, 1),
        *block * 2,
    ]
    assert convolutions(network.manipulator) == [(32, 32, 3, 1), (32, 32, 3, 1), *block]
    assert convolutions(network.decoder) == [
        (32, 32, 3, 1),
        *[(64, 64, 3, 1)] * 18,
        (64, 32, 3, 1),
        (32, 3, 7, 1),
    ]


def test_only_the_manipulator_has_no_biases() -> None:
    for name, module in MagnificationNetwork().named_modules():
        if isinstance(module, PaddedConv):
            assert (module.bias is None) == name.startswith("manipulator."), name


def test_the_release_has_918928_parameters() -> None:
    network = MagnificationNetwork(NetworkConfig.release2018())
    assert sum(parameter.numel() for parameter in network.parameters()) == 918_928
    assert not any(name.endswith("bias") for name, _ in network.named_parameters())


def test_the_linear_manipulator_has_no_parameters() -> None:
    network = MagnificationNetwork(NetworkConfig(manipulator="linear"))
    assert not list(network.manipulator.parameters())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 1), (3, 2)])
def test_convolution_equals_torchs_own_padding(mode: str, kernel: int, stride: int) -> None:
    conv = PaddedConv(3, 4, kernel, stride, padding=mode)  # type: ignore[arg-type]
    oracle = nn.Conv2d(3, 4, kernel, stride, padding=kernel // 2, padding_mode=mode)
    oracle.load_state_dict(conv.state_dict())
    x = torch.randn(2, 3, 12, 10)
    torch.testing.assert_close(conv(x), oracle(x))


def test_same_padding_is_zeros_below_and_on_the_right() -> None:
    conv = PaddedConv(1, 1, 3, 2, padding="same", bias=False)
    nn.init.ones_(conv.weight)
    # Sums of 3×3 windows that begin at 0, 2, 4: the last ones have two rows or columns inside.
    expected = torch.tensor([[9.0, 9, 6], [9, 9, 6], [6, 6, 4]])
    assert torch.equal(conv(torch.ones(1, 1, 6, 6))[0, 0], expected)


def test_residual_block_has_no_activation_after_the_sum() -> None:
    block = ResidualBlock(4)
    nn.init.zeros_(block.conv2.weight)
    nn.init.constant_(block.conv2.bias, -1)  # type: ignore[arg-type]
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(x), x - 1)


def test_autocast_pads_in_its_own_type() -> None:
    conv = PaddedConv(3, 4, 3)
    x = torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), conv(x), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("manipulator", ["nonlinear", "linear"])
def test_every_parameter_gets_a_gradient(manipulator: str) -> None:
    network = MagnificationNetwork(NetworkConfig(manipulator=manipulator))  # type: ignore[arg-type]
    a, b = torch.rand(2, 2, 3, 16, 16)
    network(a, b, torch.tensor([3.0, 20.0])).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
