"""The splatting network's contract, with weights as they are drawn."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mm.errors import InputError
from mm.networks import SplattingConfig, SplattingNetwork, build, config_from_dict, config_to_dict, load, save
from mm.networks.splatting.field import Field
from mm.networks.splatting.filling import draw

TINY = SplattingConfig((8, 8, 8, 8), (8, 8, 8, 8), (8, 8, 8), (1, 1))


@pytest.fixture(scope="module")
def network() -> SplattingNetwork:
    torch.manual_seed(0)
    built = SplattingNetwork(TINY).eval()
    # As after training: nothing is zero any more.
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return built


def frames(height: int = 48, width: int = 64, shift: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")

    def wave(dx: float) -> torch.Tensor:
        value = torch.sin((x - dx) / 3) * torch.cos(y / 4) + torch.sin((x - dx) / 7 + y / 5)
        return (0.5 + 0.2 * value).expand(1, 3, height, width)

    return wave(0), wave(shift)


def test_no_change_gives_the_frame_itself(network: SplattingNetwork) -> None:
    a, b = frames()
    assert torch.equal(network.magnify_pair(b, b, 50.0), b)
    assert torch.equal(network.magnify_pair(a, b, 1.0), b)
    assert torch.equal(network.reconstruct(b), b)
    assert not torch.equal(network.magnify_pair(a, b, 5.0), b)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (31, 16), (50, 70)])
def test_any_size_from_16_px_on(network: SplattingNetwork, size: tuple[int, int]) -> None:
    a, b = frames(*size)
    out = network.magnify_pair(a, b, 8.0)
    assert out.shape == b.shape
    assert bool(out.isfinite().all())
    displacement, confidence = network.displacement(a, b)
    assert displacement.shape == (1, 2, *size)
    assert confidence.shape == (1, 1, *size)


def test_too_small_frames_are_refused(network: SplattingNetwork) -> None:
    with pytest.raises(InputError, match="16"):
        network.magnify_pair(*frames(15, 40), factor=2.0)


def test_a_direction_keeps_motion_across_it(network: SplattingNetwork) -> None:
    a, b = frames()
    texture, shape = network.encode(b)
    manipulated = network.manipulate(network.encode(a)[1], shape, 6.0)
    _, everything = network.draw(texture, manipulated)
    _, along = network.draw(texture, manipulated, 90.0)
    assert along.displacement[:, 0].abs().max() < 1e-5
    torch.testing.assert_close(along.displacement[:, 1], everything.displacement[:, 1])
    with pytest.raises(InputError, match="direction"):
        network.magnify_pair(a, b, 2.0, math.nan)
    with pytest.raises(InputError, match="direction"):
        build({}).magnify_pair(a, b, 2.0, 90.0)


def test_a_batch_is_its_samples_and_factors_may_differ(network: SplattingNetwork) -> None:
    a, b = frames()
    pair = network.magnify_pair(torch.cat([a, b]), torch.cat([b, a]), torch.tensor([3.0, 9.0]))
    torch.testing.assert_close(pair[:1], network.magnify_pair(a, b, 3.0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pair[1:], network.magnify_pair(b, a, 9.0), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_32_bit(network: SplattingNetwork) -> None:
    a, b = frames()
    with torch.autocast("cpu", torch.bfloat16):
        short = network.magnify_pair(a, b, 4.0)
    assert short.dtype == torch.float32
    assert (short - network.magnify_pair(a, b, 4.0)).abs().mean() < 0.02


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = SplattingNetwork(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    out, field = network.magnify_with_field(*frames(), torch.tensor([6.0]))
    (out.square().mean() + field.displacement.square().mean()).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


def test_cost_of_the_two_sizes() -> None:
    for config, most in ((SplattingConfig(), 25.0), (SplattingConfig.small(), 8.0)):
        network = SplattingNetwork(config)
        a, b = frames(160, 160)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(a, b, 5.0)
        # Of 640×480 px, twelve times as many.
        assert counter.get_total_flops() * 12 / 1e9 <= most
        # Four bytes a number.
        assert sum(p.numel() for p in network.parameters()) * 4 < 4e6


def test_configuration_and_weights_come_back(network: SplattingNetwork, tmp_path) -> None:
    values = config_to_dict(TINY)
    assert values["architecture"] == "splatting"
    assert config_from_dict({**values, "context": [8, 8, 8, 8]}) == TINY
    save(network, tmp_path / "tiny.safetensors", {"data": "none"})
    again = load(tmp_path / "tiny.safetensors")
    assert isinstance(again, SplattingNetwork)
    a, b = frames()
    assert torch.equal(again.magnify_pair(a, b, 5.0), network.magnify_pair(a, b, 5.0))


@pytest.mark.parametrize(
    "change",
    [
        {"context": [8, 8, 8]},
        {"field": [8, 8, 8, 0]},
        {"filling": [8, 10**6, 8]},
        {"filling_blocks": [1.5, 1]},
        {"width": 3},
    ],
)
def test_a_bad_configuration_is_refused(change: dict) -> None:
    with pytest.raises(InputError):
        config_from_dict({"architecture": "splatting", **asdict(TINY), **change})


def test_drawing_shifts_a_frame_and_fills_from_what_is_beside() -> None:
    frame = torch.zeros(1, 3, 32, 32)
    frame[..., 12:20, 12:20] = 1.0
    displacement = torch.zeros(1, 2, 32, 32)
    displacement[:, 0, 12:20, 12:20] = 6.0
    order = torch.zeros(1, 1, 32, 32)
    order[..., 12:20, 12:20] = 8.0
    drawn, coverage = draw(frame, Field(displacement, order, torch.zeros_like(order), torch.ones(1, 1, 8, 8)))
    assert drawn[..., 14:18, 19:25].min() > 0.99  # The square, in front of what it covers.
    assert coverage[..., 14:18, 13:17].max() == 0  # The place that it left.
    assert drawn[..., 15, 13].max() < 0.2
    assert torch.equal(coverage[..., :8, :], torch.ones(1, 1, 8, 32))
