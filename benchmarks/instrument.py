"""``mm measure`` against clips of known motion: accuracy, noise, coverage of its intervals, and time.

A textured scene is moved by Fourier shifts (:mod:`mm.evaluation.scenes`), which are exact, so what is left is
the camera's noise, its rounding, the codec and the estimator. Accuracy and noise are also measured with the
Lucas–Kanade tracker of ``pyidi``, if that is installed, on the same frames; the same fit looks at both.
``python -m benchmarks.instrument --help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measure import Cost, Stopwatch, alone, set_threads

if TYPE_CHECKING:
    from mm.motion.measure import PlaceMotion

Floats = NDArray[np.float64]

FPS = 100.0
WIDTH, HEIGHT, MARGIN = 160, 128, 24  # px
MOVING, STILL, RADIUS = (110, 64), (40, 64), 38  # px: centres of what moves and of what does not
PATCH = 32  # px, the side of the region that is measured
#: Standard deviation at mid-grey in 1/255, of a sensor whose pixels hold 10,000 electrons.
CAMERA = 1.8
#: Likewise, which just hides the steps of rounding.
DITHER = 0.5
CONTRAST = 25 / 255
AMPLITUDES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # px
KINDS = ("lossless", "noise", "crf 18", "crf 20", "crf 23", "crf 28")
PARTS = ("noise", "accuracy", "coverage", "time")
NORMAL = 1.96  # standard uncertainties that hold 95 %


@dataclass(frozen=True)
class Swing:
    """Something that moves by Re(amplitude · exp(2πi · frequency · t)) along a direction; px and Hz."""

    amplitude: float
    frequency: float
    phase: float
    angle: float

    def at(self, frames: int, rate: float) -> Floats:
        """Return (frames, 2) px, order (x, y)."""
        turn = 2 * math.pi * self.frequency * np.arange(frames) / rate + self.phase
        return self.amplitude * np.cos(turn)[:, None] * [math.cos(self.angle), math.sin(self.angle)]


def random_swing(generator: np.random.Generator, amplitude: float, rate: float = FPS) -> Swing:
    """Return a swing of this amplitude at a random frequency, below 0.4 of the rate."""
    low, high = 0.03 * rate, 0.4 * rate
    turn = generator.uniform(-math.pi, math.pi, 2)
    return Swing(amplitude, float(generator.uniform(low, high)), float(turn[0]), float(turn[1]) / 2)


def disc_before_wall(seed: int, moved: Floats, alone: bool) -> Tensor:
    """Render a textured disc that moves before a wall that stands still; or the wall alone, moving.

    Contrast, slope and mean of the textures are random.

    Args:
        seed: of the textures.
        moved: (T, 2) px.
        alone: whether there is no disc.

    Returns:
        (T, 1, H, W) in [0, 1].
    """
    from mm.evaluation.scenes import Scene, layer, random_texture, soft_mask
    from mm.motion.registration import luminance

    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    def texture() -> Tensor:
        return random_texture(
            HEIGHT + 2 * MARGIN,
            WIDTH + 2 * MARGIN,
            generator,
            colour=[uniform(0.3, 0.7)] * 3,
            contrast=math.exp(uniform(math.log(0.03), math.log(0.2))),
            slope=uniform(0.5, 1.6),
            tint=0,
        )

    layers = [layer("wall", texture())]
    if not alone:
        rows, columns = np.mgrid[-MARGIN : HEIGHT + MARGIN, -MARGIN : WIDTH + MARGIN]
        distance = np.hypot(columns - MOVING[0], rows - MOVING[1]) - RADIUS
        layers.append(layer("disc", texture(), soft_mask(torch.from_numpy(distance))))
    displacements = torch.zeros(len(moved), len(layers), 2, dtype=torch.float64)
    displacements[:, -1] = torch.from_numpy(moved)
    return luminance(Scene(tuple(layers), MARGIN).frames(displacements))[:, None]


def moving_patch(seed: int, moved: Floats) -> Tensor:
    """Render a texture of :data:`CONTRAST` as photographs have it (amplitude falls as 1 / frequency).

    Returns:
        (T, 1, 96, 96) in [0, 1].
    """
    from mm.evaluation.scenes import Scene, layer, random_texture

    side = 3 * PATCH
    generator = torch.Generator().manual_seed(seed)
    texture = random_texture(side + 32, side + 32, generator, contrast=CONTRAST, tint=0)
    return Scene((layer("patch", texture),), 16).frames(torch.from_numpy(moved)[:, None])[:, :1]


def write(path: Path, frames: Tensor, rate: float, crf: int | None = None) -> Path:
    """Write grey frames (T, 1, H, W) as video, without loss if ``crf`` is None."""
    from mm.video import VideoWriter

    size = (frames.shape[-2], frames.shape[-1])
    lossy = {} if crf is None else {"crf": crf}
    with VideoWriter(path, size, rate=rate, lossless=crf is None, **lossy) as writer:
        for part in frames.split(16):
            writer.write(part.expand(-1, 3, -1, -1))
    return path


# --- accuracy and noise, beside the peer --------------------------------------------------------------------


def by_mm(frames: Tensor, folder: Path) -> Floats:
    """Return (T, 2) px, the displacement of the patch in the middle."""
    import mm

    middle = (frames.shape[-1] - 1) / 2
    path = write(folder / "clip.mkv", frames, FPS)
    return mm.measure(path, points=[(middle, middle)], size=PATCH).places[0].displacement_px


def by_pyidi(frames: Tensor, folder: Path) -> Floats:
    """Likewise, by the peer's Lucas–Kanade tracker. Nothing is taken from it but its result."""
    pyidi = importlib.import_module("pyidi")
    pixels = (frames[:, 0] * 255).round().byte().numpy()
    # Odd sides only: a row and a column more than the other has.
    side, middle = PATCH + 1, frames.shape[-1] // 2
    with contextlib.redirect_stdout(io.StringIO()):
        tracker = pyidi.LucasKanade(pyidi.VideoReader(pixels, root=str(folder / "pyidi")))
        tracker.set_points(np.array([[middle, middle]]))
        tracker.configure(roi_size=(side, side), verbose=0, show_pbar=False)
        found = tracker.get_displacements(autosave=False)
    return np.asarray(found)[0, :, ::-1]


