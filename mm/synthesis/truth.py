"""The exact ground truth of a batch: how far each layer moves, and what moves at each pixel.

Not part of the hot path: training needs the frames alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.registry import motion_generators
from mm.runtime import exact_arithmetic
from mm.synthesis.motion import Mixture, MotionGenerator
from mm.synthesis.rendering import Layers
from mm.synthesis.resampling import prefilter_matrix, resample_separable, resampling_matrix
from mm.synthesis.synthesizer import Synthesizer

BACKGROUND = 0  # the background's label; object k of the batch has label k + 1


@dataclass(frozen=True)
class LayerTruth:
    """One layer of one sample. Lengths in output px, (x, y), positive right and down.

    Attributes:
        kind: "background" or "object".
        label: the layer's value in :attr:`SampleTruth.visible`.
        motion: name of its motion generator.
        is_translation: whether all of it moves as its centre does.
        centre: where its centre is in xa.
        displacement: of its centre, from xa to xb.
        magnified: of its centre, from xa to y: ``factor`` times the displacement.
    """

    kind: str
    label: int
    motion: str
    is_translation: bool
    centre: tuple[float, float]
    displacement: tuple[float, float]
    magnified: tuple[float, float]


@dataclass(frozen=True)
class SampleTruth:
    """One sample.

    Attributes:
        factor: output motion over input motion.
        layers: those that are present, front to back; the background is the last.
        visible: (H, W) uint8, the label of the frontmost layer that is more than half opaque at each pixel's
            centre in xa.
        displacement: (H, W, 2) float32, of the material at each pixel of xa, from xa to xb, px (x, y), of the
            layer that is visible there. In y it is ``factor`` times as large.
    """

    factor: float
    layers: tuple[LayerTruth, ...]
    visible: Tensor
    displacement: Tensor


def ground_truth(synthesizer: Synthesizer, batch: dict[str, Tensor]) -> list[SampleTruth]:
    """Return the truth of each sample that ``synthesizer(batch)`` renders.

    Args:
        synthesizer: renders the batch.
        batch: as the synthesizer takes it.
    """
    with torch.no_grad(), exact_arithmetic(batch["background"].device):
        layers, factor = synthesizer.draw(batch)
        visible = _visible_layer(synthesizer, layers)
        displacement = _visible_displacement(synthesizer, layers, visible)
        at_centre = synthesizer.motion_at_centres(layers)
    b, k = layers.objects.shape[:2]
    size = synthesizer.geometry
    middle = torch.tensor([[[(size.width - 1) / 2, (size.height - 1) / 2]]]).expand(b, 1, 2)
    # From here on plain numbers: one copy for each quantity, not one for each sample and layer.
    centres = torch.cat((middle, layers.centres.cpu()), dim=1).tolist()
    moves, gains = at_centre.cpu().tolist(), factor.cpu().tolist()
    present = (layers.objects[:, :, 3].amax(dim=(-2, -1)) > 0).cpu().tolist()
    parameters = torch.cat((layers.background_motion[0][:, None], layers.object_motion[0]), dim=1)
    movers = _movers(synthesizer.motion, parameters.flatten(0, 1))
    samples = []
    for i, gain in enumerate(gains):
        order = [label for label in range(1, k + 1) if present[i][label - 1]] + [BACKGROUND]
        entries = []
        for label in order:
            name, is_translation = movers[i * (k + 1) + label]
            x, y = moves[i][label]
            entries.append(
                LayerTruth(
                    kind="background" if label == BACKGROUND else "object",
                    label=label,
                    motion=name,
                    is_translation=is_translation,
                    centre=tuple(centres[i][label]),
                    displacement=(x, y),
                    magnified=(x * gain, y * gain),
                )
            )
        samples.append(SampleTruth(gain, tuple(entries), visible[i].cpu(), displacement[i].cpu()))
    return samples


def _visible_layer(synthesizer: Synthesizer, layers: Layers) -> Tensor:
    """Return (B, H, W) uint8: the label of the layer that is seen at each pixel of the reference frame."""
    size, kernel = synthesizer.geometry, synthesizer.renderer.kernel
    b, k, _, patch, _ = layers.objects.shape
    device = layers.objects.device
    if k == 0:
        return torch.zeros(b, size.height, size.width, dtype=torch.uint8, device=device)
    place = layers.centres.flatten(0, 1) - (patch - 1) / 2
    operators = []
    for length, start in ((size.height, place[:, 1:]), (size.width, place[:, :1])):
        positions = torch.arange(length, device=device, dtype=torch.float32) - start
        matrix = resampling_matrix(positions, patch, kernel, mirror=False)
        prefilter = prefilter_matrix(patch, kernel, device)
        operators.append(matrix if prefilter is None else matrix @ prefilter)
    alpha = resample_separable(layers.objects[:, :, 3].reshape(b * k, 1, patch, patch), *operators)
    # The frontmost object has the highest rank; 0 is none.
    rank = torch.arange(k, 0, -1, device=device).view(1, k, 1, 1)
    front = (rank * (alpha.view(b, k, size.height, size.width) > 0.5)).amax(dim=1)
    return torch.where(front > 0, k + 1 - front, BACKGROUND).to(torch.uint8)


def _visible_displacement(synthesizer: Synthesizer, layers: Layers, visible: Tensor) -> Tensor:
    """Return (B, H, W, 2) the displacement of what is seen at each pixel of the reference frame."""
    b, height, width = visible.shape
    y = torch.arange(height, device=visible.device, dtype=torch.float32)
    x = torch.arange(width, device=visible.device, dtype=torch.float32)
    pixels = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1).reshape(1, -1, 2)
    labels = visible.flatten(1)[..., None]

    def field(centre: Tensor, parameters: Tensor, amplitude: Tensor) -> Tensor:
        return synthesizer.motion.displacement(pixels - centre, parameters, amplitude[:, None, None])

    middle = (pixels[:, :1] + pixels[:, -1:]) / 2
    parameters, amplitude = layers.background_motion
    shown = field(middle.expand(b, 1, 2), parameters, amplitude).expand(b, height * width, 2)
    parameters, amplitude = layers.object_motion
    # One at a time: the fields of all layers at all pixels would fill the memory.
    for k in range(layers.objects.shape[1]):
        own = field(layers.centres[:, k, None], parameters[:, k], amplitude[:, k])
        shown = torch.where(labels == k + 1, own, shown)
    return shown.view(b, height, width, 2)


def _movers(motion: MotionGenerator, parameters: Tensor) -> list[tuple[str, bool]]:
    """Return the name of the generator that moves each layer, and whether it is a translation."""
    if isinstance(motion, Mixture):
        chosen = motion.choice(parameters).cpu().tolist()
        return [(motion.names[i], motion.members[i].is_translation) for i in chosen]
    names = [name for name in motion_generators if motion_generators.get(name) is type(motion)]
    name = names[0] if names else type(motion).__name__
    return [(name, motion.is_translation)] * parameters.shape[0]
