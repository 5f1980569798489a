"""A clip without its camera's own motion, for whatever reads it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mm.methods.affine import Spline, apply, grid
from mm.motion.camera import Camera, Kind
from mm.video.grid import Region
from mm.video.info import Chunk
from mm.video.reader import Clip


class SteadyClip:
    """The frames of a clip, each put where the first one is; beyond their borders they are repeated.

    Args:
        clip: the clip.
        kind: of the camera's transform.
        still: (x, y, width, height) px of the clip that should stand still; everywhere if None.
    """

    def __init__(self, clip: Clip, kind: Kind, still: Region | None = None) -> None:
        self._clip, self.info = clip, clip.info
        self._camera = Camera(kind, still, str(clip.info.path))

    def chunks(self, size: int = 8) -> Iterator[Chunk]:
        """Hand out the steady frames; see :meth:`mm.video.VideoClip.chunks`."""
        points = grid(self.info.height, self.info.width)
        for frames, pts in self._clip.chunks(size):
            moves = torch.from_numpy(self._camera.push(frames))
            yield Chunk(
                torch.stack([_back(one, move, points) for one, move in zip(frames, moves, strict=True)]), pts
            )


def _back(frame: Tensor, move: Tensor, points: Tensor) -> Tensor:
    """Return a frame (3, H, W) as the first frame's camera would have seen it."""
    if torch.equal(move, torch.eye(2, 3, dtype=move.dtype)):
        return frame
    return Spline(frame).at(apply(move, points)).view_as(frame).clamp(0, 1)
