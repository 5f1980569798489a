"""The sub-pixel test (Oh et al. 2018, Figure 8a): how small a motion a method can show.

Every object and the background move by the same small amount, each in its own direction, without noise; the
factor is chosen for 10 px of output. So the level alone decides how little there is to see.
"""

from __future__ import annotations

from mm.evaluation.protocol import SUBPIXEL_MOTIONS, SUBPIXEL_OUTPUT, Level, subpixel_levels
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded

VARIES = "motion"


def levels(values: tuple[float, ...] | None = None) -> list[Level]:
    """Return the levels: px of input motion, the protocol's if None."""
    return subpixel_levels(values or SUBPIXEL_MOTIONS)


def scene(pictures: Pictures, height: int, width: int, seed: int, index: int) -> SceneSpec:
    """Return scene ``index``."""
    return crowded(pictures, height, width, seed, index, SUBPIXEL_OUTPUT)
