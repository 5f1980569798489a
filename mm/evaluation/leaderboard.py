"""``leaderboard``: every method and the shipped networks on the same clips, ranked.

Five axes about one base condition (:mod:`mm.evaluation.clip`): the factor, compression, noise, the shake of a
hand, and vibration outside of the band. Scenes and clips are functions of the seed. ``layered``, which
magnifies one region alone, is given the box of the largest object; all others are given nothing beside the
factor and the band.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from mm.evaluation.candidates import BASELINE
from mm.evaluation.clip import FRAMES, ClipLevel, ClipMeasurement, axis_levels, pooled
from mm.evaluation.clip_scores import ClipScore
from mm.evaluation.oracle import NAME as ORACLE
from mm.evaluation.runner import Place
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.tables import Table

AXES: dict[str, tuple[float | None, ...]] = {
    "factor": (50.0, 100.0),
    "crf": (18.0, 23.0),
    "noise": (3.0, 8.0),
    "shake": (0.2,),
    "other": (0.2,),
}
# Columns beside SSIM: the score, its name, and its digits.
OTHERS = (
    ("gain", "gain", 2),
    ("leak", "leak", 3),
    ("flicker", "flicker", 2),
    ("fine", "fine detail", 2),
    ("colour", "colour", 2),
    ("seconds", "s a frame", 4),
)


class Leaderboard(ClipMeasurement):
    """The ranking of methods by SSIM over all levels; arguments as of :class:`ClipMeasurement`."""

    name = "leaderboard"

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        levels: Sequence[ClipLevel] | None = None,
        frames: int = FRAMES,
    ) -> None:
        super().__init__(pictures, size, levels or axis_levels(AXES), frames)

    def tables(self, found: Mapping[Place, Sequence[ClipScore]]) -> Iterator[Table]:
        """Yield the ranking, and the scores at each level."""
        groups = {"all": self.levels}
        for name in AXES:
            usual = getattr(ClipLevel(), name)
            groups[name] = [level for level in self.levels if getattr(level, name) != usual]
        groups = {name: levels for name, levels in groups.items() if levels}
        methods = list(dict.fromkeys(place.method for place in found))
        scores = {
            method: {name: pooled(found, method, levels) for name, levels in groups.items()}
            for method in methods
        }
        ranked = sorted(methods, key=lambda method: -_finite(scores[method]["all"]["ssim"].mean))
        rivals = [method for method in ranked if method not in (BASELINE, ORACLE)]
        lines, best = [], set()
        for place, method in enumerate(ranked):
            cells = [str(scores[method][name]["ssim"]) for name in groups]
            for score, _, digits in OTHERS:
                mean = scores[method]["all"][score].mean
                cells.append("–" if math.isnan(mean) else f"{mean:.{digits}f}")
            lines.append([method, *cells])
            for column, name in enumerate(groups, 1):
                if method == max(rivals, key=lambda each: _finite(scores[each][name]["ssim"].mean)):
                    best.add((place, column))
        title = (
            "SSIM with the truth, mean ± deviation over scenes: of all levels, and of those at which an axis "
            "differs; other scores are of all levels"
        )
        head = ["entry", *groups, *(name for _, name, _ in OTHERS)]
        yield Table(title, head, lines, text=1, best=frozenset(best))
        yield from super().tables(found)


def _finite(score: float) -> float:
    return -math.inf if math.isnan(score) else score
