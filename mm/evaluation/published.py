"""``protocol``: evaluations of publications, rendered anew, as named sets.

Each set says, with its results, which parts of its protocol are not known, and what stands in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError, did_you_mean
from mm.evaluation.candidates import Candidate, Clip
from mm.evaluation.figures import draw_figure8, draw_levels
from mm.evaluation.pairs import CrowdedPairs, Pair, PairMeasurement, batches, pair_scores
from mm.evaluation.protocol import (
    NOISE_CASES,
    PUBLIC_MOTIONS,
    Level,
    noise_levels,
    record_frames,
    seeded,
    subpixel_levels,
)
from mm.evaluation.renderers import Stage
from mm.evaluation.runner import Conditions, Place
from mm.evaluation.scene_spec import Pictures, SceneSpec, lone_object, picture
from mm.evaluation.scenes import soft_mask
from mm.evaluation.tables import COLUMNS, PairScore, Row, Spread, csv_text

PADDING, CROPPED = 5, 8  # px a side, of the public evaluation

DISC_FACTORS = (5.0, 10.0, 20.0, 50.0, 100.0)
DISC_NOISES = (0.01, 0.05, 0.1, 0.2)  # σ in [0, 1] units
DISC_NOISE_FACTOR = 20.0  # α of the levels with noise
DISC_UNIT = 0.1  # px, of "2α sin(2πt/T)"
DISC_PERIOD, DISC_FRAMES = 16, 32
DISC_SIDE, DISC_RADIUS = 128, 60.0  # px of the drawn disc, before it is resized

MOST_IN, MOST_OUT = 3.0, 10.0  # degrees
BLUR = 1.5  # px, standard deviation
REACH = 12  # px


class PublicFigure8(CrowdedPairs):
    """The paper's Figure 8 (a) and (b) as the evaluation runs them that its authors published later.

    Frames are padded with 5 px of black a side, magnified, and cropped by 8 px a side for SSIM (the script of
    Byung-Ki et al., "Learning-based Axial Video Motion Magnification", ECCV 2024).
    """

    name = "protocol"

    def __init__(self, pictures: Pictures, size: tuple[int, int]) -> None:
        motion = NOISE_CASES[0][0]
        noisy = [level for level in noise_levels() if level.motion == motion]
        super().__init__(pictures, size, [*subpixel_levels(PUBLIC_MOTIONS), *noisy])

    def ask(self, candidate: Candidate, case: Pair) -> Tensor:
        """Return the candidate's magnified frames, 3 px a side smaller than the pair's."""
        a, b = (F.pad(frames, (PADDING,) * 4) for frames in (case.a, case.b))
        return candidate.magnify(replace(case, a=a, b=b))[..., CROPPED:-CROPPED, CROPPED:-CROPPED]

    def score(self, case: Pair, output: Tensor) -> Iterable[tuple[Level, PairScore]]:
        """Return the scores of each pair."""
        rim = CROPPED - PADDING
        reference, truth = (each[..., rim:-rim, rim:-rim] for each in (case.reference, case.truth))
        return zip(case.levels, pair_scores(reference, output, truth, case.levels, False), strict=True)

    def rows(self, found: Mapping[Place, Sequence[PairScore]]) -> list[Row]:
        """Return mean and deviation over scenes, by the test that a level belongs to."""
        return [replace(row, measurement="noise" if row.noise else "subpixel") for row in super().rows(found)]

    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw SSIM against the level."""
        draw_figure8(path, rows)

    def notes(self, found: Mapping[Place, Sequence[PairScore]]) -> Iterator[str]:
        """Yield how this differs from the published evaluation."""
        yield from super().notes(found)
        yield "published: 1,000 triplets a level; --count 1000 renders as many"
        yield "not known: the photographs, the sizes and how the noise was drawn; these are mm's own"


@dataclass(frozen=True)
class Swing:
    """A clip of a swinging disc.

    Attributes:
        level: its factor, and the noise's σ.
        clip: recorded.
        truth: (T, 3, H, W), magnified, without noise and rounding.
    """

    level: Level
    clip: Clip
    truth: Tensor


