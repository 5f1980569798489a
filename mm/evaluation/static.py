"""The static test: nothing moves and only the noise differs between the frames, which is not to be moved."""

from __future__ import annotations

from collections.abc import Sequence

from mm.evaluation.pairs import CrowdedPairs
from mm.evaluation.protocol import STATIC_NOISE_FACTORS, static_levels
from mm.evaluation.scene_spec import Pictures


class Static(CrowdedPairs):
    """The static test at ``levels``, noise factors; the protocol's and 0 if None."""

    name = "static"

    def __init__(
        self, pictures: Pictures, size: tuple[int, int], levels: Sequence[float] | None = None
    ) -> None:
        super().__init__(pictures, size, static_levels(tuple(levels or STATIC_NOISE_FACTORS)))
