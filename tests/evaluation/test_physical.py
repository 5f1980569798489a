"""The motion of a shaken object is recovered from a right output; one that lags or lacks is told."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Candidate, Network
from mm.evaluation.comparison import Conditions
from mm.evaluation.physical import (
    FPS,
    LEAST_INTERIOR,
    PEAK,
    Course,
    _inside,
    compare_physical,
    courses_csv,
    knocks,
    magnified_clip,
    summarise,
)
from mm.evaluation.protocol import seeded
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.scene_spec import Pictures, lone_object
from mm.methods import LearnedMagnifier
from mm.networks import MagnificationNetwork, NetworkConfig

CPU = torch.device("cpu")
FACTOR = 15.0
FRAMES = 24


class Shown:
    """Gives a clip that was rendered beforehand, renderer by renderer."""

    def __init__(self, pictures: Pictures, share: float, name: str) -> None:
        content = lone_object(pictures, 80, 88, 0, 0, PEAK * FACTOR)
        displacements = torch.zeros(FRAMES, 2, 2, dtype=torch.float64)
        course = knocks(seeded(0, 0, 31), FRAMES) * FACTOR * share
        displacements[:, 1] = course[:, None] * content.directions[1]
        self.frames = torch.cat([stage(renderer, content).frames(displacements) for renderer in RENDERERS])
        self.name = name

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        some, self.frames = self.frames[: len(b)], self.frames[len(b) :]
        return some


def test_what_is_recovered_is_what_was_rendered(pictures: Pictures) -> None:
    methods: list[Candidate] = [Baseline(), Shown(pictures, 1.0, "right"), Shown(pictures, 0.5, "half")]
    courses = compare_physical(
        pictures,
        (80, 88),
        methods,
        Conditions(1, 0, RENDERERS, CPU),
        factor=FACTOR,
        frames=FRAMES,
    )
    assert len(courses) == len(RENDERERS) * 3
    for summary in summarise(courses):
        wanted = {"input": 1 / FACTOR, "right": 1.0, "half": 0.5}[summary.method]
        assert summary.correlation.mean > (0.98 if summary.method == "input" else 0.9999)
        assert summary.amplitude_error.mean == pytest.approx(wanted - 1, abs=0.01)
        assert summary.correlation.count == 1
    true = courses[0].true
    assert float(true.abs().max()) == pytest.approx(FACTOR * PEAK)


@pytest.mark.parametrize("opaque", [1.0, 0.6])
def test_a_translucent_object_is_measured_within_itself_too(pictures: Pictures, opaque: float) -> None:
    content = lone_object(pictures, 80, 88, 0, 0, PEAK * FACTOR)
    content.objects[0][3] *= opaque
    inside = _inside(content)
    assert inside.sum() >= LEAST_INTERIOR
    content.objects[0][3] /= opaque
    torch.testing.assert_close(inside, _inside(content))


def test_the_course_is_irregular_and_begins_at_rest() -> None:
    course = knocks(seeded(3))
    assert course[0] == 0
    assert float(course.abs().max()) == pytest.approx(PEAK)
    # No single sinusoid: the strongest frequency holds less than half of the power.
    power = torch.fft.rfft(course - course.mean()).abs() ** 2
    assert power.max() < 0.5 * power.sum()
    # And none of it beyond what 30 frames a second can show.
    beyond = torch.fft.rfftfreq(len(course), 1 / FPS) > 10
    assert power[beyond].sum() < 0.02 * power.sum()
    assert not torch.equal(course, knocks(seeded(4)))


def test_correlation_and_amplitude_are_told_apart() -> None:
    time = torch.linspace(0, 4 * math.pi, 200, dtype=torch.float64)
    true = time.sin()
    lagging = Course("m", "fourier", 0, true, (time - 0.5).sin())
    assert lagging.correlation == pytest.approx(math.cos(0.5), abs=0.01)
    assert lagging.amplitude_error == pytest.approx(math.cos(0.5) - 1, abs=0.01)
    larger = Course("m", "fourier", 0, true, 1.2 * true)
    assert larger.correlation == pytest.approx(1)
    assert larger.amplitude_error == pytest.approx(0.2)
    gaps = Course("m", "fourier", 0, true, torch.where(true > 0.5, torch.nan, true))
    assert gaps.correlation == pytest.approx(1)
    assert gaps.amplitude_error == pytest.approx(0)


def test_frames_that_could_not_be_measured_are_counted() -> None:
    true = torch.linspace(0, 4 * math.pi, 50, dtype=torch.float64).sin()
    some = true.clone()
    some[[3, 20, 49]] = math.nan
    courses = [
        Course("m", "fourier", 0, true, true),
        Course("m", "fourier", 1, true, some),
        Course("m", "fourier", 2, true, torch.full_like(true, math.nan)),
    ]
    assert [course.unmeasured for course in courses] == [0, 3, 50]
    (summary,) = summarise(courses)
    assert (summary.scenes, summary.frames, summary.unmeasured) == (3, 150, 53)
    assert summary.correlation.mean == pytest.approx(1)
    assert summary.correlation.count == 2
    lines = courses_csv(courses).splitlines()
    assert lines[0].endswith(",frames,unmeasured")
    assert [line.split(",")[-2:] for line in lines[1:]] == [["50", "0"], ["50", "3"], ["50", "50"]]


def test_a_network_is_run_as_the_method_that_users_run() -> None:
    torch.manual_seed(0)
    small = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)
    network = MagnificationNetwork(small).eval()
    clip = torch.rand(11, 3, 24, 20, generator=torch.Generator().manual_seed(2))
    shown = magnified_clip(Network("net", network), clip, 5.0, CPU)
    magnifier = LearnedMagnifier(network, factor=5.0)
    expected = torch.cat([magnifier.push(clip), magnifier.flush()])
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=1e-4)


def test_a_factor_that_cannot_be_shown(pictures: Pictures) -> None:
    with pytest.raises(InputError, match="factor must be above 0 and at most 300"):
        compare_physical(pictures, (80, 88), [], Conditions(1, 0, RENDERERS, CPU), factor=1000.0)
