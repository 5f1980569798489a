"""The gain: measured output displacement over (factor × input displacement), for motion of the whole frame.

SSIM hardly tells a motion that is shown half as large as it should be. The gain does: 1 is right, 1/factor is
nothing at all, and a gain that falls with the output motion is a dead zone. It is measured on pictures and on
smooth patterns (periods of 12 to 48 px, which offer no edges), in four directions, by registration with the
true frame, which shares no code with either renderer.

Methods are measured on pairs of frames, or in temporal mode on a clip in which the whole frame swings
(:mod:`mm.evaluation.oscillation`). There a method that is right has 1.013, the gain of the clip's filter, in
what it adds: at a factor of 10 it shows 1.01 times the true motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mm.evaluation import oscillation
from mm.evaluation.candidates import Candidate, Filtered
from mm.evaluation.comparison import Conditions, Row, Spread, batches, on_clips
from mm.evaluation.protocol import Level, record_frames, seeded
from mm.evaluation.renderers import stage
from mm.evaluation.scene_spec import SceneSpec
from mm.motion import measure_displacement

# Along an axis, along a diagonal, and against both: (x, y).
DIRECTIONS = ((1.0, 0.0), (0.0, -1.0), (-math.sqrt(0.5), math.sqrt(0.5)), (math.sqrt(0.5), math.sqrt(0.5)))
SEARCH = 4  # px beyond standing still, and beyond twice the motion, that registration searches


def compare_gain(
    levels: Sequence[Level],
    contents: dict[str, Callable[[int], SceneSpec]],
    methods: Sequence[Candidate | Filtered],
    conditions: Conditions,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measure the gain of each method at each level.

    Args:
        levels: motions and factors.
        contents: kind of content -> scene by number.
        methods: side by side.
        conditions: scenes of each kind, renderers, device.
        advance: called once for each content × scene × renderer × level.

    Returns:
        content by content, renderer by renderer, method by method, in the order of the levels. A scene's gain
        is the mean over the four directions.
    """
    found: dict[tuple[str, str, str, Level], list[float]] = {}
    for kind, scenes in contents.items():
        for shown in whole_frames(levels, scenes, methods, conditions, advance=advance):
            gain = _gain(shown.truth, shown.output, shown.level)
            found.setdefault((kind, shown.renderer, shown.method, shown.level), []).append(gain)
    rows = []
    for (kind, renderer, name, level), gains in sorted(
        found.items(), key=lambda item: _order(item[0], list(contents), conditions.renderers, methods, levels)
    ):
        spread = Spread.of_measured(gains)
        rows.append(
            Row(
                "gain",
                kind,
                renderer,
                name,
                level.motion,
                level.factor,
                level.noise,
                conditions.count,
                gain=spread.mean,
                gain_std=spread.deviation,
                gain_scenes=spread.count,
                gain_median=spread.median,
            )
        )
    return rows


class Shown(NamedTuple):
    """What a method made of one scene at one level, whose whole frame moves in each of :data:`DIRECTIONS`."""

    renderer: str
    method: str
    level: Level
    rest: Tensor
    """(1, 3, H, W) in [0, 1]: nothing has moved yet, not rounded."""
    truth: Tensor
    """(4, 3, H, W): the output motion, not rounded."""
    output: Tensor
    """(4, 3, H, W)."""


def whole_frames(
    levels: Sequence[Level],
    scenes: Callable[[int], SceneSpec],
    methods: Sequence[Candidate | Filtered],
    conditions: Conditions,
    *,
    advance: Callable[[], None],
) -> Iterator[Shown]:
    """Yield what each method makes of each scene, scene by scene; arguments as of :func:`compare_gain`."""
    seed, device, rounding = conditions.seed, conditions.device, conditions.rounding
    towards = torch.tensor(DIRECTIONS, dtype=torch.float64)
    for index in range(conditions.count):
        content = scenes(index)
        for renderer in conditions.renderers:
            shown = stage(renderer, content, device)
            rest = shown.frames(torch.zeros(1, 1, 2, dtype=torch.float64))
            moved = {
                motion: shown.frames(towards[:, None] * motion)
                for motion in dict.fromkeys(
                    value for each in levels for value in (each.motion, each.output_motion)
                )
            }
            for some in batches(levels, (content.size[0] * len(DIRECTIONS), content.size[1]), device):
                # The same rounding at every level: what is measured with it changes nothing.
                standing = rest.expand(len(DIRECTIONS), -1, -1, -1)
                a, b = (
                    torch.cat(
                        [record_frames(each, 0.0, seeded(seed, index, stream), rounding) for each in frames]
                    ).to(device)
                    for frames, stream in (
                        ([standing for _ in some], 21),
                        ([moved[level.motion] for level in some], 22),
                    )
                )
                factor = torch.tensor([level.factor for level in some]).repeat_interleave(len(DIRECTIONS))
                # As the pairs are: one clip a level and direction, rendered once for all factors and methods.
                each = [level for level in some for _ in DIRECTIONS]
                keys = [(seed, index, 23, number) for _ in some for number in range(len(DIRECTIONS))]
                swings: list[Tensor] = []
                if any(isinstance(method, Filtered) for method in methods):
                    places = (towards[:, None] * oscillation.swing()[:, None]).flatten(0, 1)[:, None]
                    swung = {
                        motion: shown.frames(places * motion).to(device).unflatten(0, (len(DIRECTIONS), -1))
                        for motion in dict.fromkeys(level.motion for level in some)
                    }
                    swings = [clip for level in some for clip in swung[level.motion]]
                for method in methods:
                    if isinstance(method, Filtered):
                        output = on_clips(method, each, swings, b, keys, rounding)
                    else:
                        output = method.magnify(a, b, factor.to(device))
                    for level, frames in zip(some, output.unflatten(0, (len(some), -1)), strict=True):
                        truth = moved[level.output_motion]
                        yield Shown(renderer, method.name, level, rest.to(device), truth.to(device), frames)
                for _ in some:
                    advance()


def _gain(truth: Tensor, output: Tensor, level: Level) -> float:
    """Return the mean gain over the directions, of outputs (4, 3, H, W) and the true frames.

    Registered with the truth: what a method that is right has left over is small, and small displacements
    are measured best. Registration decides between matches that are equally good by nearness, so it is begun
    at both ends, where the truth is and where nothing has moved, and the mean is taken: a double image, half
    of which has moved, is not read as one that has.
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


def _order(
    key: tuple[str, str, str, Level],
    kinds: Sequence[str],
    renderers: Sequence[str],
    methods: Sequence[Candidate | Filtered],
    levels: Sequence[Level],
) -> tuple[int, int, int, int]:
    kind, renderer, name, level = key
    return (
        kinds.index(kind),
        renderers.index(renderer),
        [method.name for method in methods].index(name),
        levels.index(level),
    )
