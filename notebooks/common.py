"""What the notebooks share: footage with exact truth or from a folder of clips, measures, pictures, verdicts.

Environment variables, all optional:

- ``MM_NOTEBOOK_OUT``: where pictures and verdicts go (default: ``out/`` beside this file).
- ``MM_CLIPS``: a folder with the literature's clips (``baby.mp4``, ``gun.mp4``, …); without it, rendered
  footage alone is used.
- ``MM_WEIGHTS``: other weights for the learned method: what :func:`mm.load` takes.
- ``MM_RELEASE``: the 2018 release's weights (.npz), which then stand beside the learned method's.

Frames are (T, 3, H, W) float32 in [0, 1]; displacements px, order (x, y), positive right and down.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

# A script needs no display; a notebook's kernel has its own way to show a figure.
if "ipykernel" not in sys.modules and "MPLBACKEND" not in os.environ:
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

import mm
from mm.evaluation import Layer, Scene, layer, random_texture, record, soft_mask
from mm.methods import Magnifier
from mm.motion import measure_displacement
from mm.networks import MagnificationNetwork
from mm.video import open_clip

# --- footage ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footage:
    """A rendered clip and everything that is true of it.

    Attributes:
        frames: (T, 3, H, W), as a camera would record them: photon noise, 8 bits.
        fps: frames a second.
        scene: renders the footage at any displacement.
        displacements: (T, layers, 2) px, float64.
    """

    frames: Tensor
    fps: float
    scene: Scene
    displacements: Tensor

    @property
    def times(self) -> Tensor:
        """(T,) seconds, float64."""
        return torch.arange(len(self.frames), dtype=torch.float64) / self.fps

    def index(self, name: str) -> int:
        """Return the place of the layer with this name."""
        return [each.name for each in self.scene.layers].index(name)

    def truth(self, displacements: Tensor) -> Tensor:
        """Return the frames (T, 3, H, W) at other displacements (T, layers, 2), without noise or rounding."""
        return self.scene.frames(displacements)

    def shares(self, displacements: Tensor | None = None) -> Tensor:
        """Return (T, layers, H, W): how much of each pixel is each layer's, here or at others."""
        return self.scene.visible(self.displacements if displacements is None else displacements)


