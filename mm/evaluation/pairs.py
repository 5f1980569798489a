"""Pairs of frames whose magnified truth is known: recorded for the candidates, clean for the scores.

A candidate with a temporal filter is given a clip instead (:mod:`mm.evaluation.oscillation`), whose middle
frame is the moved one of the pair. Clips are rendered when a candidate asks for them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from mm.evaluation import figure8, oscillation
from mm.evaluation.candidates import Candidate
from mm.evaluation.figures import draw_figure8
from mm.evaluation.protocol import Level, Rounding, record_frames, seeded
from mm.evaluation.renderers import Stage
from mm.evaluation.runner import Conditions, Place, SceneMeasurement, scenes_of
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded
from mm.evaluation.tables import PairScore, Row, Spread, Table, agreement, by_level, to_csv
from mm.motion import motion_gain

BATCH_PIXELS = {"cpu": 2**17, "cuda": 2**21}  # that go through a method at once
SEARCH = 8  # px beyond the true motion that the gain's registration searches


@dataclass(frozen=True)
class Pair:
    """A batch of pairs of frames, float32 in [0, 1].

    Attributes:
        levels: (B,) of each pair.
        a, b: (B, 3, H, W), the reference and the moved frame, as recorded.
        reference: (B, 3, H, W), the reference frame without noise and rounding.
        truth: (B, 3, H, W), the magnified frame without noise and rounding.
        swings: (B,) each renders the clip at the displacements of :func:`mm.evaluation.oscillation.swing`,
            (6, 3, H, W).
        keys: (B,) seeds of the clips' noise and rounding.
        rounding: of the clips.
    """

    levels: Sequence[Level]
    a: Tensor
    b: Tensor
    reference: Tensor
    truth: Tensor
    swings: Sequence[Callable[[], Tensor]]
    keys: Sequence[tuple[int, ...]]
    rounding: Rounding

    @property
    def factor(self) -> Tensor:
        """(B,) on the frames' device."""
        return torch.tensor([level.factor for level in self.levels], device=self.b.device)

    def clips(self) -> Iterator[Iterator[Tensor]]:
        """Yield the recorded clip of each pair, as an iterator of 61 frames (3, H, W)."""
        for level, swing, middle, key in zip(self.levels, self.swings, self.b, self.keys, strict=True):
            yield oscillation.record(swing(), middle, level.noise, key, self.rounding)


