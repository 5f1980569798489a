"""The Eulerian methods: the known motion of a rendered wave, in amplitude and in time, and the stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mm.errors import InputError
from mm.methods import LinearMagnifier, Magnifier, PhaseMagnifier
from mm.methods.eulerian import EulerianMagnifier
from mm.registry import methods
from mm.temporal import Band

FPS = 30.0
FREQUENCY = 3.0
BAND = Band(0.5, 7.5, FPS)
QUICK = Band(1.0, 6.0, FPS, "fir", taps=15)
METHODS: dict[str, Callable[..., EulerianMagnifier]] = {"linear": LinearMagnifier, "phase": PhaseMagnifier}

both = pytest.mark.parametrize("name", sorted(METHODS))
modes = pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])


@dataclass(frozen=True)
class Motion:
    """Amplitude over that of the input: in step with it, and a quarter of a period later."""

    gain: float
    off: float


@dataclass(frozen=True)
class Grating:
    """A plane wave of ``period`` px along ``angle`` that moves along it by amplitude·sin(2π·3 Hz·t), px."""

    period: float
    angle: float = 0.0
    amplitude: float = 0.1
    size: tuple[int, int] = (64, 96)
    contrast: float = 0.25
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def _along(self) -> Tensor:
        y, x = (torch.arange(side, dtype=torch.float64) for side in self.size)
        return x * math.cos(self.angle) + y[:, None] * math.sin(self.angle)

    def shift(self, count: int) -> Tensor:
        return self.amplitude * torch.sin(2 * math.pi * FREQUENCY * torch.arange(count).double() / FPS)

    def frames(self, shift: Tensor) -> Tensor:
        wave = torch.sin(2 * math.pi * (self._along() - shift[:, None, None]) / self.period)
        colour = torch.tensor(self.colour, dtype=torch.float64).view(3, 1, 1)
        return (0.5 + self.contrast * colour * wave[:, None]).float()

    def _component(self, frames: Tensor) -> Tensor:
        window = [torch.hann_window(side, periodic=False, dtype=torch.float64) for side in self.size]
        turn = torch.exp(-2j * math.pi * self._along() / self.period)
        return ((frames.double().mean(1) - 0.5) * (window[0][:, None] * window[1] * turn)).sum((1, 2))

    def displacement(self, frames: Tensor) -> Tensor:
        """Of each frame from rest, px, by the phase of the wave's component in a window."""
        rest = self._component(self.frames(torch.zeros(1).double()))
        return -torch.angle(self._component(frames) / rest) * self.period / (2 * math.pi)

    def contrast_of(self, frames: Tensor) -> Tensor:
        """Of each frame, over that at rest."""
        rest = self._component(self.frames(torch.zeros(1).double()))
        return self._component(frames).abs() / rest.abs()

    def motion(self, frames: Tensor, start: int, stop: int) -> Motion:
        """Fit frames start…stop (whole periods) by the input's sinusoid and the one a quarter later."""
        time = 2 * math.pi * FREQUENCY * torch.arange(start, stop).double() / FPS
        basis = torch.stack([time.sin(), -time.cos()], dim=1)
        moved = self.displacement(frames)[start:stop]
        gain, off = (torch.linalg.lstsq(basis, moved[:, None]).solution[:, 0] / self.amplitude).tolist()
        return Motion(gain, off)


def run(magnifier: Magnifier, frames: Tensor, chunk: int = 16) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in frames.split(chunk)), magnifier.flush()])


