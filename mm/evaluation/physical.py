"""The physical test (Oh et al. 2018, Figure 10): is the magnified motion the true one, magnified?

The paper shakes an object on a table by an amount that an accelerometer knows. Here the object is rendered
before a background that stands still, and shakes by a known, irregular displacement: knocks at random moments
and of random strength, each of which sets off decaying vibrations. The clip is recorded with noise and
rounding, magnified against its first frame, and the object's motion is measured in the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Candidate, Network, Registered
from mm.evaluation.comparison import Conditions, Spread
from mm.evaluation.protocol import MAX_MOTION, record_frames, seeded
from mm.evaluation.renderers import stage
from mm.evaluation.scene_spec import Pictures, SceneSpec, lone_object
from mm.methods import LearnedMagnifier, Magnifier
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
CHUNK = 8  # frames pushed at once


@dataclass(frozen=True)
class Course:
    """The motion of the object in one scene by one method.

    Attributes:
        method: the column's name.
        renderer: of the scene.
        index: of the scene.
        true: (T,) px of output, along the direction of the motion: factor × the known displacement.
        measured: (T,) px, the same measured in the output; NaN where it could not be.
    """

    method: str
    renderer: str
    index: int
    true: Tensor
    measured: Tensor

    @property
    def unmeasured(self) -> int:
        """Frames in which the object's motion could not be measured; what follows is of the others."""
        return int((~self.measured.isfinite()).sum())

    @property
    def correlation(self) -> float:
        """Of the measured course with the true one, in [-1, 1]; NaN if one of them is constant or lost."""
        known = self.measured.isfinite()
        if int(known.sum()) < 2:
            return math.nan
        return float(torch.corrcoef(torch.stack([self.true[known], self.measured[known]]))[0, 1])

    @property
    def amplitude_error(self) -> float:
        """How much larger than the true course the measured one is where it follows it: 0 is right."""
        known = self.measured.isfinite()
        true, measured = self.true[known], self.measured[known]
        return float((true * measured).sum() / (true**2).sum()) - 1


def knocks(generator: torch.Generator, frames: int = FRAMES, fps: float = FPS, peak: float = PEAK) -> Tensor:
    """Return an irregular displacement (frames,), px, float64: 0 in the first frame, at most ``peak``."""
    time = torch.arange(frames, dtype=torch.float64) / fps
    course = torch.zeros_like(time)
    for number in range(KNOCKS):
        begin, strength = (float(value) for value in torch.rand(2, generator=generator, dtype=torch.float64))
        # Spread over the clip, none before the second frame.
        since = time - (1 + (number + 0.8 * begin) / KNOCKS * (frames - 1)) / fps
        for mode in MODES:
            weight = float(torch.randn((), generator=generator, dtype=torch.float64)) * (0.3 + strength)
            course += (since > 0) * weight * torch.sin(2 * math.pi * mode * since) * torch.exp(-since / DECAY)
    return course * (peak / course.abs().max())


def compare_physical(
    pictures: Pictures,
    size: tuple[int, int],
    methods: Sequence[Candidate],
    conditions: Conditions,
    *,
    factor: float = FACTOR,
    noise: float = NOISE,
    frames: int = FRAMES,
    advance: Callable[[], None] = lambda: None,
) -> list[Course]:
    """Measure the course of the object's motion in each method's output.

    Args:
        pictures: where backgrounds and objects come from.
        size: height and width of the frames, px.
        methods: side by side; the input itself shows the motion unmagnified.
        conditions: scenes, renderers, device; the seed is of everything random.
        factor: by which they magnify.
        noise: the protocol's noise factor of the recording.
        frames: of each clip.
        advance: called once for each scene × renderer × method.

    Returns:
        one course for each scene, renderer and method.

    Raises:
        InputError: for a factor that is not above 0 or makes the motion too large.
    """
    check_factor(factor)
    seed, device = conditions.seed, conditions.device
    courses = []
    for index in range(conditions.count):
        generator = seeded(seed, index, 31)
        signal = knocks(generator, frames)
        content = lone_object(pictures, *size, seed, index, PEAK * max(factor, 1))
        direction = content.directions[1]
        displacements = torch.zeros(frames, 2, 2, dtype=torch.float64)
        displacements[:, 1] = signal[:, None] * direction
        inside = _inside(content)
        for renderer in conditions.renderers:
            clean = stage(renderer, content, device).frames(displacements).cpu()
            recorded = record_frames(clean, noise, seeded(seed, index, 32), conditions.rounding)
            for method in methods:
                output = magnified_clip(method, recorded, factor, device)
                moved = measure_displacement(
                    clean[:1],
                    output,
                    weight=inside,
                    limit=math.ceil(PEAK * max(factor, 1)) + SEARCH,
                    iterations=ITERATIONS,
                )
                courses.append(
                    Course(method.name, renderer, index, factor * signal, moved.double() @ direction)
                )
                advance()
    return courses


