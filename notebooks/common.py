"""Shared parts of the notebooks: rendered footage, measures, pictures and verdicts.

Environment variables, all optional: ``MM_NOTEBOOK_OUT``, the folder of pictures and verdicts; ``MM_CLIPS``, a folder with
the literature's clips (``baby.mp4``, ``gun.mp4``, …); ``MM_WEIGHTS``, other weights for the learned method;
``MM_RELEASE``, the 2018 release's weights (.npz), measured beside them.

Frames are (T, 3, H, W) float32 in [0, 1]; displacements px, order (x, y), positive right and down.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
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
from mm.motion.spectrum import bins_of
from mm.motion.vibration import complex_amplitudes, power_spectrum
from mm.networks import MagnificationNetwork
from mm.video import open_clip



@dataclass(frozen=True)
class Footage:
    """A recorded clip (T, 3, H, W) at ``fps``, its scene, and the displacements (T, layers, 2) px of its layers."""

    frames: Tensor
    fps: float
    scene: Scene
    displacements: Tensor

    def index(self, name: str) -> int:
        """Return the number of the layer with this name."""
        return [each.name for each in self.scene.layers].index(name)

    def truth(self, displacements: Tensor) -> Tensor:
        """Return the frames (T, 3, H, W) at other displacements (T, layers, 2), without noise or rounding."""
        return self.scene.frames(displacements)

    def shares(self, displacements: Tensor | None = None) -> Tensor:
        """Return (T, layers, H, W), the share of each pixel that is each layer's, here or at other displacements."""
        return self.scene.visible(self.displacements if displacements is None else displacements)


class Set:
    """A scene built from back to front: a textured wall, and objects before it.

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

    def disc(self, name: str, x: float, y: float, radius: float, colour: Sequence[float], contrast: float = 0.1) -> Set:
        """Add a textured disc."""
        return self._put(name, torch.hypot(self._columns - x, self._rows - y) - radius, colour, contrast)

    def box(
        self, name: str, left: float, top: float, right: float, bottom: float, colour: Sequence[float], contrast: float = 0.1
    ) -> Set:
        """Add a textured rectangle."""
        across = (self._columns - (left + right) / 2).abs() - (right - left) / 2
        down = (self._rows - (top + bottom) / 2).abs() - (bottom - top) / 2
        outside = torch.hypot(across.clamp_min(0), down.clamp_min(0))
        return self._put(name, outside + torch.maximum(across, down).clamp_max(0), colour, contrast)

    def film(self, fps: float, courses: Mapping[str, Tensor], *, noise: float = 0.5, seed: int = 0) -> Footage:
        """Render and record the scene, with the displacement (T, 2) px of each moving layer by name.

        ``noise`` is the standard deviation of the photon noise at mid-grey, in 1/255.
        """
        scene = Scene(tuple(self._layers), self._margin)
        still = torch.zeros(len(next(iter(courses.values()))), 2, dtype=torch.float64)
        displacements = torch.stack([courses.get(each.name, still).double() for each in scene.layers], 1)
        return Footage(record(scene.frames(displacements), noise=noise, seed=seed), fps, scene, displacements)

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
    """Return the clip in the folder ``MM_CLIPS``; None without that folder, or if the clip is not in it."""
    chosen = os.environ.get("MM_CLIPS")
    if not chosen:
        return None
    if not Path(chosen).is_dir():
        raise mm.InputError(f"MM_CLIPS is {chosen!r}, which is no folder; name one with clips, or unset it")
    path = Path(chosen) / name
    if not path.is_file():
        print(f"{name} is not in {chosen}: left out")
        return None
    return path


def read_part(
    path: Path, *, first: int = 0, frames: int = 48, scale: float = 1.0, roi: tuple[int, int, int, int] | None = None
) -> Tensor:
    """Return a part of a clip (T, 3, H, W), so that a notebook takes little time.

    Args:
        path: a video file or a folder of images.
        first: number of the first frame.
        frames: how many at most.
        scale: of the sides, 0 to 1, after cutting.
        roi: x, y, width, height, px of the clip's own frames; None: all.

    Raises:
        InputError: for a clip without frames there, or a part outside the frame.
    """
    parts: list[Tensor] = []
    with open_clip(path) as clip:
        x, y, width, height = (0, 0, clip.info.width, clip.info.height) if roi is None else roi
        if not (0 <= x <= clip.info.width - width and 0 <= y <= clip.info.height - height):
            raise mm.InputError(f"the part {roi} is not within {path}, {clip.info.width}×{clip.info.height} px")
        for frame in islice((each for chunk in clip.chunks() for each in chunk.frames), first, first + frames):
            parts.append(cut(frame, x, y, width, height)[None])
    if not parts:
        raise mm.InputError(f"{path} has no frame number {first}; begin earlier")
    part = torch.cat(parts)
    if scale == 1:
        return part
    return F.interpolate(part, (round(height * scale), round(width * scale)), mode="bicubic", antialias=True).clamp(0, 1)


def load_network() -> MagnificationNetwork:
    """Return the shipped network, or what ``MM_WEIGHTS`` names, for inference on the CPU."""
    return mm.load(os.environ.get("MM_WEIGHTS") or "oh2018-mm", device="cpu")


def networks() -> dict[str, MagnificationNetwork]:
    """Return the compared networks by name: the learned method's, and that of ``MM_RELEASE``."""
    found = {"learned": load_network()}
    if os.environ.get("MM_RELEASE"):
        found["2018 release"] = mm.load(os.environ["MM_RELEASE"], device="cpu")
    return found


