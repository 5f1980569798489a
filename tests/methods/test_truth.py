"""Linear, phase and Riesz against analytic truth, with default parameters: where they hold, and past it.

A wave is measured by a least-squares fit of its sine and cosine to the pixels, which tells its phase (where
it stands) and its amplitude (its contrast) from every frame by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mm.methods import LinearMagnifier, Magnifier, PhaseMagnifier, RieszMagnifier
from mm.methods.eulerian import EulerianMagnifier
from mm.temporal import Band

FPS, FREQUENCY, AMPLITUDE, FACTOR = 30.0, 3.0, 0.1, 10.0
METHODS: dict[str, type[EulerianMagnifier]] = {
    "linear": LinearMagnifier,
    "phase": PhaseMagnifier,
    "riesz": RieszMagnifier,
}
DIRECTIONS = {"across": 0.0, "down": math.pi / 2, "diagonal": math.pi / 4}

every = pytest.mark.parametrize("name", sorted(METHODS))


@dataclass(frozen=True)
class Wave:
    """0.5 + contrast·sin(2π(u − shift)/period + start), u the coordinate along ``angle``, px."""

    period: float
    angle: float = 0.0
    start: float = 0.4
    size: tuple[int, int] = (96, 128)
    contrast: float = 0.2

    def _turn(self) -> Tensor:
        y, x = (torch.arange(side, dtype=torch.float64) for side in self.size)
        return 2 * math.pi * (x * math.cos(self.angle) + y[:, None] * math.sin(self.angle)) / self.period

    def frames(self, shift: Tensor) -> Tensor:
        turn = self._turn() - (2 * math.pi * shift / self.period - self.start)[:, None, None]
        return (0.5 + self.contrast * turn.sin())[:, None].expand(-1, 3, -1, -1).float()

    def fit(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement, px, and contrast over that of the input, of each frame."""
        turn = (self._turn() + self.start).flatten()
        basis = torch.stack([turn.sin(), turn.cos(), torch.ones_like(turn)], dim=1)
        values = frames.double().mean(1).flatten(1).T
        sine, cosine, _ = torch.linalg.lstsq(basis, values).solution
        moved = -torch.atan2(cosine, sine) * self.period / (2 * math.pi)
        return moved, torch.hypot(sine, cosine) / self.contrast


def vibration(count: int) -> Tensor:
    """Displacement in each frame, px: 0.1 px at 3 Hz."""
    return AMPLITUDE * torch.sin(2 * math.pi * FREQUENCY * torch.arange(count, dtype=torch.float64) / FPS)


def response(moved: Tensor, start: int) -> tuple[float, float]:
    """Gain and delay in frames of the 3 Hz in a displacement that begins with frame ``start``."""
    time = 2 * math.pi * FREQUENCY * torch.arange(start, start + len(moved), dtype=torch.float64) / FPS
    basis = torch.stack([time.sin(), time.cos(), torch.ones_like(time)], dim=1)
    sine, cosine, _ = torch.linalg.lstsq(basis, moved[:, None]).solution[:, 0].tolist()
    delay = math.atan2(-cosine, sine) * FPS / (2 * math.pi * FREQUENCY)
    return math.hypot(sine, cosine) / AMPLITUDE, delay


def run(magnifier: Magnifier, frames: Tensor) -> Tensor:
    return torch.cat([magnifier.push(frames), magnifier.flush()])


# --- where it holds -------------------------------------------------------------------------------


def test_the_measure_is_right() -> None:
    wave = Wave(16, 0.3)
    moved, contrast = wave.fit(wave.frames(10 * vibration(20)))
    gain, delay = response(moved, 0)
    assert gain == pytest.approx(10, rel=1e-4)
    assert delay == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(contrast, torch.ones(20, dtype=torch.float64), atol=1e-5, rtol=0)
    later, _ = wave.fit(wave.frames(torch.roll(vibration(20), 1)))
    assert response(later, 0)[1] == pytest.approx(1, abs=1e-4)


@every
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("period", [12, 16, 24, 32, 48])
def test_static(name: str, period: int, direction: str) -> None:
    """0.1 px × 10 in a whole frame: within 10 %, and less than a tenth of a frame early or late."""
    wave = Wave(period, DIRECTIONS[direction])
    out = run(METHODS[name](FACTOR, batch=10), wave.frames(vibration(11)))
    moved, contrast = wave.fit(out)
    gain, delay = response(moved[1:], 1)
    assert gain == pytest.approx(FACTOR, rel=0.1)
    assert abs(delay) < 0.1
    # The linear method's contrast grows by 1/cos of the turn, 2π·1 px/12 px at most.
    assert contrast == pytest.approx(1, abs=0.15 if name == "linear" else 0.05)


