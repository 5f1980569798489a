"""Drawing images out of a source: within one split, through a cache, and past broken ones."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import torch

from mm.data.cache import ImageCache
from mm.data.decoding import UnreadableImage
from mm.data.sources import ImageSource
from mm.errors import InputError

# Draws in a row that may meet a broken image before the source is called broken.
_ATTEMPTS = 100
# Broken images of which each is told by itself; a folder of something else would be a wall of lines.
_TOLD = 10
_LEAST_SIDE = {"photograph": 16, "cut-out": 4}


class ImageBank:
    """Images of one split of one source, decoded once while the memory lasts.

    A broken image is named in one warning and another one is drawn in its place; which one follows from the
    generator alone, so that a sample stays a function of its seed. Which images are broken is kept in memory
    that the workers share, so that it is said once and can be counted in the main process.

    Args:
        source: where the images come from.
        indices: (N,) those of the source that belong to the split.
        kind: "photograph" for uint8 RGB (H, W, 3), "cut-out" for uint8 RGBA (H, W, 4).
        cache: where decoded images are kept; None to decode every time.

    Raises:
        InputError: if the split is empty.
    """

    def __init__(
        self,
        source: ImageSource,
        indices: np.ndarray | None = None,
        kind: Literal["photograph", "cut-out"] = "photograph",
        cache: ImageCache | None = None,
    ) -> None:
        self.source = source
        self.indices = np.arange(len(source)) if indices is None else np.asarray(indices)
        self.kind = kind
        self.cache = cache
        if not len(self.indices):
            raise InputError(f"there is no {kind} to draw: {type(source).__name__} has none in this split")
        self._number = 0 if cache is None else cache.add_bank(len(self.indices))
        self._broken = torch.zeros(len(self.indices), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def broken(self) -> int:
        """Number of images that were found broken so far, by any worker."""
        return int(self._broken.sum())

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Return a random image: uint8 (H, W, 3) or (H, W, 4), not to be written to.

        Raises:
            InputError: if so many are broken that none can be drawn.
        """
        for _ in range(_ATTEMPTS):
            position = int(generator.integers(len(self.indices)))
            image = self._get(position)
            if image is not None:
                return image
        source = type(self.source).__name__
        raise InputError(
            f"none of {_ATTEMPTS} {self.kind}s drawn from the {len(self)} of {source} can be used; see "
            "the warnings above for what is wrong with them"
        )

    def _get(self, position: int) -> np.ndarray | None:
        """Return one image, or None if it is broken."""
        if self.cache is not None and (known := self.cache.get(self._number, position)) is not None:
            return known
        if self._broken[position]:
            return None
        try:
            image = self._checked(int(self.indices[position]))
        except UnreadableImage as error:
            if not self._broken[position]:
                self._broken[position] = 1
                if self.broken <= _TOLD:
                    more = "; no more are told" if self.broken == _TOLD else ""
                    warnings.warn(f"{error}; skipped from now on{more}", stacklevel=2)
            return None
        if self.cache is not None:
            self.cache.put(self._number, position, image)
        return image

    def _checked(self, index: int) -> np.ndarray:
        image = self.source.load(index)
        name = f"{self.kind} {self.source.identity(index)!r} of {type(self.source).__name__}"
        channels = 3 if self.kind == "photograph" else 4
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels:
            raise InputError(
                f"{name} must be uint8 (H, W, {channels}), got {image.dtype} {image.shape}; "
                "the source is at fault"
            )
        if min(image.shape[:2]) < _LEAST_SIDE[self.kind]:
            height, width = image.shape[:2]
            raise UnreadableImage(
                f"{name} is {width}×{height} px, at least {_LEAST_SIDE[self.kind]} are needed"
            )
        return image
