"""Scale, orientation and colour of layers on the workers. The only file that knows albumentations.

Albumentations 2.0.8 is the last release under the MIT licence. Its transforms draw from generators that
belong to the pipeline, not to the process, and keep their state from call to call; every call here therefore
hands the sample's own generator to the whole pipeline first, so that the result depends on nothing else.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# It looks for updates over the network when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
from numpy.typing import NDArray

from mm.errors import InputError

Pixels = NDArray[np.uint8]

# Transparent px that the renderer needs around the content of a patch.
RIM = 3
# The cubic kernel spreads this much past an edge, faintly.
_CUBIC_SPREAD = 1
# An object with fewer px on its longest side is a dot.
_LEAST_OBJECT = 8
# Of 255: below this, rounding has left nothing of the colour.
_LEAST_ALPHA = 2.0


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the variation of layers.

    Attributes:
        largest_scale: photographs and cut-outs are enlarged at most this many times (2 in the paper, section
            3.3), except a photograph that is too small to be cropped even so: its border is mirrored.
        object_size: longest side of an object, as a range of fractions of the frame's shorter side.
        rotation: share of the objects that are turned by any angle; the others by multiples of 90°, which
            resamples nothing.
        colour: share of the layers whose colours are changed, 0 to leave all as they are.
        blur: share of the layers that are blurred a little, as by a lens.
    """

    largest_scale: float = 2.0
    object_size: tuple[float, float] = (0.1, 0.45)
    rotation: float = 0.5
    colour: float = 0.8
    blur: float = 0.05

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: if a share is outside [0, 1], or a size is not positive and in order.
        """
        for name in ("rotation", "colour", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"augmentation.{name} is a share and must be in 0..1, got {getattr(self, name)}"
                )
        if not 0 < self.object_size[0] <= self.object_size[1]:
            raise InputError(
                f"augmentation.object_size must be two rising fractions above 0, got {self.object_size}"
            )
        if self.largest_scale <= 0:
            raise InputError(f"augmentation.largest_scale must be above 0, got {self.largest_scale}")


class CropAtRandomScale(A.ImageOnlyTransform):
    """Cut a window of fixed size out of a photograph that is scaled at random.

    The scale lies between the smallest at which the window fits and ``largest_scale``, nearer the former more
    often because shrunk photographs are sharp and enlarged ones are not. Only the window is resampled.
    """

    def __init__(self, height: int, width: int, largest_scale: float) -> None:
        super().__init__(p=1.0)
        self.height, self.width, self.largest_scale = height, width, largest_scale

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Choose the scale and the place."""
        rows, columns = params["shape"][:2]
        least = max(self.height / rows, self.width / columns)
        most = max(least, self.largest_scale)
        if least > self.largest_scale:
            least = most = self.largest_scale
        scale = least * (most / least) ** (self.py_random.random() ** 2)
        height, width = min(rows, self.height / scale), min(columns, self.width / scale)
        window_height, window_width = round(height), round(width)
        return {
            "top": round(self.py_random.random() * (rows - window_height)),
            "left": round(self.py_random.random() * (columns - window_width)),
            "window": (window_height, window_width),
            "scaled": (min(self.height, round(height * scale)), min(self.width, round(width * scale))),
        }

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """Cut, resample, and mirror the border of a photograph that is too small."""
        top, left = params["top"], params["left"]
        (rows, columns), (height, width) = params["window"], params["scaled"]
        window = img[top : top + rows, left : left + columns]
        shrinks = height * width < rows * columns
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        result = np.asarray(cv2.resize(window, (width, height), interpolation=interpolation), np.uint8)
        if (height, width) == (self.height, self.width):
            return result
        above, before = (self.height - height) // 2, (self.width - width) // 2
        below, after = self.height - height - above, self.width - width - before
        mirrored = cv2.copyMakeBorder(result, above, below, before, after, cv2.BORDER_REFLECT_101)
        return np.asarray(mirrored, np.uint8)