@every
@pytest.mark.parametrize("filter_", ["butter", "fir"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("period", [12, 16, 24, 32, 48])
def test_temporal(name: str, period: int, direction: str, filter_: str) -> None:
    wave = Wave(period, DIRECTIONS[direction])
    magnifier = METHODS[name](FACTOR, "temporal", Band(1.0, 6.0, FPS, filter_), batch=10)
    moved, _ = wave.fit(run(magnifier, wave.frames(vibration(60))))
    gain, delay = response(moved[20:40], 20)
    assert gain == pytest.approx(FACTOR, rel=0.1)
    assert abs(delay) < 0.1


@pytest.mark.parametrize("start", [0.0, 0.8, 1.6, 2.4])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_phase_in_a_frame_of_two_waves(direction: str, start: float) -> None:
    """A frame so low that most of it is nearer to its border than a wavelength, however the wave is cut."""
    wave = Wave(23, DIRECTIONS[direction], start, size=(48, 64))
    moved, _ = wave.fit(run(PhaseMagnifier(FACTOR, batch=10), wave.frames(vibration(11))))
    assert response(moved[1:], 1)[0] == pytest.approx(FACTOR, rel=0.1)


def texture(shift: tuple[float, float], size: tuple[int, int] = (96, 128)) -> Tensor:
    """(3, H, W): 80 waves of 8 to 64 px in all directions, longer ones stronger, that move together."""
    draw = torch.Generator().manual_seed(0)
    angle, octave, start = torch.rand(3, 80, 1, 1, generator=draw, dtype=torch.float64)
    period = 8 * 8**octave
    y, x = (torch.arange(side, dtype=torch.float64) for side in size)
    along = (x - shift[0]) * torch.cos(2 * math.pi * angle) + (y[:, None] - shift[1]) * torch.sin(
        2 * math.pi * angle
    )
    waves = period * torch.sin(2 * math.pi * (along / period + start))
    return (0.5 + 0.0006 * waves.sum(0)).expand(3, -1, -1).float()


@pytest.mark.parametrize("shift", [(0.1, 0.0), (0.0, 0.1), (-0.1, 0.1)])
def test_phase_moves_a_texture_up_to_its_border(shift: tuple[float, float]) -> None:
    """The error of the picture, over the change that is asked for: in the whole frame, and in its border."""
    still = texture((0.0, 0.0))
    out = run(PhaseMagnifier(FACTOR), torch.stack([still, texture(shift)]))[1]
    target = texture((FACTOR * shift[0], FACTOR * shift[1]))

    def error(place: tuple[slice, ...]) -> float:
        return float((out - target)[place].norm() / (target - still)[place].norm())

    rows, columns = slice(24, -24), slice(24, -24)
    assert error((slice(None),)) < 0.2
    for border in (
        (rows, slice(8)),
        (rows, slice(-8, None)),
        (slice(8), columns),
        (slice(-8, None), columns),
    ):
        assert error((slice(None), *border)) < 0.4


def test_a_long_drift_is_magnified_at_its_end_as_at_its_beginning() -> None:
    """A phase that grows to 471 rad (Riesz, which blurs what storage rounds: 1414) is kept like a small one.

    The beat of the wave with the pixels is in the band too, so that the error is not small, but it is steady.
    """
    for make, step in ((PhaseMagnifier, 1.0), (RieszMagnifier, 3.0)):
        wave, count = Wave(12, size=(32, 48)), 900
        drift = step * torch.arange(count, dtype=torch.float64)
        magnifier = make(FACTOR, "temporal", Band(1.0, 6.0, FPS), batch=10)
        places = (drift + vibration(count)).split(100)
        out = torch.cat([*(magnifier.push(wave.frames(place)) for place in places), magnifier.flush()])
        error = wave.fit(out)[0] - drift - FACTOR * vibration(count)
        error -= wave.period * (error / wave.period).round()
        # Whole periods of the drift, of the vibration and of the beat.
        first, last = (part.square().mean().sqrt() for part in (error[60:300], error[600:840]))
        assert last == pytest.approx(float(first), rel=0.02)


# --- and past it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [16, 32])
def test_linear_holds_to_an_eighth_of_a_wave_and_no_farther(period: int) -> None:
    """(1 + α)δ < λ/8 (Wu et al. 2012, equation 14), with λ_c low enough that all waves have the full α."""
    reach = period / 8
    shift = torch.tensor([0.0, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64) * reach / FACTOR
    wave = Wave(period, contrast=0.1)
    moved, contrast = wave.fit(run(LinearMagnifier(FACTOR, cutoff=0.0), wave.frames(shift)))
    ratio = moved[1:] / (FACTOR * shift[1:])
    # Half of the bound, the bound, twice and four times it: the phase turns by the arc tangent.
    assert ratio[0] == pytest.approx(1, abs=0.06)
    assert ratio[1] == pytest.approx(math.atan(math.pi / 4) / (math.pi / 4), abs=0.03)
    assert ratio[2] < 0.7
    assert ratio[3] < 0.45
    assert contrast[1] < 1.12
    assert contrast[3] > 1.7
    assert contrast[4] > 3


def test_linear_attenuates_what_its_cutoff_says_would_break() -> None:
    """The same motion with the default λ_c: waves far below it are magnified less than those above."""
    shift = torch.tensor([0.0, 0.02], dtype=torch.float64)
    gains = []
    for period in (4, 64):
        wave = Wave(period)
        moved, _ = wave.fit(run(LinearMagnifier(40.0), wave.frames(shift)))
        gains.append(float(moved[1] / shift[1]))
    # λ_c = 0.8·40 = 32 px; level 0 holds what is shorter than 7.7 px, with 40·7.7/32 of the factor;
    # a sixteenth of a wave of 4 px is in the level above, with 40·17/32.
    assert gains[0] == pytest.approx(40 * 7.7 / 32, rel=0.15)
    assert gains[1] == pytest.approx(40, rel=0.1)


def patch(shift: float, period: float = 16.0) -> Tensor:
    """(1, 3, 64, 96): a train of waves whose Gaussian envelope has σ = half a wavelength, moved along x."""
    x = torch.arange(96, dtype=torch.float64) - 47.3 - shift
    y = torch.arange(64, dtype=torch.float64)[:, None] - 31.7
    envelope = torch.exp(-(x**2 + y**2) / (2 * (period / 2) ** 2))
    return (0.5 + 0.3 * envelope * torch.cos(2 * math.pi * x / period)).expand(1, 3, -1, -1).float()


def error_of_a_patch(magnified: float, bandwidth: float) -> float:
    """Error of the picture over the change that is asked for, for motion of ``magnified`` wavelengths."""
    motion = 16 * magnified
    frames = torch.cat([patch(0.0), patch(motion / FACTOR)])
    out = run(PhaseMagnifier(FACTOR, bandwidth=bandwidth), frames)[1:]
    return float((out - patch(motion)).norm() / (patch(motion) - patch(0.0)).norm())


def test_phase_reaches_a_quarter_of_a_wave_and_farther_with_half_octaves() -> None:
    """Wadhwa et al. 2013, section 3.3: the turned samples take their wave along, but not its envelope."""
    octave = [error_of_a_patch(motion, 1.0) for motion in (0.125, 0.25, 0.5, 1.0)]
    half = [error_of_a_patch(motion, 0.5) for motion in (0.125, 0.25, 0.5, 1.0)]
    assert octave == sorted(octave)
    assert octave[1] < 0.15
    assert octave[3] > 0.5
    assert all(fine < 0.7 * coarse for fine, coarse in zip(half, octave, strict=True))


# --- colour ---------------------------------------------------------------------------------------


def test_colour_shows_a_pulse_of_one_step_in_256_where_it_is() -> None:
    """1 Hz, 1/255, in the left half of a noisy 8-bit clip: there 50 times as large, in the other half not."""
    count, factor = 180, 50.0
    beat = torch.sin(2 * math.pi * torch.arange(count, dtype=torch.float64) / FPS)
    draw = torch.Generator().manual_seed(0)
    frames = torch.full((count, 3, 96, 192), 0.5)
    frames[..., :96] += (beat / 255).float().view(-1, 1, 1, 1)
    frames = ((frames + torch.randn(frames.shape, generator=draw) / 255) * 255).round() / 255
    out = run(LinearMagnifier.colour(factor, Band(0.5, 2.0, FPS, "ideal"), level=4, batch=25), frames)

    def pulse(columns: slice) -> float:
        """Amplitude, in steps of 1/255, of the pulse in the middle rows and in the middle two seconds.

        The ideal filter mirrors the clip in time, where this pulse turns back; it rings for 1/(2 − 0.5) s.
        """
        course = 255 * out[60:120, :, 32:64, columns].double().mean((1, 2, 3))
        return float(2 * beat[60:120] @ (course - course.mean()) / 60)

    assert pulse(slice(16, 48)) == pytest.approx(factor, rel=0.1)
    assert abs(pulse(slice(144, 176))) < 0.1 * factor