def trackers() -> dict[str, Callable[[Tensor, Path], Floats]]:
    """Return what can be compared, by name."""
    there = importlib.util.find_spec("pyidi") is not None
    return {"mm": by_mm} | ({"pyidi": by_pyidi} if there else {})


def noise(scenes: int, frames: int = 200) -> Iterator[str]:
    """Yield the rows of the noise of a patch that stands still."""
    from mm.evaluation.scenes import record

    found: dict[str, list[float]] = {}
    bound = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(scenes):
            still = moving_patch(seed, np.zeros((1, 2)))
            bound.append(_bound(still[0, 0].double().numpy()))
            pixels = record(still.expand(frames, -1, -1, -1), noise=CAMERA, seed=seed)
            for name, track in trackers().items():
                found.setdefault(name, []).append(float(track(pixels, Path(folder)).std(0).mean()))
    found["Cramér–Rao bound"] = bound
    yield "| a still patch | noise of a frame, px | at 1 Hz, 30 frames/s | at 1 Hz, 100 frames/s |"
    yield "|---|---:|---:|---:|"
    for name, values in found.items():
        one = float(np.median(values))
        yield f"| {name} | {one:.5f} | {one * math.sqrt(2 / 30):.5f} | {one * math.sqrt(2 / 100):.5f} |"


def _bound(pixels: Floats) -> float:
    """Return px, the least scatter in x and y, on average, that an unbiased estimator has in the patch."""
    turns = np.fft.fftfreq(pixels.shape[0])
    spectrum = 2j * np.pi * np.fft.fft2(np.pad(pixels, 0))
    inside = slice(PATCH, 2 * PATCH)
    slopes = [np.fft.ifft2(spectrum * part).real[inside, inside] for part in (turns, turns[:, None])]
    # Photon noise: the variance is in proportion to the value.
    variance = (CAMERA / 255) ** 2 * pixels[inside, inside] / 0.5 + (1 / 255) ** 2 / 12
    information = np.array([[(a * b / variance).sum() for b in slopes] for a in slopes])
    return float(np.sqrt(np.linalg.inv(information).diagonal()).mean())


