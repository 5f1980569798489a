"""The whole network: sizes, borders, a factor of 1, static scenes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig, load

Picture = Callable[..., Tensor]


def make(**choices: object) -> MagnificationNetwork:
    # "he": no part of the network is in a special state that a property could come from.
    torch.manual_seed(3)
    return MagnificationNetwork(NetworkConfig.from_dict({"initialisation": "he", **choices})).eval()


@pytest.fixture(scope="module")
def network() -> MagnificationNetwork:
    return make()


def reach_of(network: MagnificationNetwork) -> int:
    """How far, in px of a frame, a pixel's value spreads: kernels' half sides, each times its scale."""
    config = network.config
    encoder = (
        3
        + 1
        + 2 * 2 * config.encoder_blocks
        + 2 * (1 + 2 * max(config.shape_blocks, 2 * config.texture_blocks + 1))
    )
    return encoder + 2 * 4 + 4 + 2 * 2 * config.decoder_blocks + 1 + 3 + 8


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (17, 8), (30, 33), (32, 40)])
@pytest.mark.parametrize("strided", ["symmetric", "same"])
def test_any_size_comes_back(picture: Picture, size: tuple[int, int], strided: str) -> None:
    network = make(strided_padding=strided, manipulator_kernel=7, input_range="unit")
    a, b = picture(*size), picture(*size, shift=1.0)
    y = network.magnify_pair(a, b, 5.0)
    assert y.shape == a.shape
    assert y.dtype == torch.float32
    assert y.min() >= 0
    assert y.max() <= 1
    assert network.magnify_pair(a[0], b[0], 5.0).shape == a[0].shape
    torch.testing.assert_close(network.magnify_pair(a[0], b[0], 5.0), y[0])


def test_representations_have_the_contracts_sizes(network: MagnificationNetwork, picture: Picture) -> None:
    texture, shape = network.encode(picture(30, 33))
    assert texture.shape == (1, 32, 8, 9)
    assert shape.shape == (1, 32, 16, 18)


def test_the_shape_of_the_first_frames_alone(network: MagnificationNetwork, picture: Picture) -> None:
    frames = torch.cat([picture(24, 32, shift) for shift in (0.0, 1.5, 4.0)])
    texture, shape = network.encode(frames)
    same, first = network.encode(frames, shapes=2)
    torch.testing.assert_close(same, texture)
    torch.testing.assert_close(first, shape[:2])
    assert len(first) == 2


@pytest.mark.parametrize("size", [(24, 24), (23, 25)])
@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_a_constant_frame_stays_constant(size: tuple[int, int], padding: str) -> None:
    """Any trace of a border, a seam or a grid would show."""
    network = make(padding=padding)
    frame = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, *size)
    y = network(frame, frame, 10.0)
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y), rtol=0, atol=1e-5)


def test_zero_padding_does_show_a_border() -> None:
    y = make(padding="zeros")(*torch.full((2, 1, 3, 24, 24), 0.3), 10.0)
    assert (y - y[..., 12:13, 12:13]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(200, 204), (201, 203)])
def test_inside_a_crop_equals_the_whole(picture: Picture, size: tuple[int, int]) -> None:
    """Away from its border a crop gives what the whole frame gives there: no shift, whatever its sides."""
    network = make(decoder_blocks=3)
    a, b = picture(240, 240), picture(240, 240, shift=0.7)
    top, left = 20, 24
    crop = (..., slice(top, top + size[0]), slice(left, left + size[1]))
    with torch.no_grad():
        whole, part = network(a, b, 8.0)[crop], network(a[crop], b[crop], 8.0)
    reach = reach_of(network)
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    assert part[inside].numel() > 1000
    assert part[inside].std() > 0.01
    torch.testing.assert_close(part[inside], whole[inside], rtol=0, atol=1e-5)


def test_the_unaligned_part_is_a_reflection(network: MagnificationNetwork, picture: Picture) -> None:
    a, b = picture(21, 30), picture(21, 30, shift=0.7)
    padded = [torch.nn.functional.pad(frame, (0, 2, 0, 3), mode="reflect") for frame in (a, b)]
    assert torch.equal(network.magnify_pair(a, b, 3.0), network.magnify_pair(*padded, 3.0)[..., :21, :30])


CHOICES = [
    {"manipulator": manipulator, "anchor": anchor}
    for manipulator in ("linear", "nonlinear")
    for anchor in ("a", "b")
]


@pytest.mark.parametrize("choices", CHOICES)
def test_a_factor_of_1_is_the_frames_own_reconstruction(picture: Picture, choices: dict[str, str]) -> None:
    network = make(**choices)
    a, b = picture(33, 46), picture(33, 46, shift=1.5)
    assert torch.equal(network.magnify_pair(a, b, 1.0), network.reconstruct(b))
    assert torch.equal(network.magnify_pair(a, b, torch.tensor([1.0])), network.reconstruct(b))
    assert not torch.allclose(network.magnify_pair(a, b, 3.0), network.reconstruct(b))


@pytest.mark.parametrize("choices", CHOICES)
def test_a_static_scene_stays_static(picture: Picture, choices: dict[str, str]) -> None:
    network = make(**choices)
    a = picture(33, 46)
    for factor in (0.0, 2.5, 500.0):
        assert torch.equal(network.magnify_pair(a, a.clone(), factor), network.reconstruct(a))


def test_what_moves_changes_nothing_far_away(picture: Picture) -> None:
    network = make(decoder_blocks=3)
    a = picture(64, 200)
    b = a.clone()
    b[..., :16] = picture(64, 16, shift=2.0)
    reach = reach_of(network)
    y = network.magnify_pair(a, b, 50.0)
    torch.testing.assert_close(
        y[..., 16 + reach :], network.reconstruct(b)[..., 16 + reach :], rtol=0, atol=1e-5
    )
    assert (y - network.reconstruct(b))[..., :16].abs().max() > 1e-3


def test_a_factor_for_each_frame(network: MagnificationNetwork, picture: Picture) -> None:
    a, b = picture(16, 20), picture(16, 20, shift=0.5)
    both = network.magnify_pair(a.expand(2, -1, -1, -1), b.expand(2, -1, -1, -1), torch.tensor([0.5, 12.0]))
    for index, factor in enumerate((0.5, 12.0)):
        torch.testing.assert_close(both[index, None], network.magnify_pair(a, b, factor), rtol=0, atol=1e-5)


def test_autocast_gives_float32_frames(network: MagnificationNetwork, picture: Picture) -> None:
    a, b = picture(32, 32), picture(32, 32, shift=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        y = network.magnify_pair(a, b, 2.0)
    assert y.dtype == torch.float32
    assert (y - network.magnify_pair(a, b, 2.0)).abs().max() < 0.05


def test_channels_last_gives_the_same(picture: Picture) -> None:
    network = make()
    a, b = picture(32, 36), picture(32, 36, shift=0.5)
    expected = network.magnify_pair(a, b, 4.0)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    a, b = (frame.contiguous(memory_format=torch.channels_last) for frame in (a, b))
    assert network.encode(a)[1].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network.magnify_pair(a, b, 4.0), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("choices", CHOICES)
def test_takes_no_decision_from_values(choices: dict[str, str]) -> None:
    """So that it can be compiled and exported: meta tensors have no values, and asking for one raises."""
    network = make(**choices).to("meta")
    a, b = torch.empty(2, 2, 3, 33, 46, device="meta")
    assert network(a, b, torch.empty(2, device="meta")).shape == (2, 3, 33, 46)


@pytest.mark.parametrize(
    "factor", [-3, -0.001, float("nan"), float("inf"), torch.tensor([1.0, float("nan")])]
)
def test_refuses_a_factor(network: MagnificationNetwork, factor: float | Tensor) -> None:
    a = torch.rand(2, 3, 16, 16)
    with pytest.raises(InputError, match=r"factor must be .* at least 0.*got (-3|-0.001|nan|inf)"):
        network.magnify_pair(a, a, factor)


@pytest.mark.parametrize("factor", [torch.ones(3), torch.ones(2, 1)])
def test_refuses_factors_for_other_frames(network: MagnificationNetwork, factor: Tensor) -> None:
    a = torch.rand(2, 3, 16, 16)
    with pytest.raises(InputError, match="one for each of the 2 frames"):
        network.magnify_pair(a, a, factor)


GOOD = torch.full((1, 3, 16, 16), 0.5)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (torch.rand(1, 3, 16, 17), r"\(1, 3, 16, 16\) and \(1, 3, 16, 17\)"),
        (torch.rand(2, 3, 16, 16), r"\(1, 3, 16, 16\) and \(2, 3, 16, 16\)"),
        (torch.rand(1, 1, 16, 16), r"\(B, 3, H, W\).*got \(1, 1, 16, 16\)"),
        (torch.rand(16, 16), r"got \(16, 16\)"),
        (torch.rand(1, 3, 7, 16), r"at least 8 px .*got 7×16 px"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 16, 16), float("nan")), "finite"),
        (torch.full((1, 3, 16, 16), 200.0), r"in \[0, 1\], got values from 200 to 200"),
        (torch.full((1, 3, 16, 16), -0.5), r"in \[0, 1\]"),
    ],
)
def test_refuses_a_frame(network: MagnificationNetwork, frame: Tensor, says: str) -> None:
    with pytest.raises(InputError, match=says):
        network.magnify_pair(GOOD, frame)


def test_refuses_frames_on_another_device() -> None:
    with pytest.raises(InputError, match=r"frames are on cpu, the network on meta; move one"):
        make().to("meta").magnify_pair(GOOD, GOOD)


def test_frames_of_another_precision_are_converted(network: MagnificationNetwork, picture: Picture) -> None:
    a, b = picture(16, 20), picture(16, 20, shift=0.5)
    y = network.magnify_pair(a.double(), b.double(), torch.tensor(3.0, dtype=torch.float64))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, network.magnify_pair(a, b, 3.0))


def test_an_empty_batch_gives_an_empty_batch(network: MagnificationNetwork) -> None:
    empty = torch.rand(0, 3, 16, 16)
    assert network.magnify_pair(empty, empty, 2.0).shape == (0, 3, 16, 16)


def test_mixed_precision_shows_the_smallest_motion() -> None:
    """A pattern that moves by 0.01 px, ten times: the change under bfloat16 is that of 32 bits within 2 %."""
    network = load("oh2018-mm")
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def frame(shift: float) -> Tensor:
        wave = torch.sin((x - shift) / 3) * torch.cos(y / 4) + torch.sin((x - shift + 2 * y) / 5)
        return (0.5 + 0.2 * wave).expand(1, 3, 64, 64)

    a, b = frame(0.0), frame(0.01)
    with torch.no_grad():
        change = network(a, b, 10.0) - network(a, a, 10.0)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(a, b, 10.0).float() - network(a, a, 10.0).float()
    gain = float((mixed * change).sum() / change.square().sum())
    assert gain == pytest.approx(1.0, abs=0.02)