class SwingingDisc(PairMeasurement):
    """A disc before a photograph whose magnified motion is ``y = 2α sin(2πt/T)``, against the first frame.

    ``Row.noise`` is the standard deviation of additive Gaussian noise in [0, 1] units.
    """

    name = "protocol"

    def __init__(self, pictures: Pictures, size: tuple[int, int]) -> None:
        self.pictures, self.size = Pictures(pictures.photograph, _disc), size
        motion = 2 * DISC_UNIT
        self.levels = [Level(motion, factor) for factor in DISC_FACTORS]
        self.levels += [Level(motion, DISC_NOISE_FACTOR, noise) for noise in DISC_NOISES]

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index``."""
        reach = max(level.output_motion for level in self.levels)
        return lone_object(self.pictures, *self.size, seed, index, reach)

    def cases(  # type: ignore[override]
        self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions
    ) -> Iterator[Swing]:
        """Yield the clip of each level."""
        course = torch.sin(2 * math.pi * torch.arange(DISC_FRAMES, dtype=torch.float64) / DISC_PERIOD)
        down = torch.zeros(DISC_FRAMES, 2, 2, dtype=torch.float64)
        down[:, 1, 1] = course
        clean = shown.frames(down * self.levels[0].motion).cpu()
        for level in self.levels:
            truth = shown.frames(down * level.output_motion).cpu()
            grain = torch.randn(clean.shape, generator=seeded(conditions.seed, index, 41))
            noisy = (clean + level.noise * grain).clamp(0, 1)
            frames = record_frames(noisy, 0.0, seeded(conditions.seed, index, 42), conditions.rounding)
            yield Swing(level, Clip(frames, level.factor), truth)

    def ask(self, candidate: Candidate, case: Swing) -> Tensor:  # type: ignore[override]
        """Return the candidate's magnified clip."""
        return candidate.stream(case.clip)

    def score(self, case: Swing, output: Tensor) -> Iterable[tuple[Level, PairScore]]:  # type: ignore[override]
        """Return the means over the frames."""
        scores = pair_scores(output, output, case.truth, [case.level] * len(output), False)
        ssims, psnrs, _ = zip(*scores, strict=True)
        finite = [value for value in psnrs if math.isfinite(value)]
        yield case.level, PairScore(Spread.of(ssims).mean, Spread.of(finite).mean)

    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw SSIM at each level."""
        draw_levels(path, rows)

    def notes(self, found: Mapping[Place, Sequence[PairScore]]) -> Iterator[str]:
        """Yield what is not known of the protocol."""
        yield (
            f"not known: the unit of 2α sin(2πt/T), here {DISC_UNIT:g} px; T, here {DISC_PERIOD} frames; the "
            f"disc's size and what is behind it; at which α the noise is added, here {DISC_NOISE_FACTOR:g}"
        )


@dataclass(frozen=True)
class GeometricLevel(Level):
    """A level of the geometric set.

    Attributes:
        kind: "translation", "rotation", "noise" or "blur"; the motion of a rotation is in degrees.
    """

    kind: str = "translation"


GEOMETRIC = (
    *(GeometricLevel(motion, 10.0) for motion in (0.1, 0.5, 1.0)),
    *(
        GeometricLevel(motion, factor, kind="rotation")
        for motion, factor in ((0.5, 10.0), (1.0, 10.0), (3.0, 3.0))
    ),
    *(GeometricLevel(0.5, 10.0, noise, kind="noise") for noise in (0.3, 1.0)),
    GeometricLevel(0.5, 10.0, kind="blur"),
)


class Geometric(PairMeasurement):
    """Photographs that move or turn as a whole, noisy or blurred; RMSE and PSNR.

    A rotation is about the frame's centre, at most 3° in and 10° out, and its angle is magnified. Photographs
    are turned by Lanczos interpolation, whatever the renderer.
    """

    name = "protocol"
    contents = ("picture",)

    def __init__(self, pictures: Pictures, size: tuple[int, int]) -> None:
        self.pictures, self.size, self.levels = pictures, size, GEOMETRIC

    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index``, with room for the corners that turn."""
        corner = math.hypot(*self.size) / 2 * math.sin(math.radians(MOST_OUT))
        return picture(self.pictures, *self.size, seed, index, min(corner, 50.0) + REACH / 2)

    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[Pair]:
        """Yield the pairs of a scene."""
        seed, device = conditions.seed, conditions.device
        for some in batches(self.levels, spec.size, device):
            clean = torch.stack(
                [_moved(spec, shown, level) for level in some if isinstance(level, GeometricLevel)]
            )
            recorded = torch.stack(
                [
                    record_frames(frames[:2], level.noise, seeded(seed, index, 43), conditions.rounding)
                    for frames, level in zip(clean, some, strict=True)
                ]
            ).to(device)
            clean = clean.to(device)
            yield Pair(
                some, recorded[:, 0], recorded[:, 1], clean[:, 0], clean[:, 2], [], [], conditions.rounding
            )

    def score(self, case: Pair, output: Tensor) -> Iterable[tuple[Level, PairScore]]:
        """Return the scores of each pair."""
        scores = pair_scores(case.reference, output, case.truth, case.levels, False)
        return zip(case.levels, scores, strict=True)

    def rows(self, found: Mapping[Place, Sequence[PairScore]]) -> list[Row]:
        """Return mean and deviation over scenes; the content is the level's kind."""
        return super().rows({place._replace(content=place.level.kind): each for place, each in found.items()})

    def write(self, folder: Path, found: Mapping[Place, Sequence[PairScore]]) -> list[str]:
        """Write the table, with RMSE in grey levels, and the picture."""
        errors = [
            Spread.of(255 * 10 ** (-score.psnr / 20) for score in scores).mean for scores in found.values()
        ]
        lines = (
            [*(getattr(row, name) for name in COLUMNS), error]
            for row, error in zip(self.rows(found), errors, strict=True)
        )
        (folder / "protocol.csv").write_text(csv_text((*COLUMNS, "rmse"), lines), encoding="utf-8")
        self.draw(folder / "protocol.png", self.rows(found))
        return ["protocol.csv", "protocol.png"]

    def draw(self, path: Path, rows: Sequence[Row]) -> None:
        """Draw PSNR at each level."""
        draw_levels(path, rows, "psnr")

    def notes(self, found: Mapping[Place, Sequence[PairScore]]) -> Iterator[str]:
        """Yield what is not known of the protocol."""
        yield (
            "not known: the pictures, the translations, the factors and the strengths of noise and blur; "
            f"these are mm's own. A blurred pair's truth is blurred alike, by {BLUR:g} px"
        )


