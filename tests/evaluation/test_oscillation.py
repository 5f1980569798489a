"""The clip moves as the paper's does, and its middle frame has what the filter makes of the whole motion."""

from __future__ import annotations

import math

import pytest
import torch

from mm.evaluation import oscillation
from mm.evaluation.oscillation import BAND, FRAMES, MIDDLE, place, record, swing
from mm.temporal import from_band

TIME = torch.arange(FRAMES, dtype=torch.float64)
# The motion that the module's text describes, computed from its words alone.
COURSE = torch.cos(2 * math.pi * 3 * (TIME - 30) / 30)


def positions() -> torch.Tensor:
    """Flat frames, each of a grey of its own, mid-grey last."""
    greys = torch.linspace(0.2, 0.5, len(swing()))
    return greys[:, None, None, None].expand(-1, 3, 40, 50)


def test_the_course_is_a_cosine_of_three_hertz_whose_middle_is_the_moved_frame() -> None:
    shown = swing()[[place(frame) for frame in range(FRAMES)]]
    torch.testing.assert_close(shown, COURSE, atol=1e-12, rtol=0)
    assert shown[MIDDLE] == 1
    assert len(swing()) == 6
    assert (oscillation.FREQUENCY, oscillation.FPS) == (3, 30)


def test_the_filter_is_the_papers_and_the_clip_long_enough_for_it() -> None:
    assert (BAND.low, BAND.high, BAND.fps, BAND.filter, BAND.taps) == (0.5, 7.5, 30, "fir", 30)
    made = from_band(BAND)
    assert made.min_frames <= FRAMES
    passed = made.filter_all(COURSE[:, None])[:, 0]
    # What is passed of the sampled motion is what the frequency response says, and in step with it.
    assert float(passed[MIDDLE]) == pytest.approx(made.gain(3).real, abs=1e-6)
    assert made.gain(3).real == pytest.approx(1.013, abs=5e-4)
    torch.testing.assert_close(passed[16:45], made.gain(3).real * COURSE[16:45], atol=1e-6, rtol=0)


def test_each_frame_is_recorded_with_noise_of_its_own() -> None:
    middle = torch.zeros(3, 40, 50)
    frames = torch.stack(list(record(positions(), middle, 1.0, (0, 5), "none")))
    assert frames.shape == (FRAMES, 3, 40, 50)
    assert torch.equal(frames[MIDDLE], middle)
    others = [frame for frame in range(FRAMES) if frame != MIDDLE]
    for frame in others:
        grey = float(positions()[place(frame), 0, 0, 0])
        assert float(frames[frame].mean()) == pytest.approx(grey, abs=0.003)
    # The same position ten frames on: twice the variance, f² × value.
    difference = (frames[2] - frames[12]) * 255
    value = float(positions()[place(2), 0, 0, 0]) * 255
    assert place(2) == place(12)
    assert float(difference.var()) == pytest.approx(2 * value, rel=0.06)
    again = torch.stack(list(record(positions(), middle, 1.0, (0, 5), "none")))
    other = torch.stack(list(record(positions(), middle, 1.0, (0, 6), "none")))
    assert torch.equal(frames, again)
    assert not torch.equal(frames[others], other[others])


def test_rounding_is_to_eight_bits_and_drawn_for_each_frame() -> None:
    grey = positions() * 0 + 102.3 / 255
    frames = torch.stack(list(record(grey, grey[0], 0.0, (1,), "random")))
    steps = frames[:MIDDLE] * 255
    assert set(steps.round().unique().tolist()) == {102, 103}
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert float(steps.mean()) == pytest.approx(102.3, abs=0.01)
    assert not torch.equal(frames[0], frames[1])
