"""Reflection as GPUs pad: the values and gradients of PyTorch's own, in the layout of the input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mm.networks import MagnificationNetwork, NetworkConfig, padding
from mm.networks.blocks import PaddedConv
from mm.networks.padding import Margins, Reflection, pad

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("margins", "size"),
    [
        ((1, 1, 1, 1), (5, 7)),
        ((1, 1, 1, 1), (2, 2)),
        ((3, 3, 3, 3), (4, 9)),
        ((0, 2, 1, 0), (3, 5)),
        ((0, 0, 2, 2), (6, 1)),
    ],
)
def test_reflection_is_pytorchs(margins: Margins, size: tuple[int, int], layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    x = x.to(memory_format=layout).requires_grad_()
    expected = F.pad(x, margins, mode="reflect")
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(memory_format=layout)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), x)

    padded = Reflection.apply(x, margins)
    (gradient,) = torch.autograd.grad((padded * weight).sum(), x)
    assert torch.equal(padded, expected)
    torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)
    assert padded.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gradient_that_is_not_contiguous(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x.to(memory_format=layout).requires_grad_()
    weight = torch.randn(2, 3, 8, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def run(padded: torch.Tensor) -> torch.Tensor:
        # Turned, and summed: its gradient is a turned one and one that is a single number.
        (gradient,) = torch.autograd.grad((padded.transpose(2, 3) * weight).sum() + padded.sum(), x)
        return gradient

    margins = (1, 2, 2, 1)
    torch.testing.assert_close(run(Reflection.apply(x, margins)), run(F.pad(x, margins, mode="reflect")))
    (ones,) = torch.autograd.grad(Reflection.apply(x, margins).sum(), x)
    (wanted,) = torch.autograd.grad(F.pad(x, margins, mode="reflect").sum(), x)
    torch.testing.assert_close(ones, wanted)


def test_a_view_of_some_channels_keeps_its_layout() -> None:
    x = torch.rand(2, 8, 5, 6).to(memory_format=torch.channels_last)[:, :4]
    assert not x.is_contiguous(memory_format=torch.channels_last)
    padded = Reflection.apply(x, (1, 1, 1, 1))
    assert padded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(padded, F.pad(x, (1, 1, 1, 1), mode="reflect"))


@pytest.mark.parametrize(("size", "margins"), [((1, 3), (1, 1, 1, 1)), ((5, 2), (2, 2, 1, 1))])
def test_a_reflection_beyond_the_frame_is_refused(size: tuple[int, int], margins: Margins) -> None:
    with pytest.raises(RuntimeError, match="needs a larger side"):
        Reflection.apply(torch.rand(1, 2, *size), margins)


def test_a_network_on_a_gpu_has_the_same_output_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NetworkConfig(stem_channels=4, channels=8, encoder_blocks=1, decoder_blocks=1)
    torch.manual_seed(0)
    network = MagnificationNetwork(config).double().to(memory_format=torch.channels_last)
    a, b = (torch.rand(2, 3, 24, 20).double().to(memory_format=torch.channels_last) for _ in "ab")
    factor = torch.tensor([2.0, 8.0], dtype=torch.float64)

    def run() -> list[torch.Tensor]:
        network.zero_grad()
        out = network(a, b, factor)
        out.square().mean().backward()
        return [out.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]

    wanted = run()
    calls = []
    monkeypatch.setattr(padding, "_on_a_gpu", lambda x: calls.append(x) is None)
    found = run()
    # Every convolution, those of the encoder for both frames.
    assert len(calls) > sum(isinstance(each, PaddedConv) and any(each.margins) for each in network.modules())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_where_reflection_is_by_hand() -> None:
    """With tensors that have a device but no values: no GPU is needed."""
    with FakeTensorMode():
        assert padding._on_a_gpu(torch.empty(1, 1, 4, 4, device="cuda"))
        assert not padding._on_a_gpu(torch.empty(1, 1, 4, 4))


@pytest.mark.parametrize("mode", ["replicate", "constant"])
def test_other_paddings_are_pytorchs(mode: str) -> None:
    x = torch.rand(1, 2, 4, 5)
    assert torch.equal(pad(x, (1, 2, 0, 1), mode), F.pad(x, (1, 2, 0, 1), mode=mode))
