"""The physical test (Oh et al. 2018, Figure 10): how near the magnified motion is to the true one, magnified.

The paper shakes an object on a table by an amount that an accelerometer knows. Here the object is rendered
before a background that stands still, and shakes by a known, irregular displacement: knocks at random moments
and of random strength, each of which sets off decaying vibrations. The clip is recorded with noise and
rounding, magnified against its first frame, and the object's motion is measured in the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Candidate, Clip
from mm.evaluation.figures import draw_physical
from mm.evaluation.protocol import MAX_MOTION, Level, record_frames, seeded
from mm.evaluation.renderers import Stage
from mm.evaluation.runner import Conditions, Place, SceneMeasurement
from mm.evaluation.scene_spec import Pictures, SceneSpec, lone_object
from mm.evaluation.tables import Spread, Table, csv_text
from mm.motion import measure_displacement

FRAMES = 90
FPS = 30.0
PEAK = 0.2  # px, the largest displacement
FACTOR = 20.0
NOISE = 0.1  # of the protocol
KNOCKS = 5
MODES = (1.5, 3.1, 5.3)  # Hz, what a knock sets off
DECAY = 0.5  # s, until a vibration has fallen to 1/e
LEAST_INTERIOR = 200  # px², of which there should be so much
OPAQUE = 0.98  # of a cut-out's greatest alpha, above which it hides what is behind as well as it can
INTERIOR = 4  # px inside the object's rim, from where registration sees the object alone
SEARCH = 6  # px beyond the true motion that registration searches
ITERATIONS = 10  # of registration; a textured object settles to 0.001 px in five
COLUMNS = ("renderer", "method", "scene", "correlation", "amplitude_error", "frames", "unmeasured")


@dataclass(frozen=True)
class Recovered:
    """The motion of the object in one scene by one method.

    Attributes:
        true: (T,) px of output, along the direction of the motion: factor × the known displacement.
        measured: (T,) px, the same measured in the output; NaN where it could not be.
    """

    true: Tensor
    measured: Tensor

    @property
    def unmeasured(self) -> int:
        """Frames in which the object's motion could not be measured; the scores are of the others."""
        return int((~self.measured.isfinite()).sum())

    @property
    def correlation(self) -> float:
        """Correlation of the measured signal with the true one, -1 to 1; NaN if one is constant or lost."""
        known = self.measured.isfinite()
        if int(known.sum()) < 2:
            return math.nan
        return float(torch.corrcoef(torch.stack([self.true[known], self.measured[known]]))[0, 1])

    @property
    def amplitude_error(self) -> float:
        """Relative excess of the measured signal over the true one where it follows it: 0 is right."""
        known = self.measured.isfinite()
        true, measured = self.true[known], self.measured[known]
        return float((true * measured).sum() / (true**2).sum()) - 1


def knocks(generator: torch.Generator, frames: int = FRAMES, fps: float = FPS, peak: float = PEAK) -> Tensor:
    """Return an irregular displacement (frames,), px, float64: 0 in the first frame, at most ``peak``."""
    time = torch.arange(frames, dtype=torch.float64) / fps
    signal = torch.zeros_like(time)
    for number in range(KNOCKS):
        begin, strength = (float(value) for value in torch.rand(2, generator=generator, dtype=torch.float64))
        # Spread over the clip, none before the second frame.
        since = time - (1 + (number + 0.8 * begin) / KNOCKS * (frames - 1)) / fps
        for mode in MODES:
            weight = float(torch.randn((), generator=generator, dtype=torch.float64)) * (0.3 + strength)
            signal += (since > 0) * weight * torch.sin(2 * math.pi * mode * since) * torch.exp(-since / DECAY)
    return signal * (peak / signal.abs().max())


@dataclass(frozen=True)
class Shaken:
    """A clip of a shaken object.

    Attributes:
        clip: recorded, and the factor.
        rest: (1, 3, H, W), the first frame without noise and rounding.
        true: (T,) px of output along ``direction``.
        direction: (2,) unit vector (x, y).
        inside: (H, W), 1 where the object is alone to be seen in the first frame.
    """

    clip: Clip
    rest: Tensor
    true: Tensor
    direction: Tensor
    inside: Tensor