def check_factor(factor: float) -> None:
    """Raise InputError unless the motion times ``factor`` can be shown."""
    if not (factor > 0 and factor * PEAK <= MAX_MOTION):
        raise InputError(
            f"factor must be above 0 and at most {MAX_MOTION / PEAK:g}, as the motion is {PEAK:g} px, "
            f"got {factor:g}"
        )


def magnified_clip(method: Candidate, frames: Tensor, factor: float, device: torch.device) -> Tensor:
    """Return the clip (T, 3, H, W) as a method shows it, motion being measured from the first frame."""
    magnifier: Magnifier
    if isinstance(method, Network):
        magnifier = LearnedMagnifier(method.network, factor=factor, mode="static", batch=CHUNK)
    elif isinstance(method, Registered):
        magnifier = method.build(factor)
    else:
        reference = frames[:1].to(device)
        parts = [
            method.magnify(reference.expand_as(some), some, torch.full((len(some),), factor, device=device))
            for some in frames.to(device).split(CHUNK)
        ]
        return torch.cat(parts).cpu()
    shown = torch.cat([*(magnifier.push(some) for some in frames.split(CHUNK)), magnifier.flush()]).cpu()
    if shown.shape != frames.shape:
        raise InputError(
            f"the method {method.name!r} gave {len(shown)} frames for a clip of {len(frames)}; leave it out"
        )
    return shown


@dataclass(frozen=True)
class Summary:
    """Correlation and amplitude error of one method, over scenes.

    Attributes:
        renderer: of the scenes.
        method: the column's name.
        correlation, amplitude_error: of the frames that could be measured, over scenes that have such.
        scenes: how many there are.
        frames: how many they have together.
        unmeasured: how many of the frames could not be measured.
    """

    renderer: str
    method: str
    correlation: Spread
    amplitude_error: Spread
    scenes: int
    frames: int
    unmeasured: int


def summarise(courses: Sequence[Course]) -> list[Summary]:
    """Return mean and spread over scenes for each renderer and method."""
    keys = dict.fromkeys((course.renderer, course.method) for course in courses)
    groups = {key: [each for each in courses if (each.renderer, each.method) == key] for key in keys}
    return [
        Summary(
            renderer,
            method,
            Spread.of_measured(course.correlation for course in group),
            Spread.of_measured(course.amplitude_error for course in group),
            len(group),
            sum(len(course.measured) for course in group),
            sum(course.unmeasured for course in group),
        )
        for (renderer, method), group in groups.items()
    ]


def courses_csv(courses: Sequence[Course]) -> str:
    """Return one line for each course as CSV; what could not be measured is empty."""
    lines = ["renderer,method,scene,correlation,amplitude_error,frames,unmeasured"]
    for course in courses:
        values = (course.correlation, course.amplitude_error)
        cells = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
        counts = (str(len(course.measured)), str(course.unmeasured))
        lines.append(",".join((course.renderer, course.method, str(course.index), *cells, *counts)))
    return "\n".join(lines) + "\n"


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
