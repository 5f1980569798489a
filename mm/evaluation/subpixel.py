"""The sub-pixel test (Oh et al. 2018, Figure 8a): how small a motion a method can show.

Every object and the background move by the same small amount, each in its own direction, without noise; the
factor is chosen for 10 px of output. So the level alone decides how little there is to see.
"""

from __future__ import annotations

from collections.abc import Sequence

from mm.evaluation.pairs import CrowdedPairs
from mm.evaluation.protocol import SUBPIXEL_MOTIONS, subpixel_levels
from mm.evaluation.scene_spec import Pictures


class Subpixel(CrowdedPairs):
    """The sub-pixel test at ``levels`` px of input motion, the protocol's if None."""

    name = "subpixel"

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        levels: Sequence[float] | None = None,
        *,
        gain: bool = True,
    ) -> None:
        super().__init__(pictures, size, subpixel_levels(tuple(levels or SUBPIXEL_MOTIONS)), gain=gain)
