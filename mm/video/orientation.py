"""Turns and mirrors that set stored frames upright: the display matrix of a container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type
from torch import Tensor


def _unknown_kind(cls: type[Type], value: object) -> Type:
    """Name a kind of side data that PyAV's table lacks, such as EXIF; PyAV would refuse the whole frame."""
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    made: Type = cls._value2member_map_.setdefault(value, member)  # type: ignore[assignment]
    return made


Type._missing_ = classmethod(_unknown_kind)  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a rectangle on its sides: transpose first, then mirror.

    Attributes:
        transpose: rows become columns.
        mirror_x: left and right are swapped (after the transposition).
        mirror_y: top and bottom are swapped (after the transposition).
    """

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise turn, without the mirroring: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def apply(self, frames: Tensor) -> Tensor:
        """Turn (n, 3, H, W) frames upright."""
        if self.transpose:
            frames = frames.transpose(-1, -2)
        flips = [dim for dim, wanted in ((-1, self.mirror_x), (-2, self.mirror_y)) if wanted]
        return frames.flip(flips).contiguous() if flips or self.transpose else frames


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """Return the orientation that a decoded frame's display matrix asks for; upright if it has none.

    None stands for a matrix that is not made of right angles and mirrors.
    """
    side_data: Any = frame.side_data
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return Orientation()
    # Rows (a, b, u), (c, d, v), (x, y, w): x' = a·x + c·y and y' = b·x + d·y, in 16.16 fixed point.
    a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32)[:5])
    if a and d and not b and not c:
        return Orientation(False, mirror_x=a < 0, mirror_y=d < 0)
    if b and c and not a and not d:
        return Orientation(True, mirror_x=c < 0, mirror_y=b < 0)
    return None if a or b or c or d else Orientation()