def magnify(method: Magnifier, frames: Tensor) -> Tensor:
    """Return a whole clip magnified, (T, 3, H, W)."""
    return torch.cat([method.push(frames), method.flush()])


def near_edges(shares: Tensor, width: int) -> Tensor:
    """Return (T, H, W) bool, pixels at most ``width`` px from a border between layers; see :meth:`Footage.shares`."""
    return grown(shares.amax(1) < 0.9, width)


def grown(mask: Tensor, width: int) -> Tensor:
    """Return the mask (T, H, W) bool, larger by ``width`` px on every side; smaller if negative."""
    if width < 0:
        return ~grown(~mask, -width)
    return F.max_pool2d(mask[:, None].float(), 2 * width + 1, stride=1, padding=width)[:, 0] > 0


def ssim_in(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return the mean structural similarity (Gaussian window of 1.5 px) in a region (T, H, W) bool."""
    _, each = structural_similarity_index_measure(output, truth, data_range=1.0, return_full_image=True)
    return float(each.mean(1)[where].mean())


def error_in(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return the root mean square difference in a region (T, H, W) bool, in 1/255."""
    return float((output - truth).square().mean(1)[where].mean().sqrt() * 255)


def edges_kept(output: Tensor, truth: Tensor, where: Tensor) -> float:
    """Return the share of the truth's gradient that the output has in its place, in a region (T, H, W) bool.

    A blurred or displaced edge has less than 1. Ripples beside the edge do not count.
    """

    def gradient(frames: Tensor) -> Tensor:
        return torch.stack(torch.gradient(frames.mean(1), dim=(-2, -1)))[:, where]

    shown, wanted = gradient(output), gradient(truth)
    return float((shown * wanted).sum() / wanted.square().sum().clamp_min(1e-12))


def overshoot(output: Tensor, frames: Tensor, reach: int) -> float:
    """Return the root mean square of the output's values beyond those of its surroundings in the input, in 1/255.

    Content that moves by at most ``reach`` px has no value outside the input's range within ``reach`` px. Values
    beyond are ringing, noise or invented colour. The measure needs no truth, and is blind to blur.
    """
    side = 2 * reach + 1
    most = F.max_pool2d(frames, side, stride=1, padding=reach)
    least = -F.max_pool2d(-frames, side, stride=1, padding=reach)
    beyond = (output - most).clamp_min(0) + (least - output).clamp_min(0)
    return float(beyond.square().mean().sqrt() * 255)


def course(reference: Tensor, frames: Tensor, where: Tensor, limit: int = 16) -> Tensor:
    """Return the motion (T, 2) px, float64, of a region (H, W) bool from a reference frame (3, H, W), by registration.

    ``limit`` is the largest displacement in px that is searched; an unmeasurable frame is NaN.
    """
    return measure_displacement(reference[None], frames, weight=where.float(), limit=limit).double()


@dataclass(frozen=True)
class Parts:
    """Amplitudes, px, and phases against a sine, radians, of a signal's sinusoids, and the slope of its drift, px/s."""

    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]
    slope: float


def parts_of(values: Tensor, fps: float, frequencies: Sequence[float]) -> Parts:
    """Fit a constant, a drift and a sinusoid of each frequency (Hz) to a signal (T,) px."""
    signal, times = values.double().numpy(), seconds(len(values), fps).numpy()
    found = complex_amplitudes(signal[:, None], fps, np.asarray(frequencies))[:, 0]
    waves = (found[:, None] * np.exp(2j * np.pi * np.asarray(frequencies)[:, None] * times)).real.sum(0)
    phases = np.angle(found * 1j)
    return Parts(tuple(np.abs(found).tolist()), tuple(phases.tolist()), float(np.polyfit(times, signal - waves, 1)[0]))