@pytest.fixture(scope="module")
def clip() -> Tensor:
    """34 frames of 25×34 px: coloured noise, smooth enough to hold waves, that drifts and changes."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(34, 3, 25, 34, generator=generator)
    return (0.25 + 0.5 * noise.cumsum(0) / torch.arange(1, 35).view(-1, 1, 1, 1)).clamp(0, 1)


# --- the truth ------------------------------------------------------------------------------------


def test_the_measure_is_right() -> None:
    wave = Grating(16, angle=0.4, amplitude=1.0)
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
def test_a_tenth_of_a_pixel_times_ten(name: str, period: float, angle: float) -> None:
    """Default parameters, 0.1 px at 3 Hz: ten times as large within 10 %, in step within 1 % of a period."""
    wave = Grating(period, angle)
    out = run(METHODS[name](10.0, "temporal", BAND, batch=8), wave.frames(wave.shift(70)))
    found = wave.motion(out, 30, 50)
    assert found.gain == pytest.approx(10, rel=0.1)
    assert abs(math.atan2(found.off, found.gain)) < 0.01 * 2 * math.pi


@pytest.mark.parametrize("filter_", ["butter", "iir", "fir", "ideal"])
@both
def test_every_filter_is_in_step(name: str, filter_: str) -> None:
    wave = Grating(20, size=(24, 64))
    band = Band(1.0, 6.0, FPS, filter_)
    out = run(METHODS[name](10.0, "temporal", band, batch=8), wave.frames(wave.shift(90)))
    found = wave.motion(out, 40, 50)
    magnifier = METHODS[name](10.0, "temporal", band)
    assert magnifier.filter is not None
    # What the filter passes at 3 Hz is magnified (its gain is given by its design), and what was there stays.
    expected = 1 + 9 * abs(magnifier.filter.gain(FREQUENCY))
    assert found.gain == pytest.approx(expected, rel=0.06)
    assert abs(math.atan2(found.off, found.gain)) < 0.01 * 2 * math.pi


@both
@pytest.mark.parametrize("period", [16, 40])
def test_static_and_dynamic_multiply_the_displacement_from_the_reference(name: str, period: float) -> None:
    wave = Grating(period, angle=0.3)
    shift = wave.shift(10)
    frames = wave.frames(shift)
    static = wave.displacement(run(METHODS[name](10.0, "static"), frames))
    torch.testing.assert_close(static, 10 * shift, atol=0.1, rtol=0)
    before = torch.cat([shift[:1], shift[:-1]])
    dynamic = wave.displacement(run(METHODS[name](10.0, "dynamic"), frames))
    torch.testing.assert_close(dynamic, before + 10 * (shift - before), atol=0.1, rtol=0)


@both
def test_a_factor_of_zero_takes_the_motion_away(name: str) -> None:
    wave = Grating(16, amplitude=0.3)
    out = run(METHODS[name](0.0, "static"), wave.frames(wave.shift(10)))
    assert wave.displacement(out).abs().max() < 0.01


@both
def test_motion_outside_the_band_is_left_alone(name: str) -> None:
    wave = Grating(16)
    out = run(METHODS[name](10.0, "temporal", Band(7.0, 11.0, FPS)), wave.frames(wave.shift(60)))
    assert wave.motion(out, 20, 40).gain == pytest.approx(1, abs=0.15)


def test_linear_turns_by_the_arc_tangent_and_breaks_past_its_bound() -> None:
    """With α alike for every wavelength, theory says by how much it falls short and contrast grows."""
    period, shift = 16.0, torch.tensor([0.0, 0.1, 0.2, 0.4, 0.8]).double()
    wave = Grating(period, contrast=0.1)
    out = run(LinearMagnifier(10.0, cutoff=0.0), wave.frames(shift))
    turn = 2 * math.pi / period
    # sin(u) + 10·(sin(u − kδ) − sin(u)), exactly.
    sine, cosine = 1 + 10 * (torch.cos(turn * shift) - 1), 10 * torch.sin(turn * shift)
    torch.testing.assert_close(wave.displacement(out), torch.atan2(cosine, sine) / turn, atol=0.02, rtol=0)
    torch.testing.assert_close(wave.contrast_of(out), torch.hypot(sine, cosine), atol=0.02, rtol=0)
    # (1 + α)δ < λ/8 = 2 px holds for 0.1 px and not for 0.8 px, where 8 px are asked for.
    assert wave.displacement(out)[1] == pytest.approx(1, rel=0.1)
    assert wave.displacement(out)[4] < 0.75 * 8
    assert wave.contrast_of(out)[4] > 2


def test_phase_holds_where_linear_breaks_and_breaks_in_its_turn() -> None:
    wave = Grating(16, contrast=0.1)
    shift = torch.tensor([0.0, 0.2, 0.4, 1.6]).double()
    moved = wave.frames(shift)
    linear, phase = (run(METHODS[name](10.0), moved) for name in ("linear", "phase"))
    assert wave.displacement(phase)[1] == pytest.approx(2, rel=0.05)
    assert wave.displacement(linear)[1] < 1.9
    assert wave.contrast_of(phase)[1] == pytest.approx(1, abs=0.05)
    # 0.4 px × 10 is λ/4: still right.
    assert wave.displacement(phase)[2] == pytest.approx(4, rel=0.05)
    # 16 px is a whole wavelength: no wave can be told from the one before it.
    assert abs(float(wave.displacement(phase)[3])) < 1


# --- linear ---------------------------------------------------------------------------------------


def test_linear_factors_by_level_follow_the_bound() -> None:
    magnifier = LinearMagnifier(50.0, cutoff=32.0)
    weights = magnifier.weights(256, 256)
    for level, weight in enumerate(weights):
        wavelength = math.pi / math.acos(0.5 ** (1 / 8)) if level == 0 else None
        if wavelength is not None:
            # (1 + α)·δ = λ/8 with the δ for which (1 + α_full)·δ = λ_c/8.
            assert (1 + weight) * 32 / (8 * 50) == pytest.approx(wavelength / 8)
    assert list(weights) == sorted(weights)
    assert weights[-1] == 49
    assert 7 < weights[0] < weights[1] < 49
    assert set(LinearMagnifier(50.0, cutoff=32.0, short="zero").weights(256, 256)) == {0.0, 49.0}
    assert set(LinearMagnifier(0.5, cutoff=32.0).weights(256, 256)) == {-0.5}


def test_a_cutoff_keeps_short_waves_from_growing() -> None:
    for short in ("attenuate", "zero"):
        fine, coarse = Grating(5, amplitude=0.2), Grating(40, amplitude=0.05)
        clips = [wave.frames(wave.shift(10)) for wave in (fine, coarse)]
        out = [run(LinearMagnifier(20.0, cutoff=32.0, short=short), frames) for frames in clips]  # type: ignore[arg-type]
        free = run(LinearMagnifier(20.0, cutoff=0.0), clips[0])
        assert fine.contrast_of(out[0]).max() < 0.7 * fine.contrast_of(free).max()
        found = coarse.displacement(out[1]).abs().max() / coarse.displacement(clips[1]).abs().max()
        assert found == pytest.approx(20, rel=0.15)


def test_levels_that_are_zero_are_neither_filtered_nor_kept() -> None:
    full, coarse = (LinearMagnifier(10.0, "temporal", BAND, short="zero", cutoff=c) for c in (0.0, 30.0))
    assert coarse.memory(64, 64, 100) < 0.5 * full.memory(64, 64, 100)


def test_chrominance_is_magnified_by_its_own_factor() -> None:
    """A change of colour at equal luminance, and a change of luminance alone."""
    still = torch.full((2, 3, 16, 16), 0.5)
    luminance = still.clone()
    luminance[1] += 0.01
    colour = still.clone()
    colour[1] += torch.tensor([0.01, -0.01 * 0.299 / 0.587, 0.0]).view(3, 1, 1)
    for chroma in (0.0, 0.25, 1.0):
        magnifier = LinearMagnifier(5.0, cutoff=0.0, chroma=chroma)
        torch.testing.assert_close(run(magnifier, luminance)[1], still[1] + 0.05, atol=1e-5, rtol=0)
        expected = still[1] + (colour[1] - still[1]) * (1 + 4 * chroma)
        torch.testing.assert_close(run(magnifier, colour)[1], expected, atol=1e-5, rtol=0)


def test_colour_shows_a_pulse_and_blurs_what_is_fine() -> None:
    """A 1 Hz change of redness over a face-sized blob comes out ``factor`` times as large."""
    count, size = 120, 96
    beat = torch.sin(2 * math.pi * torch.arange(count) / FPS)
    place = torch.arange(size) - size / 2
    blob = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * 24**2))
    tint = torch.tensor([1.0, -0.4, -0.3]).view(1, 3, 1, 1)
    generator = torch.Generator().manual_seed(0)
    flicker = 0.004 * torch.randn(count, 3, size, size, generator=generator)
    frames = 0.5 + 0.002 * beat.view(-1, 1, 1, 1) * tint * blob + flicker
    out = run(LinearMagnifier.colour(40.0, Band(0.8, 1.3, FPS, "ideal"), level=3), frames)
    middle = slice(size // 2 - 8, size // 2 + 8)

    def amplitude(frames: Tensor) -> Tensor:
        courses = (frames - frames.mean(0))[:, :, middle, middle].mean((2, 3))
        return courses.T @ beat / (beat @ beat)

    expected = 40 * 0.002 * tint.flatten()
    torch.testing.assert_close(amplitude(out), expected, atol=0.012, rtol=0.15)
    # The noise of single pixels is not magnified with it.
    assert (out - frames).diff(dim=-1).std() < 0.5 * flicker.std()


# --- phase ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"bandwidth": 0.5, "orientations": 8},
        {"orientations": 8},
        {"angular": "steerable"},
        {"smoothing": 0.5},
        {"channels": "rgb"},
        {"limit": math.pi},
    ],
)
@pytest.mark.parametrize("period", [12, 48])
def test_every_phase_option_keeps_the_truth(options: dict[str, object], period: float) -> None:
    wave = Grating(period, angle=0.3)
    out = run(PhaseMagnifier(10.0, "static", batch=4, **options), wave.frames(wave.shift(20)))  # type: ignore[arg-type]
    assert wave.motion(out, 0, 20).gain == pytest.approx(10, rel=0.1)


def test_a_limit_holds_large_motion() -> None:
    wave = Grating(16)
    frames = wave.frames(torch.tensor([0.0, 0.05, 1.0]).double())
    out = wave.displacement(run(PhaseMagnifier(10.0, limit=math.pi / 2), frames))
    # 0.05 px, 0.18 of a radian after magnification, is below the limit; a quarter of 16 px is it.
    assert out[1] == pytest.approx(0.5, rel=0.05)
    assert out[2] == pytest.approx(1.0 + 16 / 4, rel=0.05)


def test_unwrapping_follows_a_wave_over_many_turns() -> None:
    """A slow drift over three wavelengths under the vibration, which only the vibration may come through."""
    wave = Grating(12)
    drift = 36 * torch.arange(90).double() / 90
    frames = wave.frames(drift + wave.shift(90))
    out = run(PhaseMagnifier(10.0, "temporal", Band(1.5, 6.0, FPS)), frames)
    # Measured against frames that drift without vibrating: angles near zero again.
    ratio = wave._component(out) / wave._component(wave.frames(drift))
    moved = -torch.angle(ratio) * 12 / (2 * math.pi)
    time = 2 * math.pi * FREQUENCY * torch.arange(30, 60).double() / FPS
    assert float(moved[30:60] @ time.sin() / time.sin().square().sum()) == pytest.approx(1.0, rel=0.1)


def test_smoothing_lessens_noise() -> None:
    wave = Grating(24)
    noise = 0.01 * torch.randn(8, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    frames = wave.frames(torch.zeros(8).double()) + noise
    rough, smooth = (
        (run(PhaseMagnifier(3.0, smoothing=smoothing), frames) - frames)[1:].std() for smoothing in (0.0, 1.0)
    )
    assert smooth < 0.75 * rough


def test_rgb_moves_colour_that_has_no_luminance() -> None:
    """A wave of red against green at equal luminance: luminance sees nothing of it, rgb all."""
    wave = Grating(16, colour=(1.0, -0.299 / 0.587, 0.0))
    frames = wave.frames(wave.shift(10))
    seen = {
        channels: wave.displacement(run(PhaseMagnifier(10.0, channels=channels), frames))  # type: ignore[arg-type]
        for channels in ("luminance", "rgb")
    }
    torch.testing.assert_close(seen["luminance"], wave.shift(10), atol=0.02, rtol=0)
    torch.testing.assert_close(seen["rgb"], 10 * wave.shift(10), atol=0.06, rtol=0)


def test_a_flickering_light_is_not_motion_to_phase() -> None:
    """Brightness of the whole frame by 2 %: linear magnifies it tenfold, phase leaves it as it is."""
    flicker = 0.01 * torch.sin(2 * math.pi * torch.arange(10) / 10).view(-1, 1, 1, 1)
    frames = 0.5 + flicker.expand(10, 3, 32, 48)
    torch.testing.assert_close(run(PhaseMagnifier(10.0), frames), frames, atol=1e-5, rtol=0)
    expected = 0.5 + 10 * (frames - 0.5)
    torch.testing.assert_close(run(LinearMagnifier(10.0), frames), expected, atol=1e-4, rtol=0)


# --- the stream -----------------------------------------------------------------------------------


def band_of(mode: str, band: Band = QUICK) -> Band | None:
    return band if mode == "temporal" else None


@both
@modes
@pytest.mark.parametrize("batch", [1, 4])
def test_chunks_make_no_difference(name: str, mode: str, batch: int, clip: Tensor) -> None:
    outputs = [run(METHODS[name](5.0, mode, band_of(mode), batch=batch), clip, chunk) for chunk in (1, 7, 34)]
    assert outputs[0].shape == clip.shape
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    single = run(METHODS[name](5.0, mode, band_of(mode)), clip, 34)
    # Motion waits in half precision, where a last bit that differs may round the other way.
    torch.testing.assert_close(outputs[0], single, atol=2e-3 if mode == "temporal" else 1e-4, rtol=0)


@both
@modes
def test_a_factor_of_one_and_a_still_clip_change_nothing(name: str, mode: str, clip: Tensor) -> None:
    # Frames that wait are rounded to 15 bits.
    for factor, frames in ((1.0, clip), (100.0, clip[7:8].expand_as(clip))):
        out = run(METHODS[name](factor, mode, band_of(mode)), frames)
        torch.testing.assert_close(out, frames, atol=3e-5, rtol=0)


@both
@modes
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_frames_stay_constant(name: str, mode: str, value: float) -> None:
    frames = torch.full((30, 3, 24, 25), value)
    out = run(METHODS[name](50.0, mode, band_of(mode)), frames)
    torch.testing.assert_close(out, frames, atol=3e-5, rtol=0)


def tensors(value: object) -> Iterator[Tensor]:
    """Every tensor within reach of an object's attributes, but a filter's matrices."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module) or type(value).__name__ == "_Matrices":
        return
    elif hasattr(value, "__dict__"):
        yield from tensors(list(vars(value).values()))
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for part in value:
            yield from tensors(part)