SETS: dict[str, Callable[[Pictures, tuple[int, int]], PairMeasurement]] = {
    "figure8": PublicFigure8,
    "disc": SwingingDisc,
    "geometric": Geometric,
}


def protocol(pictures: Pictures, size: tuple[int, int], name: str = "figure8") -> PairMeasurement:
    """Return the measurement of a named set.

    Raises:
        InputError: for a set that is not known.
    """
    if name not in SETS:
        raise InputError(
            f"no protocol is called {name!r}{did_you_mean(name, SETS)} (known: {', '.join(SETS)})"
        )
    return SETS[name](pictures, size)


def _disc(seed: int, index: int, number: int) -> Tensor:
    """Return a disc of one colour, straight RGBA (4, h, w)."""
    middle = (DISC_SIDE - 1) / 2
    place = torch.arange(DISC_SIDE, dtype=torch.float64) - middle
    mask = soft_mask(torch.hypot(place[:, None], place) - DISC_RADIUS).clamp(0, 1).float()
    colour = 0.2 + 0.6 * torch.rand(3, generator=seeded(seed, index, 44))
    return torch.cat([colour[:, None, None].expand(3, DISC_SIDE, DISC_SIDE), mask[None]])


def _moved(spec: SceneSpec, shown: Stage, level: GeometricLevel) -> Tensor:
    """Return the reference, the moved and the magnified frame (3, 3, H, W) of a level."""
    steps = (0.0, level.motion, level.output_motion)
    if level.kind == "rotation":
        return torch.stack([_turned(spec, degrees) for degrees in steps])
    frames = shown.frames(torch.tensor(steps, dtype=torch.float64)[:, None, None] * spec.directions)
    if level.kind == "blur":
        tall = [cv2.GaussianBlur(frame.permute(1, 2, 0).cpu().numpy(), (0, 0), BLUR) for frame in frames]
        frames = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in tall])
    return frames.cpu()


def _turned(spec: SceneSpec, degrees: float) -> Tensor:
    """Return the frame (3, H, W), turned clockwise about its centre."""
    tall, wide = spec.background.shape[-2:]
    turn = cv2.getRotationMatrix2D(((wide - 1) / 2, (tall - 1) / 2), -degrees, 1.0)
    pixels = spec.background.permute(1, 2, 0).float().numpy()
    turned = cv2.warpAffine(
        pixels, turn, (wide, tall), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
    )
    rim = spec.margin
    return torch.from_numpy(turned).permute(2, 0, 1)[:, rim:-rim, rim:-rim].clamp(0, 1).contiguous()
