"""Pairs of frames that move as a whole, in four directions: the scenes of the gain and of its spectrum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from mm.evaluation import oscillation
from mm.evaluation.candidates import Candidate
from mm.evaluation.pairs import Pair, batches
from mm.evaluation.protocol import Level, record_frames, seeded
from mm.evaluation.renderers import Stage
from mm.evaluation.runner import Conditions, SceneMeasurement
from mm.evaluation.scene_spec import Pictures, SceneSpec, pattern, picture

# Along an axis, along a diagonal, and against both: (x, y).
DIRECTIONS = ((1.0, 0.0), (0.0, -1.0), (-math.sqrt(0.5), math.sqrt(0.5)), (math.sqrt(0.5), math.sqrt(0.5)))

ScoreT = TypeVar("ScoreT")


class WholeFrames(SceneMeasurement[Level, Pair, ScoreT]):
    """A measurement on pictures or smooth patterns whose whole frame moves.

    Args:
        pictures: of the scenes.
        size: height and width of the frames, px.
        levels: motions and factors.
        reach: px, the farthest that any run may ask for: which piece of a photograph is taken must not depend
            on the levels, or one that is measured alone would not compare with the same among others.
    """

    def __init__(
        self, pictures: Pictures, size: tuple[int, int], levels: Sequence[Level], reach: float
    ) -> None:
        self.pictures, self.size, self.levels, self.reach = pictures, size, levels, reach

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index`` of a "picture" or a "pattern"."""
        if content == "picture":
            return picture(self.pictures, *self.size, seed, index, self.reach)
        return pattern(*self.size, seed, index, self.reach)

    def ask(self, candidate: Candidate, case: Pair) -> Tensor:
        """Return the candidate's magnified frames (B, 3, H, W)."""
        return candidate.magnify(case)

    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[Pair]:
        """Yield pairs, one a level and direction: level by level, the directions next to each other."""
        seed, device, rounding = conditions.seed, conditions.device, conditions.rounding
        towards = torch.tensor(DIRECTIONS, dtype=torch.float64)
        rest = shown.frames(torch.zeros(1, 1, 2, dtype=torch.float64)).expand(len(DIRECTIONS), -1, -1, -1)
        moved = {
            motion: shown.frames(towards[:, None] * motion)
            for motion in dict.fromkeys(
                value for level in self.levels for value in (level.motion, level.output_motion)
            )
        }
        parts = list(batches(self.levels, (spec.size[0] * len(DIRECTIONS), spec.size[1]), device))

        # Rendered once for all factors and candidates.
        @lru_cache(maxsize=len(DIRECTIONS) * len(parts[0]))
        def swing(motion: float, direction: int) -> Tensor:
            places = towards[direction] * oscillation.swing()[:, None]
            return shown.frames(places[:, None] * motion).to(device)

        for some in parts:
            # The same rounding at every level: the other levels of a run change nothing.
            a, b = (
                torch.cat(
                    [record_frames(each, 0.0, seeded(seed, index, stream), rounding) for each in frames]
                )
                for frames, stream in (
                    ([rest for _ in some], 21),
                    ([moved[level.motion] for level in some], 22),
                )
            )
            each = [(level, number) for level in some for number in range(len(DIRECTIONS))]
            yield Pair(
                [level for level, _ in each],
                a.to(device),
                b.to(device),
                rest.repeat(len(some), 1, 1, 1).to(device),
                torch.cat([moved[level.output_motion] for level in some]).to(device),
                [partial(swing, level.motion, number) for level, number in each],
                [(seed, index, 23, number) for _, number in each],
                rounding,
            )

    def by_level(self, case: Pair, output: Tensor) -> Iterator[tuple[Level, Tensor, Tensor, Tensor]]:
        """Yield each level of a case with its reference, truth and output, each (4, 3, H, W)."""
        parts = (each.split(len(DIRECTIONS)) for each in (case.reference, case.truth, output))
        yield from zip(case.levels[:: len(DIRECTIONS)], *parts, strict=True)
