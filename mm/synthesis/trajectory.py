"""Motion over time: how far each layer is along its motion, inside the magnified band and outside it.

Times are in frames, frequencies in cycles per frame: Nyquist is 0.5. Every motion is a function of continuous
time, a sum of sinusoids or a line, so that a rolling shutter can read it between frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from mm.errors import InputError
from mm.synthesis.motion import MotionGenerator
from mm.synthesis.random import SampleRandom

NYQUIST = 0.5
KINDS = ("sinusoid", "several", "noise")
# How many sinusoids each kind is a sum of.
_WAVES = {"sinusoid": 1, "several": 3, "noise": 8}
_SHAKE_WAVES = 6
_TURN = 2.0 * math.pi
# Motion in the band stays away from either edge by this share of the width, and motion outside by this ratio
# of frequencies: no filter's edge is a wall.
_INSET = 0.15
_GUARD = 1.5
# Cycles per frame, below which nothing vibrates outside of the band.
_SLOWEST = 0.005


@dataclass(frozen=True)
class Waves:
    """Sums of W sinusoids, one sum for each of L courses of each sample.

    Attributes:
        weight: (B, L, W) amplitudes.
        frequency: (B, L, W) cycles per frame.
        phase: (B, L, W) cycles.
    """

    weight: Tensor
    frequency: Tensor
    phase: Tensor

    def at(self, time: Tensor) -> Tensor:
        """Return the values (B, L, N) at times (B, L, N), in frames; times broadcast."""
        cycles = time[..., None] * self.frequency[:, :, None] + self.phase[:, :, None]
        return ((cycles * _TURN).sin() @ self.weight[..., None])[..., 0]

    def of(self, courses: slice) -> Waves:
        """Return some of the courses."""
        return Waves(self.weight[:, courses], self.frequency[:, courses], self.phase[:, courses])

    def scaled(self, gain: Tensor) -> Waves:
        """Return the courses multiplied by gains (B, L)."""
        return Waves(self.weight * gain[..., None], self.frequency, self.phase)


@dataclass(frozen=True)
class Trajectories:
    """The motion of every layer of a batch over time; B samples, L layers, the background first.

    Attributes:
        band: gain of the layers' vibration, inside the band.
        outside: gain of their other motion: slow drift, and vibration outside of the band.
        velocity: (B, L, 2) px per frame (x, y) of their steady travel.
        shake: of the whole frame, px, along x and y (L = 2).
        middle: when travel is at 0, in frames.
    """

    band: Waves
    outside: Waves
    velocity: Tensor
    shake: Waves
    middle: float

    def scaled(self, band: Tensor, outside: Tensor) -> Trajectories:
        """Return the same with the first two gains multiplied by (B, L) each."""
        return replace(self, band=self.band.scaled(band), outside=self.outside.scaled(outside))

    def of(self, layers: slice) -> Trajectories:
        """Return the motion of some of the layers."""
        return replace(
            self,
            band=self.band.of(layers),
            outside=self.outside.of(layers),
            velocity=self.velocity[:, layers],
        )

    def amounts(self, time: Tensor, factor: Tensor | None = None) -> Tensor:
        """Return the gains (B, L, N, 4) of :class:`Compound`.

        Args:
            time: (B, 1 or L, N) frames.
            factor: (B,) by which the vibration is magnified; 1 if None.
        """
        band = self.band.at(time)
        if factor is not None:
            band = band * factor[:, None, None]
        travel = (time - self.middle)[..., None] * self.velocity[:, :, None]
        b, _, n = band.shape
        # The camera shakes: all layers alike, each at its own time.
        shake = self.shake.at(time.reshape(b, 1, -1)).mT.reshape(b, -1, n, 2)
        return torch.cat((torch.stack((band, self.outside.at(time)), dim=-1), travel + shake), dim=-1)


@dataclass(frozen=True)
class TrajectoryConfig:
    """Ranges from which the motion over time is drawn; lengths in px, frequencies in cycles per frame.

    Attributes:
        frequencies: within which bands lie, at most 0.5.
        band_ratio: of a band's upper frequency to its lower one.
        kinds: of vibration in the band, each as likely: a sinusoid, several, or noise.
        drift: peak of a layer's slow motion, at most a third of the band's lower frequency.
        outside: peak of a layer's vibration outside of the band.
        travel: of a layer from the first frame to the last, at constant speed.
        shake: standard deviation of the whole frame's shake along x and along y, outside of the band.
        share: of the samples that have each of drift, outside, travel and shake, 0 to 1.

    Raises:
        InputError: for a range that cannot be.
    """

    frequencies: tuple[float, float] = (0.05, 0.4)
    band_ratio: tuple[float, float] = (1.3, 3.0)
    kinds: tuple[str, ...] = KINDS
    drift: tuple[float, float] = (0.0, 1.0)
    outside: tuple[float, float] = (0.0, 0.3)
    travel: tuple[float, float] = (0.0, 3.0)
    shake: tuple[float, float] = (0.02, 0.5)
    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        # Configurations give lists.
        for field in fields(self):
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        for name, least in (("drift", 0), ("outside", 0), ("travel", 0), ("shake", 0), ("band_ratio", 1)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(f"{name} must satisfy {least} ≤ low ≤ high, got {low:g} and {high:g}")
        low, high = self.frequencies
        if not 0.01 <= low < high:
            raise InputError(
                f"frequencies must satisfy 0.01 ≤ low < high (cycles per frame), got {low:g} and {high:g}"
            )
        if high > NYQUIST:
            raise InputError(
                f"frequencies must be at most {NYQUIST} cycles per frame (Nyquist), got {high:g}; "
                "lower the band or raise the frame rate"
            )
        if self.band_ratio[1] > high / low * (1 + 1e-6):
            raise InputError(
                f"band_ratio must be at most {high / low:.3g}, the ratio of the frequencies {low:g} and "
                f"{high:g}, got {self.band_ratio[1]:g}"
            )
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError(f"kinds must be among {', '.join(KINDS)}, got {self.kinds}")
        if not 0 <= self.share <= 1:
            raise InputError(f"share must be between 0 and 1, got {self.share:g}")

    @property
    def reach(self) -> float:
        """Farthest, px, that motion outside of the band moves a layer."""
        shake = self.shake[1] * math.sqrt(4 * _SHAKE_WAVES)  # all waves at once, along both axes
        return self.drift[1] + self.outside[1] + self.travel[1] / 2 + shake

    def draw(self, random: SampleRandom, layers: int, frames: int) -> tuple[Trajectories, Tensor]:
        """Return the motion of ``layers`` layers over ``frames`` frames, and the bands (B, 2)."""
        ratio = _between(random.uniform("band ratio"), *self.band_ratio, logarithmic=True)
        lowest, highest = self.frequencies
        low = lowest * (highest / (lowest * ratio)) ** random.uniform("band")
        band = torch.stack((low, low * ratio), dim=-1)
        vibration = self._vibration(random, band, layers)
        # Slow drift is one wave, vibration outside of the band the other.
        u = random.uniform("outside", 2, layers)
        size = torch.stack(
            [
                _between(u[:, place], *limits) * self._present(random, name)[:, None]
                for place, (name, limits) in enumerate((("drift", self.drift), ("outside", self.outside)))
            ],
            dim=-1,
        )
        rate = random.uniform("outside frequency", layers, 2)
        slow = (0.2 + 0.8 * rate[..., 0]) * low[:, None] / 3
        other = torch.stack((slow, _off_band(rate[..., 1], band[:, None])), dim=-1)
        outside = Waves(size, other, random.uniform("outside phase", layers, 2))
        speed = _between(random.uniform("travel", layers), *self.travel) / max(frames - 1, 1)
        heading = random.uniform("heading", layers) * _TURN
        velocity = torch.stack((heading.cos(), heading.sin()), dim=-1)
        velocity = velocity * (speed * self._present(random, "travel")[:, None])[..., None]
        return Trajectories(vibration, outside, velocity, self._shake(random, band), (frames - 1) / 2), band

    def _vibration(self, random: SampleRandom, band: Tensor, layers: int) -> Waves:
        count = max(_WAVES[kind] for kind in self.kinds)
        chosen = (random.uniform("kind", layers) * len(self.kinds)).long()[..., None]
        weight = 0.2 + 0.8 * random.uniform("weight", layers, count)
        place = torch.arange(count, device=weight.device)
        used = torch.zeros_like(chosen)
        for number, kind in enumerate(self.kinds):
            used = torch.where(chosen == number, _WAVES[kind], used)
        weight = weight * (place < used)
        # The peak can be no more than the sum.
        weight = weight / weight.sum(-1, keepdim=True)
        low, high = band[:, None, None].unbind(-1)
        inside = _INSET + (1 - 2 * _INSET) * random.uniform("frequency", layers, count)
        return Waves(weight, low + (high - low) * inside, random.uniform("phase", layers, count))

    def _shake(self, random: SampleRandom, band: Tensor) -> Waves:
        deviation = _between(random.uniform("shake"), *self.shake, logarithmic=self.shake[0] > 0)
        deviation = deviation * self._present(random, "shake") * math.sqrt(2 / _SHAKE_WAVES)
        frequency = _off_band(random.uniform("shake frequency", 2, _SHAKE_WAVES), band[:, None, None])
        weight = deviation[:, None, None].expand_as(frequency)
        return Waves(weight, frequency, random.uniform("shake phase", 2, _SHAKE_WAVES))

    def _present(self, random: SampleRandom, name: str) -> Tensor:
        return (random.uniform(f"has {name}") < self.share).float()


def band_part(amounts: Tensor) -> Tensor:
    """Return gains (…, 4) of :class:`Compound` with the motion outside of the band set to 0."""
    return torch.cat((amounts[..., :1], torch.zeros_like(amounts[..., 1:])), dim=-1)


class Compound:
    """A layer's vibration, its other motion and a shift together, as one motion generator.

    Its gain is (…, 4): of the vibration, of the other motion, and the shift in px (x, y).
    """

    def __init__(self, vibration: MotionGenerator, other: MotionGenerator) -> None:
        self.vibration = vibration
        self.other = other
        self.parameters = vibration.parameters + other.parameters
        self.is_translation = vibration.is_translation and other.is_translation

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`mm.synthesis.MotionGenerator`."""
        first, second = parameters.split((self.vibration.parameters, self.other.parameters), dim=-1)
        vibration = self.vibration.displacement(points, first, gain[..., :1])
        shift = gain[..., 2:]
        return vibration + self.other.displacement(points, second, gain[..., 1:2]) + shift


def _between(u: Tensor, low: float, high: float, logarithmic: bool = False) -> Tensor:
    return low * (high / low) ** u if logarithmic else low + (high - low) * u


def _off_band(u: Tensor, band: Tensor) -> Tensor:
    """Return frequencies outside of bands (…, 2), uniformly from what is left below Nyquist."""
    low, high = (band[..., 0] / _GUARD).clamp(min=_SLOWEST), (band[..., 1] * _GUARD).clamp(max=NYQUIST)
    below = low - _SLOWEST
    place = u * (below + NYQUIST - high)
    return torch.where(place < below, _SLOWEST + place, high + place - below)
