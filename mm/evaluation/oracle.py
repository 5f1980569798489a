"""The oracle: a clip magnified with the true displacement field, and the frames' own pixels.

It shows how much of the truth can be reached by moving pixels, with nothing invented: damage by noise and a
codec stays, and what was uncovered is filled from the pixels around it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.evaluation.scene_spec import SceneSpec
from mm.evaluation.sequences import LayerMotion, visible_layer
from mm.networks.splatting.field import Field
from mm.networks.splatting.filling import draw

NAME = "oracle"
CHUNK = 8  # frames drawn at once
ALIGNED = 16  # px, of which a drawn frame's sides are multiples
NEARER = 6.0  # logarithm of the weight of a layer over that of the next one behind it


def oracle_clip(frames: Tensor, spec: SceneSpec, motion: LayerMotion, factor: float) -> Tensor:
    """Return a clip magnified by the exact field of its visible layers.

    Args:
        frames: (T, 3, H, W) in [0, 1], as recorded.
        spec: the scene.
        motion: of its layers.
        factor: of the vibration in the band.

    Returns:
        (T, 3, H, W) float32 in [0, 1].
    """
    height, width = frames.shape[-2:]
    margins = (0, -width % ALIGNED, 0, -height % ALIGNED)
    farther = ((factor - 1) * motion.band).float()
    # Objects are listed from front to back.
    count = len(spec.objects)
    nearness = torch.tensor([0.0, *range(count, 0, -1)]) * NEARER
    labels = visible_layer(spec, motion.magnified(1.0)).long()
    drawn = []
    for chunk, seen, moved in zip(*(each.split(CHUNK) for each in (frames, labels, farther)), strict=True):
        field = torch.stack([each[places] for each, places in zip(moved, seen, strict=True)]).movedim(-1, 1)
        order = nearness[seen][:, None]
        pixels, field, order = (
            F.pad(each, margins, mode="replicate") for each in (chunk.float(), field, order)
        )
        picture, _ = draw(pixels, Field(field, order, -order, torch.ones_like(order)))
        drawn.append(picture[..., :height, :width].clamp(0, 1))
    return torch.cat(drawn)
