"""Codec round trips: exact where they can be, lossy where they are asked to be."""

from __future__ import annotations

from typing import Any

import av
import pytest
import torch
from torch import Tensor

from mm.data.codec import CODECS, CodecStage, encode_decode
from mm.errors import InputError

available = pytest.mark.skipif(
    not {"libx264", "libx265", "mjpeg"} <= set(av.codecs_available), reason="this PyAV lacks an encoder"
)


def clip(height: int = 48, width: int = 64, frames: int = 6) -> Tensor:
    """A coloured pattern that moves, uint8."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    steps = torch.arange(float(frames))[:, None, None]
    waves = [torch.sin(0.3 * x + 0.2 * channel * y + 0.2 * steps + channel) for channel in range(3)]
    grain = 12 * torch.randn(frames, 1, height, width, generator=torch.Generator().manual_seed(0))
    return (128 + 60 * torch.stack(waves, 1) + grain).clamp(0, 255).to(torch.uint8)


def representable(height: int = 48, width: int = 64, frames: int = 6) -> Tensor:
    """Grey levels that 8-bit luma has: black is code 16 and white is code 235."""
    codes = torch.randint(16, 236, (frames, 1, height, width), generator=torch.Generator().manual_seed(1))
    return ((codes - 16) * 255 / 219).round().to(torch.uint8).expand(-1, 3, -1, -1)


@available
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_crf_0_keeps_what_the_planes_can_hold(codec: str) -> None:
    frames = representable()
    assert torch.equal(encode_decode(frames, codec, crf=0, preset="ultrafast"), frames)


@available
@pytest.mark.parametrize(
    ("codec", "better", "worse"),
    [
        ("h264", {"crf": 15}, {"crf": 30}),
        ("hevc", {"crf": 15}, {"crf": 30}),
        ("mjpeg", {"crf": 2}, {"crf": 20}),
        ("h264", {"bit_rate": 4e6}, {"bit_rate": 1e5}),
    ],
)
def test_quality_is_what_is_asked(codec: str, better: dict[str, Any], worse: dict[str, Any]) -> None:
    frames = clip()
    errors = []
    for quality in (better, worse):
        shown = encode_decode(frames, codec, preset="ultrafast", **quality)
        assert shown.shape == frames.shape
        assert shown.dtype == torch.uint8
        errors.append(float((shown.float() - frames.float()).square().mean().sqrt()))
    assert 0.5 < errors[0] < 0.8 * errors[1]


@available
def test_frames_keep_their_order_and_odd_sizes() -> None:
    frames = torch.arange(0, 240, 20, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 35, 41)
    for codec in CODECS:
        shown = encode_decode(frames, codec, crf=10, gop=4)
        assert shown.shape == frames.shape
        assert (shown.float().mean((1, 2, 3)) - frames[:, 0, 0, 0]).abs().max() < 3


@available
def test_a_stage_is_a_function_of_the_seed() -> None:
    frames = torch.stack((clip(), clip())).float() / 255
    stage = CodecStage(("h264", "mjpeg"), crf=(20.0, 28.0), share=0.7, preset="ultrafast")
    batch = {"frames": frames, "seed": torch.tensor([1, 2]), "factor": torch.ones(2)}
    first, again = stage(batch), stage(batch)
    assert torch.equal(first["frames"], again["frames"])
    assert first["factor"] is batch["factor"]
    alone = stage({name: value[1:] for name, value in batch.items()})
    assert torch.equal(alone["frames"][0], first["frames"][1])
    many = stage({"frames": frames[:1, :2].expand(40, -1, -1, -1, -1), "seed": torch.arange(40)})
    kept = sum(torch.equal(each, frames[0, :2]) for each in many["frames"])
    assert 4 <= kept <= 22


def test_bad_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = clip(frames=2)
    with pytest.raises(InputError, match="crf of h264 must be between 0 and 51, got 60"):
        encode_decode(frames, "h264", crf=60)
    with pytest.raises(InputError, match="crf of mjpeg must be between 2 and 31, got 1"):
        encode_decode(frames, "mjpeg", crf=1)
    with pytest.raises(InputError, match="codec must be one of h264, hevc, mjpeg, got 'vp9'"):
        encode_decode(frames, "vp9", crf=23)
    with pytest.raises(InputError, match="either crf or bit_rate"):
        encode_decode(frames, "h264")
    with pytest.raises(InputError, match="gop must be at least 1 frame, got 0"):
        encode_decode(frames, "h264", crf=23, gop=0)
    with pytest.raises(InputError, match="libx264 cannot encode 64×48 px with preset slack"):
        encode_decode(frames, "h264", crf=23, preset="slack")
    with pytest.raises(InputError, match="share must be between 0 and 1, got 2"):
        CodecStage(share=2.0)
    monkeypatch.setattr(av, "codecs_available", {"mjpeg"})
    with pytest.raises(InputError, match="needs the encoder libx265, which this build of PyAV lacks"):
        encode_decode(frames, "hevc", crf=23)
