"""The noise test (Oh et al. 2018, Figure 8b and c): how much noise a method bears.

The background is static and the objects move, by 0.05 px × 200 and by 0.5 px × 20; the level is the noise.
"""

from __future__ import annotations

from mm.evaluation.protocol import NOISE_CASES, NOISE_FACTORS, Level, noise_levels
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded

VARIES = "noise"


def levels(values: tuple[float, ...] | None = None) -> list[Level]:
    """Return the levels of both cases: noise factors, the protocol's if None."""
    return noise_levels(values or NOISE_FACTORS)


def scene(pictures: Pictures, height: int, width: int, seed: int, index: int) -> SceneSpec:
    """Return scene ``index``."""
    reach = max(motion * factor for motion, factor in NOISE_CASES)
    return crowded(pictures, height, width, seed, index, reach)