def accuracy(scenes: int, frames: int) -> Iterator[str]:
    """Yield the rows of the errors of amplitude and frequency, by amplitude."""
    from mm.evaluation.scenes import record
    from mm.motion.vibration import find_sinusoids

    names = list(trackers())
    yield (
        "| amplitude, px | "
        + " | ".join(f"{name}: amplitude, median (worst), % | {name}: frequency, worst, %" for name in names)
        + " |"
    )
    yield "|---:|" + "---:|" * 2 * len(names)
    with tempfile.TemporaryDirectory() as folder:
        for amplitude in AMPLITUDES:
            errors: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
            for seed in range(scenes):
                swing = random_swing(np.random.default_rng(seed), amplitude)
                pixels = record(moving_patch(seed, swing.at(frames, FPS)), noise=DITHER, seed=seed)
                for name in names:
                    moved = trackers()[name](pixels, Path(folder))
                    # A tracker that is lost gives no number.
                    lines = find_sinusoids(np.nan_to_num(moved), FPS, np.array([1.0, 1.0]))
                    if not lines:
                        errors[name].append((100.0, 100.0))
                        continue
                    one = min(lines, key=lambda line: abs(line.frequency_hz - swing.frequency))
                    errors[name].append(
                        (
                            100 * abs(one.amplitude_px / amplitude - 1),
                            100 * abs(one.frequency_hz / swing.frequency - 1),
                        )
                    )
            cells = [
                f"{np.median(found[:, 0]):.2f} ({found[:, 0].max():.2f}) | {found[:, 1].max():.3f}"
                for found in (np.array(errors[name]) for name in names)
            ]
            yield f"| {amplitude:g} | " + " | ".join(cells) + " |"


# --- coverage -----------------------------------------------------------------------------------------------


def coverage(scenes: int, frames: int) -> Iterator[str]:
    """Yield the rows of how many truths the 95 % intervals hold, by what was done to the clip."""
    found: dict[str, list[Held]] = {kind: [] for kind in KINDS}
    for seed in range(scenes):
        for kind, places in intervals(seed, frames):
            found[kind] += places
    yield (
        "| clip | displacement of a frame, % | amplitude, % | frequency, % | vibrations told | "
        "told where nothing moves |"
    )
    yield "|---|---:|---:|---:|---:|---:|"
    for kind, all_places in found.items():
        moving = [one for one in all_places if one.moves]
        told = [one for one in moving if one.amplitude is not None]
        cells = [
            f"{100 * float(np.mean(values)):.1f}" if values else "–"
            for values in (
                [one.displacement for one in all_places],
                [one.amplitude for one in told],
                [one.frequency for one in told],
            )
        ]
        false = sum(one.false for one in all_places)
        yield (
            f"| {kind} | {' | '.join(cells)} | {len(told)} of {len(moving)} "
            f"| {false} of {len(all_places) - len(moving)} |"
        )


@dataclass(frozen=True)
class Held:
    """Coverage of the truth by one place's intervals: the share of frames, amplitude and frequency.

    ``amplitude`` and ``frequency`` are None where the motion was not told. ``false``: whether motion was told
    of a place that stands still.
    """

    moves: bool
    displacement: float
    amplitude: bool | None
    frequency: bool | None
    false: bool


def intervals(seed: int, frames: int) -> Iterator[tuple[str, list[Held]]]:
    """Render one scene, of amplitude 0.01 to 3 px, and for each of :data:`KINDS` measure it at two places.

    Args:
        seed: of the scene, its motion and noise.
        frames: how many.
    """
    import mm
    from mm.evaluation.scenes import record

    generator = np.random.default_rng(seed)
    swing = random_swing(generator, float(10 ** generator.uniform(-2, math.log10(3))))
    # Half of the scenes have a second, weaker vibration, which the record can tell from the first.
    weaker = float(swing.amplitude * generator.uniform(-0.5, 0.5))
    other = random_swing(generator, weaker)
    while abs(other.frequency - swing.frequency) < 3 * FPS / frames:
        other = random_swing(generator, weaker)
    moved = swing.at(frames, FPS) + (other.at(frames, FPS) if other.amplitude > 0 else 0)
    whole = seed % 3 == 0
    rendered = disc_before_wall(seed, moved, whole)
    sensor, coded = float(generator.uniform(0.5, 2.5)), float(generator.uniform(0, 2))
    for kind in KINDS:
        crf = int(kind[4:]) if kind.startswith("crf") else None
        level = coded if crf is not None else {"lossless": 0.0, "noise": sensor}[kind]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("clip.mkv" if crf is None else "clip.mp4")
            write(path, record(rendered, noise=level, seed=seed), FPS, crf)
            found = mm.measure(path, points=[MOVING, STILL], size=PATCH)
        yield (
            kind,
            [
                _held(place, moves, moved, swing)
                for place, moves in zip(found.places, (True, whole), strict=True)
            ],
        )


