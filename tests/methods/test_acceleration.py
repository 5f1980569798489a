"""Acceleration magnification: a vibration on a drift, rendered and measured; the kernel; its own stream."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.magnify.clip import magnify
from mm.methods import Magnifier, PhaseMagnifier
from mm.methods.acceleration import AccelerationMagnifier, LaplacianOfGaussian
from mm.registry import methods
from mm.temporal import Band
from mm.video import read_clip, write_clip

MakeGrating = Callable[..., Any]
Run = Callable[..., Tensor]
Held = Callable[[Magnifier], int]

FPS = 30.0
FREQUENCY = 3.0
BAND = Band(2.0, 4.0, FPS)
QUICK = Band(5.0, 7.0, FPS)
# Of the waves, where it does not matter.
ANGLE = 0.3
# Frames of a clip, and those in it that see the whole kernel of 3 Hz: two periods.
LENGTH, WHOLE = 40, slice(11, 29)


def make(factor: float = 10.0, band: Band = BAND, **options: Any) -> AccelerationMagnifier:
    return AccelerationMagnifier(factor, "temporal", band, **options)


def times(count: int = LENGTH) -> Tensor:
    return torch.arange(count, dtype=torch.float64) / FPS


def vibration(count: int = LENGTH, amplitude: float = 0.1) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * FREQUENCY * times(count))


@dataclass(frozen=True)
class Fit:
    """Of a course: the 3 Hz sinusoid in step with the input and a quarter later, and the line below, px."""

    inphase: float
    quarter: float
    level: float
    slope: float


def fit(course: Tensor, frames: slice = WHOLE) -> Fit:
    time = times(len(course))
    turn = 2 * math.pi * FREQUENCY * time
    ramp = torch.arange(len(course), dtype=torch.float64) - (frames.start + frames.stop - 1) / 2
    basis = torch.stack([turn.sin(), -turn.cos(), torch.ones_like(time), ramp], dim=1)[frames]
    return Fit(*torch.linalg.lstsq(basis, course[frames, None]).solution[:, 0].tolist())


# --- the truth ------------------------------------------------------------------------------------


def test_the_measure_is_right(grating: MakeGrating) -> None:
    wave, drift = grating(20, ANGLE), 0.5 * torch.arange(LENGTH).double()
    course = vibration(amplitude=1.0) + 0.3 + 0.01 * torch.arange(LENGTH)
    found = fit(wave.displacement(wave.frames(drift + course), drift))
    assert found.inphase == pytest.approx(1, rel=1e-3)
    assert abs(found.quarter) < 1e-3
    assert found.slope == pytest.approx(0.01, rel=0.01)
    assert found.level == pytest.approx(0.3 + 0.01 * 19.5, rel=0.01)


@pytest.mark.parametrize(("period", "size"), [(12, (64, 96)), (23, (64, 96)), (48, (128, 144))])
@pytest.mark.parametrize("angle", [0.0, math.pi / 2, 0.6])
def test_a_tenth_of_a_pixel_times_ten(
    period: float, size: tuple[int, int], angle: float, grating: MakeGrating, run: Run
) -> None:
    """Default parameters, 0.1 px at 3 Hz: ten times as large within 10 %, in step within 1 % of a period."""
    wave = grating(period, angle, size=size)
    out = run(make(batch=8), wave.frames(vibration()))
    found = fit(wave.displacement(out, torch.zeros(LENGTH).double()))
    assert found.inphase == pytest.approx(1.0, rel=0.1)
    assert abs(math.atan2(found.quarter, found.inphase)) < 0.01 * 2 * math.pi


@pytest.mark.parametrize(("period", "size"), [(12, (64, 96)), (23, (96, 144)), (48, (160, 192))])
@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_a_drift_is_left_alone_and_the_vibration_on_it_magnified(
    period: float, size: tuple[int, int], speed: float, grating: MakeGrating, run: Run
) -> None:
    """0.5 and 1 px a frame: 20 and 40 px in a clip, over 3 wavelengths; ±0.1 px of vibration on top."""
    wave = grating(period, ANGLE, size=size)
    drift = speed * torch.arange(LENGTH).double()
    out = run(make(batch=8), wave.frames(drift + vibration()))
    found = fit(wave.displacement(out, drift))
    assert found.inphase == pytest.approx(1.0, rel=0.1)
    assert abs(math.atan2(found.quarter, found.inphase)) < 0.01 * 2 * math.pi
    assert abs(found.slope) < 0.01 * speed
    assert abs(found.level) < 0.05


def test_the_drift_may_be_as_fast_as_it_likes(grating: MakeGrating, run: Run) -> None:
    """Half a wavelength a frame, where no step of phase has a sign; only its change counts."""
    wave = grating(12, ANGLE, size=(80, 96))
    drift = 6.0 * torch.arange(60).double()
    out = run(make(batch=8), wave.frames(drift + vibration(60)))
    found = fit(wave.displacement(out, drift), slice(15, 45))
    assert found.inphase == pytest.approx(1.0, rel=0.1)
    assert abs(found.quarter) < 0.06
    assert abs(found.slope) < 0.01


@pytest.mark.parametrize(("period", "speed"), [(12, 0.5), (12, 6.0), (23, 0.5), (23, 3.0)])
def test_linear_motion_is_left_alone_also_at_the_clips_ends(
    period: float, speed: float, grating: MakeGrating, run: Run
) -> None:
    wave = grating(period, ANGLE, size=(112, 128))
    drift = 1.7 + speed * torch.arange(24).double()
    frames = wave.frames(drift)
    out = run(make(batch=8), frames)
    assert wave.displacement(out, drift).abs().max() < 0.03
    # Away from the border, where the wave meets its mirror image.
    inner = (out - frames)[..., 40:-40, 40:-40]
    assert inner.abs().max() < 0.04
    assert inner.square().mean().sqrt() < 0.007


def test_constant_acceleration_is_magnified_as_the_kernel_says(grating: MakeGrating, run: Run) -> None:
    """On x = a·t²/2 the second difference is a in every frame: what is added is alpha·a·(sum of weights)."""
    wave, amount = grating(20, ANGLE, size=(80, 112)), 0.004
    place = amount / 2 * torch.arange(LENGTH).double() ** 2
    out = run(make(8.0, batch=8), wave.frames(place))
    omega, sigma = 2 * math.pi * FREQUENCY / FPS, FPS / (4 * FREQUENCY)
    expected = -7 * amount / (omega**2 * math.exp(-((omega * sigma) ** 2) / 2))
    found = wave.displacement(out, place)[WHOLE]
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0.05, atol=0)


def test_other_frequencies_are_magnified_by_the_kernels_gain(grating: MakeGrating, run: Run) -> None:
    wave = grating(20, ANGLE)
    out = run(make(frequency=2.1), wave.frames(vibration()))
    ratio = (FREQUENCY / 2.1) ** 2
    expected = 1 + 9 * ratio * math.exp(-(math.pi**2) / 8 * (ratio - 1))
    found = fit(wave.displacement(out, torch.zeros(LENGTH).double()), slice(15, 25))
    assert found.inphase / 0.1 == pytest.approx(expected, rel=0.05)
    assert 6 < expected < 6.2


def test_a_factor_of_zero_takes_the_vibration_away_and_leaves_the_drift(
    grating: MakeGrating, run: Run
) -> None:
    wave = grating(16, ANGLE, size=(80, 112))
    drift = 0.5 * torch.arange(LENGTH).double()
    found = fit(wave.displacement(run(make(0.0), wave.frames(drift + vibration())), drift))
    assert math.hypot(found.inphase, found.quarter) < 0.01
    assert abs(found.slope) < 0.005


def textured(place: Tensor) -> Tensor:
    """150 random waves of 6 to 60 px, longer ones stronger, all moving along x: (n, 3, 72, 96)."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(3, 150, generator=generator).double()
    length, angle, phase = 6 * 10 ** draws[0], 2 * math.pi * draws[1], 2 * math.pi * draws[2]
    across, down = (2 * math.pi / length * part for part in (angle.cos(), angle.sin()))
    y, x = (torch.arange(side).double() for side in (72, 96))
    rows, columns = torch.exp(1j * down[:, None] * y), torch.exp(1j * across[:, None] * x)
    strength = 0.16 * length / length.norm()
    moved = strength * torch.exp(1j * (phase - across * place[:, None]))
    image = 0.5 + torch.einsum("tn,nh,nw->thw", moved, rows, columns).real
    return image[:, None].expand(-1, 3, -1, -1).clamp(0, 1).float()


