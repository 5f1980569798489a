"""``clip``: methods on whole clips that are compressed, shaken and noisy, as users have them.

In each clip a photograph is behind large objects that cover one another. The objects vibrate in a band
about 3 Hz, 30 frames a second, and the background does not. The magnified vibration is 5 px whatever the
factor, and the input's is 5 px over the factor. Each candidate streams the clip in temporal mode with that
band.

A level changes one or several axes of the conditions: the factor, the clip's H.264 CRF, noise, drift, shake,
flicker of the exposure, the band's width, and vibration outside of the band. Two more columns stand beside
the candidates: the input, and the oracle (:mod:`mm.evaluation.oracle`).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mm.data.codec import check_codec, encode_decode
from mm.errors import InputError
from mm.evaluation.candidates import Candidate, Clip
from mm.evaluation.clip_scores import ClipScore, Region, clip_score, regions
from mm.evaluation.figures import draw_clip
from mm.evaluation.oracle import NAME as ORACLE
from mm.evaluation.oracle import oracle_clip
from mm.evaluation.renderers import Stage
from mm.evaluation.runner import Advance, Conditions, Place, SceneMeasurement, silent
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded
from mm.evaluation.sequences import LayerMotion, draw_motion, render_sequence, visible_layer
from mm.evaluation.sequences import Sequence as Rendered
from mm.evaluation.tables import Spread, Table, csv_text
from mm.networks import ThreePartNetwork
from mm.synthesis import Camera, TrajectoryConfig
from mm.temporal import Band

FPS = 30.0
FREQUENCY = 3.0  # Hz, the middle of the band on a logarithmic axis
FRAMES = 60
OUTPUT = 5.0  # px, peak of the magnified vibration
REACH = 14.0  # px, the farthest that anything moves: the same at all levels, which show the same scenes
CODEC = "h264"


@dataclass(frozen=True)
class ClipLevel:
    """The conditions of a clip.

    Attributes:
        factor: of the magnification; the vibration's peak is 5 px over it.
        crf: of H.264; None for no codec.
        noise: standard deviation of the photon noise at mid-grey, grey levels.
        drift: peak of each layer's slow motion, px.
        shake: standard deviation of the whole frame's shake along each axis, px.
        flicker: standard deviation of the exposure, %.
        band: the band's upper edge over its lower one; its middle is at 3 Hz.
        other: peak of each layer's vibration outside of the band, px.
    """

    factor: float = 20.0
    crf: float | None = None
    noise: float = 0.0
    drift: float = 0.0
    shake: float = 0.0
    flicker: float = 0.0
    band: float = 2.0
    other: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"{name} must be between {least:g} and {most:g}, got {value:g}")
        if self.crf is not None:
            check_codec(CODEC, self.crf, None)
        if self.high >= FPS / 2:
            raise InputError(
                f"band must be below {(FPS / 2 / FREQUENCY) ** 2:g}, where it reaches {FPS / 2:g} Hz, half "
                f"of the frame rate, got {self.band:g}"
            )

    @property
    def low(self) -> float:
        """Hz."""
        return FREQUENCY / math.sqrt(self.band)

    @property
    def high(self) -> float:
        """Hz."""
        return FREQUENCY * math.sqrt(self.band)

    @property
    def trajectories(self) -> TrajectoryConfig:
        """The motion over time; every range is one value."""
        names = ("drift", "shake")
        return TrajectoryConfig(
            frequencies=(self.low / FPS, self.high / FPS),
            band_ratio=(self.band, self.band),
            kinds=("sinusoid",),
            outside=(self.other, self.other),
            travel=(0.0, 0.0),
            share=1.0,
            **{name: (getattr(self, name),) * 2 for name in names},
        )

    def __str__(self) -> str:
        """The factor, and what else differs from the default."""
        parts = [f"× {self.factor:g}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                name = "CRF" if field.name == "crf" else field.name
                parts.append(f"{name} {value:g}{'%' * (field.name == 'flicker')}")
        return ", ".join(parts)


LIMITS = {
    "factor": (1.5, 1000.0),
    "noise": (0.0, 100.0),
    "drift": (0.0, 5.0),
    "shake": (0.0, 0.5),
    "flicker": (0.0, 20.0),
    "band": (1.1, 100.0),
    "other": (0.0, 1.0),
}
AXES: dict[str, tuple[float | None, ...]] = {
    "factor": (10.0, 20.0, 50.0, 100.0),
    "crf": (None, 18.0, 23.0, 28.0),
    "noise": (0.0, 2.0, 5.0, 10.0),
    "drift": (0.0, 1.0, 3.0),
    "shake": (0.0, 0.1, 0.3),
    "flicker": (0.0, 0.5, 2.0),
    "band": (1.5, 2.0, 5.0, 12.0),
    "other": (0.0, 0.1, 0.3),
}


def axis_levels(axes: Mapping[str, Sequence[float | None]] = AXES) -> list[ClipLevel]:
    """Return the levels that vary one axis at a time, the base first."""
    varied = (level for name, values in axes.items() for level in crossed_levels({name: values}))
    return list(dict.fromkeys((ClipLevel(), *varied)))


def crossed_levels(axes: Mapping[str, Sequence[float | None]]) -> list[ClipLevel]:
    """Return every combination of the axes' values, the last axis fastest.

    Raises:
        InputError: for a value out of range, or no such axis.
    """
    for name in axes:
        if name not in AXES:
            raise InputError(f"an axis is one of {', '.join(AXES)}, got {name!r}")
    combined = itertools.product(*axes.values())
    return [ClipLevel(**dict(zip(axes, values, strict=True))) for values in combined]  # type: ignore[arg-type]


class Answer(NamedTuple):
    """A candidate's magnified clip (T, 3, H, W), and the seconds of processor that it took."""

    frames: Tensor
    seconds: float


