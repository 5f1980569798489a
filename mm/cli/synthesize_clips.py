"""Clips of ``mm synthesize --clip``: a video, its magnified truth, and the motion of each layer over time."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mm.cli.contact_sheet import LABEL_LETTERS, Pixels, directions, eight_bit, sheet_row
from mm.cli.synthesize import CRF, FPS, FRAMES, facts_of, layers_of, readable_json, write_png
from mm.errors import InputError
from mm.synthesis import ClipSynthesizer, MotionGenerator, MotionLimits, TrajectoryConfig
from mm.synthesis.truth import BACKGROUND, motion_names
from mm.video import write_clip

if TYPE_CHECKING:
    from mm.data.dataset import LayersDataset

# Bytes of memory for each pixel of each frame, measured, and rounded up.
BYTES_A_PIXEL = 300
COLUMNS = (
    "clip, first frame",
    "truth, most moved frame",
    "vibration there (hue: direction)",
    "one row of the clip over time",
    "that row of the truth",
)


def clip_synthesizer(
    args: argparse.Namespace, motion: MotionGenerator, limits: MotionLimits
) -> ClipSynthesizer:
    """Return the synthesizer that the command's arguments describe.

    Raises:
        InputError: for a value out of range, or more frames than the machine has memory for.
    """
    from mm.data.codec import check_codec
    from mm.magnify.memory import check_frames

    width, height = args.size
    frames = FRAMES if args.frames is None else args.frames
    if args.crf is not None and args.codec is None:
        raise InputError("--crf is of a codec; add --codec h264, hevc or mjpeg")
    if args.codec is not None:
        check_codec(args.codec, CRF if args.crf is None else args.crf, None)
    check_frames(frames, width, height, BYTES_A_PIXEL)
    settings: dict[str, Any] = {"share": 0.0} if args.steady else {}
    if args.band:
        low, high = (hertz / _rate(args) for hertz in args.band)
        if not 0 < low < high:
            raise InputError(f"--band must satisfy 0 < LOW < HIGH Hz, got {args.band[0]:g} {args.band[1]:g}")
        if high > 0.5:
            raise InputError(
                f"--band must end at {_rate(args) / 2:g} Hz or below, half of --fps, got {args.band[1]:g}"
            )
        settings |= {"frequencies": (low, high), "band_ratio": (high / low, high / low)}
    return ClipSynthesizer(
        height, width, frames, TrajectoryConfig(**settings), motion=motion, limits=limits, perturbed=False
    )


def write_clips(
    args: argparse.Namespace, synthesizer: ClipSynthesizer, sets: list[LayersDataset]
) -> Iterator[Pixels]:
    """Render and write the clips one after the other, and give each one's row of the sheet."""
    from mm.data.codec import encode_decode

    device = next(synthesizer.buffers()).device
    for number in range(args.count):
        batch = layers_of(sets, range(number, number + 1), device)
        clip = {name: value[0].cpu() for name, value in synthesizer(batch).items()}
        codec = None
        if args.codec is not None:
            codec = {"name": args.codec, "crf": CRF if args.crf is None else args.crf}
            coded = encode_decode(
                (clip["frames"] * 255).round().to(torch.uint8), args.codec, crf=codec["crf"]
            )
            clip["frames"] = coded.float() / 255
        facts = facts_of(args, batch, 0) | {
            "fps": _rate(args),
            "band": [round(hertz * _rate(args), 6) for hertz in clip["band"].tolist()],
            "factor": round(float(clip["factor"]), 6),
            "codec": codec,
        }
        layers = _layers(synthesizer, batch, clip)
        _write(args.out, facts, clip, layers)
        yield _row(facts, clip, layers)


def _rate(args: argparse.Namespace) -> float:
    rate = FPS if args.fps is None else float(args.fps)
    if not rate > 0:
        raise InputError(f"--fps must be above 0, got {rate:g}")
    return rate


