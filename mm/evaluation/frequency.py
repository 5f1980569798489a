"""The gain by spatial frequency: which detail of a picture moves as far as it should.

A gain of 1 may be the mean of coarse detail that moves too far and fine detail that hardly moves, which a
network that works at half the picture's resolution cannot show. The whole frame moves, as for the gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mm.evaluation.candidates import Candidate, Filtered
from mm.evaluation.comparison import Conditions, Spread
from mm.evaluation.gain import whole_frames
from mm.evaluation.protocol import Level
from mm.evaluation.scene_spec import SceneSpec
from mm.motion import BANDS, gain_by_frequency

MOTIONS, FACTORS = (0.05,), (10.0,)
# px of output motion: beyond a quarter of a period, of 2 px at the finest, change is no measure of motion
OUTPUTS = (0.1, 0.5)


@dataclass(frozen=True)
class Response:
    """How much of the true change a method shows in each band.

    Attributes:
        renderer: "fourier" or "project".
        method: the column's name.
        level: the motion and the factor.
        gains: one a band of :data:`mm.motion.BANDS`, over scenes; a scene's is over its four directions.
    """

    renderer: str
    method: str
    level: Level
    gains: tuple[Spread, ...]


def compare_frequency(
    levels: Sequence[Level],
    scenes: Callable[[int], SceneSpec],
    methods: Sequence[Candidate | Filtered],
    conditions: Conditions,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Response]:
    """Measure how much each method shows at each level, band by band; arguments as of ``gain.compare_gain``.

    Returns:
        renderer by renderer, level by level, in the order of the methods.
    """
    found: dict[tuple[str, Level, str], list[list[float]]] = {
        (renderer, level, method.name): []
        for renderer in conditions.renderers
        for level in levels
        for method in methods
    }
    for shown in whole_frames(levels, scenes, methods, conditions, advance=advance):
        gains = gain_by_frequency(shown.rest.expand_as(shown.truth), shown.output, shown.truth)
        found[shown.renderer, shown.level, shown.method].append(gains.tolist())
    return [
        Response(renderer, method, level, tuple(map(Spread.of_measured, zip(*scores, strict=True))))
        for (renderer, level, method), scores in found.items()
    ]


def bands() -> list[tuple[float, float]]:
    """Return each band's lower and upper edge, cycles per px."""
    return list(pairwise(BANDS))


def responses_csv(responses: Sequence[Response]) -> str:
    """Return one line for each band of each response as CSV; what could not be measured is empty."""
    lines = ["renderer,method,motion,factor,low,high,gain,gain_std,scenes"]
    for each in responses:
        level = (each.renderer, each.method, f"{each.level.motion:g}", f"{each.level.factor:g}")
        for (low, high), spread in zip(bands(), each.gains, strict=True):
            values = (spread.mean, spread.deviation)
            cells = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
            lines.append(",".join((*level, f"{low:g}", f"{high:g}", *cells, str(spread.count))))
    return "\n".join(lines) + "\n"
