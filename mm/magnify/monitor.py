"""How far a clip moves, so that a factor beyond what the network was trained for is told."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import torch
from torch import Tensor

from mm.temporal import Band, from_band

# Frames are looked at with their longer side at most this long, in px.
_SIDE = 512
_BLOCK = 16
# A block's motion is believed if following it removes at least this part of the change of brightness.
_EXPLAINED = 0.5
UNSEEN = 0.1
"""Motion below this, in px of the small frame, is not told from noise by what it explains, nor reported."""


class MotionMonitor:
    """Estimates the largest displacement that a method multiplies, and warns once when it goes too far.

    Dense flow (DIS, Kroeger et al. 2016) of a small grey copy, averaged over blocks of 16×16 px, weighted by
    texture. A block counts only where following its motion explains the change of brightness, so that noise,
    flicker and what comes into view are not taken for motion. Meant for a warning: right to some 15 % for
    motions of a pixel and more, rougher below, and blind to what is much smaller than a block.

    Args:
        name: the clip, as the warning calls it.
        factor: what the displacement is multiplied by.
        reach: the largest displacement after that, px, that the network was trained for.
        mode: what displacement is measured against: "static" (the first frame), "dynamic" (the frame before)
            or "temporal" (the first frame, but only what lies within ``band`` counts).
        band: the frequencies that are magnified; for "temporal" only.
    """

    def __init__(
        self,
        name: str,
        factor: float,
        reach: float,
        mode: str = "static",
        band: Band | None = None,
    ) -> None:
        self.name, self.factor, self.reach, self.mode = name, factor, reach, mode
        self._filter = from_band(band) if band is not None and mode == "temporal" else None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._reference: np.ndarray | None = None
        self._last: np.ndarray | None = None
        self._scale = 1.0
        self._pushed = self._frames = 0
        self.largest = 0.0
        """The largest displacement so far, in px of the frames that were pushed."""
        self._warned = False

    def push(self, frames: Tensor) -> None:
        """Look at the next frames, (n, 3, H, W) in [0, 1]."""
        for frame in frames:
            self._pushed += 1
            grey = self._small(frame)
            if self._reference is None:
                self._reference = grey
                self._last = np.zeros((*_blocks(grey).shape[:2], 2), np.float32)
            else:
                mean, believed = self._displacement(self._reference, grey)
                # A band-pass would take a block that is lost for a frame for a jump to 0 and back: it stays.
                lost = (
                    self._last if self._filter is not None and self._last is not None else np.zeros_like(mean)
                )
                self._last = np.where(believed[..., None], mean, lost).astype(np.float32)
                if self.mode == "dynamic":
                    self._reference = grey
            moved = torch.from_numpy(self._last).unsqueeze(0)
            self._note(moved if self._filter is None else self._filter.push(moved))

    def flush(self) -> None:
        """End the clip, or its part before a cut: look at what the temporal filter still holds.

        Raises:
            InputError: if that part was too short for the filter; the next one can follow all the same.
        """
        try:
            if self._filter is not None:
                self._note(self._filter.flush())
        finally:
            self._reference = self._last = None
            self._frames = self._pushed

    def _note(self, moved: Tensor) -> None:
        for field in moved:
            sizes = field.norm(dim=-1)
            largest = float(sizes.max())
            if largest > max(UNSEEN, self.largest * self._scale):
                self.largest = largest / self._scale
                row, column = divmod(int(sizes.argmax()), sizes.shape[1])
                self._warn_beyond(*(round((place + 0.5) * _BLOCK / self._scale) for place in (column, row)))
            self._frames += 1

    def _warn_beyond(self, x: int, y: int) -> None:
        if self._warned or self.largest * self.factor <= self.reach:
            return
        self._warned = True
        warnings.warn(
            f"{self.name} moves {self.largest:.1f} px at frame {self._frames}, about x {x}, y {y}: factor "
            f"{self.factor:g} makes that {self.largest * self.factor:.0f} px, past the {self.reach:g} px "
            "that the weights were trained for; expect artefacts. The end tells which factor is small enough",
            stacklevel=2,
        )

    def _small(self, frame: Tensor) -> np.ndarray:
        height, width = frame.shape[-2:]
        self._scale = min(1.0, _SIDE / max(height, width))
        grey = frame.detach().float().mean(0).mul(255).round().byte().cpu().numpy()
        if self._scale < 1:
            size = (max(1, round(width * self._scale)), max(1, round(height * self._scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        # DIS needs at least a patch and its coarser levels.
        rows, columns = (max(0, 2 * _BLOCK - length) for length in grey.shape)
        return (
            cv2.copyMakeBorder(grey, 0, rows, 0, columns, cv2.BORDER_REPLICATE) if rows or columns else grey
        )

    def _displacement(self, reference: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacement of blocks in px of the small frame (rows, columns, 2), and whether to believe it."""
        flow = self._flow.calc(reference, moved, np.zeros((*reference.shape, 2), np.float32))
        rows, columns = np.indices(reference.shape, dtype=np.float32)
        followed = cv2.remap(moved, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
        before, after = _changes(reference, moved), _changes(reference, followed)
        slopes = np.gradient(reference.astype(np.float32))
        texture = slopes[0] ** 2 + slopes[1] ** 2 + 1e-3
        weight = _blocks(texture)
        mean = np.stack(
            [(_blocks(flow[..., axis]) * weight).sum((2, 3)) / weight.sum((2, 3)) for axis in (0, 1)], axis=-1
        )
        small = np.hypot(mean[..., 0], mean[..., 1]) <= UNSEEN
        return mean, small | (after < (1 - _EXPLAINED) * before)


def _changes(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(rows, columns) mean change of brightness in each block, but for what all of the block has of it.

    A little more light on a sky or a wall is explained as well by its slope, moved by many px.
    """
    blocks = _blocks(other.astype(np.float32) - reference)
    changes: np.ndarray = np.abs(blocks - blocks.mean((2, 3), keepdims=True)).mean((2, 3))
    return changes


def _blocks(image: np.ndarray) -> np.ndarray:
    """(rows, columns, block, block) view of an image, what is left over on the right and below cut off."""
    rows, columns = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    cut = image[: rows * _BLOCK, : columns * _BLOCK]
    return cut.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