def test_a_texture_that_drifts_slowly_is_nearer_to_its_truth_than_by_phase(run: Run) -> None:
    """2.5 px of drift in a period. The phase method's band of the same frequencies also sees the drift."""
    drift = 0.25 * torch.arange(LENGTH).double()
    frames, truth = textured(drift + vibration()), textured(drift + 10 * vibration())
    inner = (slice(14, 26), slice(None), slice(16, -16), slice(16, -16))

    def miss(frames: Tensor) -> float:
        return float((frames - truth)[inner].square().mean().sqrt())

    accelerated = miss(run(make(batch=8), frames))
    assert accelerated < 0.3 * miss(frames)
    wide = miss(run(PhaseMagnifier(10.0, "temporal", Band(1.0, 7.0, FPS), batch=8), frames))
    dynamic = miss(run(PhaseMagnifier(10.0, "dynamic", batch=8), frames))
    assert accelerated < 0.4 * wide
    assert accelerated < 0.4 * dynamic


@pytest.mark.parametrize(
    "options",
    [
        {"bandwidth": 0.5, "orientations": 8},
        {"angular": "steerable"},
        {"smoothing": 0.0},
        {"channels": "rgb"},
        {"limit": math.pi},
    ],
)
def test_every_option_keeps_the_truth(options: dict[str, Any], grating: MakeGrating, run: Run) -> None:
    wave = grating(12, ANGLE, size=(64, 80))
    drift = 0.5 * torch.arange(LENGTH).double()
    found = fit(wave.displacement(run(make(batch=8, **options), wave.frames(drift + vibration())), drift))
    assert found.inphase == pytest.approx(1.0, rel=0.1)
    assert abs(found.slope) < 0.005


