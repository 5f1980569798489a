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
from mm.synthesis.rendering import same_in_all_rows
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
        seen, renderer = layers.trimmed(), synthesizer.renderer
        moves = [each[1].flatten() for each in (seen.background_motion, seen.object_motion)]
        rest, moved = ([same_in_all_rows(gain * each) for each in moves] for gain in (0.0, 1.0))
        visible, displacement = renderer.visible(
            renderer.coefficients(seen), seen, *zip(rest, moved, strict=True)
        )
        displacement = displacement.permute(0, 2, 3, 1)
        at_centre = synthesizer.motion_at_centres(layers)
    b, k = layers.objects.shape[:2]
    size = synthesizer.geometry
    middle = torch.tensor([[[(size.width - 1) / 2, (size.height - 1) / 2]]]).expand(b, 1, 2)
    # From here on plain numbers: one copy for each quantity, not one for each sample and layer.
    centres = torch.cat((middle, layers.centres.cpu()), dim=1).tolist()
    moves, gains = at_centre.cpu().tolist(), factor.cpu().tolist()
    present = (layers.objects[:, :, 3].amax(dim=(-2, -1)) > 0).cpu().tolist()
    parameters = torch.cat((layers.background_motion[0][:, None], layers.object_motion[0]), dim=1)
    movers = motion_names(synthesizer.motion, parameters.flatten(0, 1))
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


def motion_names(motion: MotionGenerator, parameters: Tensor) -> list[tuple[str, bool]]:
    """Return the name of the generator that moves each layer, and whether it is a translation."""
    if isinstance(motion, Mixture):
        chosen = motion.choice(parameters).cpu().tolist()
        return [(motion.names[i], motion.members[i].is_translation) for i in chosen]
    names = [name for name in motion_generators if motion_generators.get(name) is type(motion)]
    name = names[0] if names else type(motion).__name__
    return [(name, motion.is_translation)] * parameters.shape[0]
