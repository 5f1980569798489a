"""Candidates that are right, or idle, by construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mm.evaluation.candidates import Clip
from mm.evaluation.pairs import Pair


class Scripted:
    """Gives frames that were prepared beforehand, in the order in which it is asked."""

    network = None
    measured_on = "two frames"

    def __init__(self, frames: Sequence[Tensor], name: str = "right") -> None:
        self.name = name
        self.frames = list(frames)

    def magnify(self, pair: Pair) -> Tensor:
        return torch.stack([self.frames.pop(0) for _ in pair.b])

    def stream(self, clip: Clip) -> Tensor:
        return torch.stack([self.frames.pop(0) for _ in clip.frames])


class Spy:
    """Does nothing, and keeps the pairs and the clips that it was given."""

    network = None
    measured_on = "two frames"

    def __init__(self, name: str = "idle") -> None:
        self.name = name
        self.given: list[tuple[Tensor, Tensor, float]] = []
        self.clips: list[Tensor] = []

    def magnify(self, pair: Pair) -> Tensor:
        self.given += zip(pair.a, pair.b, pair.factor.tolist(), strict=True)
        self.clips += [torch.stack(list(clip)) for clip in pair.clips()]
        return pair.b

    def stream(self, clip: Clip) -> Tensor:
        return clip.frames
