"""Frames that wait, as 16-bit codes: half the memory of float32, and no frame of up to 14 bits is changed."""

from __future__ import annotations

import torch
from torch import Tensor

_TOP = 2**15 - 1


def to_int16(frames: Tensor) -> Tensor:
    """Return int16 codes of frames in [0, 1], of any shape."""
    return frames.mul(_TOP).round_().to(torch.int16)


def from_int16(codes: Tensor) -> Tensor:
    """Return the float32 frames behind :func:`to_int16`'s codes."""
    return codes.float().div_(_TOP)