def _held(place: PlaceMotion, moves: bool, moved: Floats, swing: Swing) -> Held:
    truth = moved - moved.mean(0) if moves else np.zeros_like(moved)
    noise = np.sqrt(np.einsum("tii->ti", place.covariance_px2))
    inside = np.abs(place.displacement_px - truth) <= NORMAL * noise
    told = () if place.verdict.startswith("cannot be told") else place.sinusoids
    near = [
        line for line in told if moves and abs(line.frequency_hz - swing.frequency) < 1.5 * FPS / len(moved)
    ]
    return Held(
        moves=moves,
        displacement=float(inside.mean()),
        amplitude=abs(near[0].amplitude_px - swing.amplitude) <= NORMAL * near[0].amplitude_px_u
        if near
        else None,
        frequency=abs(near[0].frequency_hz - swing.frequency) <= NORMAL * near[0].frequency_hz_u
        if near
        else None,
        false=bool(told) and not moves,
    )


# --- time ---------------------------------------------------------------------------------------------------


def time(frames: int) -> Iterator[str]:
    """Yield the rows of what 1920×1080 px take, H.264 at CRF 18."""
    yield "| 1920×1080 px | s of processor | s a frame | peak memory, MB |"
    yield "|---|---:|---:|---:|"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.mp4"
        alone(large_clip, path, frames)
        for name, points in (("two points", [(600.0, 500.0), (1300.0, 500.0)]), ("no place named", [])):
            cost: Cost = alone(cost_of, path, points)
            yield (
                f"| {frames} frames, {name} | {cost.processor:.1f} | {cost.processor / frames:.3f} "
                f"| {cost.peak / 1e6:.0f} |"
            )


def large_clip(path: Path, frames: int) -> None:
    """Write a clip of 1920×1080 px, of which all moves by half a px at 3 Hz."""
    from mm.evaluation.scenes import Scene, layer, random_texture, record

    texture = random_texture(
        1080 + 32, 1920 + 32, torch.Generator().manual_seed(0), contrast=CONTRAST, tint=0
    )
    scene = Scene((layer("wall", texture),), 16)
    moved = Swing(0.5, 3.0, 0.0, 0.0).at(10, 30.0)
    period = record(scene.frames(torch.from_numpy(moved)[:, None])[:, :1], noise=CAMERA)
    write(path, period[torch.arange(frames) % 10], 30.0, 18)


def cost_of(path: Path, points: list[tuple[float, float]]) -> Cost:
    """Measure a clip, and what that takes."""
    import mm

    watch = Stopwatch()
    mm.measure(path, points=points)
    return watch.stop()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instrument", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), metavar="NAME,NAME", help="of the tables")
    parser.add_argument("--scenes", type=int, default=20, help="of each row")
    parser.add_argument("--frames", type=int, default=200, help="of a clip; at least 50")
    given = parser.parse_args(arguments)
    parts = given.parts.split(",")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no table {unknown[0]!r}; choose of {','.join(PARTS)}")
    if given.scenes < 1 or given.frames < 50:
        parser.error("scenes must be at least 1, frames at least 50")
    set_threads(1)
    torch.set_num_threads(1)
    if "pyidi" not in trackers():
        print("pyidi is not installed, so this project is measured alone (pip install pyidi).\n")
    tables = {
        "noise": lambda: noise(given.scenes),
        "accuracy": lambda: accuracy(given.scenes, given.frames),
        "coverage": lambda: coverage(given.scenes, given.frames),
        "time": lambda: time(given.frames),
    }
    print(
        f"{given.scenes} scenes a row, {given.frames} frames at {FPS:g} a second; patches of {PATCH}×{PATCH} "
        f"px, contrast {CONTRAST * 255:.0f} of 255; noise at mid-grey {CAMERA:g} of 255, for accuracy "
        f"{DITHER:g}\n"
    )
    for part in parts:
        for row in tables[part]():
            print(row, flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