class Set:
    """Builds a scene layer by layer, from back to front: a textured wall, and objects before it.

    Args:
        height, width: of a frame, px.
        seed: of all textures.
        margin: px of canvas beyond the frame on each side; at least the largest displacement.
        colour, contrast: of the wall.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int,
        *,
        margin: int = 24,
        colour: Sequence[float] = (0.62, 0.58, 0.5),
        contrast: float = 0.1,
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._margin = margin
        self._size = (height + 2 * margin, width + 2 * margin)
        rows, columns = (torch.arange(side, dtype=torch.float64) - margin for side in self._size)
        self._rows, self._columns = torch.meshgrid(rows, columns, indexing="ij")
        self._layers: list[Layer] = [layer("wall", self._texture(colour, contrast))]

    def disc(
        self, name: str, x: float, y: float, radius: float, colour: Sequence[float], contrast: float = 0.1
    ) -> Set:
        """Put a textured disc before what is there."""
        away = torch.hypot(self._columns - x, self._rows - y) - radius
        return self._put(name, away, colour, contrast)

    def box(
        self,
        name: str,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Sequence[float],
        contrast: float = 0.1,
    ) -> Set:
        """Put a textured rectangle before what is there."""
        across = (self._columns - (left + right) / 2).abs() - (right - left) / 2
        down = (self._rows - (top + bottom) / 2).abs() - (bottom - top) / 2
        outside = torch.hypot(across.clamp_min(0), down.clamp_min(0))
        return self._put(name, outside + torch.maximum(across, down).clamp_max(0), colour, contrast)

    def film(
        self, fps: float, courses: Mapping[str, Tensor], *, noise: float = 0.5, seed: int = 0
    ) -> Footage:
        """Render and record the scene.

        Args:
            fps: frames a second.
            courses: displacement (T, 2) px of each layer that moves, by name.
            noise: standard deviation of the photon noise at mid-grey, in 1/255.
            seed: of the noise.
        """
        scene = Scene(tuple(self._layers), self._margin)
        count = len(next(iter(courses.values())))
        displacements = torch.zeros(count, len(self._layers), 2, dtype=torch.float64)
        names = [each.name for each in self._layers]
        for name, course in courses.items():
            displacements[:, names.index(name)] = course.to(torch.float64)
        recorded = record(scene.frames(displacements), noise=noise, seed=seed)
        return Footage(recorded, fps, scene, displacements)

    def _texture(self, colour: Sequence[float], contrast: float) -> Tensor:
        return random_texture(*self._size, self._generator, colour=colour, contrast=contrast)

    def _put(self, name: str, distance: Tensor, colour: Sequence[float], contrast: float) -> Set:
        self._layers.append(layer(name, self._texture(colour, contrast), soft_mask(distance)))
        return self


def seconds(frames: int, fps: float) -> Tensor:
    """Return (T,) moments of ``frames`` frames, s."""
    return torch.arange(frames, dtype=torch.float64) / fps


def sine(amplitude: float, frequency: float, times: Tensor) -> Tensor:
    """Return ``amplitude · sin(2π · frequency · times)``."""
    return amplitude * torch.sin(2 * math.pi * frequency * times)


def sideways(course: Tensor) -> Tensor:
    """Return the displacement (T, 2) px of what moves by ``course`` (T,) along x alone."""
    return torch.stack([course, torch.zeros_like(course)], -1)


def clip_path(name: str) -> Path | None:
    """Return the clip ``name`` in the folder that ``MM_CLIPS`` names; None without it, or where it is not.

    Raises:
        InputError: if ``MM_CLIPS`` names no folder.
    """
    chosen = os.environ.get("MM_CLIPS")
    if not chosen:
        return None
    folder = Path(chosen)
    if not folder.is_dir():
        raise mm.InputError(f"MM_CLIPS is {chosen!r}, which is no folder; name one with clips, or unset it")
    path = folder / name
    if not path.is_file():
        print(f"{name} is not in {folder}: left out")
        return None
    return path


def read_part(
    path: Path,
    *,
    first: int = 0,
    frames: int = 48,
    scale: float = 1.0,
    roi: tuple[int, int, int, int] | None = None,
) -> Tensor:
    """Return a part of a clip (T, 3, H, W), cut out and reduced, so that a notebook takes little time.

    Args:
        path: a video file or a folder of images.
        first: number of the first frame.
        frames: how many at most.
        scale: of the sides, 0 to 1, after cutting.
        roi: x, y, width, height, px of the clip's own frames; None: all.

    Raises:
        InputError: for a clip that cannot be read or has no frame there, or a part outside the frame.
    """
    parts: list[Tensor] = []
    seen = 0
    with open_clip(path) as clip:
        size = (clip.info.width, clip.info.height)
        x, y, width, height = (0, 0, *size) if roi is None else roi
        if not (
            x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= size[0] and y + height <= size[1]
        ):
            raise mm.InputError(
                f"the part {roi} is not within {path}, whose frames are {size[0]}×{size[1]} px"
            )
        for chunk in clip.chunks():
            wanted = chunk.frames[max(0, first - seen) : max(0, first + frames - seen)]
            seen += len(chunk.frames)
            if len(wanted):
                wanted = wanted[..., y : y + height, x : x + width]
                if scale != 1:
                    to = (round(height * scale), round(width * scale))
                    wanted = F.interpolate(wanted, to, mode="bicubic", antialias=True).clamp(0, 1)
                parts.append(wanted)
            if seen >= first + frames:
                break
    if not parts:
        raise mm.InputError(f"{path} has {seen} frames, none from number {first} on; begin earlier")
    return torch.cat(parts)


# --- methods ---------------------------------------------------------------------------------------------


def load_network() -> MagnificationNetwork:
    """Return the shipped network, or what ``MM_WEIGHTS`` names, for inference on the CPU."""
    return mm.load(os.environ.get("MM_WEIGHTS") or "oh2018-mm", device="cpu")


def networks() -> dict[str, MagnificationNetwork]:
    """Return the networks to be compared, by name: the learned method's, and what ``MM_RELEASE`` names."""
    found = {"learned": load_network()}
    if os.environ.get("MM_RELEASE"):
        found["2018 release"] = mm.load(os.environ["MM_RELEASE"], device="cpu")
    return found


