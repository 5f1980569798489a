"""Make the README's pictures: two moving ones, and a thumbnail of each method.

``python docs/make_pictures.py`` writes them to ``docs/pictures``. The photograph of the second moving picture
(NASA, public domain) comes with scikit-image. All motion is rendered, so it is known.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mm.evaluation.scenes import record
from mm.evaluation.vibrating_clip import DemoClip, demo_clip
from mm.methods import LearnedMagnifier
from mm.methods.parameters import make
from mm.synthesis.resampling import prefilter_matrix, resample_field, resample_separable
from mm.temporal import Band

OUT = Path(__file__).parent / "pictures"
# A GIF's pixel is drawn anew where it differs by more than this from the shown one, in 1/255: noise costs no
# bytes.
VISIBLE = 6
FACTOR = 10.0


def magnified(frames: Tensor, **options: object) -> Tensor:
    """Return ``frames`` (T, 3, H, W) magnified by the shipped network."""
    magnifier = LearnedMagnifier(batch=4, **options)  # type: ignore[arg-type]
    return torch.cat([*(magnifier.push(part) for part in frames.split(4)), magnifier.flush()])


def breathing(count: int = 45, amplitude: float = 0.3) -> Tensor:
    """Return a portrait (count, 3, 256, 256) whose chest rises by ``amplitude`` px once in the clip."""
    from skimage import data

    photograph = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 255
    filtering = prefilter_matrix(256, "bspline", image.device)
    assert filtering is not None
    coefficients = resample_separable(image, filtering[None], filtering[None])
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    # The suit: nothing above the collar moves, and most does beside the badge.
    chest = torch.exp(-(((x - 88) / 48) ** 2) - ((y - 195) / 42) ** 2)
    frames = []
    for t in range(count):
        rise = amplitude * 0.5 * (1 - math.cos(2 * math.pi * t / count)) * chest[None]
        frames.append(
            resample_field(coefficients, x[None] + 0.4 * rise, y[None] + rise, "bspline", mirror=True)
        )
    return record(torch.cat(frames).clamp(0, 1), noise=0.5)


def titled(frames: Tensor, title: str, scale: float) -> np.ndarray:
    """Return (T, h, w, 3) uint8: the frames enlarged, under a title."""
    pictures = []
    for frame in frames:
        picture = (frame.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        bar = np.full((26, large.shape[1], 3), 255, np.uint8)
        cv2.putText(bar, title, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        pictures.append(np.concatenate([bar, large]))
    return np.stack(pictures)


def beside(*clips: np.ndarray) -> np.ndarray:
    """Return clips of one size beside one another, with a white gap."""
    gap = np.full((*clips[0].shape[:2], 8, 3), 255, np.uint8)
    return np.concatenate([part for clip in clips for part in (clip, gap)][:-1], axis=2)


def write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write a GIF that repeats, with one palette; pixels that hardly change are not drawn again."""
    shown = frames[0].copy()
    some = np.concatenate(list(frames[:: max(len(frames) // 6, 1), ::2, ::2]))
    palette = Image.fromarray(some).quantize(255, kmeans=3, dither=0)
    pictures, ends = [], np.round(np.arange(len(frames) + 1) * 100 / fps)
    previous: np.ndarray | None = None
    for frame in frames:
        changed = np.abs(frame.astype(int) - shown).max(-1) > VISIBLE
        shown[changed] = frame[changed]
        indices = np.array(Image.fromarray(shown).quantize(palette=palette, dither=0))
        drawn = indices if previous is None else np.where(indices == previous, 255, indices)
        picture = Image.fromarray(drawn.astype(np.uint8), "P")
        picture.putpalette([*palette.getpalette()[: 255 * 3], 0, 0, 0])  # type: ignore[index]
        pictures.append(picture)
        previous = indices
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=[int(10 * d) for d in np.diff(ends)],
        loop=0,
        transparency=255,
        disposal=1,
        optimize=False,
    )


def thumbnail(clip: DemoClip, frames: Tensor) -> Image.Image:
    """Return the x–t slices through the string and through a disc's left rim, time to the right."""
    strips = []
    for name, half in (("string", 11), ("disc along x", 11)):
        inside = clip.regions[name].nonzero().float()
        row = round(float(inside[:, 0].mean()))
        column = round(float(inside[:, 1].mean())) - (0 if name == "string" else 17)
        strips.append(frames[:40, :, row, column - half : column + half].permute(2, 0, 1))
        strips.append(torch.ones(1, 40, 3))
    picture = (torch.cat(strips[:-1]).clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    return Image.fromarray(picture).resize((160, 135), Image.Resampling.NEAREST)


def thumbnails(clip: DemoClip) -> None:
    """Write a thumbnail of the input and of each method, at a factor of ten."""
    thumbnail(clip, clip.frames).save(OUT / "method-input.png")
    band = Band(1.0, 8.0, fps=clip.fps)
    own: dict[str, dict[str, object]] = {"layered": {"region": (18, 6, 28, 96)}}
    for name in ("learned", "phase", "riesz", "linear", "acceleration", "flow", "layered"):
        shared: dict[str, object] = {"factor": FACTOR, "mode": "static", "band": None}
        if name == "acceleration":
            shared |= {"mode": "temporal", "band": band}
        method = make(name, shared, own.get(name, {}))
        frames = torch.cat([*(method.push(part) for part in clip.frames.split(4)), method.flush()])
        thumbnail(clip, frames).save(OUT / f"method-{name}.png")


def main() -> None:
    """Write all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("hero", "breathing", "methods"), help="one kind (default: all)")
    only = parser.parse_args().only
    OUT.mkdir(exist_ok=True)
    clip = demo_clip()
    if only in (None, "hero"):
        output = magnified(clip.frames, factor=FACTOR, mode="static")
        pair = beside(titled(clip.frames, "input", 2), titled(output, "mm magnify --factor 10", 2))
        # From the first second: all periods end with it but the diagonal disc's, which ends too.
        write_gif(OUT / "demo.gif", pair[:30], clip.fps)
    if only in (None, "breathing"):
        frames = breathing()
        output = magnified(frames, factor=15.0, mode="static")
        pair = beside(titled(frames, "input", 1.5), titled(output, "mm magnify --factor 15", 1.5))
        write_gif(OUT / "breathing.gif", pair, 20.0)
    if only in (None, "methods"):
        thumbnails(clip)


if __name__ == "__main__":
    main()