class Physical(SceneMeasurement[Level, Shaken, Recovered]):
    """The motion of a shaken object, measured in each candidate's output, against the first frame.

    Args:
        pictures: of backgrounds and objects.
        size: height and width of the frames, px.
        factors: the one by which to magnify.
        noise: the protocol's noise factor of the recording.
        frames: of each clip.

    Raises:
        InputError: for several factors, or one that is not above 0 or makes the motion too large.
    """

    name = "physical"

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        factors: Sequence[float] | None = None,
        *,
        noise: float = NOISE,
        frames: int = FRAMES,
    ) -> None:
        factors = factors or (FACTOR,)
        if len(factors) > 1:
            given = ",".join(f"{factor:g}" for factor in factors)
            raise InputError(f"physical is measured at one factor, got {given}; give one with --factors")
        check_factor(factors[0])
        self.pictures, self.size, self.frames = pictures, size, frames
        self.levels = [Level(PEAK, factors[0], noise, background_moves=False)]

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index``."""
        return lone_object(self.pictures, *self.size, seed, index, PEAK * max(self.levels[0].factor, 1))

    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[Shaken]:
        """Yield the scene's clip."""
        (level,) = self.levels
        seed, direction = conditions.seed, spec.directions[1]
        signal = knocks(seeded(seed, index, 31), self.frames)
        displacements = torch.zeros(self.frames, 2, 2, dtype=torch.float64)
        displacements[:, 1] = signal[:, None] * direction
        clean = shown.frames(displacements).cpu()
        recorded = record_frames(clean, level.noise, seeded(seed, index, 32), conditions.rounding)
        clip = Clip(recorded, level.factor)
        yield Shaken(clip, clean[:1], level.factor * signal, direction, _inside(spec))

    def ask(self, candidate: Candidate, case: Shaken) -> Tensor:
        """Return the candidate's magnified clip (T, 3, H, W)."""
        return candidate.stream(case.clip)

    def score(self, case: Shaken, output: Tensor) -> Iterable[tuple[Level, Recovered]]:
        """Return the object's motion in the output."""
        moved = measure_displacement(
            case.rest,
            output,
            weight=case.inside,
            limit=math.ceil(PEAK * max(case.clip.factor, 1)) + SEARCH,
            iterations=ITERATIONS,
        )
        yield self.levels[0], Recovered(case.true, moved.double() @ case.direction)

    def write(self, folder: Path, found: Mapping[Place, Sequence[Recovered]]) -> list[str]:
        """Write a line for each scene and method, and the picture of the first scene."""
        scenes = range(max(map(len, found.values())))
        lines = (
            (
                place.renderer,
                place.method,
                index,
                each.correlation,
                each.amplitude_error,
                len(each.measured),
                each.unmeasured,
            )
            for index in scenes
            for place, each in ((place, scores[index]) for place, scores in found.items())
        )
        (folder / "physical.csv").write_text(csv_text(COLUMNS, lines), encoding="utf-8")
        draw_physical(folder / "physical.png", found, FPS)
        return ["physical.csv", "physical.png"]

    def tables(self, found: Mapping[Place, Sequence[Recovered]]) -> Iterator[Table]:
        """Yield one table: mean and deviation over scenes, and how many frames could be measured."""
        lines = []
        for place, scores in found.items():
            frames = sum(len(each.measured) for each in scores)
            lost = sum(each.unmeasured for each in scores)
            values = ([each.correlation for each in scores], [each.amplitude_error for each in scores])
            cells = [_summary(Spread.of_measured(each), len(scores)) for each in values]
            lines.append([place.renderer, place.method, *cells, f"{frames - lost} of {frames}"])
        head = ["renderer", "method", "correlation", "amplitude error", "frames measured"]
        yield Table("", head, lines, text=2)


def _summary(spread: Spread, scenes: int) -> str:
    return str(spread) if spread.count == scenes else f"{spread} in {spread.count} of {scenes} scenes"


def check_factor(factor: float) -> None:
    """Raise InputError unless the motion times ``factor`` can be shown."""
    if not (factor > 0 and factor * PEAK <= MAX_MOTION):
        raise InputError(
            f"factor must be above 0 and at most {MAX_MOTION / PEAK:g}, as the motion is {PEAK:g} px, "
            f"got {factor:g}"
        )


def _inside(content: SceneSpec) -> Tensor:
    """Return (H, W) float32: 1 where the object is alone to be seen, in the first frame."""
    height, width = content.size
    alpha = content.objects[0][3]
    side = alpha.shape[-1]
    x, y = (round(float(value) - (side - 1) / 2) for value in content.centres[0])
    margin = content.margin
    canvas = torch.zeros(height + 2 * margin, width + 2 * margin)
    canvas[margin + y : margin + y + side, margin + x : margin + x + side] = (
        alpha > OPAQUE * alpha.max()
    ).float()
    frame = (slice(margin, margin + height), slice(margin, margin + width))
    for depth in range(INTERIOR, 0, -1):
        inside = -F.max_pool2d(-canvas[None, None], 2 * depth + 1, stride=1, padding=depth)[0, 0][frame]
        # An object of thin parts has no deep interior: nearer to its rim, then.
        if inside.sum() >= LEAST_INTERIOR:
            return inside
    return canvas[frame]