def _layers(
    synthesizer: ClipSynthesizer, batch: dict[str, Tensor], clip: dict[str, Tensor]
) -> list[dict[str, Any]]:
    """Return what the record says of each layer, front to back."""
    drawn, _ = synthesizer.draw(batch)
    size, k = synthesizer.geometry, drawn.objects.shape[1]
    parameters = torch.cat((drawn.background_motion[0][0][None], drawn.object_motion[0][0]))
    names = motion_names(synthesizer.motion, parameters)
    present = (drawn.objects[0, :, 3].amax(dim=(-2, -1)) > 0).tolist()
    centres = [[(size.width - 1) / 2, (size.height - 1) / 2], *drawn.centres[0].tolist()]
    order = [label for label in range(1, k + 1) if present[label - 1]] + [BACKGROUND]
    return [
        {
            "kind": "background" if label == BACKGROUND else "object",
            "order": place,
            "label": label,
            "motion": names[label][0],
            "is_translation": names[label][1],
            "centre": centres[label],
            # Of the centre in each frame, px (x, y): by the vibration in the band, and by all else.
            "band": _rounded(clip["motion"][label]),
            "other": _rounded(clip["other_motion"][label]),
        }
        for place, label in enumerate(order)
    ]


def _rounded(course: Tensor) -> list[list[float]]:
    return [[round(value, 6) for value in point] for point in course.tolist()]


def _write(
    folder: Path, facts: dict[str, Any], clip: dict[str, Tensor], layers: list[dict[str, Any]]
) -> None:
    stem = f"{facts['index']:06d}"
    for name in ("clip", "truth"):
        video = clip["frames" if name == "clip" else name]
        write_clip(folder / f"{stem}_{name}.mkv", video, rate=facts["fps"], lossless=True)
    write_png(folder / f"{stem}_layers.png", clip["visible"][0].numpy())
    field = None
    if not all(layer["is_translation"] for layer in layers):
        field = f"{stem}_motion.npy"
        np.save(folder / field, clip["displacement"].permute(0, 2, 3, 1).numpy())
    frames, height, width = clip["visible"].shape
    record = facts | {
        "size": [width, height],
        "frames": frames,
        "clip": f"{stem}_clip.mkv",
        "truth": f"{stem}_truth.mkv",
        # Values are the layers' labels, in the first frame.
        "visible_layer": f"{stem}_layers.png",
        # (T, H, W, 2) float32, px (x, y), by the vibration of what is visible in each frame of the clip; the
        # layers' own motion says all where every one of them is a translation.
        "displacement_field": field,
        "layers": layers,
    }
    # Last, so that a clip that has its JSON is complete.
    (folder / f"{stem}.json").write_text(readable_json(record) + "\n")


def _row(facts: dict[str, Any], clip: dict[str, Tensor], layers: list[dict[str, Any]]) -> Pixels:
    frames, truth = clip["frames"], clip["truth"]
    moved = clip["displacement"].permute(0, 2, 3, 1)
    largest = float(moved.norm(dim=-1).max())
    most = int((truth - frames).abs().mean((1, 2, 3)).argmax())
    # The row that shows most of the motion.
    row = int(truth.diff(dim=0).abs().mean((0, 1, 3)).argmax())
    height, width = frames.shape[-2:]
    slices = [
        np.asarray(
            cv2.resize(
                eight_bit(video[:, :, row].transpose(0, 1)), (width, height), interpolation=cv2.INTER_NEAREST
            ),
            np.uint8,
        )
        for video in (frames, truth)
    ]
    low, high = facts["band"]
    motions = ", ".join(sorted({layer["motion"] for layer in layers}))
    label = (
        f"{facts['index']:06d} {facts['subset']}",
        f"factor {facts['factor']:.3g}, {low:.3g}-{high:.3g} Hz",
        f"{largest:.3g} -> {largest * facts['factor']:.3g} px",
        f"{len(layers) - 1} object{'' if len(layers) == 2 else 's'}",
        motions[:LABEL_LETTERS],
        motions[LABEL_LETTERS:],
    )
    pictures = [eight_bit(frames[0]), eight_bit(truth[most]), directions(moved[most], largest), *slices]
    return sheet_row(label, pictures)
