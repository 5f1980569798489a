"""What a camera adds to frames, by its statistics."""

from __future__ import annotations

import pytest
import torch

from mm.errors import InputError
from mm.synthesis import Camera
from mm.synthesis.camera import halved_chroma
from mm.synthesis.random import SampleRandom


def random(samples: int = 2) -> SampleRandom:
    return SampleRandom(torch.arange(samples))


def test_a_default_camera_adds_nothing() -> None:
    frames = torch.rand(2, 3, 3, 8, 10)
    camera, index = Camera(), torch.arange(3)[None]
    assert torch.equal(camera.exposed(frames, random(), index, 3), frames)
    assert torch.equal(camera.sharpened(frames, random()), frames)
    assert torch.equal(camera.recorded(frames, random(), torch.zeros(2), None), frames)


def test_photon_and_read_noise_add_as_variances() -> None:
    frames = torch.tensor([0.1, 0.5, 0.9])[None, :, None, None, None].expand(2, 3, 3, 64, 64)
    camera = Camera(read_noise=(0.004, 0.004))
    noise = camera.recorded(frames, random(), torch.tensor([0.0, 0.01]), None) - frames
    variance = noise.var(dim=(-3, -2, -1))
    photons = torch.tensor([[0.0], [0.01**2]]) * torch.tensor([0.1, 0.5, 0.9]) / 0.5
    torch.testing.assert_close(variance, photons + 0.004**2, rtol=0.05, atol=0)


def test_flicker_and_gain_change_whole_frames() -> None:
    frames = torch.full((200, 64, 3, 1, 1), 0.5)
    index = torch.arange(64)[None]
    flickering = Camera(flicker=(0.02, 0.02)).exposed(frames, random(200), index, 64) / 0.5
    assert float(flickering.std()) == pytest.approx(0.02, rel=0.05)
    rising = Camera(gain=(0.1, 0.1)).exposed(frames, random(200), index, 64)[:, :, 0, 0, 0] / 0.5
    torch.testing.assert_close((rising[:, -1] - rising[:, 0]).abs(), torch.full((200,), 0.1))
    torch.testing.assert_close(rising.mean(1), torch.ones(200))
    some = Camera(flicker=(0.02, 0.02)).exposed(frames[:, :2], random(200), torch.tensor([[5, 9]]), 64) / 0.5
    assert torch.equal(some, flickering[:, [5, 9]])


def test_sharpening_has_the_gain_of_an_unsharp_mask() -> None:
    """1 + amount · (1 − the Gaussian's response) for a wave; nothing for flat areas."""
    period, amount = 8, 0.7
    wave = 0.5 + 0.2 * torch.sin(2 * torch.pi * torch.arange(80.0) / period)
    frames = wave.expand(1, 1, 3, 40, 80)
    shown = Camera(sharpening=(amount, amount)).sharpened(frames, random(1))
    gain = float((shown[0, 0, 0, 20, 16:64] - 0.5).std() / (wave[16:64] - 0.5).std())
    response = float(torch.exp(torch.tensor(-2 * (torch.pi / period) ** 2)))
    assert gain == pytest.approx(1 + amount * (1 - response), rel=0.01)
    flat = torch.full((1, 1, 3, 12, 12), 0.4)
    torch.testing.assert_close(Camera(sharpening=(1.0, 1.0)).sharpened(flat, random(1)), flat)


def test_halved_chroma_keeps_luma_and_means_of_colour() -> None:
    frames = torch.rand(2, 3, 8, 10)
    shown = halved_chroma(frames)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma, kept = (frames * weights).sum(1), (shown * weights).sum(1)
    torch.testing.assert_close(kept, luma)
    pooled = [torch.nn.functional.avg_pool2d(each, 2) for each in (frames, shown)]
    torch.testing.assert_close(*pooled)
    chroma = (shown - kept[:, None]).unfold(-2, 2, 2).unfold(-2, 2, 2)
    torch.testing.assert_close(chroma, chroma[..., :1, :1].expand_as(chroma))
    odd = torch.full((1, 3, 5, 7), 0.25)
    torch.testing.assert_close(halved_chroma(odd), odd)


def test_bad_cameras_are_named() -> None:
    with pytest.raises(InputError, match="flicker must satisfy"):
        Camera(flicker=(0.2, 0.1))
    with pytest.raises(InputError, match="rolling_shutter must be between 0 and 1, got 2"):
        Camera(rolling_shutter=2.0)
