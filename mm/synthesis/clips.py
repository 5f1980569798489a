"""Workers' layers and a seed a sample → clips whose motion is known at every frame.

A training triplet is the shortest clip. Its layers are drawn in the same way; here each vibrates in a band of
frequencies, moves otherwise as well, and is seen through a video camera.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mm.errors import InputError
from mm.runtime import exact_arithmetic
from mm.synthesis.camera import Camera
from mm.synthesis.geometry import Geometry
from mm.synthesis.limits import measure_field
from mm.synthesis.motion import MotionGenerator, Translation, check_generator
from mm.synthesis.random import SampleRandom
from mm.synthesis.rendering import Gain, Layers, Renderer
from mm.synthesis.synthesizer import Synthesizer
from mm.synthesis.trajectory import Compound, Trajectories, TrajectoryConfig, band_part

# Steepest gradient of a layer's motion outside of the band, px per px.
_OTHER_GRADIENT = 0.1


class ClipSynthesizer(Synthesizer):
    """Renders clips with the truth that a temporal magnification is to give. It has no parameters.

    The truth is what the same camera would record, without noise and rounding, were the motion in the band
    ``factor`` times as large: drift, travel, shake and changes of exposure stay as they are. A sample is a
    function of its layers, its seed and its subset alone, as :class:`~mm.synthesis.Synthesizer` has it.

    Args:
        height: of the frames, px.
        width: of the frames, px.
        frames: of a clip, at least 2.
        trajectories: ranges of the motion over time; None for the defaults.
        camera: what the camera does; None adds nothing but the synthesizer's noise and rounding.
        truth_frames: how many frames of each clip have a truth, drawn by its seed; None for all of them.
        truth_margin: frames at either end of a clip that have no truth, where temporal filters settle.
        other_motion: generator of the motion outside of the band; a translation if None.
        **triplet: arguments of :class:`~mm.synthesis.Synthesizer`. ``motion`` and ``limits`` are of the
            vibration: its peak, not the difference of two frames.

    Raises:
        InputError: for a number out of range.
    """

    def __init__(
        self,
        height: int = 128,
        width: int = 128,
        frames: int = 16,
        trajectories: TrajectoryConfig | None = None,
        camera: Camera | None = None,
        truth_frames: int | None = None,
        truth_margin: int = 0,
        other_motion: MotionGenerator | None = None,
        **triplet: Any,
    ) -> None:
        super().__init__(height, width, **triplet)
        if self.sharpening[1]:
            raise InputError("a clip's sharpening is its camera's: set camera.sharpening")
        if frames < 2:
            raise InputError(f"frames must be at least 2, got {frames}")
        inner = frames - 2 * truth_margin
        if truth_margin < 0 or inner < 1:
            raise InputError(
                f"truth_margin must be between 0 and {(frames - 1) // 2} for {frames} frames, "
                f"got {truth_margin}"
            )
        if truth_frames is not None and not 1 <= truth_frames <= inner:
            raise InputError(f"truth_frames must be between 1 and {inner}, got {truth_frames}")
        self.frames = frames
        self.trajectories = trajectories or TrajectoryConfig()
        self.camera = camera or Camera()
        self.truth_frames = truth_frames
        self.truth_margin = truth_margin
        self.other = other_motion or Translation()
        check_generator(self.other)
        self.compound = Compound(self.motion, self.other)
        magnified = max(each.max_magnified for each in self._all_limits)
        pair = self.geometry
        self.geometry = Geometry.for_motion(
            height, width, magnified + self.trajectories.reach, pair.object_size, pair.max_objects
        )
        shutter = self.camera.rolling_shutter
        # The fastest motion is the magnified vibration at the highest frequency.
        speed = 2 * math.pi * self.trajectories.frequencies[1] * magnified
        self.renderer = Renderer(
            self.geometry,
            self.compound,
            self.renderer.kernel,
            self.renderer.scale,
            self.antialias[1],
            max(each.max_gradient for each in self._all_limits) + _OTHER_GRADIENT,
            fast_translation=shutter == 0,
            skew=speed * shutter * pair.object_size / 2 / height,
        )

    @classmethod
    def of(cls, pairs: Synthesizer, **clip: Any) -> ClipSynthesizer:
        """Return a renderer of clips of the scenes that ``pairs`` renders.

        Args:
            pairs: its layers, subsets, limits, motion, noise, rounding and anti-aliasing are taken.
            **clip: arguments of :class:`ClipSynthesizer` beside them.
        """
        size = pairs.geometry
        return cls(
            size.height,
            size.width,
            motion=pairs.motion,
            limits=pairs.limits,
            noise=pairs.noise,
            antialias=pairs.antialias,
            supersampling=pairs.renderer.scale,
            kernel=pairs.renderer.kernel,
            object_size=size.object_size,
            max_objects=size.max_objects,
            subsets=pairs.subsets,
            noise_distribution=pairs.noise_distribution,
            quantised=pairs.quantised,
            nearest=pairs.nearest,
            **clip,
        )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Render a batch.

        Args:
            batch: as :meth:`mm.synthesis.Synthesizer.forward` takes it. With ``truth_index``, int64 (B, T'),
                these frames have a truth.

        Returns:
            ``frames`` float32 (B, T, 3, H, W) in [0, 1]; ``truth`` (B, T', 3, H, W), the magnified frames,
            and ``truth_index`` int64 (B, T'), their places in the clip, in increasing order;
            ``visible`` uint8 (B, T', H, W), the layer that is seen at each pixel of these frames of the clip,
            0 for the background and k + 1 for object k, and ``displacement`` (B, T', 2, H, W), px (x, y), how
            far the vibration in the band has moved it; ``factor`` (B,); ``band`` (B, 2) in cycles per frame;
            ``motion`` (B, K + 1, T, 2), px (x, y), of the layers' centres by the vibration in the band, and
            ``other_motion`` likewise by all else, the background first; ``seed``, ``subset`` and ``index``
            passed through.
        """
        with torch.no_grad(), exact_arithmetic(batch["background"].device):
            layers, factor = self.draw(batch)
            random = SampleRandom(batch["seed"])
            count = layers.objects.shape[1] + 1
            other = self._other_motion(random, count)
            trajectories, band = self.trajectories.draw(random, count, self.frames)
            scene = _MovingScene(self, layers, trajectories, other)
            antialias = random.between("antialias", *self.antialias)
            index = batch.get("truth_index")
            if index is None:
                index = self._truth_index(random)
            every = torch.arange(self.frames, device=index.device).expand(len(index), -1)
            clean = torch.stack([scene.frame(time, antialias) for time in every.unbind(1)], dim=1)
            truth = torch.stack([scene.frame(time, antialias, factor) for time in index.unbind(1)], dim=1)
            shown = [scene.visible(time) for time in index.unbind(1)]
            camera = self.camera
            clean = camera.exposed(clean.clamp_(0.0, 1.0), random, every, self.frames)
            truth = camera.exposed(truth.clamp_(0.0, 1.0), random, index, self.frames)
            thresholds = self._rounding(random, tuple(clean.shape[1:])) if self.quantised else None
            noise = self._noise_strength(random, batch["subset"])
            out = {
                "frames": camera.recorded(clean, random, noise, thresholds),
                "truth": camera.sharpened(truth, random).clamp_(0.0, 1.0),
                "truth_index": index,
                "visible": torch.stack([labels for labels, _ in shown], dim=1),
                "displacement": torch.stack([moved for _, moved in shown], dim=1),
                "factor": factor,
                "band": band,
            }
            out["motion"], out["other_motion"] = scene.motion_at_centres(every)
        return out | {name: batch[name] for name in ("seed", "subset", "index") if name in batch}

    def _other_motion(self, random: SampleRandom, count: int) -> tuple[Tensor, Tensor]:
        """Return parameters (B, K + 1, P) and gain per px (B, K + 1) of the motion outside the band."""
        parameters = random.uniform("other motion", count, self.other.parameters)
        b = parameters.shape[0]
        size = self.geometry
        objects = parameters[:, 1:].flatten(0, 1)
        measured = [measure_field(self.other, parameters[:, 0], *size.background_size)]
        measured.append(measure_field(self.other, objects, size.object_size, size.object_size))
        peak, gradient = (
            torch.cat((whole[:, None], each.view(b, -1)), dim=1)
            for whole, each in zip(*measured, strict=True)
        )
        farthest = max(self.trajectories.drift[1] + self.trajectories.outside[1], 1e-6)
        steepest = _OTHER_GRADIENT / (farthest * gradient.clamp(min=1e-9))
        return parameters, torch.minimum(1.0 / peak.clamp(min=1e-6), steepest)

    def _truth_index(self, random: SampleRandom) -> Tensor:
        inner = self.frames - 2 * self.truth_margin
        order = random.uniform("truth", inner).argsort(dim=1)[:, : self.truth_frames]
        return order.sort(dim=1).values + self.truth_margin