def test_smoothing_lessens_noise(grating: MakeGrating, run: Run) -> None:
    """What noise moves the wave by, locally: the part of the change that goes with the wave's slope."""
    wave = grating(8, ANGLE, size=(64, 80))
    noise = 0.01 * torch.randn(24, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    frames = wave.frames(torch.zeros(24).double()) + noise
    slope = torch.cos(2 * math.pi * wave.along() / wave.period)

    def jitter(smoothing: float) -> Tensor:
        change = (run(make(3.0, smoothing=smoothing, batch=8), frames) - frames)[:, :1].double()
        return F.avg_pool2d(change * slope, 8).std()

    assert jitter(1.0) < 0.75 * jitter(0.0)


# --- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "fps"), [(3.0, 30.0), (0.2, 24.0), (82.0, 600.0), (9.0, 30.0)])
def test_the_gain_is_that_of_a_laplacian_of_gaussian(frequency: float, fps: float) -> None:
    kernel = LaplacianOfGaussian(Band(frequency / 2, frequency * 1.5, fps), frequency)
    assert kernel.sigma == fps / (4 * frequency)
    assert kernel.gain(frequency) == pytest.approx(1, abs=1e-12)
    assert kernel.gain(0.0) == 0
    for ratio in (0.1, 0.43, 0.9, 1.48):
        expected = ratio**2 * math.exp(-(math.pi**2) / 8 * (ratio**2 - 1))
        # The sampled kernel departs from the continuous one as (f′/fps)⁴ does.
        departs = 0.002 + 4 * (ratio * frequency / fps) ** 4
        assert kernel.gain(ratio * frequency).real == pytest.approx(expected, abs=departs)
    assert all(abs(kernel.gain(f)) < 1.03 for f in np.linspace(0, fps / 2, 50))


def test_the_filter_is_its_gain_in_amplitude_and_in_step() -> None:
    """Second differences of a sinusoid in, each with the frame after its own: gain × the sinusoid out."""
    kernel = LaplacianOfGaussian(BAND, 3.0)
    for frequency in (1.5, 3.0, 6.0):
        time = torch.arange(-1, 81).double() / FPS
        course = torch.sin(2 * math.pi * frequency * time + 0.4)
        pushed = torch.cat([torch.zeros(1), course.diff(n=2)[:-1]])
        out = kernel.filter_all(pushed[:, None])[:, 0]
        expected = kernel.gain(frequency).real * course[1:-1]
        torch.testing.assert_close(out[12:-12], expected[12:-12], atol=1e-9, rtol=0)


def test_says_what_it_does() -> None:
    line = make().describe()
    assert line.startswith("acceleration, temporal, factor 10, ")
    assert "on cpu; Laplacian of Gaussian for 3 Hz (σ 2.5 frames, in the place of a band-pass)" in line
    assert f"looks ahead {make().filter.delay} frames" in line
    assert "butter" not in line
    assert "for 2.5 Hz (σ 3 frames" in make(frequency=2.5).describe()


# --- the stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 4])
def test_chunks_make_no_difference(batch: int, clip: Tensor, run: Run) -> None:
    outputs = [run(make(5.0, QUICK, batch=batch, channels="rgb"), clip, chunk) for chunk in (1, 7, 34)]
    assert outputs[0].shape == clip.shape
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    single = run(make(5.0, QUICK, channels="rgb"), clip, 34)
    torch.testing.assert_close(outputs[0], single, atol=2e-3, rtol=0)
    assert (single - clip).abs().max() > 0.05


def test_frames_come_a_fixed_number_later() -> None:
    magnifier = make(5.0, QUICK)
    frames = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    given = 0
    for count, frame in enumerate(frames.split(1), 1):
        given += len(magnifier.push(frame))
        assert 0 <= count - given <= magnifier.filter.delay
    assert len(magnifier.flush()) == 40 - given


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_frames_stay_constant_without_smoothing(value: float, run: Run) -> None:
    frames = torch.full((30, 3, 24, 25), value)
    out = run(make(50.0, QUICK, smoothing=0.0), frames)
    torch.testing.assert_close(out, frames, atol=3e-5, rtol=0)


def test_a_flickering_light_is_not_motion(run: Run) -> None:
    flicker = 0.02 * torch.sin(2 * math.pi * 6 * times(30)).view(-1, 1, 1, 1)
    frames = (0.5 + flicker).expand(-1, 3, 32, 48).float()
    torch.testing.assert_close(run(make(20.0, QUICK), frames), frames, atol=3e-5, rtol=0)


@pytest.mark.parametrize("options", [{"channels": "rgb"}, {"smoothing": 0.0}])
def test_holds_no_more_than_it_says_however_long_the_clip(
    options: dict[str, Any], clip: Tensor, held: Held
) -> None:
    magnifier = make(5.0, QUICK, batch=3, **options)
    most, given = 0, 0
    for part in clip.repeat(4, 1, 1, 1).split(2):
        given += len(magnifier.push(part))
        most = max(most, held(magnifier))
    assert given > 100
    limit = magnifier.memory(25, 34, 136)
    assert limit == magnifier.memory(25, 34, 10**6)
    assert 0.7 * limit < most <= 1.01 * limit


def test_is_found_by_name_and_keeps_the_interface() -> None:
    magnifier = methods.get("acceleration")(factor=2.0, band=BAND, mode="temporal", device="cpu")
    assert isinstance(magnifier, Magnifier)
    assert magnifier.flush().shape == (0, 3, 0, 0)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "static"}, "static mode compares two frames; choose --mode temporal"),
        ({"mode": "dynamic"}, "dynamic mode compares two frames"),
        ({"band": None}, r"band of frequencies, and none is given: give it in Hz, such as --low 4 --high 6"),
        (
            {"band": dataclasses.replace(BAND, filter="fir")},
            "a temporal kernel of its own, got the fir filter",
        ),
        ({"band": dataclasses.replace(BAND, order=4)}, "has no order, got 4"),
        ({"frequency": 4.5}, "within the band of 2 Hz to 4 Hz, got 4.5 Hz"),
        ({"frequency": math.nan}, "got nan Hz"),
        ({"factor": -3.0}, "got -3"),
        ({"batch": 0}, "at least 1 frame, got 0"),
        ({"smoothing": -1.0}, "wavelengths, got -1"),
    ],
)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        AccelerationMagnifier(**{"band": BAND, **options})


