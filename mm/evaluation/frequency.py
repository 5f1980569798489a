"""The gain by spatial frequency: which detail of a picture moves as far as it should.

A gain of 1 may be the mean of coarse detail that moves too far and fine detail that hardly moves, which a
network that works at half the picture's resolution cannot show. The whole frame moves, as for the gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from mm.evaluation.figures import draw_frequency
from mm.evaluation.pairs import Pair
from mm.evaluation.protocol import Level, gain_levels
from mm.evaluation.runner import Place
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.tables import Spread, Table, csv_text
from mm.evaluation.whole_frames import WholeFrames
from mm.motion import BANDS, gain_by_frequency

MOTIONS, FACTORS = (0.05,), (10.0,)
# px of output motion: beyond a quarter of a period, of 2 px at the finest, change is no measure of motion
OUTPUTS = (0.1, 0.5)
COLUMNS = ("renderer", "method", "motion", "factor", "low", "high", "gain", "gain_std", "scenes")


@dataclass(frozen=True)
class Response:
    """The part of the true change that a method shows in each band.

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


class Frequency(WholeFrames[Sequence[float]]):
    """The gain in each band of spatial frequencies.

    Args:
        pictures: of the scenes.
        size: height and width of the frames, px.
        levels: px of input motion.
        factors: by which it is magnified.
    """

    name = "frequency"
    contents = ("picture",)

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        levels: Sequence[float] | None = None,
        factors: Sequence[float] | None = None,
    ) -> None:
        taken = gain_levels(tuple(levels or MOTIONS), tuple(factors or FACTORS), OUTPUTS)
        reach = max(max(level.motion, level.output_motion) for level in taken)
        super().__init__(pictures, size, taken, reach)

    def score(self, case: Pair, output: Tensor) -> Iterable[tuple[Level, Sequence[float]]]:
        """Return the gains of each level, band by band."""
        for level, reference, truth, shown in self.by_level(case, output):
            yield level, gain_by_frequency(reference, shown, truth).tolist()

    def responses(self, found: Mapping[Place, Sequence[Sequence[float]]]) -> list[Response]:
        """Return mean and deviation over scenes: renderer by renderer, level by level, method by method."""
        order = {level: number for number, level in enumerate(self.levels)}
        renderers = list(dict.fromkeys(place.renderer for place in found))
        return [
            Response(
                place.renderer,
                place.method,
                place.level,
                tuple(map(Spread.of_measured, zip(*found[place], strict=True))),
            )
            for place in sorted(
                found, key=lambda place: (renderers.index(place.renderer), order[place.level])
            )
        ]

    def write(self, folder: Path, found: Mapping[Place, Sequence[Sequence[float]]]) -> list[str]:
        """Write the table and the picture."""
        responses = self.responses(found)
        lines = (
            (
                each.renderer,
                each.method,
                each.level.motion,
                each.level.factor,
                *band,
                gain.mean,
                gain.deviation,
                gain.count,
            )
            for each in responses
            for band, gain in zip(bands(), each.gains, strict=True)
        )
        (folder / "frequency.csv").write_text(csv_text(COLUMNS, lines), encoding="utf-8")
        draw_frequency(folder / "frequency.png", responses)
        return ["frequency.csv", "frequency.png"]

    def tables(self, found: Mapping[Place, Sequence[Sequence[float]]]) -> Iterator[Table]:
        """Yield a table for each renderer and level: a line a band, a column a method."""
        responses = self.responses(found)
        for renderer, level in dict.fromkeys((each.renderer, each.level) for each in responses):
            shown = [each for each in responses if (each.renderer, each.level) == (renderer, level)]
            yield Table(
                f"change shown over true change, {level.motion:g} px × {level.factor:g}, "
                f"{renderer} renderer; mean ± deviation over scenes",
                ["cycles/px", *(each.method for each in shown)],
                [
                    [f"{low:g} – {high:g}", *(str(each.gains[place]) for each in shown)]
                    for place, (low, high) in enumerate(bands())
                ],
            )


def bands() -> list[tuple[float, float]]:
    """Return each band's lower and upper edge, cycles per px."""
    return list(pairwise(BANDS))
