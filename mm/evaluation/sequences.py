"""Clips of a scene with the truth of a temporal magnification, by either renderer.

Each layer vibrates in a band of frequencies, along the scene's direction for it, and moves otherwise as well.
The truth is the clip with the vibration alone ``factor`` times as large, without noise or rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.renderers import stage
from mm.evaluation.scene_spec import REACH, SceneSpec
from mm.synthesis import Camera, TrajectoryConfig
from mm.synthesis.random import SampleRandom


@dataclass(frozen=True)
class LayerMotion:
    """How the layers of a scene move over T frames, px (x, y), the background first.

    Attributes:
        band: (T, 1 + K, 2) float64, the vibration inside the band.
        other: (T, 1 + K, 2) float64, all other motion.
        low, high: the band in cycles per frame.
    """

    band: Tensor
    other: Tensor
    low: float
    high: float

    def magnified(self, factor: float) -> Tensor:
        """Return the displacements (T, 1 + K, 2) with the vibration ``factor`` times as large."""
        return factor * self.band + self.other


@dataclass(frozen=True)
class Sequence:
    """A clip and its truth.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1], as recorded.
        truth: (T, 3, H, W) float32 in [0, 1], what magnifying the band should give.
    """

    frames: Tensor
    truth: Tensor


def draw_motion(
    spec: SceneSpec, config: TrajectoryConfig, frames: int, amplitude: float, seed: int
) -> LayerMotion:
    """Return motion over time for a scene; a function of its arguments.

    Args:
        spec: the scene.
        config: ranges; a range whose ends are equal fixes its value.
        frames: how many.
        amplitude: peak of the vibration, px.
        seed: of the motion, with the scene's index.
    """
    # Far apart, so that no two scenes of two seeds share their numbers.
    random = SampleRandom(torch.tensor([seed * 1_000_003 + spec.index]))
    layers = len(spec.directions)
    trajectories, limits = config.draw(random, layers, frames)
    amounts = trajectories.amounts(torch.arange(frames).float()[None, None])[0].double()
    angle = 2 * torch.pi * random.uniform("other motion", layers)[0].double()
    # (1 + K, T, 2) each.
    band = amplitude * amounts[..., :1] * spec.directions[:, None]
    other = amounts[..., 1:2] * torch.stack((angle.cos(), angle.sin()), -1)[:, None] + amounts[..., 2:]
    low, high = limits[0].tolist()
    return LayerMotion(band.transpose(0, 1), other.transpose(0, 1), low, high)


def render_sequence(
    spec: SceneSpec,
    motion: LayerMotion,
    factor: float,
    renderer: str = "project",
    *,
    camera: Camera | None = None,
    noise: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Sequence:
    """Render a clip and its truth.

    Args:
        spec: the scene.
        motion: of its layers.
        factor: of the vibration in the truth.
        renderer: "project" or "fourier".
        camera: what the camera does; a global shutter. None adds nothing but noise and rounding.
        noise: standard deviation of the photon noise at mid-grey, in [0, 1] units.
        seed: of the camera's noise, with the scene's index.
        device: of the project's renderer.

    Raises:
        InputError: if a layer moves farther than the scene was built for, or the camera's shutter rolls.
    """
    camera = camera or Camera()
    if camera.rolling_shutter:
        raise InputError(f"rolling_shutter must be 0 here, got {camera.rolling_shutter:g}")
    moved = (motion.magnified(1.0), motion.magnified(factor))
    farthest = max(float(each.norm(dim=-1).amax()) for each in moved)
    if farthest > spec.margin - REACH:
        raise InputError(
            f"the scene is built for motion of up to {spec.margin - REACH} px, got {farthest:.3g} px; "
            "build it with a larger reach"
        )
    shown = stage(renderer, spec, device)
    frames, truth = (shown.frames(each).cpu()[None] for each in moved)
    random = SampleRandom(torch.tensor([seed * 1_000_003 + spec.index]))
    index = torch.arange(frames.shape[1])[None]
    frames, truth = (camera.exposed(each, random, index, frames.shape[1]) for each in (frames, truth))
    thresholds = random.uniform("rounding", *frames.shape[1:])
    recorded = camera.recorded(frames, random, torch.tensor([noise]), thresholds)
    return Sequence(recorded[0], camera.sharpened(truth, random).clamp(0, 1)[0])