@both
@modes
def test_holds_no_more_than_it_says_however_long_the_clip(name: str, mode: str, clip: Tensor) -> None:
    magnifier = METHODS[name](5.0, mode, band_of(mode), batch=3)
    most, given = 0, 0
    for part in clip.repeat(4, 1, 1, 1).split(2):
        given += len(magnifier.push(part))
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors(magnifier)}
        most = max(most, sum(storages.values()))
    assert given > 100
    limit = magnifier.memory(25, 34, 136)
    assert limit == magnifier.memory(25, 34, 10**6)
    assert 0.7 * limit < most <= 1.01 * limit


@both
@modes
def test_the_end_comes_in_parts(name: str, mode: str, clip: Tensor) -> None:
    magnifier = METHODS[name](5.0, mode, band_of(mode), batch=4)
    parts = [magnifier.push(clip), *magnifier.flush_parts()]
    assert all(len(part) <= 4 for part in parts[1:])
    assert torch.equal(torch.cat(parts), run(METHODS[name](5.0, mode, band_of(mode), batch=4), clip))


@both
def test_a_flushed_magnifier_takes_another_clip_of_another_size(name: str, clip: Tensor) -> None:
    for mode in ("static", "dynamic", "temporal"):
        magnifier = METHODS[name](5.0, mode, band_of(mode))
        run(magnifier, clip)
        other = clip.flip(0, 3)[:30, :, :20, :18]
        torch.testing.assert_close(
            run(magnifier, other), run(METHODS[name](5.0, mode, band_of(mode)), other), atol=0, rtol=0
        )