class _MovingScene:
    """The layers of a batch and their motion over time, rendered at any moment."""

    def __init__(
        self,
        synthesizer: ClipSynthesizer,
        layers: Layers,
        trajectories: Trajectories,
        other: tuple[Tensor, Tensor],
    ) -> None:
        self.renderer = synthesizer.renderer
        self.compound = synthesizer.compound
        self.shutter = synthesizer.camera.rolling_shutter
        self.height = synthesizer.geometry.height
        vibration, amplitude = (
            torch.cat((background[:, None], objects), dim=1)
            for background, objects in zip(layers.background_motion, layers.object_motion, strict=True)
        )
        self.parameters = torch.cat((vibration, other[0]), dim=-1)
        self.trajectories = trajectories.scaled(amplitude, other[1])
        # The amplitude is part of the trajectories.
        layers.background_motion = (self.parameters[:, 0], amplitude[:, 0])
        layers.object_motion = (self.parameters[:, 1:], amplitude[:, 1:])
        self.layers = layers.trimmed()
        self.coefficients = self.renderer.coefficients(self.layers)

    def frame(self, index: Tensor, antialias: Tensor, factor: Tensor | None = None) -> Tensor:
        """Return the frame (B, 3, H, W) at ``index`` (B,), with the vibration ``factor`` times as large."""
        return self.renderer.frame(self.coefficients, self.layers, *self._gains(index, factor), antialias)

    def visible(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is visible in the frame at ``index`` (B,), and the vibration's displacement of it.

        They are uint8 (B, H, W) and (B, 2, H, W) px.
        """
        whole, part = self._gains(index), self._gains(index, band_only=True)
        return self.renderer.visible(self.coefficients, self.layers, (whole[0], part[0]), (whole[1], part[1]))

    def motion_at_centres(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the displacement (B, K + 1, T, 2) of the layers' centres: in the band, and otherwise.

        With a rolling shutter it is that at the time of the frame's middle row.
        """
        amounts = self.trajectories.amounts(index[:, None].float())
        b, layers, t = amounts.shape[:3]
        nowhere = torch.zeros(b * layers, t, 2, device=amounts.device)

        def displacement(part: Tensor) -> Tensor:
            field = self.compound.displacement(nowhere, self.parameters.flatten(0, 1), part.flatten(0, 1))
            return field.view(b, layers, t, 2)

        return displacement(band_part(amounts)), displacement(amounts - band_part(amounts))

    def _gains(
        self, index: Tensor, factor: Tensor | None = None, band_only: bool = False
    ) -> tuple[Gain, Gain]:
        """Return the gains of the background and of the objects."""
        b = len(index)

        def gain(layers: slice) -> Gain:
            trajectories = self.trajectories.of(layers)
            count = trajectories.velocity.shape[1]

            def at_rows(rows: Tensor) -> Tensor:
                # The middle row is read at the frame's own time.
                late = self.shutter * (rows / (self.height - 1) - 0.5)
                return at_times(index[:, None, None] + late.view(b, count, rows.shape[-1]))

            def at_times(times: Tensor) -> Tensor:
                amounts = trajectories.amounts(times, factor)
                return (band_part(amounts) if band_only else amounts).flatten(0, 1)

            if self.shutter:
                return at_rows
            amounts = at_times(index[:, None, None].float())
            return lambda rows: amounts

        return gain(slice(0, 1)), gain(slice(1, self.layers.objects.shape[1] + 1))
