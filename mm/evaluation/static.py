"""The static test: nothing moves and only the noise differs between the frames, which is not to be moved."""

from __future__ import annotations

from mm.evaluation.protocol import STATIC_NOISE_FACTORS, Level, static_levels
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded

VARIES = "noise"


def levels(values: tuple[float, ...] | None = None) -> list[Level]:
    """Return the levels: noise factors, the protocol's and 0 if None."""
    return static_levels(values or STATIC_NOISE_FACTORS)


def scene(pictures: Pictures, height: int, width: int, seed: int, index: int) -> SceneSpec:
    """Return scene ``index``."""
    # The same reach as the other tests have, so that all three show the same scenes.
    return crowded(pictures, height, width, seed, index, 10.0)