def spectrum(values: Tensor, fps: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies, Hz, and amplitudes, px, of a signal (T,) without its drift (Hann window)."""
    return bins_of(len(values)) * fps / len(values), np.sqrt(power_spectrum(values.double().numpy()[:, None], np.ones(1)))


def draw(axis: Axes, image: Tensor, title: str = "", note: str = "", **options: Any) -> None:
    """Draw an image (3, H, W) in [0, 1] or (H, W), pixel by pixel, without ticks; ``note`` stands below it."""
    shown = image.permute(1, 2, 0).clamp(0, 1) if image.ndim == 3 else image
    axis.imshow(shown.numpy(), interpolation="nearest", **options)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(note, fontsize=9)


def draw_difference(axis: Axes, output: Tensor, truth: Tensor, most: float, title: str = "", note: str = "") -> None:
    """Draw the difference in luminance of two images (3, H, W), blue darker, red brighter, ±``most``/255."""
    draw(axis, (output - truth).mean(0) * 255, title, note, cmap="RdBu_r", vmin=-most, vmax=most)


def draw_slice(axis: Axes, frames: Tensor, row: int, fps: float, title: str = "") -> None:
    """Draw the x–t slice of frames (T, 3, H, W) at a row: place to the right, time downward."""
    _slice(axis, frames[:, :, row].transpose(0, 1), (frames.shape[-1], len(frames) / fps), title, ("x / px", "time / s"))


def draw_slice_down(axis: Axes, frames: Tensor, column: int, fps: float, title: str = "") -> None:
    """Draw the y–t slice of frames (T, 3, H, W) at a column: time to the right, place downward."""
    image = frames[:, :, :, column].permute(1, 2, 0)
    _slice(axis, image, (len(frames) / fps, frames.shape[-2]), title, ("time / s", "y / px"))


def _slice(axis: Axes, image: Tensor, ends: tuple[float, float], title: str, labels: tuple[str, str]) -> None:
    shown = image.permute(1, 2, 0).clamp(0, 1).numpy()
    axis.imshow(shown, interpolation="nearest", aspect="auto", extent=(0.0, ends[0], ends[1], 0.0))
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(labels[0], fontsize=9)
    axis.set_ylabel(labels[1], fontsize=9)
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


def exceeds(more: float, less: float, margin: float = 0.0, relative: float = 0.0) -> bool | None:
    """Return whether ``more`` is larger than ``less``; None for a difference that does not count.

    Args:
        more, less: two measures of the same kind.
        margin: the least difference that counts, in their own unit.
        relative: the same as a part of the larger of the two magnitudes.

    Raises:
        ValueError: for NaN or infinity, which is never a finding.
    """
    if not (math.isfinite(more) and math.isfinite(less)):
        raise ValueError(f"nothing was measured: {more} against {less}")
    least = max(margin, relative * max(abs(more), abs(less)))
    return None if abs(more - less) <= least else more > less


@dataclass
class Report:
    """The findings of a notebook: the paper's claims one by one, what is seen, and the verdict.

    Args:
        name: the notebook's, such as "figure04"; pictures and verdicts begin with it.
        title: its subject.
    """

    name: str
    title: str
    claims: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder of pictures and verdicts, made if it is missing."""
        folder = Path(os.environ.get("MM_NOTEBOOK_OUT") or Path(__file__).parent / "out")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, figure: Figure, what: str) -> None:
        """Write a figure as ``<name>_<what>.png``."""
        self.pictures.append(f"{self.name}_{what}.png")
        figure.savefig(self.folder / self.pictures[-1])

    def judge(self, source: str, claim: str, seen: str, agrees: bool | None) -> None:
        """Note one claim, and print it.

        Args:
            source: the footage, "rendered" or a clip's name.
            claim: the paper's, in other words.
            seen: measured numbers.
            agrees: the outcome of a comparison, never a constant; None for too small a difference.
        """
        self.claims.append({"source": source, "claim": claim, "seen": seen, "agrees": agrees})
        word = {True: "AGREES", False: "DOES NOT AGREE", None: "NO CLEAR DIFFERENCE"}[agrees]
        print(f"[{source}] {word}: {claim}\n    seen: {seen}")

    @property
    def verdict(self) -> str:
        """The verdict over all claims."""
        if not self.claims:
            return "nothing was judged"
        agreeing = sum(claim["agrees"] is True for claim in self.claims)
        if agreeing == len(self.claims):
            return "agrees"
        return "agrees in part" if agreeing else "does not agree"

    def conclude(self) -> str:
        """Print the verdict, write everything as ``<name>.json``, and return the verdict."""
        print(f"{self.name}, {self.title}: {self.verdict} ({len(self.claims)} claims)")
        content = {"name": self.name, "title": self.title, "verdict": self.verdict}
        content |= {"claims": self.claims, "pictures": self.pictures}
        path = self.folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return self.verdict


def begin(name: str, title: str) -> tuple[Report, MagnificationNetwork]:
    """Return a notebook's report and the network of the learned method."""
    return Report(name, title), load_network()
