"""The motion spectrum against scenes whose motion is known, and against what must not be taken for motion."""

from __future__ import annotations

import functools
import math
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation import Scene, layer, random_texture, record, soft_mask
from mm.motion import blocks
from mm.motion.blocks import block_motion
from mm.motion.spectrum import motion_spectrum, suggested_band
from mm.temporal import Band, from_band
from mm.video import write_clip

FPS, FRAMES = 30, 72
HEIGHT, WIDTH, MARGIN = 96, 160, 10
CENTRES = {"left": (40, 48), "right": (120, 48)}
LEFT, RIGHT = (8, 16, 64, 64), (88, 16, 64, 64)


@functools.cache
def scene() -> Scene:
    """Two textured discs on a textured wall."""
    generator = torch.Generator().manual_seed(4)
    tall, wide = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    rows, columns = torch.meshgrid(
        torch.arange(tall, dtype=torch.float64) - MARGIN,
        torch.arange(wide, dtype=torch.float64) - MARGIN,
        indexing="ij",
    )
    parts = [layer("wall", random_texture(tall, wide, generator))]
    for name, (x, y) in CENTRES.items():
        texture = random_texture(tall, wide, generator, colour=(0.6, 0.5, 0.4))
        parts.append(layer(name, texture, soft_mask(torch.hypot(columns - x, rows - y) - 28)))
    return Scene(tuple(parts), MARGIN)


def frames_of(*courses: Tensor | None, noise: float = 0.5, frames: int = FRAMES) -> Tensor:
    """Frames in which wall, left and right move by these (T, 2) px, or not at all."""
    moved = torch.zeros(frames, 3, 2, dtype=torch.float64)
    for number, course in enumerate(courses):
        if course is not None:
            moved[:, number] = course
    return record(scene().frames(moved), noise=noise)


