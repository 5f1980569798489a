"""Photographs and cut-outs for the scenes, from folders, named sources, or drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mm.data.bank import ImageBank, ImageCache
from mm.data.held_out import PROCEDURAL_SEED, held_out
from mm.data.procedural import ProceduralCutouts, ProceduralPhotographs
from mm.data.sources import FolderOfCutouts, FolderOfPhotographs, build_source
from mm.evaluation.protocol import GAIN_OUTPUTS
from mm.evaluation.scene_spec import OBJECT_SIZE, PLACE, Pictures

CACHE = 256 * 2**20  # bytes of decoded photographs and cut-outs that are kept
LARGEST_CUTOUT = 400  # px, longest side of a procedural one: what an object needs in a frame of 570 px


def named_pictures(
    photographs: Sequence[str] | None, cutouts: Sequence[str] | None, longest: int
) -> tuple[Pictures, str]:
    """Return the photographs and cut-outs that are named, or procedural ones; and how many are held out.

    Nobody knows whether a network was trained on named images that are not on the list of those that no
    training sees. Procedural ones are drawn with a seed that training refuses.

    Args:
        photographs: folders, or the name of an image source; None for procedural ones.
        cutouts: likewise.
        longest: px, the longer side of the frames.

    Raises:
        InputError: for a source that is not there or has no image.
    """
    # As large as they are shown: nothing is gained by drawing them larger.
    whole = longest + 2 * max(int(PLACE * longest) + 16, int(GAIN_OUTPUTS[1]) + 8)
    small = min(LARGEST_CUTOUT, int(OBJECT_SIZE[1] * longest) + 16)
    behind = (
        build_source(_one(photographs), FolderOfPhotographs)
        if photographs
        else ProceduralPhotographs(size=whole, seed=PROCEDURAL_SEED)
    )
    before = (
        build_source(_one(cutouts), FolderOfCutouts)
        if cutouts
        else ProceduralCutouts(size=small, seed=PROCEDURAL_SEED)
    )
    cache = ImageCache(CACHE)
    backgrounds = ImageBank(behind, kind="photograph", cache=cache)
    objects = ImageBank(before, kind="cut-out", cache=cache)

    def photograph(seed: int, index: int) -> Tensor:
        return _tensor(backgrounds.draw(np.random.default_rng([seed, index])))

    def cutout(seed: int, index: int, number: int) -> Tensor:
        return _tensor(objects.draw(np.random.default_rng([seed, index, number + 1])))

    named = [source for source, given in ((behind, photographs), (before, cutouts)) if given]
    images, known = sum(map(len, named)), sum(len(held_out(source)) for source in named)
    return Pictures(photograph, cutout), f"{known} of {images} images are on the list that no training sees"


def _one(given: Sequence[str]) -> str | list[str]:
    return given[0] if len(given) == 1 else list(given)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1))).float() / 255