class PlaceInPatch(A.ImageOnlyTransform):
    """Scale and turn a premultiplied cut-out and centre it in a square patch with a transparent rim."""

    def __init__(self, patch: int, shortest_frame_side: int, augmentation: Augmentation) -> None:
        super().__init__(p=1.0)
        self.patch, self.frame_side, self.augmentation = patch, shortest_frame_side, augmentation

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Choose the size and the angle, so that the turned object fits the patch."""
        rows, columns = params["shape"][:2]
        low, high = self.augmentation.object_size
        longest = max(_LEAST_OBJECT, self.frame_side * self.py_random.uniform(low, high))
        scale = min(self.augmentation.largest_scale, longest / max(rows, columns))
        turned = self.py_random.random() < self.augmentation.rotation
        angle = self.py_random.uniform(-180.0, 180.0)
        quarter_turns = self.py_random.randrange(4)
        if turned:
            cosine, sine = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
            extent = max(columns * cosine + rows * sine, columns * sine + rows * cosine)
        else:
            extent = max(rows, columns)
        scale = min(scale, (self.patch - 2 * (RIM + _CUBIC_SPREAD)) / extent)
        return {"scale": float(scale), "angle": angle if turned else None, "quarter_turns": quarter_turns}

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """Resample; premultiplied in, straight alpha out."""
        scale, angle = params["scale"], params["angle"]
        rows, columns = img.shape[:2]
        height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
        if scale < 1:
            scaled = cv2.resize(img, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        else:
            enlarged = cv2.resize(img.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
            scaled = np.asarray(enlarged, np.float32)
        if angle is None:
            turned = np.rot90(scaled, params["quarter_turns"])
            height, width = turned.shape[:2]
            patch = np.zeros((self.patch, self.patch, 4), np.float32)
            top, left = (self.patch - height) // 2, (self.patch - width) // 2
            patch[top : top + height, left : left + width] = turned
        else:
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
            matrix[:, 2] += ((self.patch - width) / 2, (self.patch - height) / 2)
            size = (self.patch, self.patch)
            patch = np.asarray(cv2.warpAffine(scaled, matrix, size, flags=cv2.INTER_CUBIC), np.float32)
        for edge in (patch[:RIM], patch[-RIM:], patch[:, :RIM], patch[:, -RIM:]):
            edge[:] = 0
        # Divided before anything is clipped: the cubic kernel overshoots in colour and alpha alike, and
        # clipping the one alone would leave a bright line along the outline.
        alpha = patch[..., 3:]
        patch[..., :3] *= np.where(alpha > _LEAST_ALPHA, 255 / np.maximum(alpha, _LEAST_ALPHA), 0)
        alpha[alpha <= _LEAST_ALPHA] = 0
        return np.rint(np.clip(patch, 0, 255)).astype(np.uint8)


class LayerAugmenter:
    """Turns photographs into backgrounds and cut-outs into patches of the sizes that the renderer wants.

    Args:
        height: of the background in px, margins included.
        width: of the background in px, margins included.
        patch: side of an object's patch in px.
        shortest_frame_side: of the output frame in px; sizes of objects are fractions of it.
        augmentation: how much is varied.
    """

    def __init__(
        self,
        height: int,
        width: int,
        patch: int,
        shortest_frame_side: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        augmentation = augmentation or Augmentation()
        self._background = A.Compose(
            [
                CropAtRandomScale(height, width, augmentation.largest_scale),
                A.HorizontalFlip(p=0.5),
                *_photometric(augmentation),
            ]
        )
        self._geometry = A.Compose(
            [A.HorizontalFlip(p=0.5), PlaceInPatch(patch, shortest_frame_side, augmentation)]
        )
        self._colour = A.Compose(_photometric(augmentation))

    def background(self, photograph: Pixels, generator: np.random.Generator) -> Pixels:
        """Return a background, uint8 RGB (height, width, 3), from a photograph, uint8 RGB (H, W, 3)."""
        _seed(self._background, generator)
        result: Pixels = self._background(image=photograph)["image"]
        return result

    def patch(self, cutout: Pixels, generator: np.random.Generator) -> Pixels:
        """Return a patch from a cut-out.

        Args:
            cutout: uint8 straight-alpha RGBA (H, W, 4).
            generator: decides everything.

        Returns:
            uint8 premultiplied RGBA (patch, patch, 4), the object in its middle, the outer 3 px transparent.
        """
        _seed(self._geometry, generator)
        placed = self._geometry(image=premultiply(cutout))["image"]
        _seed(self._colour, generator)
        rows, columns = _visible_window(placed[..., 3])
        # Colour is changed before it is multiplied: a brightness added to a half-transparent pixel counts
        # half.
        inside = placed[rows, columns]
        inside[..., :3] = self._colour(image=np.ascontiguousarray(inside[..., :3]))["image"]
        return premultiply(placed)


def premultiply(rgba: Pixels) -> Pixels:
    """Return RGBA (H, W, 4) with its colours multiplied by alpha, rounded; uint8 in and out."""
    alpha = np.ascontiguousarray(rgba[..., 3])
    colour = cv2.multiply(rgba[..., :3], cv2.merge((alpha, alpha, alpha)), scale=1 / 255)
    return np.dstack((colour, alpha))


def _visible_window(alpha: Pixels) -> tuple[slice, slice]:
    """Return the rows and columns where alpha is not 0; of one pixel where it is 0 everywhere."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _photometric(augmentation: Augmentation) -> list[Any]:
    """Return the transforms of colour; mild, because a photograph already looks like one."""
    return [
        A.Compose(
            [
                A.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.2, p=0.5),
                A.HueSaturationValue(hue_shift_limit=15, sat_shift_limit=25, val_shift_limit=0, p=0.4),
                A.RandomGamma(gamma_limit=(75, 135), p=0.4),
                A.ToGray(p=0.03),
            ],
            p=augmentation.colour,
        ),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.4, 1.2), p=augmentation.blur),
    ]


def _seed(pipeline: A.Compose, generator: np.random.Generator) -> None:
    """Make the pipeline's next call a function of ``generator`` alone."""
    # set_random_seed would start every transform with the same seed, so that their draws are equal.
    pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
