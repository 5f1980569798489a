"""The motion of a shaken object is recovered from a right output; lag and loss are seen."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Candidate
from mm.evaluation.physical import (
    FPS,
    LEAST_INTERIOR,
    PEAK,
    Physical,
    Recovered,
    _inside,
    knocks,
)
from mm.evaluation.protocol import seeded
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.runner import Conditions, Place
from mm.evaluation.scene_spec import Pictures, lone_object
from tests.evaluation.doubles import Scripted

CPU = torch.device("cpu")
FACTOR = 15.0
FRAMES = 24


def shown(pictures: Pictures, share: float, name: str) -> Candidate:
    """A clip that was rendered beforehand, renderer by renderer."""
    content = lone_object(pictures, 80, 88, 0, 0, PEAK * FACTOR)
    displacements = torch.zeros(FRAMES, 2, 2, dtype=torch.float64)
    signal = knocks(seeded(0, 0, 31), FRAMES) * FACTOR * share
    displacements[:, 1] = signal[:, None] * content.directions[1]
    frames = torch.cat([stage(renderer, content).frames(displacements) for renderer in RENDERERS])
    return Scripted(list(frames), name)


def test_what_is_recovered_is_what_was_rendered(pictures: Pictures) -> None:
    methods: list[Candidate] = [
        Baseline(),
        shown(pictures, 1.0, "right"),
        shown(pictures, 0.5, "half"),
    ]
    test = Physical(pictures, (80, 88), [FACTOR], frames=FRAMES)
    found = test.run(methods, Conditions(1, 0, RENDERERS, CPU))
    assert len(found) == len(RENDERERS) * 3
    for place, (recovered,) in found.items():
        wanted = {"input": 1 / FACTOR, "right": 1.0, "half": 0.5}[place.method]
        assert recovered.correlation > (0.98 if place.method == "input" else 0.9999)
        assert recovered.amplitude_error == pytest.approx(wanted - 1, abs=0.01)
        assert float(recovered.true.abs().max()) == pytest.approx(FACTOR * PEAK)


@pytest.mark.parametrize("opaque", [1.0, 0.6])
def test_a_translucent_object_is_measured_within_itself_too(pictures: Pictures, opaque: float) -> None:
    content = lone_object(pictures, 80, 88, 0, 0, PEAK * FACTOR)
    content.objects[0][3] *= opaque
    inside = _inside(content)
    assert inside.sum() >= LEAST_INTERIOR
    content.objects[0][3] /= opaque
    torch.testing.assert_close(inside, _inside(content))


def test_the_signal_is_irregular_and_begins_at_rest() -> None:
    signal = knocks(seeded(3))
    assert signal[0] == 0
    assert float(signal.abs().max()) == pytest.approx(PEAK)
    # No single sinusoid: the strongest frequency holds less than half of the power.
    power = torch.fft.rfft(signal - signal.mean()).abs() ** 2
    assert power.max() < 0.5 * power.sum()
    # And none of it beyond what 30 frames a second can show.
    beyond = torch.fft.rfftfreq(len(signal), 1 / FPS) > 10
    assert power[beyond].sum() < 0.02 * power.sum()
    assert not torch.equal(signal, knocks(seeded(4)))


def test_correlation_and_amplitude_are_two_things() -> None:
    time = torch.linspace(0, 4 * math.pi, 200, dtype=torch.float64)
    true = time.sin()
    lagging = Recovered(true, (time - 0.5).sin())
    assert lagging.correlation == pytest.approx(math.cos(0.5), abs=0.01)
    assert lagging.amplitude_error == pytest.approx(math.cos(0.5) - 1, abs=0.01)
    larger = Recovered(true, 1.2 * true)
    assert larger.correlation == pytest.approx(1)
    assert larger.amplitude_error == pytest.approx(0.2)
    gaps = Recovered(true, torch.where(true > 0.5, torch.nan, true))
    assert gaps.correlation == pytest.approx(1)
    assert gaps.amplitude_error == pytest.approx(0)


def test_frames_that_could_not_be_measured_are_counted(pictures: Pictures, tmp_path: Path) -> None:
    true = torch.linspace(0, 4 * math.pi, 50, dtype=torch.float64).sin()
    some = true.clone()
    some[[3, 20, 49]] = math.nan
    nothing = torch.full_like(true, math.nan)
    test = Physical(pictures, (80, 88))
    found = {
        Place("objects", "fourier", "m", test.levels[0]): [
            Recovered(true, each) for each in (true, some, nothing)
        ]
    }
    (table,) = test.tables(found)
    assert table.lines[0][2::2] == ["1.000 ± 0.000 in 2 of 3 scenes", "97 of 150"]
    test.write(tmp_path, found)
    with (tmp_path / "physical.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["frames"] for line in lines] == ["50"] * 3
    assert [line["unmeasured"] for line in lines] == ["0", "3", "50"]
    assert lines[2]["correlation"] == ""


def test_factors_that_cannot_be_shown(pictures: Pictures) -> None:
    with pytest.raises(InputError, match="factor must be above 0 and at most 300"):
        Physical(pictures, (80, 88), [1000.0])
    with pytest.raises(InputError, match="one factor, got 2,5"):
        Physical(pictures, (80, 88), [2.0, 5.0])
