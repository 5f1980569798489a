"""The sizes that the workers, which cut the layers, and the renderer, which moves them, must agree on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mm.errors import InputError

# The cubic spline reaches 2 px beyond the sampled point, and the layer's sub-pixel phase adds one more.
_SPLINE_REACH = 3


MOST_SIDE = 2**14  # px


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels of the output frame; one pixel of a layer is one pixel of the frame.

    Attributes:
        height: of the frame.
        width: of the frame.
        margin: by how much the background reaches past the frame on each side, so that it can move.
        object_size: side of the square patch that holds an object.
        max_objects: patches in a sample; a sample with fewer objects has empty patches.
    """

    height: int
    width: int
    margin: int
    object_size: int
    max_objects: int = 15

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            InputError: if a size is too small to render.
        """
        for name, least in (("height", 8), ("width", 8), ("margin", _SPLINE_REACH), ("object_size", 12)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least} px, got {getattr(self, name)}")
            if getattr(self, name) > MOST_SIDE:
                raise InputError(f"{name} must be at most {MOST_SIDE} px, got {getattr(self, name)}")
        # The ground truth labels layers with 8 bits.
        if not 0 <= self.max_objects <= 254:
            raise InputError(f"max_objects must be at least 0 and at most 254, got {self.max_objects}")

    @classmethod
    def for_motion(
        cls,
        height: int,
        width: int,
        max_magnified: float,
        object_size: int | None = None,
        max_objects: int = 15,
    ) -> Geometry:
        """Return the geometry whose margin holds a magnified motion of up to ``max_magnified`` px.

        The patch side is by default 0.45 of the frame's shorter side.
        """
        patch = object_size or max(16, round(0.45 * min(height, width)))
        return cls(height, width, math.ceil(max_magnified) + _SPLINE_REACH, patch, max_objects)

    @property
    def background_size(self) -> tuple[int, int]:
        """(height, width) of the background layer."""
        return self.height + 2 * self.margin, self.width + 2 * self.margin
