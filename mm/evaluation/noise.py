"""The noise test (Oh et al. 2018, Figure 8b and c): how much noise a method bears.

The background is static and the objects move, by 0.05 px × 200 and by 0.5 px × 20; the level is the noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from mm.evaluation.pairs import CrowdedPairs
from mm.evaluation.protocol import NOISE_FACTORS, noise_levels
from mm.evaluation.scene_spec import Pictures


class Noise(CrowdedPairs):
    """The noise test at ``levels``, noise factors; the protocol's if None."""

    name = "noise"

    def __init__(
        self, pictures: Pictures, size: tuple[int, int], levels: Sequence[float] | None = None
    ) -> None:
        super().__init__(pictures, size, noise_levels(tuple(levels or NOISE_FACTORS)))