def swing(hertz: float, amplitude: float, x: float = 1.0, y: float = 0.0, frames: int = FRAMES) -> Tensor:
    time = torch.arange(frames, dtype=torch.float64) / FPS
    return (amplitude * torch.sin(2 * math.pi * hertz * time))[:, None] * torch.tensor(
        [x, y], dtype=torch.float64
    )


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(frames: Tensor, name: str = "clip.mkv") -> Path:
        write_clip(tmp_path / name, frames, rate=FPS, lossless=True)
        return tmp_path / name

    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.15 px along x at 3 Hz on the left; 0.1 px along y at 7 Hz, between two bins, on the right."""
    path = tmp_path_factory.mktemp("two") / "two.mkv"
    write_clip(path, frames_of(None, swing(3, 0.15), swing(7.1, 0.1, 0, 1)), rate=FPS, lossless=True)
    return path


def test_two_motions_are_found_with_frequency_amplitude_place_and_direction(two: Path) -> None:
    found = motion_spectrum(block_motion(two))
    assert len(found.peaks) == 2
    slow, fast = sorted(found.peaks, key=lambda peak: peak.frequency)
    assert found.resolution == FPS / FRAMES
    assert slow.frequency == pytest.approx(3, abs=found.resolution / 4)
    assert fast.frequency == pytest.approx(7.1, abs=found.resolution / 4)
    assert slow.amplitude == pytest.approx(0.15, rel=0.15)
    assert fast.amplitude == pytest.approx(0.1, rel=0.15)
    for peak, name in ((slow, "left"), (fast, "right")):
        assert math.dist((peak.x, peak.y), CENTRES[name]) < 28
        assert peak.harmonic_of is None
    assert abs(slow.angle) < 8
    assert abs(abs(fast.angle) - 90) < 8


@pytest.mark.parametrize(("roi", "hertz"), [(LEFT, 3), (RIGHT, 7.1)])
def test_a_region_shows_its_own_motion_alone(two: Path, roi: tuple[int, int, int, int], hertz: float) -> None:
    found = motion_spectrum(block_motion(two, roi=roi))
    (peak,) = found.peaks
    assert peak.frequency == pytest.approx(hertz, abs=found.resolution / 2)
    x, y, width, height = roi
    assert x < peak.x < x + width
    assert y < peak.y < y + height


@pytest.mark.parametrize("amplitude", [0.01, 0.7])
def test_amplitude_from_a_hundredth_of_a_pixel_to_more_than_half(write: Write, amplitude: float) -> None:
    motion = block_motion(write(frames_of(None, swing(4, amplitude, 0.6, 0.8))))
    peak = motion_spectrum(motion).peaks[0]
    assert peak.frequency == pytest.approx(4, abs=FPS / FRAMES / 2)
    assert peak.amplitude == pytest.approx(amplitude, rel=0.15 if amplitude > 0.02 else 0.3)


def test_a_noisy_picture_does_not_make_motion_look_smaller(write: Write) -> None:
    """The normal matrix of a noisy anchor alone reads this one too small by a quarter and more."""
    peak = motion_spectrum(block_motion(write(frames_of(swing(4, 0.3), noise=12.0)))).peaks[0]
    assert peak.amplitude == pytest.approx(0.3, rel=0.1)


def test_motion_of_several_pixels_is_followed(write: Write) -> None:
    course = swing(1.25, 3.0) + torch.linspace(0, 3, FRAMES, dtype=torch.float64)[:, None]
    motion = block_motion(write(frames_of(course, course, course)))
    middle = motion.displacement[:, 1:-1, 2:-2].mean((1, 2))
    assert np.abs(middle[:, 0] - course[:, 0].numpy()).max() < 0.35
    assert np.abs(middle[:, 1] - course[:, 1].numpy()).max() < 0.35
    peak = motion_spectrum(motion).peaks[0]
    assert peak.frequency == pytest.approx(1.25, abs=FPS / FRAMES / 2)
    assert peak.amplitude == pytest.approx(3, rel=0.1)


def test_parts_that_move_in_opposite_ways_do_not_cancel(write: Write) -> None:
    course = swing(5, 0.1)
    peak = motion_spectrum(block_motion(write(frames_of(None, course, -course)))).peaks[0]
    assert peak.frequency == pytest.approx(5, abs=FPS / FRAMES / 2)
    assert peak.amplitude == pytest.approx(0.1, rel=0.15)


def test_a_harmonic_is_named(write: Write) -> None:
    found = motion_spectrum(block_motion(write(frames_of(None, swing(3, 0.2) + swing(9, 0.05)))))
    first, third = sorted(found.peaks, key=lambda peak: peak.frequency)
    assert first.harmonic_of is None
    assert third.harmonic_of == first.frequency


@pytest.mark.parametrize("noise", [0.0, 0.5, 4.0])
def test_what_stands_still_has_no_peak(write: Write, noise: float) -> None:
    found = motion_spectrum(block_motion(write(frames_of(noise=noise))))
    assert found.peaks == ()
    assert np.isfinite(found.amplitude).all()


def test_flicker_is_not_motion(write: Write) -> None:
    time = torch.arange(FRAMES) / FPS
    # Nothing clips at white: what clips loses its edges, which is no change of brightness.
    light = 0.7 + 0.07 * torch.sin(2 * math.pi * 5 * time).view(-1, 1, 1, 1)
    flat = 0.04 * torch.sin(2 * math.pi * 2.5 * time).view(-1, 1, 1, 1)
    still = scene().frames(torch.zeros(FRAMES, 3, 2))
    found = motion_spectrum(block_motion(write(record(still * light + flat, noise=0.5))))
    assert found.peaks == ()
    # And what moves meanwhile is seen as without it.
    moving = scene().frames(torch.stack([swing(8, 0.1)] * 3, 1))
    found = motion_spectrum(block_motion(write(record(moving * light + flat, noise=0.5))))
    assert found.peaks[0].frequency == pytest.approx(8, abs=FPS / FRAMES / 2)
    assert found.peaks[0].amplitude == pytest.approx(0.1, rel=0.15)


def test_a_picture_without_texture(write: Write) -> None:
    motion = block_motion(write(torch.full((20, 3, 48, 64), 0.5)))
    assert not motion.displacement.any()
    found = motion_spectrum(motion)
    assert found.peaks == ()
    assert found.textured == 0
    assert np.isfinite(found.amplitude).all()
    assert np.isfinite(found.floor).all()


def test_the_capture_rate_is_what_frequencies_refer_to(two: Path) -> None:
    motion = block_motion(two, roi=LEFT, fps=300)
    (peak,) = motion_spectrum(motion).peaks
    assert peak.frequency == pytest.approx(30, abs=300 / FRAMES / 2)
    assert (motion.fps, motion.playback) == (300, 30)


def test_what_is_found_does_not_depend_on_the_rate(two: Path) -> None:
    """Rounding of frequencies in Hz once moved a bin into or out of the statistics."""
    motion = block_motion(two, fps=1)
    once = motion_spectrum(motion)
    for fps in (24, 29.97, 600, 959.04, 1000):
        found = motion_spectrum(replace(motion, fps=fps))
        assert len(found.peaks) == 2
        np.testing.assert_array_equal(found.amplitude, once.amplitude)
        np.testing.assert_array_equal(found.floor, once.floor)
        for peak, same in zip(found.peaks, once.peaks, strict=True):
            assert (peak.periods, peak.amplitude, peak.ratio) == (same.periods, same.amplitude, same.ratio)
            assert peak.frequency == pytest.approx(same.frequency * fps, rel=1e-12)


@pytest.mark.parametrize(("periods", "told"), [(1.8, False), (2.5, False), (3.5, True)])
def test_a_band_needs_three_periods(write: Write, periods: float, told: bool) -> None:
    clip = write(frames_of(None, swing(periods * FPS / FRAMES, 0.3)))
    for fps in (FPS, 7.3 * FPS):
        (peak,) = motion_spectrum(block_motion(clip, fps=fps, roi=LEFT)).peaks
        assert peak.periods == pytest.approx(periods, abs=0.3)
        assert (peak.band is not None) == told


def test_a_smaller_scale_keeps_the_clip_s_pixels(two: Path) -> None:
    (peak,) = motion_spectrum(block_motion(two, roi=LEFT, scale=0.5)).peaks
    assert peak.amplitude == pytest.approx(0.15, rel=0.15)
    assert math.dist((peak.x, peak.y), CENTRES["left"]) < 28


def test_the_length_of_the_clip_does_not_matter_to_what_is_held(two: Path) -> None:
    """A part of the clip gives the same motion as the same frames of all of it."""
    whole, part = block_motion(two), block_motion(two, end=2.0)
    assert len(part.displacement) == 60
    # The mean picture, and with it the scale, comes from other frames.
    np.testing.assert_allclose(part.displacement, whole.displacement[:60], atol=0.02)


def test_a_long_clip_has_larger_blocks_and_one_too_long_is_refused(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are 45 blocks of 16 px; a part of the clip needs less memory than all of it."""
    fine = block_motion(two)
    per_block = FRAMES * blocks.HELD
    monkeypatch.setattr(blocks, "MOST_BYTES", 30 * per_block)
    with pytest.warns(UserWarning, match=r"has 72 frames: blocks of 32 px instead of 16 px"):
        coarse = block_motion(two)
    assert (fine.block, fine.displacement.shape[1:3]) == (16, (5, 9))
    assert (coarse.block, coarse.displacement.shape[1:3]) == (32, (2, 4))
    assert motion_spectrum(coarse).peaks[0].frequency == pytest.approx(3, abs=FPS / FRAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert block_motion(two, end=1.0).block == 16
    monkeypatch.setattr(blocks, "MOST_BYTES", 15 * per_block)
    with pytest.raises(InputError, match=r"has 72 frames or more, .* look at a part with --start and --end"):
        block_motion(two)
    # A clip that does not tell its length is refused when it has become too long.
    monkeypatch.setattr(blocks, "_expected", lambda *given: None)
    with pytest.raises(InputError, match=r"has (2|3)\d frames or more, and 45 blocks"):
        block_motion(two)


def test_what_is_held_is_what_is_said() -> None:
    """Most blocks, many frames: the peak of the memory, over all of a spectrum."""
    frames, side = 300, 8
    picture = np.random.default_rng(0).random((128, 256), np.float32)
    tracemalloc.start()
    tracker = blocks.BlockTracker(128, 256, (0, 0, 256, 128), side)
    for number in range(frames):
        tracker.push(picture + np.float32(0.001 * (number % 3)))
    before = tracemalloc.get_traced_memory()[0] - tracker._signals.nbytes
    moved, texture, followed = tracker.finish()
    places = side * np.arange(32.0)
    motion = blocks.BlockMotion(
        moved, texture, followed, places, places[:16], side, 30, 30, picture, (0, 0, 256, 128)
    )
    motion_spectrum(motion)
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    # The transforms of a part of the blocks come on top, whatever the length: a bounded number.
    transforms = 2**20 * 4 * (16 + 8 + 8)
    said = blocks.HELD * frames * 512
    assert 0.5 * said < most < said + transforms


def test_two_places_with_one_top_are_one_peak() -> None:
    from mm.motion.spectrum import _summits

    place = np.arange(400)
    mean = 1e-4 + np.exp(-(((place - 200) / 6) ** 2)) + 0.5 * np.exp(-(((place - 300) / 6) ** 2))
    # Two on the slopes of one top, one of which stops on the way up; and one elsewhere.
    assert _summits(mean, [195, 206, 191, 299]) == [(195, 200), (299, 300)]


def test_a_varying_rate_is_evened_out(tmp_path: Path) -> None:
    """Every third frame is dropped; the rest keep their times."""
    frames = (frames_of(None, swing(3, 0.15)) * 255).round().byte()
    path = tmp_path / "varying.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        stream.time_base = Fraction(1, FPS)
        for number in range(FRAMES):
            if number % 3 == 1:
                continue
            picture = av.VideoFrame.from_ndarray(frames[number].permute(1, 2, 0).numpy(), "rgb24")
            picture = picture.reformat(format="bgr0")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with pytest.warns(UserWarning, match="varying frame rate"):
        motion = block_motion(path)
    found = motion_spectrum(motion)
    assert found.peaks[0].frequency == pytest.approx(3, abs=2 * found.resolution)


def test_a_change_of_scene_is_told_and_is_no_motion(write: Write) -> None:
    frames = frames_of(None, swing(3, 0.15))
    frames[60:] = frames[60:].flip(-2, -1)
    with pytest.warns(UserWarning, match=r"changes its scene at 2\.00 s"):
        motion = block_motion(write(frames))
    assert np.abs(motion.displacement).max() < 1


@pytest.mark.parametrize("hertz", [0.65, 3.0, 14.5])
def test_the_band_can_be_used(hertz: float) -> None:
    low, high = suggested_band(hertz, FPS, FRAMES)
    assert low < hertz < high < FPS / 2
    band = Band(low, high, FPS)
    band.check_length(FRAMES)
    from_band(band)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi": (100, 0, 80, 40)}, "does not lie within the frame"),
        ({"roi": (0, 0, 7, 40)}, "at least 8×8 px"),
        ({"end": 0.2}, "has 6 frames to look at"),
        ({"fps": 0.0}, "above 0 frames a second"),
        ({"fps": math.nan}, "above 0 frames a second"),
        ({"scale": -1.0}, "scale must be a number above 0"),
    ],
)
def test_what_cannot_be_used(two: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        block_motion(two, **options)


def test_a_folder_needs_a_rate(write: Write) -> None:
    folder = write(frames_of(None, swing(3, 0.15), frames=FRAMES), "frames")
    with pytest.raises(InputError, match="no frame rate; give it with --fps"):
        block_motion(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peak = motion_spectrum(block_motion(folder, fps=60)).peaks[0]
    assert peak.frequency == pytest.approx(6, abs=60 / FRAMES)


@pytest.mark.material
@pytest.mark.parametrize(
    ("name", "fps", "low", "high"), [("guitar.mp4", 600, 72, 92), ("crane_crop.mp4", None, 0.2, 0.25)]
)
def test_known_clips(material: Path, name: str, fps: float | None, low: float, high: float) -> None:
    found = motion_spectrum(block_motion(material / "clips" / name, fps=fps))
    assert low <= found.peaks[0].frequency <= high
    if name == "guitar.mp4":
        assert any(100 <= peak.frequency <= 120 for peak in found.peaks)


def test_a_peak_on_a_sloping_floor_is_read_at_its_own_top() -> None:
    """Where the floor falls steeply, what stands out most over it is not where the power is highest."""
    from mm.motion.spectrum import _summit, _vertex

    place = np.arange(400)
    mean = 1e-4 + np.exp(-(((place - 200.3) / 6) ** 2))
    floor = np.exp(-(place - 200) / 3.0)
    outstanding = int((mean / floor)[180:220].argmax()) + 180
    assert outstanding > 203
    frequency, _ = _vertex(mean, _summit(mean, outstanding), 1.0)
    assert frequency == pytest.approx(200.3, abs=0.05)


def test_loud_motion_in_a_short_clean_clip_is_found(write: Write) -> None:
    """The leakage of a line without noise is no noise."""
    clip = write(frames_of(None, swing(4, 0.4, frames=40), noise=0.0, frames=40))
    (peak,) = motion_spectrum(block_motion(clip, roi=LEFT)).peaks
    assert peak.frequency == pytest.approx(4, abs=0.2)
    assert peak.amplitude == pytest.approx(0.4, rel=0.1)


def test_a_multiple_elsewhere_is_no_harmonic(write: Write) -> None:
    clip = write(frames_of(None, swing(3, 0.3), swing(6, 0.1)))
    slow, fast = sorted(motion_spectrum(block_motion(clip)).peaks, key=lambda peak: peak.frequency)[:2]
    assert fast.harmonic_of is None
    both = swing(3, 0.3) + swing(6, 0.1)
    clip = write(frames_of(None, both), "both.mkv")
    slow, fast = sorted(motion_spectrum(block_motion(clip)).peaks, key=lambda peak: peak.frequency)[:2]
    assert fast.harmonic_of == pytest.approx(slow.frequency)


def test_a_thing_that_crosses_the_picture_is_noticed(write: Write) -> None:
    still = frames_of(None, noise=0.5)
    assert block_motion(write(still)).crossed is None
    assert block_motion(write(frames_of(None, swing(3, 0.15)), "swing.mkv")).crossed is None
    crossing = still.clone()
    for number in range(FRAMES):
        left = 2 * number
        crossing[number, :, 30:62, left : left + 16] = 0.9 * still[0, :, 40:72, 20:36].flip(-1)
    assert block_motion(write(crossing, "crossing.mkv")).crossed is not None
