"""What every Eulerian method promises: the known motion of a rendered wave, and the stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import AccelerationMagnifier, LinearMagnifier, Magnifier, PhaseMagnifier
from mm.methods.eulerian import EulerianMagnifier
from mm.methods.riesz import RieszMagnifier
from mm.registry import methods
from mm.temporal import Band

MakeGrating = Callable[..., Any]
Run = Callable[..., Tensor]
Held = Callable[[Magnifier], int]

FPS = 30.0
FREQUENCY = 3.0
BAND = Band(0.5, 7.5, FPS)
QUICK = Band(1.0, 6.0, FPS, "fir", taps=15)
METHODS: dict[str, Callable[..., EulerianMagnifier]] = {
    "linear": LinearMagnifier,
    "phase": PhaseMagnifier,
    "riesz": RieszMagnifier,
}
MODES = ("static", "dynamic", "temporal")
# Acceleration has one mode, and a kernel of its own in the place of the filter.
STREAMS = [(name, mode) for name in METHODS for mode in MODES] + [("acceleration", "temporal")]

# What riesz keeps to within other bounds stands in its own tests.
both = pytest.mark.parametrize("name", ["linear", "phase"])
every = pytest.mark.parametrize("name", sorted(METHODS))
streams = pytest.mark.parametrize(("name", "mode"), STREAMS)


def made(name: str, mode: str, factor: float = 5.0, **options: Any) -> EulerianMagnifier:
    """The method in the mode; a temporal filter looks ahead for a few frames only."""
    if name == "acceleration":
        return AccelerationMagnifier(factor, band=Band(5.0, 7.0, FPS), **options)
    return METHODS[name](factor, mode, QUICK if mode == "temporal" else None, **options)


# --- the truth ------------------------------------------------------------------------------------


def test_the_measure_is_right(grating: MakeGrating) -> None:
    wave = grating(16, angle=0.4, amplitude=1.0)
    found = wave.motion(wave.frames(wave.shift(90)), 30, 60)
    assert found.gain == pytest.approx(1, rel=0.01)
    assert abs(found.off) < 0.01
    later = wave.frames(torch.roll(wave.shift(90), 1))
    assert math.atan2(wave.motion(later, 30, 60).off, wave.motion(later, 30, 60).gain) == pytest.approx(
        2 * math.pi / 10, abs=0.02
    )


@both
@pytest.mark.parametrize("period", [12, 23, 48])
@pytest.mark.parametrize("angle", [0.0, math.pi / 2, 0.6])
def test_a_tenth_of_a_pixel_times_ten(
    name: str, period: float, angle: float, grating: MakeGrating, run: Run
) -> None:
    """Default parameters, 0.1 px at 3 Hz: ten times as large within 10 %, in step within 1 % of a period."""
    wave = grating(period, angle)
    out = run(METHODS[name](10.0, "temporal", BAND, batch=8), wave.frames(wave.shift(70)))
    found = wave.motion(out, 30, 50)
    assert found.gain == pytest.approx(10, rel=0.1)
    assert abs(math.atan2(found.off, found.gain)) < 0.01 * 2 * math.pi


@pytest.mark.parametrize("filter_", ["butter", "iir", "fir", "ideal"])
@both
def test_every_filter_is_in_step(name: str, filter_: str, grating: MakeGrating, run: Run) -> None:
    wave = grating(20, size=(24, 64))
    band = Band(1.0, 6.0, FPS, filter_)
    out = run(METHODS[name](10.0, "temporal", band, batch=8), wave.frames(wave.shift(90)))
    found = wave.motion(out, 40, 50)
    magnifier = METHODS[name](10.0, "temporal", band)
    assert magnifier.filter is not None
    # What the filter passes at 3 Hz is magnified (its gain is given by its design), and what was there stays.
    expected = 1 + 9 * abs(magnifier.filter.gain(FREQUENCY))
    assert found.gain == pytest.approx(expected, rel=0.06)
    assert abs(math.atan2(found.off, found.gain)) < 0.01 * 2 * math.pi


@every
@pytest.mark.parametrize("period", [16, 40])
def test_static_and_dynamic_multiply_the_displacement_from_the_reference(
    name: str, period: float, grating: MakeGrating, run: Run
) -> None:
    wave = grating(period, angle=0.3)
    shift = wave.shift(10)
    frames = wave.frames(shift)
    static = wave.displacement(run(METHODS[name](10.0, "static"), frames))
    torch.testing.assert_close(static, 10 * shift, atol=0.1, rtol=0)
    before = torch.cat([shift[:1], shift[:-1]])
    dynamic = wave.displacement(run(METHODS[name](10.0, "dynamic"), frames))
    torch.testing.assert_close(dynamic, before + 10 * (shift - before), atol=0.1, rtol=0)


@both
def test_a_factor_of_zero_takes_the_motion_away(name: str, grating: MakeGrating, run: Run) -> None:
    wave = grating(16, amplitude=0.3)
    out = run(METHODS[name](0.0, "static"), wave.frames(wave.shift(10)))
    assert wave.displacement(out).abs().max() < 0.01


@every
def test_motion_outside_the_band_is_left_alone(name: str, grating: MakeGrating, run: Run) -> None:
    wave = grating(16)
    out = run(METHODS[name](10.0, "temporal", Band(7.0, 11.0, FPS)), wave.frames(wave.shift(60)))
    assert wave.motion(out, 20, 40).gain == pytest.approx(1, abs=0.15)


# --- the stream -----------------------------------------------------------------------------------


@streams
@pytest.mark.parametrize("batch", [1, 4])
def test_chunks_make_no_difference(name: str, mode: str, batch: int, clip: Tensor, run: Run) -> None:
    outputs = [run(made(name, mode, batch=batch), clip, chunk) for chunk in (1, 7, 34)]
    assert outputs[0].shape == clip.shape
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    single = run(made(name, mode), clip, 34)
    # Motion waits in half precision, where a last bit that differs may round the other way.
    torch.testing.assert_close(outputs[0], single, atol=2e-3 if mode == "temporal" else 1e-4, rtol=0)


@streams
def test_a_factor_of_one_and_a_still_clip_change_nothing(
    name: str, mode: str, clip: Tensor, run: Run
) -> None:
    # Frames that wait are rounded to 15 bits.
    for factor, frames in ((1.0, clip), (100.0, clip[7:8].expand_as(clip))):
        out = run(made(name, mode, factor), frames)
        torch.testing.assert_close(out, frames, atol=3e-5, rtol=0)


@streams
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_frames_stay_constant(name: str, mode: str, value: float, run: Run) -> None:
    frames = torch.full((30, 3, 24, 25), value)
    out = run(made(name, mode, 50.0), frames)
    torch.testing.assert_close(out, frames, atol=3e-5, rtol=0)


@streams
def test_holds_no_more_than_it_says_however_long_the_clip(
    name: str, mode: str, clip: Tensor, held: Held
) -> None:
    magnifier = made(name, mode, batch=3)
    most, given = 0, 0
    for part in clip.repeat(4, 1, 1, 1).split(2):
        given += len(magnifier.push(part))
        most = max(most, held(magnifier))
    assert given > 100
    limit = magnifier.memory(25, 34, 136)
    assert limit == magnifier.memory(25, 34, 10**6)
    assert 0.7 * limit < most <= 1.01 * limit


@streams
def test_the_end_comes_in_parts(name: str, mode: str, clip: Tensor, run: Run) -> None:
    magnifier = made(name, mode, batch=4)
    parts = [magnifier.push(clip), *magnifier.flush_parts()]
    assert all(len(part) <= 4 for part in parts[1:])
    assert torch.equal(torch.cat(parts), run(made(name, mode, batch=4), clip))


@streams
def test_a_flushed_magnifier_takes_another_clip_of_another_size(
    name: str, mode: str, clip: Tensor, run: Run
) -> None:
    magnifier = made(name, mode)
    run(magnifier, clip)
    other = clip.flip(0, 3)[:30, :, :20, :18]
    assert torch.equal(run(magnifier, other), run(made(name, mode), other))


@streams
def test_gives_float32_in_range_that_can_be_written_to(name: str, mode: str, clip: Tensor, run: Run) -> None:
    before = clip.clone()
    out = run(made(name, mode, 200.0), clip.double())
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1
    out.add_(1)
    assert torch.equal(clip, before)


@every
def test_is_found_by_name_and_keeps_the_interface(name: str) -> None:
    magnifier = methods.get(name)(factor=2.0, band=BAND, mode="temporal", device="cpu")
    assert isinstance(magnifier, Magnifier)
    line = magnifier.describe()
    assert line.startswith(f"{name}, temporal, factor 2, ")
    assert "on cpu; butter 0.5–7.5 Hz" in line
    assert "\n" not in line


@every
def test_no_frames_give_no_frames(name: str) -> None:
    assert METHODS[name]().flush().shape == (0, 3, 0, 0)


@streams
@pytest.mark.parametrize("size", [(8, 8), (8, 31), (9, 64)])
def test_the_smallest_frames(name: str, mode: str, size: tuple[int, int], run: Run) -> None:
    frames = torch.rand(30, 3, *size, generator=torch.Generator().manual_seed(0))
    out = run(made(name, mode, 3.0), frames)
    assert out.shape == frames.shape
    assert out.isfinite().all()


# --- bad input ------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factor": -3.0}, "got -3"),
        ({"factor": math.nan}, "got nan"),
        ({"mode": "statc"}, "static, dynamic, temporal, got 'statc'"),
        ({"mode": "temporal"}, "needs a band"),
        ({"band": BAND}, "static mode magnifies all frequencies, but a band of 0.5 Hz to 7.5 Hz"),
        ({"batch": 0}, "at least 1 frame, got 0"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        METHODS[name](**options)


@every
def test_bad_frames(name: str, clip: Tensor) -> None:
    magnifier = METHODS[name]()
    magnifier.push(clip[:4])
    with pytest.raises(InputError, match="size changes from 34×25 to 16×25 px"):
        magnifier.push(clip[4:6, :, :, :16])
    for bad, says in (
        (clip[0], r"\(n, 3, H, W\)"),
        (clip[:, :1], r"3, H, W"),
        (clip * math.nan, "NaN"),
        (clip * 255, "in \\[0, 1\\]"),
        ((clip * 255).byte(), "divide 8-bit frames by 255"),
        (clip[..., :7], "at least 8 px"),
    ):
        with pytest.raises(InputError, match=says):
            METHODS[name]().push(bad)


@every
def test_a_clip_too_short_for_its_band(name: str, clip: Tensor) -> None:
    magnifier = METHODS[name](5.0, "temporal", Band(0.4, 3.0, FPS))
    magnifier.push(clip)
    with pytest.raises(InputError, match=r"34 frames .* needs at least 75"):
        magnifier.flush()
    # It is ready for another clip all the same.
    assert METHODS[name](5.0, "temporal", QUICK).push(clip).shape[1:] == clip.shape[1:]
    assert magnifier.push(clip[:, :, :20]).shape[1:] == (3, 20, 34)


# --- the device -----------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@both
@pytest.mark.parametrize("mode", MODES)
def test_cuda_agrees_with_the_cpu(name: str, mode: str, grating: MakeGrating, run: Run) -> None:
    wave = grating(16, angle=0.3)
    frames = wave.frames(wave.shift(40))
    expected = run(made(name, mode), frames)
    out = run(made(name, mode, device="cuda"), frames)
    assert out.device.type == "cpu"
    torch.testing.assert_close(out, expected, atol=2e-3, rtol=0)
