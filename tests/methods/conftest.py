"""What the tests of the methods share: a wave whose motion is known, a lively clip, and a method's run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mm.methods import Magnifier

FPS = 30.0
FREQUENCY = 3.0


@dataclass(frozen=True)
class Motion:
    """Amplitude over that of the input: in step with it, and a quarter of a period later."""

    gain: float
    off: float


@dataclass(frozen=True)
class Grating:
    """A plane wave of ``period`` px along ``angle`` that moves along it by amplitude·sin(2π·3 Hz·t), px."""

    period: float
    angle: float = 0.0
    amplitude: float = 0.1
    size: tuple[int, int] = (64, 96)
    contrast: float = 0.25
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def along(self) -> Tensor:
        """(H, W): px along the wave."""
        y, x = (torch.arange(side, dtype=torch.float64) for side in self.size)
        return x * math.cos(self.angle) + y[:, None] * math.sin(self.angle)

    def shift(self, count: int) -> Tensor:
        """(count,) px at 30 frames a second."""
        return self.amplitude * torch.sin(2 * math.pi * FREQUENCY * torch.arange(count).double() / FPS)

    def frames(self, place: Tensor) -> Tensor:
        """The wave where ``place`` (T,) px says: (T, 3, H, W)."""
        wave = torch.sin(2 * math.pi * (self.along() - place[:, None, None]) / self.period)
        colour = torch.tensor(self.colour, dtype=torch.float64).view(3, 1, 1)
        return (0.5 + self.contrast * colour * wave[:, None]).float()

    def component(self, frames: Tensor) -> Tensor:
        """(T,) complex: the wave in the frames, under a Hann window."""
        window = [torch.hann_window(side, periodic=False, dtype=torch.float64) for side in self.size]
        turn = torch.exp(-2j * math.pi * self.along() / self.period)
        return ((frames.double().mean(1) - 0.5) * (window[0][:, None] * window[1] * turn)).sum((1, 2))

    def displacement(self, frames: Tensor, place: Tensor | None = None) -> Tensor:
        """Of each frame from ``place`` (T,) or from rest, px, by the phase of the wave's component."""
        start = torch.zeros(1).double() if place is None else place
        turn = torch.angle(self.component(frames) / self.component(self.frames(start)))
        return -turn * self.period / (2 * math.pi)

    def contrast_of(self, frames: Tensor) -> Tensor:
        """Of each frame, over that at rest."""
        rest = self.component(self.frames(torch.zeros(1).double()))
        return self.component(frames).abs() / rest.abs()

    def motion(self, frames: Tensor, start: int, stop: int) -> Motion:
        """Fit frames start…stop (whole periods) by the input's sinusoid and the one a quarter later."""
        time = 2 * math.pi * FREQUENCY * torch.arange(start, stop).double() / FPS
        basis = torch.stack([time.sin(), -time.cos()], dim=1)
        moved = self.displacement(frames)[start:stop]
        gain, off = (torch.linalg.lstsq(basis, moved[:, None]).solution[:, 0] / self.amplitude).tolist()
        return Motion(gain, off)


@pytest.fixture(scope="session")
def grating() -> type[Grating]:
    """Makes a wave: ``grating(period, angle=0.0, amplitude=0.1, size=(64, 96), contrast=0.25, colour=…)``."""
    return Grating


def _run(magnifier: Magnifier, frames: Tensor, chunk: int = 16) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in frames.split(chunk)), magnifier.flush()])


@pytest.fixture(scope="session")
def run() -> Callable[..., Tensor]:
    """``run(magnifier, frames, chunk=16)``: what a method makes of a clip that comes in chunks."""
    return _run


@pytest.fixture(scope="session")
def clip() -> Tensor:
    """34 frames of 25×34 px: coloured noise, smooth enough to hold waves, that drifts and changes."""
    noise = torch.rand(34, 3, 25, 34, generator=torch.Generator().manual_seed(1))
    return (0.25 + 0.5 * noise.cumsum(0) / torch.arange(1, 35).view(-1, 1, 1, 1)).clamp(0, 1)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module) or type(value).__name__ == "_Matrices":
        return
    elif hasattr(value, "__dict__"):
        yield from _tensors(list(vars(value).values()))
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for part in value:
            yield from _tensors(part)


def _held(magnifier: Magnifier) -> int:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(magnifier)}
    return sum(storages.values())


@pytest.fixture(scope="session")
def held() -> Callable[[Magnifier], int]:
    """``held(magnifier)``: bytes of the tensors within reach of its attributes, but a filter's matrices."""
    return _held