@pytest.mark.parametrize(
    ("frames", "says"), [(9, "9 frames .* 3 Hz needs at least 10, .* 3.33 Hz or more"), (1, "1 frame at")]
)
def test_a_clip_too_short_for_its_frequency(frames: int, says: str, run: Run) -> None:
    magnifier = make()
    still = torch.rand(1, 3, 16, 16).expand(frames, -1, -1, -1)
    magnifier.push(still)
    with pytest.raises(InputError, match=says):
        magnifier.flush()
    # One period is enough, and the failure has left nothing behind.
    assert len(run(magnifier, still[:1].expand(10, -1, -1, -1))) == 10


def test_bad_frames(clip: Tensor) -> None:
    magnifier = make()
    magnifier.push(clip[:4])
    with pytest.raises(InputError, match="size changes from 34×25 to 16×25 px"):
        magnifier.push(clip[4:6, :, :, :16])
    with pytest.raises(InputError, match="NaN"):
        make().push(torch.full((1, 3, 16, 16), math.nan))
    with pytest.raises(InputError, match="most 4 scales"):
        make(scales=6).push(torch.rand(1, 3, 40, 64))


# --- a file ---------------------------------------------------------------------------------------


def test_a_clip_is_magnified_by_its_name(tmp_path: Path, grating: MakeGrating) -> None:
    wave, drift = grating(16, ANGLE, size=(48, 80)), 0.5 * torch.arange(LENGTH).double()
    write_clip(tmp_path / "in.mkv", wave.frames(drift + vibration()), rate=30, lossless=True)
    options: dict[str, Any] = {"method": "acceleration", "low": 2.0, "high": 4.0, "device": "cpu"}
    # The mode is the method's only one, and need not be said.
    report = magnify(tmp_path / "in.mkv", tmp_path / "out.mkv", lossless=True, **options)
    assert "Laplacian of Gaussian for 3 Hz" in report.method
    assert report.frames == LENGTH
    frames, _ = read_clip(tmp_path / "out.mkv")
    assert fit(wave.displacement(frames, drift)).inphase == pytest.approx(1.0, rel=0.15)
    with pytest.raises(InputError, match="choose --mode temporal"):
        magnify(tmp_path / "in.mkv", tmp_path / "no.mkv", mode="static", **options)
    assert not (tmp_path / "no.mkv").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_cpu(clip: Tensor, run: Run) -> None:
    cpu = run(make(5.0, QUICK, batch=4), clip)
    cuda = run(make(5.0, QUICK, batch=4, device="cuda"), clip)
    # Where a subband has next to nothing its phase is rounding; half precision may round the other way.
    assert (cuda - cpu).abs().mean() < 1e-3
