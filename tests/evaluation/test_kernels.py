"""Kernels of an encoder that is linear are its own; of one that is not, they are told to be less."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.kernels import REACH, SIZE, STEPS, measure_kernels


def random_pictures() -> Tensor:
    noise = torch.rand(2, 1, SIZE + 8, SIZE + 8, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 9, 1).expand(-1, 3, -1, -1)


# A kernel for each part, larger than a step; correlation kernels, as conv2d takes them.
KERNELS = {
    part: torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(step))
    for part, step in STEPS.items()
}


def encode(frames: Tensor, bend: float = 0.0) -> tuple[Tensor, Tensor]:
    grey = frames.mean(1, keepdim=True)
    linear = (F.conv2d(grey, KERNELS[part], stride=step, padding=3) for part, step in STEPS.items())
    texture, shape = (each + bend * each.std() * torch.sin(300 * each) + 3 for each in linear)
    return texture, shape


def test_the_kernels_of_a_linear_encoder_are_its_own() -> None:
    calls: list[int] = []
    found = measure_kernels(encode, random_pictures(), lambda: calls.append(1))
    assert len(calls) == 16
    for part, kernels in found.items():
        length = 2 * REACH + 1
        expected = torch.zeros(2, length, length)
        expected[:, REACH - 3 : REACH + 4, REACH - 3 : REACH + 4] = KERNELS[part][:, 0].flip(-2, -1)
        torch.testing.assert_close(kernels.weights, expected, atol=2e-3, rtol=0)
        torch.testing.assert_close(kernels.explained, torch.ones(2), atol=1e-3, rtol=0)


def test_a_channel_that_bends_is_explained_less() -> None:
    found = measure_kernels(lambda frames: encode(frames, bend=1.0), random_pictures())
    assert found
    for kernels in found.values():
        assert (kernels.explained < 0.95).all()
        order = kernels.best(2)
        assert kernels.explained[order[0]] >= kernels.explained[order[1]]


def test_encodings_are_made_in_float32_whatever_the_settings() -> None:
    cudnn: Any = torch.backends.cudnn
    seen = set()

    def watched(frames: Tensor) -> tuple[Tensor, Tensor]:
        autocast = torch.is_autocast_enabled("cpu")
        seen.add((cudnn.allow_tf32, torch.get_float32_matmul_precision(), autocast))
        return encode(frames)

    before = cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            measure_kernels(watched, random_pictures())
        assert (cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "medium")
    finally:
        cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])
    assert seen == {(False, "highest", False)}


def test_pictures_of_another_size() -> None:
    with pytest.raises(InputError, match="multiple of 80 px, got 100×100 px"):
        measure_kernels(encode, torch.zeros(1, 3, 100, 100))
