"""Image files of every common kind to uint8 arrays.

Pillow rather than OpenCV: it raises on a truncated file, where OpenCV returns the missing part as grey.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".avif"}
)

# What Pillow's decoders raise on damaged files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


class UnreadableImage(ValueError):
    """One image that cannot be used; a training run skips it. The message names it and says why."""


def image_files(folder: Path) -> list[Path]:
    """Return the image files under ``folder``, at any depth, in order of path, without hidden ones."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
    return sorted(found)


def read_photograph(path: Path, shortest_side: int | None = None) -> np.ndarray:
    """Return the photograph in ``path`` as uint8 RGB (H, W, 3), upright according to its EXIF orientation.

    Grey, palette, CMYK and 16-bit files are converted; transparency is dropped.

    Args:
        path: the file.
        shortest_side: shrink a larger photograph so that its shorter side has this many px.

    Raises:
        UnreadableImage: if the file cannot be decoded to its end.
    """
    try:
        with Image.open(path) as image:
            if shortest_side is not None:
                # A JPEG is decoded at 1/2, 1/4 or 1/8 where that is still large enough.
                image.draft("RGB", (shortest_side, shortest_side))
            pixels = _pixels(ImageOps.exif_transpose(image), "RGB")
    except _DECODER_ERRORS as error:
        raise UnreadableImage(f"{path} cannot be decoded: {error}") from error
    height, width = pixels.shape[:2]
    if shortest_side is not None and min(height, width) > shortest_side:
        scale = shortest_side / min(height, width)
        size = (round(width * scale), round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels


def read_cutout(path: Path) -> np.ndarray:
    """Return the cut-out in ``path`` as uint8 straight-alpha RGBA (H, W, 4), cropped to what is visible.

    Raises:
        UnreadableImage: if the file cannot be decoded, has no transparency, or shows nothing.
    """
    try:
        with Image.open(path) as image:
            if "A" not in image.getbands() and "transparency" not in image.info:
                raise UnreadableImage(f"{path} has no transparency, so it is no cut-out (mode {image.mode})")
            pixels = _pixels(ImageOps.exif_transpose(image), "RGBA")
    except UnreadableImage:
        raise
    except _DECODER_ERRORS as error:
        raise UnreadableImage(f"{path} cannot be decoded: {error}") from error
    cropped = crop_to_visible(pixels)
    if cropped is None:
        raise UnreadableImage(f"{path} is transparent everywhere")
    return cropped


def crop_to_visible(pixels: np.ndarray) -> np.ndarray | None:
    """Return RGBA ``pixels`` cropped to the rectangle where alpha is above 0, or None if there is none."""
    visible = pixels[..., 3] > 0
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return None
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _pixels(image: Image.Image, mode: str) -> np.ndarray:
    """Return the image as uint8 in ``mode``."""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips these to 255 instead of scaling them.
        values = np.asarray(image).astype(np.float64)
        full = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1.0)
        grey = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    return np.asarray(image.convert(mode))
