"""The two renderers that show a scene of a measurement, which share no code with one another.

*fourier*: exact shifts of band-limited layers (:mod:`mm.evaluation.scenes`). *project*: the renderer that
makes the training's triplets (:mod:`mm.synthesis`), with its splines and its anti-aliasing. A network that
does well only by the second has learned the renderer.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.scene_spec import SceneSpec
from mm.evaluation.scenes import EDGE, MASK_CUTOFF, Layer, Scene, texture_from_image

ANTIALIAS = 1.0  # px, the anti-aliasing Gaussian of the project's renderer: "one destination pixel wide"
SUPERSAMPLING = 2


class Stage(Protocol):
    """A scene, set up in a renderer."""

    def frames(self, displacements: Tensor) -> Tensor:
        """Render each of T moments.

        Args:
            displacements: (T, 1 + K, 2) px (x, y) of the background and of each object, float64.

        Returns:
            (T, 3, H, W) float32 in [0, 1].
        """
        ...


class FourierStage:
    """A scene shown by Fourier shifts; on the CPU, in float64."""

    def __init__(self, content: SceneSpec) -> None:
        tall, wide = content.background.shape[-2:]
        texture = texture_from_image(content.background, tall, wide)
        opaque = torch.ones(1, tall, wide, dtype=torch.float64)
        layers = [Layer("background", torch.cat([texture, opaque]))]
        for patch, centre in zip(reversed(content.objects), content.centres.flip(0), strict=True):
            layers.append(Layer("object", _placed(patch, centre + content.margin, tall, wide)))
        self.scene = Scene(tuple(layers), content.margin)

    def frames(self, displacements: Tensor) -> Tensor:
        """See :class:`Stage`."""
        # A scene's layers are from back to front, a content's objects from front to back.
        return self.scene.frames(torch.cat([displacements[:, :1], displacements[:, 1:].flip(1)], 1))


class ProjectStage:
    """A scene shown by the renderer of the training's triplets."""

    def __init__(self, content: SceneSpec, device: torch.device | str = "cpu") -> None:
        # Here: a measurement with the other renderer alone needs no kornia.
        from mm.synthesis import Geometry, Translation
        from mm.synthesis.rendering import Renderer

        height, width = content.size
        count = len(content.objects)
        patch = content.objects[0].shape[-1] if count else 12
        geometry = Geometry(height, width, content.margin, patch, count)
        self.device = torch.device(device)
        self.renderer = Renderer(
            geometry, Translation(), supersampling=SUPERSAMPLING, max_antialias=ANTIALIAS
        )
        self.content = content

    def frames(self, displacements: Tensor) -> Tensor:
        """See :class:`Stage`."""
        from mm.runtime import exact_arithmetic
        from mm.synthesis.rendering import Layers, same_in_all_rows

        content, device = self.content, self.device
        count = len(content.objects)
        patches = torch.stack(content.objects) if count else torch.zeros(0, 4, 12, 12)
        length = displacements.norm(dim=-1).float().to(device)
        # As a part of the full circle, which is what a translation takes.
        turn = (torch.atan2(displacements[..., 1], displacements[..., 0]) / (2 * math.pi)) % 1.0
        turn = turn.float().to(device)[..., None]
        layers = Layers(
            background=content.background.float().to(device)[None],
            objects=patches.float().to(device)[None],
            centres=content.centres.float().to(device)[None],
            phase=content.phase.float().to(device)[None],
            background_motion=(turn[:1, 0], length[:1, 0]),
            object_motion=(turn[:1, 1:], length[:1, 1:]),
        )
        antialias = torch.full((1,), ANTIALIAS, device=device)
        rendered = []
        with torch.no_grad(), exact_arithmetic(device):
            coefficients = self.renderer.coefficients(layers)
            for parameters, amplitude in zip(turn, length, strict=True):
                layers.background_motion = (parameters[:1], amplitude[:1])
                layers.object_motion = (parameters[None, 1:], amplitude[None, 1:])
                gains = (same_in_all_rows(amplitude[:1]), same_in_all_rows(amplitude[1:]))
                frame = self.renderer.frame(coefficients, layers, *gains, antialias)
                rendered.append(frame[0].clamp(0, 1))
        return torch.stack(rendered)


RENDERERS = ("fourier", "project")


def chosen_renderers(name: str) -> tuple[str, ...]:
    """Return the renderers that ``name`` means: one of them, or "both".

    Raises:
        InputError: for another name.
    """
    if name == "both":
        return RENDERERS
    if name not in RENDERERS:
        raise InputError(f"renderer must be one of {', '.join(RENDERERS)} or both, got {name!r}")
    return (name,)


def stage(renderer: str, content: SceneSpec, device: torch.device | str = "cpu") -> Stage:
    """Set up a scene in a renderer."""
    return FourierStage(content) if renderer == "fourier" else ProjectStage(content, device)


def _placed(patch: Tensor, centre: Tensor, tall: int, wide: int) -> Tensor:
    """Return (4, tall, wide): a patch on a canvas that repeats, softened so that its shift is exact."""
    side = patch.shape[-1]
    canvas = torch.zeros(4, tall, wide, dtype=torch.float64)
    canvas[:, :side, :side] = patch
    down = torch.fft.fftfreq(tall, dtype=torch.float64)[:, None]
    across = torch.fft.fftfreq(wide, dtype=torch.float64)
    fineness = torch.hypot(across, down)
    soft = torch.exp(-2 * (math.pi * EDGE * fineness) ** 2) * (fineness < MASK_CUTOFF)
    x, y = (float(value) - (side - 1) / 2 for value in centre)
    turn = torch.exp(-2j * math.pi * (down * y + across * x))
    return torch.fft.ifft2(torch.fft.fft2(canvas) * soft * turn).real