@dataclass(frozen=True)
class Case:
    """A clip with its truth, and the question about it.

    Attributes:
        level: the conditions.
        spec: the scene.
        shown: the scene in a renderer.
        motion: of its layers.
        rendered: the clip after its codec, its truth, and the clip without damage.
        scored: the frames that count.
    """

    level: ClipLevel
    spec: SceneSpec
    shown: Stage
    motion: LayerMotion
    rendered: Rendered
    scored: slice

    @cached_property
    def clip(self) -> Clip:
        """The input of a candidate."""
        band = Band(self.level.low, self.level.high, FPS)
        return Clip(self.rendered.frames, self.level.factor, band, self._largest())

    @cached_property
    def regions(self) -> list[Region]:
        """The regions in which the motion is measured."""
        (rest,) = self.shown.frames(torch.zeros_like(self.motion.band[:1])).cpu()
        return regions(self.spec, rest, self.rendered, self.motion, self.level.factor, self.scored)

    def oracle(self) -> Tensor:
        """Return the clip (T, 3, H, W) magnified by the true field."""
        return oracle_clip(self.rendered.frames, self.spec, self.motion, self.level.factor)

    def _largest(self) -> tuple[int, int, int, int]:
        """Return the box (x, y, width, height) of what is seen of the largest object in the first frame."""
        (labels,) = visible_layer(self.spec, self.motion.magnified(1.0)[:1])
        counts = labels.flatten().bincount(minlength=2)
        counts[0] = 0
        seen = labels == int(counts.argmax())
        rows, columns = seen.any(1).nonzero()[:, 0].tolist(), seen.any(0).nonzero()[:, 0].tolist()
        return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


@dataclass(frozen=True)
class _Oracle:
    """The column of the oracle, which is asked by its case."""

    name: str = ORACLE
    network: ThreePartNetwork | None = None
    measured_on: str = "a clip"

    def magnify(self, pair: object) -> Tensor:
        raise NotImplementedError

    def stream(self, clip: Clip) -> Tensor:
        raise NotImplementedError