def magnify(method: Magnifier, frames: Tensor) -> Tensor:
    """Return what a method makes of a whole clip, (T, 3, H, W)."""
    return torch.cat([method.push(frames), method.flush()])


# --- where to measure ------------------------------------------------------------------------------------


def near_edges(shares: Tensor, width: int) -> Tensor:
    """Return (T, H, W) bool: pixels at most ``width`` px from where one layer ends and another begins.

    Args:
        shares: (T, layers, H, W), of :meth:`Footage.shares`.
        width: px.
    """
    mixed = (shares.amax(1) < 0.9).float()
    return grown(mixed > 0, width)


def grown(mask: Tensor, width: int) -> Tensor:
    """Return the mask (T, H, W) bool, larger by ``width`` px on every side; smaller if negative."""
    side = 2 * abs(width) + 1
    if width < 0:
        return ~grown(~mask, -width)
    return F.max_pool2d(mask[:, None].float(), side, stride=1, padding=width)[:, 0] > 0


# --- measures --------------------------------------------------------------------------------------------


def ssim_in(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return the mean structural similarity (window: Gaussian of 1.5 px) in a region.

    Args:
        output, truth: (T, 3, H, W).
        where: (T, H, W) bool.
    """
    _, each = structural_similarity_index_measure(output, truth, data_range=1.0, return_full_image=True)
    return float(each.mean(1)[where].mean())


def error_in(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return the root mean square difference in a region (T, H, W) bool, in 1/255."""
    return float((output - truth).square().mean(1)[where].mean().sqrt() * 255)


def edges_kept(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return how much of the truth's gradient the output has in its place, in a region (T, H, W) bool.

    1 is all of it; a blurred edge, or one that is not where it should be, has less. Ripples beside the edge
    count neither for nor against.
    """

    def gradient(frames: Tensor) -> Tensor:
        return torch.stack(torch.gradient(frames.mean(1), dim=(-2, -1)))[:, where]

    shown, wanted = gradient(output), gradient(truth)
    return float((shown * wanted).sum() / wanted.square().sum().clamp_min(1e-12))


def overshoot(output: Tensor, frames: Tensor, reach: int) -> float:
    """Return by how much the output leaves what its surroundings hold, root mean square, in 1/255.

    A frame made by moving content by at most ``reach`` px has no value below the least or above the largest
    within ``reach`` px in the input. What lies beyond is ringing, noise or colour that was made up. It needs
    no truth, so it serves for real clips as well; a blur does not show in it.

    Args:
        output, frames: (T, 3, H, W): the magnified clip and its input.
        reach: px, the farthest that anything should have moved.
    """
    side = 2 * reach + 1
    most = F.max_pool2d(frames, side, stride=1, padding=reach)
    least = -F.max_pool2d(-frames, side, stride=1, padding=reach)
    beyond = (output - most).clamp_min(0) + (least - output).clamp_min(0)
    return float(beyond.square().mean().sqrt() * 255)


def course(reference: Tensor, frames: Tensor, where: Tensor, limit: int = 16) -> Tensor:
    """Measure the motion of one region from a reference frame, by registration.

    Args:
        reference: (3, H, W).
        frames: (T, 3, H, W).
        where: (H, W) bool, pixels of the reference.
        limit: px, the largest displacement that is searched for.

    Returns:
        (T, 2) px, float64; NaN where nothing can be measured.
    """
    return measure_displacement(reference[None], frames, weight=where.float(), limit=limit).double()


@dataclass(frozen=True)
class Parts:
    """What a course over time is made of, by least squares.

    Attributes:
        amplitudes: of the sinusoid at each frequency that was asked for, px.
        phases: of the same, radians, against ``sin(2π f t)``.
        slope: of the drift, px/s.
        rest: root mean square of what none of them explains, px.
    """

    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]
    slope: float
    rest: float


def parts_of(values: Tensor, fps: float, frequencies: Sequence[float]) -> Parts:
    """Fit a constant, a drift and a sinusoid of each frequency (Hz) to a course (T,) px."""
    times = seconds(len(values), fps)
    columns = [torch.ones_like(times), times]
    for frequency in frequencies:
        turn = 2 * math.pi * frequency * times
        columns += [torch.sin(turn), torch.cos(turn)]
    basis = torch.stack(columns, -1)
    found = torch.linalg.lstsq(basis, values.double()[:, None]).solution[:, 0]
    rest = values.double() - basis @ found
    sines, cosines = found[2::2], found[3::2]
    return Parts(
        tuple(torch.hypot(sines, cosines).tolist()),
        tuple(torch.atan2(cosines, sines).tolist()),
        float(found[1]),
        float(rest.square().mean().sqrt()),
    )


def spectrum(values: Tensor, fps: float, padded: int = 8) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies, Hz, and amplitudes, px, of a course (T,) whose drift is taken out (Hann window)."""
    wave = values.double()
    times = seconds(len(wave), fps)
    basis = torch.stack([torch.ones_like(times), times], -1)
    wave = wave - (basis @ torch.linalg.lstsq(basis, wave[:, None]).solution)[:, 0]
    window = torch.hann_window(len(wave), periodic=False, dtype=torch.float64)
    count = padded * len(wave)
    amplitudes = 2 * torch.fft.rfft(wave * window, n=count).abs() / window.sum()
    return torch.fft.rfftfreq(count, 1 / fps, dtype=torch.float64).numpy(), amplitudes.numpy()


# --- pictures --------------------------------------------------------------------------------------------


def draw(axis: Axes, image: Tensor, title: str = "", note: str = "") -> None:
    """Draw an image (3, H, W) in [0, 1], pixel by pixel, without ticks; ``note`` stands below it."""
    axis.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(note, fontsize=9)


def draw_difference(
    axis: Axes, output: Tensor, truth: Tensor, most: float, title: str = "", note: str = ""
) -> None:
    """Draw the difference in luminance of two images (3, H, W): white is none, blue darker, red brighter.

    ``most`` is the end of the scale, in 1/255; take one for all that are to be compared.
    """
    difference = (output - truth).mean(0).numpy() * 255
    axis.imshow(difference, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(note, fontsize=9)


def draw_slice(axis: Axes, frames: Tensor, row: int, fps: float, title: str = "", note: str = "") -> None:
    """Draw the x–t slice of frames (T, 3, H, W) at a row: place to the right, time downward."""
    image = frames[:, :, row].permute(0, 2, 1).clamp(0, 1).numpy()
    extent = (0.0, float(image.shape[1]), len(image) / fps, 0.0)
    axis.imshow(image, interpolation="nearest", aspect="auto", extent=extent)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(f"x / px{f'; {note}' if note else ''}", fontsize=9)
    axis.set_ylabel("time / s", fontsize=9)
    axis.tick_params(labelsize=8)


def draw_slice_down(
    axis: Axes, frames: Tensor, column: int, fps: float, title: str = "", note: str = ""
) -> None:
    """Draw the y–t slice of frames (T, 3, H, W) at a column: time to the right, place downward."""
    image = frames[:, :, :, column].permute(2, 0, 1).clamp(0, 1).numpy()
    extent = (0.0, image.shape[1] / fps, float(len(image)), 0.0)
    axis.imshow(image, interpolation="nearest", aspect="auto", extent=extent)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(f"time / s{f'; {note}' if note else ''}", fontsize=9)
    axis.set_ylabel("y / px", fontsize=9)
    axis.tick_params(labelsize=8)


def cut(frames: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """Return a part of frames (…, H, W), px from the left top."""
    return frames[..., y : y + height, x : x + width]


def panels(rows: int, columns: int, width: float = 3.0, height: float = 2.4) -> tuple[Figure, NDArray[Any]]:
    """Return a figure and its (rows, columns) axes; ``width`` and ``height`` of one in inches."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained", dpi=120
    )
    return figure, axes


def closer_look(clips: Mapping[str, Tensor], beyond: Mapping[str, float], factor: float, fps: float) -> Figure:
    """Draw magnified versions of a clip side by side: the last frame, a detail of it, and an x–t slice.

    Args:
        clips: (T, 3, H, W) by name, "input" among them.
        beyond: what :func:`overshoot` measured, by the names of the magnified ones.
        factor: total gain.
        fps: frames a second.
    """
    figure, axes = panels(3, len(clips), width=3.6, height=2.7)
    for column, (name, each) in enumerate(clips.items()):
        note = "" if name == "input" else f"beyond what is there: {beyond[name]:.2f}/255"
        row = each.shape[-2] // 2
        draw(axes[0, column], each[-1], name if name == "input" else f"{name}, ×{factor:g}", note)
        draw(axes[1, column], cut(each[-1], 70, 60, 96, 72), "detail")
        draw_slice(axes[2, column], each, row, fps, f"x–t at y = {row}")
    return figure


# --- verdicts --------------------------------------------------------------------------------------------


def exceeds(more: float, less: float, margin: float = 0.0, relative: float = 0.0) -> bool | None:
    """Return whether ``more`` is larger than ``less``; None if they differ by less than can be told.

    Args:
        more, less: two measures of the same kind.
        margin: the least difference that counts, in their own unit.
        relative: the same as a part of the larger of the two magnitudes.

    Raises:
        ValueError: for a number that is NaN or infinite, which is never a finding.
    """
    if not (math.isfinite(more) and math.isfinite(less)):
        raise ValueError(f"nothing was measured: {more} against {less}")
    least = max(margin, relative * max(abs(more), abs(less)))
    return None if abs(more - less) <= least else more > less


@dataclass
class Report:
    """What a notebook found: the paper's claims one by one, what is seen, and whether they agree.

    Args:
        name: the notebook's, such as "figure04"; pictures and verdicts begin with it.
        title: what it is about.
    """

    name: str
    title: str
    claims: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where pictures and verdicts go; made if it is not there."""
        folder = Path(os.environ.get("MM_NOTEBOOK_OUT") or Path(__file__).parent / "out")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, figure: Figure, what: str) -> Path:
        """Write a figure as ``<name>_<what>.png``."""
        path = self.folder / f"{self.name}_{what}.png"
        figure.savefig(path)
        self.pictures.append(path.name)
        return path

    def judge(self, source: str, claim: str, seen: str, agrees: bool | None) -> None:
        """Note one claim, and print it.

        Args:
            source: which footage it is seen on: "rendered", or a clip's name.
            claim: what the paper says, in words of one's own.
            seen: what is measured, with numbers.
            agrees: whether that agrees with the claim: the outcome of a comparison, never a constant; None
                where the difference is too small to tell.
        """
        self.claims.append({"source": source, "claim": claim, "seen": seen, "agrees": agrees})
        word = {True: "AGREES", False: "DOES NOT AGREE", None: "NO CLEAR DIFFERENCE"}[agrees]
        print(f"[{source}] {word}: {claim}\n    seen: {seen}")

    @property
    def agreeing(self) -> int:
        """How many claims agree."""
        return sum(claim["agrees"] is True for claim in self.claims)

    @property
    def verdict(self) -> str:
        """In a few words, over all claims."""
        if not self.claims:
            return "nothing was judged"
        if self.agreeing == len(self.claims):
            return "agrees"
        return "agrees in part" if self.agreeing else "does not agree"

    def conclude(self) -> str:
        """Print the verdict, write everything as ``<name>.json``, and return the verdict."""
        print(f"{self.name}, {self.title}: {self.verdict} ({self.agreeing} of {len(self.claims)} claims)")
        content = {
            "name": self.name,
            "title": self.title,
            "verdict": self.verdict,
            "claims": self.claims,
            "pictures": self.pictures,
        }
        path = self.folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return self.verdict


def begin(name: str, title: str) -> tuple[Report, MagnificationNetwork]:
    """Return what a notebook begins with: its report, and the network of the learned method.

    Args:
        name, title: see :class:`Report`.
    """
    return Report(name, title), load_network()
