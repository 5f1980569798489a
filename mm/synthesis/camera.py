"""A video camera between the scene and the recorded frames: exposure, noise, sharpening, chroma, rounding.

The order is that of a camera's pipeline. Exposure and sharpening are part of the truth, too: a magnified clip
is to look as if the same camera had recorded it. Noise, the loss of chroma and rounding are not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.synthesis.random import SampleRandom
from mm.synthesis.sensor import photon_noise, quantise, sharpen
from mm.synthesis.trajectory import Waves

# Kr, Kb of ITU-R BT.601.
_RED, _BLUE = 0.299, 0.114


@dataclass(frozen=True)
class Camera:
    """Ranges from which each sample's camera is drawn, uniformly; the default adds nothing.

    Attributes:
        read_noise: standard deviation in [0, 1] units, the same at all values.
        flicker: standard deviation of the exposure from frame to frame, relative.
        gain: relative change of the brightness over the clip, up or down, as of an automatic exposure.
        sharpening: amount of an unsharp mask of 1 px.
        chroma: share of the samples with halved chroma (4:2:0), 0 to 1.
        rolling_shutter: time from reading the first row to reading the last one, in frames, 0 to 1; the same
            for all samples.

    Raises:
        InputError: for a range that cannot be.
    """

    read_noise: tuple[float, float] = (0.0, 0.0)
    flicker: tuple[float, float] = (0.0, 0.0)
    gain: tuple[float, float] = (0.0, 0.0)
    sharpening: tuple[float, float] = (0.0, 0.0)
    chroma: float = 0.0
    rolling_shutter: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("chroma", "rolling_shutter"):
                if not 0 <= value <= 1:
                    raise InputError(f"{field.name} must be between 0 and 1, got {value:g}")
                continue
            object.__setattr__(self, field.name, tuple(value))
            low, high = value
            if not 0 <= low <= high:
                raise InputError(f"{field.name} must satisfy 0 ≤ low ≤ high, got {low:g} and {high:g}")

    def exposed(self, frames: Tensor, random: SampleRandom, index: Tensor, count: int) -> Tensor:
        """Return frames at the exposure of their moments.

        Args:
            frames: (B, T, 3, H, W) in [0, 1].
            random: of the samples.
            index: (B, T) or (1, T), the frames' places in the clip.
            count: frames of the clip.
        """
        if not (self.flicker[1] or self.gain[1]):
            return frames
        return frames * self._exposure(random, index, count)[..., None, None, None]

    def sharpened(self, frames: Tensor, random: SampleRandom) -> Tensor:
        """Return frames (B, T, 3, H, W) after the camera's unsharp mask."""
        if not self.sharpening[1]:
            return frames
        amount = random.between("sharpening", *self.sharpening)[:, None, None, None, None]
        return sharpen(frames, amount)

    def recorded(
        self, frames: Tensor, random: SampleRandom, noise: Tensor, thresholds: Tensor | None
    ) -> Tensor:
        """Return exposed frames (B, T, 3, H, W) as recorded, in [0, 1].

        Args:
            frames: as :meth:`exposed` returns them.
            random: of the samples.
            noise: (B,) standard deviation of the photon noise at mid-grey, in [0, 1] units.
            thresholds: what decides how values are rounded to 8 bits (:func:`quantise`); None leaves them.
        """
        read = random.between("read noise", *self.read_noise) if self.read_noise[1] else None
        frames = photon_noise(frames, noise, random.normal("noise", *frames.shape[1:]), read)
        frames = self.sharpened(frames, random)
        if self.chroma:
            halved = (random.uniform("chroma") < self.chroma)[:, None, None, None, None]
            frames = torch.where(halved, halved_chroma(frames), frames)
        return frames.clamp(0.0, 1.0) if thresholds is None else quantise(frames, thresholds)

    def _exposure(self, random: SampleRandom, index: Tensor, count: int) -> Tensor:
        """Return (B, T): each frame's exposure, about 1."""
        flicker = random.between("flicker", *self.flicker)
        # Mains light, seen at the frame rate, and what no frame shares with the next.
        waves = Waves(
            torch.ones_like(flicker)[:, None, None],
            0.5 * random.uniform("flicker frequency", 1, 1),
            random.uniform("flicker phase", 1, 1),
        )
        grain = random.normal("flicker grain", count).gather(1, index.expand(len(flicker), -1))
        course = waves.at(index[:, None].float())[:, 0] + 0.5**0.5 * grain
        ramp = random.between("gain", *self.gain) * random.uniform("gain sign").sub(0.5).sign()
        return 1.0 + flicker[:, None] * course + ramp[:, None] * (index / max(count - 1, 1) - 0.5)


def halved_chroma(frames: Tensor) -> Tensor:
    """Return R'G'B' frames (…, 3, H, W) with the mean chroma of every two by two pixels (4:2:0, BT.601)."""
    height, width = frames.shape[-2:]
    red, green, blue = frames.unbind(-3)
    luma = _RED * red + (1 - _RED - _BLUE) * green + _BLUE * blue
    chroma = torch.stack((blue - luma, red - luma), dim=-3).flatten(0, -4)
    padded = F.pad(chroma, (0, width % 2, 0, height % 2), mode="replicate")
    mean = F.avg_pool2d(padded, 2).repeat_interleave(2, -1).repeat_interleave(2, -2)
    blue, red = (mean[..., :height, :width].unflatten(0, frames.shape[:-3]) + luma[..., None, :, :]).unbind(
        -3
    )
    green = (luma - _RED * red - _BLUE * blue) / (1 - _RED - _BLUE)
    return torch.stack((red, green, blue), dim=-3)
