"""The gain: measured output displacement over (factor × input displacement), for motion of the whole frame.

SSIM hardly shows that a motion is half as large as it should be. The gain does: 1 is right, 1/factor is
nothing at all, and a gain that falls with the output motion is a dead zone. It is measured on pictures and on
smooth patterns (periods of 12 to 48 px, which offer no edges), in four directions, by registration with the
true frame, which shares no code with either renderer.

Methods are measured on pairs of frames, or in temporal mode on a clip in which the whole frame swings
(:mod:`mm.evaluation.oscillation`). There a method that is right has 1.013, the gain of the clip's filter, in
what it adds: at a factor of 10 it shows 1.01 times the true motion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mm.evaluation.figures import draw_gain
from mm.evaluation.pairs import Pair, PairMeasurement
from mm.evaluation.protocol import (
    CLIP_FACTORS,
    CLIP_MOTIONS,
    GAIN_FACTORS,
    GAIN_MOTIONS,
    GAIN_OUTPUTS,
    Level,
    gain_levels,
)
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.tables import PairScore, Row
from mm.evaluation.whole_frames import DIRECTIONS, WholeFrames
from mm.motion import measure_displacement

SEARCH = 4  # px beyond standing still, and beyond twice the motion, that registration searches


class Gain(WholeFrames[PairScore], PairMeasurement):
    """The gain on pictures and patterns; a scene's is the mean over four directions.

    Args:
        pictures: of the scenes.
        size: height and width of the frames, px.
        levels: px of input motion, the protocol's if None.
        factors: the protocol's if None.
        temporal: whether the protocol has fewer levels, as a clip is magnified for each number.
    """

    name = "gain"
    contents = ("picture", "pattern")

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        levels: Sequence[float] | None = None,
        factors: Sequence[float] | None = None,
        *,
        temporal: bool = False,
    ) -> None:
        motions, usual = (CLIP_MOTIONS, CLIP_FACTORS) if temporal else (GAIN_MOTIONS, GAIN_FACTORS)
        taken = gain_levels(tuple(levels or motions), tuple(factors or usual))
        reach = max(GAIN_OUTPUTS[1], *(level.output_motion for level in taken))
        super().__init__(pictures, size, taken, reach)

    def score(self, case: Pair, output: Tensor) -> Iterable[tuple[Level, PairScore]]:
        """Return the gain of each level."""
        for level, _, truth, shown in self.by_level(case, output):
            yield level, PairScore(gain=frame_gain(truth, shown, level))

    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw the gain against the output motion."""
        draw_gain(path, rows)


def frame_gain(truth: Tensor, output: Tensor, level: Level) -> float:
    """Return the mean gain over the directions, of outputs (4, 3, H, W) and the true frames.

    Registered with the truth: a right method leaves little over, and small displacements are measured best.
    Registration decides between matches that are equally good by nearness, so it is begun at both ends, where
    the truth is and where nothing has moved, and the mean is taken: a double image, half of which has moved,
    is not read as one that has.
    """
    motion = level.output_motion
    expected = truth.new_tensor(DIRECTIONS) * motion
    residuals = []
    for near, farthest in ((0 * expected, motion), (-expected, 2 * motion)):
        limit = min(math.ceil(farthest) + SEARCH, max(output.shape[-2:]) // 2)
        residuals.append(measure_displacement(truth, output, near=near, limit=limit))
    residual = torch.stack(residuals).mean(0)
    along = ((expected + residual) * expected).sum(-1) / (expected**2).sum(-1)
    # Where a direction cannot be measured the scene cannot: an average over fewer would not compare.
    return float(along.mean())