def batches(
    levels: Sequence[Level], size: tuple[int, int], device: torch.device
) -> Iterator[Sequence[Level]]:
    """Cut the levels into those that go through a method at once."""
    step = max(1, BATCH_PIXELS.get(device.type, BATCH_PIXELS["cpu"]) // (size[0] * size[1]))
    for start in range(0, len(levels), step):
        yield levels[start : start + step]


class PairMeasurement(SceneMeasurement[Level, Pair, PairScore]):
    """A measurement on pairs of frames, whose table has a :class:`~mm.evaluation.tables.Row` a level."""

    def ask(self, candidate: Candidate, case: Pair) -> Tensor:
        """Return the candidate's magnified frames (B, 3, H, W)."""
        return candidate.magnify(case)

    def rows(self, found: Mapping[Place, Sequence[PairScore]]) -> list[Row]:
        """Return mean and deviation over scenes."""
        rows = []
        for (content, renderer, method, level), scores in found.items():
            ssims, psnrs, gains = zip(*scores, strict=True)
            ssim, psnr, gain = Spread.of(ssims), Spread.of(psnrs), Spread.of_measured(gains)
            rows.append(
                Row(
                    self.name,
                    content,
                    renderer,
                    method,
                    level.motion,
                    level.factor,
                    level.noise,
                    scenes_of(found),
                    *(ssim.mean, ssim.deviation, psnr.mean, psnr.deviation),
                    *(gain.mean, gain.deviation, gain.count, gain.median),
                )
            )
        return rows

    def write(self, folder: Path, found: Mapping[Place, Sequence[PairScore]]) -> list[str]:
        """Write the table and the picture."""
        rows = self.rows(found)
        (folder / f"{self.name}.csv").write_text(to_csv(rows), encoding="utf-8")
        self.draw(folder / f"{self.name}.png", rows)
        joined = figure8.join(folder) if self.name in figure8.PARTS else []
        return [f"{self.name}.csv", f"{self.name}.png", *joined]

    def tables(self, found: Mapping[Place, Sequence[PairScore]]) -> Iterable[Table]:
        """Return a table for each content, renderer and score."""
        return by_level(self.name, self.rows(found))

    def notes(self, found: Mapping[Place, Sequence[PairScore]]) -> Iterator[str]:
        """Yield how far the renderers agree."""
        same, pairs = agreement(self.rows(found))
        if pairs:
            yield f"the renderers put {same} of {pairs} pairs of methods into the same order"

    @abstractmethod
    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw the picture."""


class CrowdedPairs(PairMeasurement):
    """SSIM, PSNR and gain on scenes of a background and several objects that move by a level's motion.

    Args:
        pictures: of the scenes.
        size: height and width of the frames, px.
        levels: to measure at.
        gain: whether to measure the gain too: as much work as the network's.
    """

    reach = 10.0  # px, the farthest that anything moves: the same in all of them, which show the same scenes

    def __init__(
        self, pictures: Pictures, size: tuple[int, int], levels: Sequence[Level], *, gain: bool = False
    ) -> None:
        self.pictures, self.size, self.levels, self.gain = pictures, size, levels, gain

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index``."""
        return crowded(self.pictures, *self.size, seed, index, self.reach)

    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[Pair]:
        """Yield the pairs of a scene, as many levels at once as go through a method."""
        seed, device, rounding = conditions.seed, conditions.device, conditions.rounding

        def render(motion: float, background_moves: bool, shares: Sequence[float]) -> Tensor:
            moves = torch.ones(len(spec.directions), 1, dtype=torch.float64)
            moves[0] = float(background_moves)
            steps = torch.tensor(shares, dtype=torch.float64)[:, None, None]
            return shown.frames(steps * spec.directions * moves * motion)

        triplets = {
            case: render(case[0], case[2], (0.0, 1.0, case[1]))
            for case in dict.fromkeys(map(_case, self.levels))
        }
        parts = list(batches(self.levels, spec.size, device))

        # Consecutive levels of noise share theirs, from one batch to the next too.
        @lru_cache(maxsize=len(parts[0]))
        def swing(motion: float, background_moves: bool) -> Tensor:
            return render(motion, background_moves, oscillation.swing().tolist()).to(device)

        for some in parts:
            clean = torch.stack([triplets[_case(level)] for level in some]).to(device)
            recorded = torch.stack(
                [
                    record_frames(frames[:2], level.noise, seeded(seed, index, 11), rounding)
                    for frames, level in zip(clean, some, strict=True)
                ]
            )
            yield Pair(
                some,
                recorded[:, 0],
                recorded[:, 1],
                clean[:, 0],
                clean[:, 2],
                [partial(swing, level.motion, level.background_moves) for level in some],
                [(seed, index, 12)] * len(some),
                rounding,
            )

    def score(self, case: Pair, output: Tensor) -> Iterable[tuple[Level, PairScore]]:
        """Return the scores of each pair; the gain is NaN if not wanted or if nothing moves."""
        scores = pair_scores(case.reference, output, case.truth, case.levels, self.gain)
        return zip(case.levels, scores, strict=True)

    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw SSIM against the level."""
        draw_figure8(path, rows)


def pair_scores(
    reference: Tensor, output: Tensor, truth: Tensor, levels: Sequence[Level], with_gain: bool
) -> list[PairScore]:
    """Return the scores of frames (B, 3, H, W) against their truth."""
    output, truth = output.float(), truth.float()
    ssim = structural_similarity_index_measure(output, truth, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)
    psnr = peak_signal_noise_ratio(output, truth, data_range=1.0, dim=(1, 2, 3), reduction="none")
    gain = torch.full((len(levels),), math.nan)
    farthest = max(level.output_motion for level in levels)
    if with_gain and farthest > 0:
        gain = motion_gain(reference, output, truth, limit=math.ceil(farthest) + SEARCH)
    columns = (each.reshape(-1).tolist() for each in (ssim, psnr, gain))
    return [PairScore(*scores) for scores in zip(*columns, strict=True)]


def _case(level: Level) -> tuple[float, float, bool]:
    """Return the part of a level that decides how the scene moves."""
    return level.motion, level.factor, level.background_moves