class ClipMeasurement(SceneMeasurement[ClipLevel, Case, ClipScore]):
    """Scores of whole magnified clips.

    Args:
        pictures: of the scenes.
        size: height and width of the frames, px.
        levels: the conditions; each axis alone if not given.
        frames: of each clip.

    Raises:
        InputError: for fewer frames than two periods of the lowest band's lower edge.
    """

    name = "clip"

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        levels: Sequence[ClipLevel] | None = None,
        frames: int = FRAMES,
    ) -> None:
        self.pictures, self.size, self.frames = pictures, size, frames
        self.levels = list(levels or axis_levels())
        least = max(math.ceil(FPS / level.low) for level in self.levels) + 2
        if frames < least:
            raise InputError(f"frames must be at least {least}, a period of the lowest band, got {frames}")
        # Temporal filters settle here.
        self.scored = slice(frames // 6, frames - frames // 6)

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index``, whose background does not vibrate."""
        spec = crowded(self.pictures, *self.size, seed, index, REACH)
        directions = spec.directions.clone()
        directions[0] = 0
        return replace(spec, directions=directions)

    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[Case]:
        """Yield the scene's clip at each level."""
        for level in self.levels:
            motion = draw_motion(
                spec, level.trajectories, self.frames, OUTPUT / level.factor, conditions.seed
            )
            exposure = level.flicker / 100
            rendered = render_sequence(
                spec,
                motion,
                level.factor,
                shown,
                camera=Camera(flicker=(exposure, exposure)),
                noise=level.noise / 255,
                seed=conditions.seed,
                rounding=conditions.rounding,
            )
            if level.crf is not None:
                coded = encode_decode((rendered.frames * 255).round().byte(), CODEC, crf=level.crf)
                rendered = replace(rendered, frames=coded.float() / 255)
            yield Case(level, spec, shown, motion, rendered, self.scored)

    def ask(self, candidate: Candidate, case: Case) -> Answer:
        """Return the candidate's magnified clip."""
        begun = time.process_time()
        shown = case.oracle() if candidate.name == ORACLE else candidate.stream(case.clip)
        return Answer(shown, (time.process_time() - begun) / len(shown))

    def score(self, case: Case, output: Answer) -> Iterable[tuple[ClipLevel, ClipScore]]:
        """Return the clip's scores."""
        frames, seconds = output
        yield (
            case.level,
            clip_score(
                frames, case.rendered, case.motion, case.level.factor, case.regions, self.scored, seconds
            ),
        )

    def steps(self, candidates: Sequence[Candidate], conditions: Conditions) -> int:
        """Return how often :meth:`run` advances."""
        return super().steps(_with_oracle(candidates), conditions)

    def run(
        self, candidates: Sequence[Candidate], conditions: Conditions, advance: Advance = silent
    ) -> dict[Place, list[ClipScore]]:
        """Measure the candidates and the oracle side by side."""
        return super().run(_with_oracle(candidates), conditions, advance)

    def write(self, folder: Path, found: Mapping[Place, Sequence[ClipScore]]) -> list[str]:
        """Write a line for each renderer, method and level, and the picture."""
        axes = [field.name for field in fields(ClipLevel)]
        columns = ["renderer", "method", *axes, "scenes"]
        columns += [f"{name}{part}" for name in ClipScore._fields for part in ("", "_std")]
        lines = []
        for place, scores in found.items():
            values = [getattr(place.level, name) for name in axes]
            line = [place.renderer, place.method, *("none" if value is None else value for value in values)]
            spreads = (Spread.of_measured(each) for each in zip(*scores, strict=True))
            parts = [number for spread in spreads for number in (spread.mean, spread.deviation)]
            lines.append([*line, len(scores), *parts])
        (folder / f"{self.name}.csv").write_text(csv_text(columns, lines), encoding="utf-8")
        draw_clip(folder / f"{self.name}.png", self.levels, found)
        return [f"{self.name}.csv", f"{self.name}.png"]

    def tables(self, found: Mapping[Place, Sequence[ClipScore]]) -> Iterator[Table]:
        """Yield one table over all scenes: a line a level, a column a method."""
        methods = list(dict.fromkeys(place.method for place in found))
        lines, best = [], set()
        for number, level in enumerate(self.levels):
            spreads = [pooled(found, method, [level]) for method in methods]
            lines.append([str(level), *map(_cell, spreads)])
            # The oracle knows the truth.
            ssims = {
                place: spread["ssim"].mean
                for place, spread in enumerate(spreads)
                if methods[place] != ORACLE and not math.isnan(spread["ssim"].mean)
            }
            if ssims:
                best.add((number, 1 + max(ssims, key=ssims.__getitem__)))
        title = "SSIM with the truth / flicker in grey levels / gain in the band, means over scenes"
        yield Table(title, ["level", *methods], lines, text=1, best=frozenset(best))


def pooled(
    found: Mapping[Place, Sequence[ClipScore]], method: str, levels: Sequence[ClipLevel]
) -> dict[str, Spread]:
    """Return each score of a method over all scenes of all renderers, each scene's the mean over levels."""
    scenes: dict[tuple[str, str, int], list[ClipScore]] = {}
    for place, scores in found.items():
        if place.method == method and place.level in levels:
            for index, score in enumerate(scores):
                scenes.setdefault((place.content, place.renderer, index), []).append(score)
    return {
        name: Spread.of_measured(
            Spread.of_measured(getattr(score, name) for score in scores).mean for scores in scenes.values()
        )
        for name in ClipScore._fields
    }


def _cell(spreads: Mapping[str, Spread]) -> str:
    parts = (("ssim", 3), ("flicker", 2), ("gain", 2))
    return " / ".join(
        "–" if math.isnan(spreads[name].mean) else f"{spreads[name].mean:.{digits}f}"
        for name, digits in parts
    )


def _with_oracle(candidates: Sequence[Candidate]) -> list[Candidate]:
    # After the input.
    return [candidates[0], _Oracle(), *candidates[1:]]