@both
@modes
def test_gives_float32_in_range_that_can_be_written_to(name: str, mode: str, clip: Tensor) -> None:
    before = clip.clone()
    out = run(METHODS[name](200.0, mode, band_of(mode)), clip.double())
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1
    out.add_(1)
    assert torch.equal(clip, before)


@both
def test_is_found_by_name_and_keeps_the_interface(name: str) -> None:
    magnifier = methods.get(name)(factor=2.0, band=BAND, mode="temporal", device="cpu")
    assert isinstance(magnifier, Magnifier)
    line = magnifier.describe()
    assert line.startswith(f"{name}, temporal, factor 2, ")
    assert "on cpu; butter 0.5–7.5 Hz" in line
    assert "\n" not in line


@both
def test_no_frames_give_no_frames(name: str) -> None:
    assert METHODS[name]().flush().shape == (0, 3, 0, 0)


@both
@pytest.mark.parametrize("size", [(8, 8), (8, 31), (9, 64)])
@modes
def test_the_smallest_frames(name: str, size: tuple[int, int], mode: str) -> None:
    frames = torch.rand(30, 3, *size, generator=torch.Generator().manual_seed(0))
    out = run(METHODS[name](3.0, mode, band_of(mode)), frames)
    assert out.shape == frames.shape
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: PhaseMagnifier(scales=6).push(torch.rand(1, 3, 40, 64)),
            "64×40 px .* most 4 scales .* got 6",
        ),
        (
            lambda: LinearMagnifier(cutoff=200.0, short="zero").push(torch.rand(1, 3, 40, 64)),
            r"cutoff of 200 px leaves nothing of frames of 64×40 px .* ends at \d+",
        ),
        (
            lambda: LinearMagnifier.colour(50.0, QUICK, level=6).push(torch.rand(1, 3, 40, 64)),
            "leaves nothing of frames of 64×40 px",
        ),
        (lambda: LinearMagnifier.colour(50.0, QUICK, level=-1), "at least 0, got -1"),
        (lambda: LinearMagnifier(cutoff=-1.0), "at least 0 px, got -1"),
        (lambda: LinearMagnifier(cutoff=math.nan), "got nan"),
        (lambda: LinearMagnifier(chroma=2.0), "from 0 to 1, got 2"),
        (lambda: LinearMagnifier(short="none"), "attenuate or zero, got 'none'"),  # type: ignore[arg-type]
        (lambda: PhaseMagnifier(orientations=0), "from 2 to 32, got 0"),
        (lambda: PhaseMagnifier(bandwidth=9.0), "octaves, got 9"),
        (lambda: PhaseMagnifier(smoothing=-1.0), "wavelengths, got -1"),
        (lambda: PhaseMagnifier(limit=0.0), "above 0 radians, got 0"),
        (lambda: PhaseMagnifier(channels="yiq"), "luminance or rgb, got 'yiq'"),  # type: ignore[arg-type]
    ],
)
def test_bad_options_of_a_method(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


@both
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


@both
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


@both
def test_a_clip_too_short_for_its_band(name: str, clip: Tensor) -> None:
    magnifier = METHODS[name](5.0, "temporal", Band(0.4, 3.0, FPS))
    magnifier.push(clip)
    with pytest.raises(InputError, match=r"34 frames .* needs at least 75"):
        magnifier.flush()
    # It is ready for another clip all the same.
    assert METHODS[name](5.0, "temporal", QUICK).push(clip).shape[1:] == clip.shape[1:]
    assert magnifier.push(clip[:, :, :20]).shape[1:] == (3, 20, 34)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@both
@modes
def test_cuda_agrees_with_the_cpu(name: str, mode: str) -> None:
    wave = Grating(16, angle=0.3)
    frames = wave.frames(wave.shift(40))
    expected = run(METHODS[name](5.0, mode, band_of(mode)), frames)
    out = run(METHODS[name](5.0, mode, band_of(mode), device="cuda"), frames)
    assert out.device.type == "cpu"
    torch.testing.assert_close(out, expected, atol=2e-3, rtol=0)
