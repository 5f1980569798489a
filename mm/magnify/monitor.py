"""The extent of a clip's motion, to warn of a factor beyond the network's training."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import torch
from torch import Tensor

from mm.motion.blocks import BLOCK, MOST_BLOCKS, SMALLEST, SMOOTHING, BlockTracker, larger_block, without_rim
from mm.temporal import Band, TemporalFilter, from_band
from mm.temporal.uneven import Grid, UnevenFilter

# Frames are looked at with their longer side at most this long, in px.
_SIDE = 960
UNSEEN = 0.02
"""Motion below this, in px of the frame that is looked at, is not reported."""
# Directions along which half of peak to peak is noted, unit vectors (2, 4).
_DIRECTIONS = np.array([[1, 0, np.sqrt(0.5), np.sqrt(0.5)], [0, 1, np.sqrt(0.5), -np.sqrt(0.5)]])


class MotionMonitor:
    """Estimates the largest displacement that a method multiplies, and warns once when it goes too far.

    Blocks are followed as for a spectrum or a measurement (:class:`mm.motion.blocks.BlockTracker`). A block
    counts only where motion explains how it has changed, so that noise, flicker and what comes into view are
    not taken for motion.

    Args:
        name: the clip, as the warning calls it.
        factor: what the displacement is multiplied by.
        reach: the largest displacement after that, px, that the network was trained for.
        mode: what displacement is measured against: "static" (the first frame), "dynamic" (the frame before)
            or "temporal" (the first frame, but only what lies within ``band`` counts).
        band: the frequencies that are magnified; for "temporal" only.
        grid: of frames at uneven times, see :meth:`mm.methods.Magnifier.keep_time`.
    """

    def __init__(
        self,
        name: str,
        factor: float,
        reach: float,
        mode: str = "static",
        band: Band | None = None,
        grid: Grid | None = None,
    ) -> None:
        self.name, self.factor, self.reach, self.mode = name, factor, reach, mode
        self._filter: TemporalFilter | None = None
        if band is not None and mode == "temporal":
            self._filter = from_band(band) if grid is None else UnevenFilter(from_band(band), grid)
        self._tracker: BlockTracker | None = None
        self._last = self._range = np.zeros((0, 0, 2))
        self._scale = 1.0
        self._block = BLOCK
        self._pushed = self._frames = 0
        self.largest = 0.0
        """The largest displacement so far, in px of the frames that were pushed."""
        self.amplitude = 0.0
        """The largest half of peak to peak so far, likewise."""
        self._warned = False

    def push(self, frames: Tensor) -> None:
        """Look at the next frames, (n, 3, H, W) in [0, 1]."""
        if min(frames.shape[-2:]) < 2 * SMALLEST:
            return
        for frame in frames:
            self._pushed += 1
            grey = self._small(frame)
            if self._tracker is None:
                height, width = grey.shape
                self._block = larger_block(min(BLOCK, height, width), width, height, MOST_BLOCKS)
                inner = without_rim((0, 0, width, height), (height, width), self._block)
                self._tracker = BlockTracker(height, width, inner, self._block)
                self._last = np.zeros((self._tracker.rows, self._tracker.columns, 2))
                self._range = np.zeros((2, *self._last.shape[:2], 4))
            self._tracker.push(grey)
            sure = self._tracker.explained()[..., None]
            # A band-pass would take a block that is lost for a frame for a jump to 0 and back: it stays.
            stays = self._last if self.mode != "static" else np.zeros_like(self._last)
            moved = np.where(sure, self._tracker.latest, stays)
            shown = moved - self._last if self.mode == "dynamic" else moved
            self._last = moved
            field = torch.from_numpy(shown.astype(np.float32)).unsqueeze(0)
            self._note(field if self._filter is None else self._filter.push(field))

    def flush(self) -> None:
        """End the clip, or its part before a cut: look at what the temporal filter still holds.

        Raises:
            InputError: if that part was too short for the filter; the next one can follow all the same.
        """
        try:
            if self._filter is not None:
                self._note(self._filter.flush())
        finally:
            self._tracker = None
            self._frames = self._pushed

    def _note(self, moved: Tensor) -> None:
        for field in moved.numpy():
            sizes = np.hypot(field[..., 0], field[..., 1])
            largest = float(sizes.max(initial=0.0))
            along = field @ _DIRECTIONS
            self._range = np.stack([np.minimum(self._range[0], along), np.maximum(self._range[1], along)])
            amplitude = float((self._range[1] - self._range[0]).max(initial=0.0)) / 2
            if largest > UNSEEN:
                self.amplitude = max(self.amplitude, amplitude / self._scale)
            if largest > max(UNSEEN, self.largest * self._scale):
                self.largest = largest / self._scale
                row, column = divmod(int(sizes.argmax()), sizes.shape[1])
                self._warn_beyond(
                    *(round((place + 0.5) * self._block / self._scale) for place in (column, row))
                )
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
        grey = frame.detach().float().mean(0).cpu().numpy()
        if self._scale < 1:
            size = (max(1, round(width * self._scale)), max(1, round(height * self._scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(grey, (0, 0), SMOOTHING)
