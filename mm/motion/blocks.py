"""Displacement signals on a grid of blocks, frame by frame, in one pass over a clip.

Each block is followed by a gradient estimator (Lucas and Kanade 1981) on the blurred luminance, against an
anchor: the block as it was in an earlier frame, at first the first one. With g the anchor's gradient, a frame
is I_t = I_0 − g·d. What makes it fit for motion of a hundredth of a pixel in noisy, flickering clips:

- Brightness. What a change of the block's brightness or contrast could explain is taken out of g beforehand
  (g̃ is orthogonal to 1 and to I_0 in the block), so flicker projects to nothing.
- Noise. The normal matrix Σ g̃ g̃ᵀ of a noisy anchor is too large, and displacement comes out too small. Here
  it is Σ g̃ ḡᵀ, where ḡ is the gradient of the mean of all frames seen with this anchor: its noise is
  averaged away and nearly independent of the anchor's (an instrumental variable, as regression calls it). The
  mean is complete only when the anchor is given up, so the projections Σ g̃ I_t are kept and solved then.
- Large motion. A block that is more than :data:`REACH` from its anchor is looked for whole px further on:
  where the gradient points, and where dense flow from the frame before leads (DIS, Kroeger et al. 2016). It
  goes there if that explains how the block has changed. A block that stays lost takes a new anchor.
- Edges. Along an edge motion cannot be seen; the direction without texture is damped to zero.

What is held is a few frames, and two numbers a block and frame; with what :mod:`mm.motion.spectrum`
needs of them, :data:`HELD` bytes a block and frame. A clip so long that this exceeds :data:`MOST_BYTES` has
fewer and larger blocks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mm.errors import InputError
from mm.motion.camera import Camera, Kind, displacement_of
from mm.motion.registration import luminance
from mm.temporal.uneven import Grid, grid_of, resampled
from mm.video import ClipInfo, open_clip
from mm.video.grid import Region, resize, scaled_region, scaled_size
from mm.video.images import check_rate

Array = NDArray[np.floating]  # float32, but where float64 is said
Mask = NDArray[np.bool_]
Whole = NDArray[np.integer]
Places = tuple[Whole, ...]  # rows and columns of blocks

SMOOTHING = 1.5  # px, of the Gaussian; what is left is slow enough for gradients to hold over REACH
REACH = 0.6  # px from a whole number of them at which a block is looked for further on
LINEAR = 1.5  # px, up to which gradients do for a block that is too noisy to be looked for
MEAN_REACH = 0.25  # px, within which frames are averaged for the gradient
MEAN_FRAMES = 64  # that are averaged at most
GIVEN_UP = 12  # frames in which a block is lost before it takes a new anchor
ENTERED, ENTERED_LEAST = 2.0, 0.03  # times a block's least contrast, and more: something has come into it
CROSSED = 3  # frames in which a block is lost, from which on something has crossed it
FAR = 0.05  # of the region's longer side: motion of so much is no vibration
FLOW_SIDE = 512  # px, the longer side of the frames for dense flow
RIM = 4  # px of the frame's rim, where the blur sees what is not there
BLOCK = 16  # px
MOST_BLOCKS = 2048  # blocks grow in large frames
HELD = 100  # bytes a block and frame at most, measured over all of a spectrum (double precision, copies)
MOST_BYTES = 2**30  # of memory for that; with the most blocks about 5200 frames, with the fewest 670,000
FEWEST_BLOCKS = 16  # fewer tell too little of where something moves
SMALLEST = 8  # px, the least side of a frame or region
LEAST_FRAMES = 8
DAMPING = 0.03  # of the stronger direction's texture: what has less of it counts as having none
EXPLAINED = 0.5  # of the change of a block's picture; motion that explains less of it is not believed
FLAT = 1e-4  # of luminance per px, root mean square: less is no texture
CUT = 0.5  # correlation of a frame with the one before, below which the scene has changed
_AROUND = 32  # px beyond a region that its blocks may go


@dataclass(frozen=True)
class BlockMotion:
    """The displacement of each block of a clip.

    Attributes:
        displacement: (T, rows, columns, 2) float32, px of the clip from the first frame, order (x, y),
            positive right and down, evenly spaced in time; 0 where there is no texture.
        texture: (rows, columns, 2, 2) float64: mean outer product of the gradients that motion was seen by,
            per px²; its eigenvectors are the directions that the block knows best and least.
        followed: (rows, columns) in [0, 1], the part of the frames in which the block was found again.
        x: (columns,) px of the clip, the blocks' centres.
        y: (rows,) px of the clip.
        block: px of the clip, a block's side.
        fps: frames a second, which frequencies refer to.
        playback: the container's frames a second; ``fps`` for a folder of images.
        picture: (h, w) float32 in [0, 1], the first frame's luminance within ``region``.
        region: (x, y, width, height) px of the clip that was looked at.
    """

    displacement: Array
    texture: Array
    followed: Array
    x: Array
    y: Array
    block: float
    fps: float
    playback: float
    picture: Array
    region: Region

    @property
    def crossed(self) -> tuple[float, float] | None:
        """The place in the clip, px, of something that crosses it or moves far; None without any."""
        frames = len(self.displacement)
        lost = (1 - self.followed) * frames >= max(CROSSED, 0.02 * frames)
        swing = np.ptp(self.displacement, axis=0).max(-1) / 2
        far = lost | ((swing > FAR * max(self.region[2:])) & (self.followed > 0.5))
        if far.sum() < max(2, 0.01 * far.size):
            return None
        row, column = (int(np.median(index)) for index in np.nonzero(far))
        return float(self.x[column]), float(self.y[row])


def block_motion(
    path: str | Path,
    *,
    fps: float | None = None,
    roi: Region | None = None,
    start: float | None = None,
    end: float | None = None,
    scale: float = 1.0,
    stabilize: Kind | None = None,
    still: Region | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> BlockMotion:
    """Follow the blocks of a clip; a few frames are held at a time.

    What is held of the frames that have gone by grows by :data:`HELD` bytes a block and frame, up to 0.2 MB a
    frame, and is kept within :data:`MOST_BYTES`: of a long clip the blocks are larger, with a warning.

    Args:
        path: a video file or a folder of images.
        fps: frames a second of *capture*; the container's rate if None. A folder of images needs it.
        roi: (x, y, width, height) px of the clip: look only there.
        start: seconds of playback at which to begin.
        end: seconds of playback before which to stop.
        scale: resize the frames first; a smaller one follows faster motion. Displacement is in px of the clip
            all the same.
        stabilize: what the camera does, which is taken out; nothing if None.
        still: (x, y, width, height) px of the clip that should stand still; everywhere if None.
        advance: called with the number of frames that were taken.

    Raises:
        InputError: for a clip that cannot be read, has fewer than :data:`LEAST_FRAMES` frames or is too long
            for :data:`MOST_BYTES`, a region outside the frame or smaller than :data:`SMALLEST`, or a rate or
            scale that is no number above 0.
    """
    path = Path(path)
    check_rate(path, fps)
    with open_clip(path, start=start, end=end, folder_rate=fps) as clip:
        info = clip.info
        size = scaled_size(info, scale)
        x, y, width, height = (0, 0, size[1], size[0]) if roi is None else scaled_region(info, roi, scale)
        if min(width, height) < SMALLEST:
            raise InputError(
                f"{path}: {width}×{height} px to look at are too few, at least {SMALLEST}×{SMALLEST} px are "
                "needed; take a larger region or scale"
            )
        # The frame continues beyond a region.
        left, top = max(0, x - _AROUND), max(0, y - _AROUND)
        right, bottom = min(size[1], x + width + _AROUND), min(size[0], y + height + _AROUND)
        block = min(BLOCK, width, height)
        block = larger_block(block, width, height, MOST_BLOCKS)
        expected = _expected(info, start, end)
        if expected is not None:
            # As far as the clip's own count can be believed; what comes is counted below.
            block = _coarser(path, block, width, height, expected)
        inner = without_rim((x, y, width, height), size, block)
        tracker = BlockTracker(
            bottom - top, right - left, (inner[0] - left, inner[1] - top, *inner[2:]), block
        )
        pts: list[int] = []
        picture: Array | None = None
        camera = None if stabilize is None else Camera(stabilize, still, str(path))
        moves: list[Array] = []
        for frames, ticks in clip.chunks():
            if camera is not None:
                moves.append(camera.push(frames))
            grey = luminance(resize(frames, size)[..., top:bottom, left:right]).numpy()
            if picture is None:
                picture = grey[0, y - top : y - top + height, x - left : x - left + width].copy()
            for frame, tick in zip(grey, ticks, strict=True):
                if tracker.push(cv2.GaussianBlur(frame, (0, 0), SMOOTHING)):
                    _tell_cut(path, float((tick - (pts or ticks)[0]) * info.time_base) + (start or 0.0))
                pts.append(tick)
            _check_memory(path, tracker.rows * tracker.columns, len(pts))
            advance(len(ticks))
    if len(pts) < LEAST_FRAMES:
        raise InputError(
            f"{path} has {len(pts)} frame{'s' * (len(pts) != 1)} to look at, and a spectrum needs at least "
            f"{LEAST_FRAMES}; give a longer clip"
        )
    assert picture is not None
    moved, texture, followed = tracker.finish()
    moved /= np.array([size[1] / info.width, size[0] / info.height], np.float32)
    across, down = info.width / size[1], info.height / size[0]
    middle = (block - 1) / 2
    columns = (left + tracker.left + block * np.arange(tracker.columns) + middle + 0.5) * across - 0.5
    rows = (top + tracker.top + block * np.arange(tracker.rows) + middle + 0.5) * down - 0.5
    if moves:
        moved -= displacement_of(np.concatenate(moves), columns, rows[:, None])
    seconds = np.asarray(pts, np.float64) * float(info.time_base)
    grid = grid_of(seconds, float(info.rate), float(info.time_base))
    if grid is not None:
        warn_of(grid, path)
        moved = resampled(seconds, moved, seconds[0] + np.arange(grid.points) / grid.rate)
    return BlockMotion(
        displacement=moved,
        texture=texture,
        followed=followed,
        x=columns,
        y=rows,
        block=block * across,
        fps=(fps or float(info.rate)) * (1 if grid is None else grid.rate / float(info.rate)),
        playback=float(info.rate),
        picture=picture,
        region=roi or (0, 0, info.width, info.height),
    )


def without_rim(region: Region, size: tuple[int, int], block: int) -> Region:
    """Return a region without the frame's own rim, unless hardly a block would be left."""
    x, y, width, height = region
    left, top = max(x, RIM), max(y, RIM)
    right, bottom = min(x + width, size[1] - RIM), min(y + height, size[0] - RIM)
    return (left, top, right - left, bottom - top) if min(right - left, bottom - top) >= block else region


def _expected(info: ClipInfo, start: float | None, end: float | None) -> int | None:
    """Return how many frames a part of a clip should have, None if the clip does not tell."""
    if info.frames is None:
        return None if end is None else math.ceil((end - (start or 0.0)) * float(info.rate))
    left = info.frames / float(info.rate) if end is None else min(end, info.frames / float(info.rate))
    return max(0, math.ceil((left - (start or 0.0)) * float(info.rate)))


def larger_block(block: int, width: int, height: int, most: int) -> int:
    """Return the side of blocks, a multiple of ``block`` px, of which there are at most about ``most``."""
    return block * max(1, math.ceil(math.sqrt(width * height / (block**2 * most))))


def _coarser(path: Path, block: int, width: int, height: int, frames: int) -> int:
    """Return a side of blocks, ``block`` px or more, with which the memory suffices for so many frames."""
    most = MOST_BYTES // (HELD * max(frames, 1))
    if (width // block) * (height // block) <= most:
        return block
    if most < FEWEST_BLOCKS:
        raise _too_long(path, frames, FEWEST_BLOCKS)
    larger = larger_block(block, width, height, most)
    warnings.warn(
        f"{path} has {frames} frames: blocks of {larger} px instead of {block} px are followed, to hold no "
        f"more than {MOST_BYTES / 2**20:.0f} MiB; for finer ones look at less with --roi, --start and --end",
        stacklevel=3,
    )
    return larger


def _check_memory(path: Path, blocks: int, frames: int) -> None:
    """Refuse what a clip without a count, or with a wrong one, has more than can be held.

    A tenth more is let pass: counts that come from a container's duration are a little off.
    """
    if frames * blocks * HELD > 1.1 * MOST_BYTES:
        raise _too_long(path, frames, blocks)


def _too_long(path: Path, frames: int, blocks: int) -> InputError:
    return InputError(
        f"{path} has {frames} frames or more, and {blocks} blocks of so many take "
        f"{frames * blocks * HELD / 2**20:.0f} MiB of memory, more than {MOST_BYTES / 2**20:.0f} MiB; "
        "look at a part with --start and --end"
    )


class BlockTracker:
    """Follows the blocks of frames that come one by one.

    Args:
        height: of the frames, px.
        width: of the frames, px.
        inner: (x, y, width, height) of the part of them that the blocks cover, as far as whole blocks do.
        block: px, the side of a block.
    """

    def __init__(self, height: int, width: int, inner: Region, block: int) -> None:
        x, y, wide, tall = inner
        self.block = block
        self.rows, self.columns = tall // block, wide // block
        # Centred, so that what does not fill a block is left out equally on both sides.
        self.top, self.left = y + tall % block // 2, x + wide % block // 2
        self._size = (height, width)
        self._within = (
            slice(self.top, self.top + self.rows * block),
            slice(self.left, self.left + self.columns * block),
        )
        grid = (self.rows, self.columns)
        self.latest: Array = np.zeros((*grid, 2))
        """(rows, columns, 2) px, the displacement in the last frame, to a few per cent."""
        self.found = np.ones(grid, bool)
        """(rows, columns) whether the block was found in the last frame."""
        self._frames = 0
        # Of each frame the projections, not a number where a block is lost, and the whole px it was found at.
        self._signals = np.zeros((64, *grid, 2), np.float32)
        self._shifts = np.zeros((64, *grid, 2), np.int16)
        self._last: Array | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        # Of each block: the sum of the frames near its anchor and their count, the first frame that is not
        # solved yet, the anchor's own displacement, g̃, the anchor itself, its contrast (of unit power), an
        # inverse that will do for tracking, whole px from the anchor, and frames in which it was lost, in all
        # and of late.
        self._total = np.zeros((height, width), np.float32)
        self._count = np.zeros(grid, np.int64)
        self._first = np.zeros(grid, np.int64)
        self._base: Array = np.zeros((*grid, 2))
        self._maps = np.zeros((2, self.rows, block, self.columns, block), np.float32)
        self._anchor = np.zeros((self.rows, block, self.columns, block), np.float32)
        self._contrast = np.zeros_like(self._anchor)
        self._rough = np.zeros((*grid, 2, 2))
        self._shift = np.zeros((*grid, 2), np.int64)
        self._lost = np.zeros(grid, np.int64)
        self._gone = np.zeros(grid, np.int64)
        self._texture = np.zeros((*grid, 2, 2))
        self._least_contrast: Array = np.zeros(grid)

    @property
    def textured(self) -> Mask:
        """(rows, columns) whether a block has texture to follow."""
        return np.asarray(self._rough.any((-2, -1)))

    def explained(self) -> Mask:
        """Return (rows, columns), whether motion and not noise explains how a block has changed."""
        assert self._last is not None
        every = np.nonzero(self.found & self.textured)
        tiles = self._gather(self._last, every, self._shift[every])
        moved = self._project(every, tiles)
        part = -(np.einsum("nij,nj->ni", self._rough[every], moved) * moved).sum(-1)
        sure = np.zeros(self.found.shape, bool)
        # Where a block has moved on by whole px, that it was found there is proof enough.
        sure[every] = (part >= EXPLAINED * self._change(every, tiles)) | self._shift[every].any(-1)
        return sure

    def push(self, frame: Array) -> bool:
        """Take the next blurred luminance (height, width); tell whether the scene has changed before it."""
        everywhere = np.ones((self.rows, self.columns), bool)
        cut = self._last is not None and _correlation(self._last, frame) < CUT
        if cut:
            # What was before cannot be found again: the motion goes on from where it was.
            self._solve(everywhere)
            self._base = self.latest.copy()
        if cut or self._last is None:
            self._total = frame.copy()
            self._take_anchor(frame, everywhere)
        self._grow()
        tiles = self._tiled(frame)
        projected = np.stack([_sums(part * tiles) for part in self._maps], -1).astype(np.float64)
        moved = np.nonzero(self._shift.any(-1))
        if len(moved[0]):
            projected[moved] = self._project(moved, self._gather(frame, moved, self._shift[moved]))
        self._look_further(frame, projected)
        contrast = self._contrast_of(tiles)
        if cut or self._last is None:
            self._least_contrast = contrast
        # What has come into view has no gradient to be found by.
        came = contrast > ENTERED * self._least_contrast + ENTERED_LEAST
        self._least_contrast = np.minimum(self._least_contrast, contrast)
        self.found &= ~came
        rough = np.einsum("rcij,rcj->rci", self._rough, projected)
        self.latest = np.where(self.found[..., None], self._base + self._shift + rough, self.latest)
        self._signals[self._frames] = np.where(self.found[..., None], projected, np.nan)
        self._shifts[self._frames] = self._shift
        self._frames += 1
        near = self.found & ~self._shift.any(-1) & (np.hypot(rough[..., 0], rough[..., 1]) < MEAN_REACH)
        near &= self._count < MEAN_FRAMES
        if not (cut or self._last is None) and near.any():
            inside = self._total[self._within].reshape(tiles.shape)
            inside += np.where(_spread(near), tiles, np.float32(0))
            self._count += near
        self._last = frame
        self._gone = np.where(self.found, 0, self._gone + 1)
        self._lost += ~self.found
        given_up = self._gone == GIVEN_UP
        if given_up.any():
            self._solve(given_up)
            self._base[given_up] = self.latest[given_up]
            self._take_anchor(frame, given_up)
        return cut

    def finish(self) -> tuple[Array, Array, Array]:
        """Return displacement, texture and followed of :class:`BlockMotion`.

        They are (T, rows, columns, 2) px, (rows, columns, 2, 2) per px², (rows, columns) in [0, 1].
        """
        self._solve(np.ones((self.rows, self.columns), bool))
        frames = max(self._frames, 1)
        return (
            self._signals[: self._frames],
            self._texture / (frames * self.block**2),
            1 - self._lost / frames,
        )

    def _look_further(self, frame: Array, projected: Array) -> None:
        """Move the blocks that are far from where they were, or say that they are lost."""
        self.found = np.ones((self.rows, self.columns), bool)
        far = np.nonzero(self._distance(projected) > REACH)
        if not len(far[0]):
            return
        change = self._change(far, self._gather(frame, far, self._shift[far]))
        rough = np.einsum("nij,nj->ni", self._rough[far], projected[far])
        # Noise on no texture seems to jump about: a block goes only where that explains how it has changed.
        settled = self._go(frame, far, self._shift[far] + rough.round().astype(np.int64), change, projected)
        lost = ~settled & (np.hypot(rough[:, 0], rough[:, 1]) > LINEAR)
        if lost.any() and self._last is not None:
            gone = tuple(index[lost] for index in far)
            led = self.latest[gone] - self._base[gone] + self._flow_at(frame, gone)
            lost[lost] = ~self._go(frame, gone, led.round().astype(np.int64), change[lost], projected)
        self.found[tuple(index[lost] for index in far)] = False

    def _go(self, frame: Array, which: Places, to: Whole, change: Array, projected: Array) -> Mask:
        """Move blocks to whole px from their anchors where they are found there, and on by up to two more."""
        settled = np.zeros(len(change), bool)
        for _ in range(3):
            tiles = self._gather(frame, which, to)
            there = self._project(which, tiles)
            better = ~settled & (self._change(which, tiles) <= (1 - EXPLAINED) * change)
            place = tuple(index[better] for index in which)
            self._shift[place], projected[place] = to[better], there[better]
            settled |= better
            step = np.einsum("nij,nj->ni", self._rough[which], there).clip(-2, 2).round().astype(np.int64)
            if settled.all() or not step[~settled].any():
                break
            to = to + step
        return settled

    def _flow_at(self, frame: Array, which: Places) -> Array:
        """Return (n, 2) px of dense flow from the frame before, averaged over blocks where they were."""
        assert self._last is not None
        shrink = max(1.0, max(self._size) / FLOW_SIDE)
        small = (max(16, round(self._size[1] / shrink)), max(16, round(self._size[0] / shrink)))
        before, now = (
            cv2.resize((part * 255).clip(0, 255).astype(np.uint8), small, interpolation=cv2.INTER_AREA)
            for part in (self._last, frame)
        )
        flow = self._flow.calc(before, now, np.zeros((*before.shape, 2), np.float32))
        scale = np.array([self._size[1] / small[0], self._size[0] / small[1]])
        centre = np.stack([self.left + self.block * which[1], self.top + self.block * which[0]], -1)
        there = centre + self.block / 2 + self.latest[which]
        column, row = (there / scale).round().astype(int).T
        side = max(1, round(self.block / shrink))
        smooth = cv2.blur(flow, (side, side))
        return smooth[row.clip(0, small[1] - 1), column.clip(0, small[0] - 1)] * scale

    def _contrast_of(self, tiles: Array) -> Array:
        """Return (rows, columns), the standard deviation of the luminance in each block."""
        area = self.block**2
        return np.sqrt((_sums(tiles**2) / area - (_sums(tiles) / area) ** 2).clip(0))

    def _grow(self) -> None:
        if self._frames == len(self._signals):
            self._signals = np.concatenate([self._signals, np.zeros_like(self._signals)])
            self._shifts = np.concatenate([self._shifts, np.zeros_like(self._shifts)])

    def _distance(self, projected: Array) -> Array:
        rough = np.einsum("rcij,rcj->rci", self._rough, projected)
        return np.asarray(np.abs(rough).max(-1))

    def _project(self, which: Places, tiles: Array) -> Array:
        """Return (n, 2) projections of the tiles (n, block, block) on the gradients of blocks."""
        row, column = which
        return np.einsum("nkij,nij->nk", self._maps[:, row, :, column, :], tiles)

    def _change(self, which: Places, tiles: Array) -> Array:
        """Return Σ (I_t − I_0)² over blocks, without what brightness and contrast explain of it."""
        row, column = which
        change = tiles - self._anchor[row, :, column, :]
        alike = (change * self._contrast[row, :, column, :]).sum((1, 2))
        return (change**2).sum((1, 2)) - change.sum((1, 2)) ** 2 / self.block**2 - alike**2

    def _gather(self, frame: Array, which: Places, shift: Whole) -> Array:
        """Return (n, block, block), what is whole px ``shift`` (n, 2) from blocks; the rim is repeated."""
        side = np.arange(self.block)
        down = self.top + self.block * which[0][:, None] + shift[:, 1:] + side
        across = self.left + self.block * which[1][:, None] + shift[:, :1] + side
        height, width = self._size
        return frame[down.clip(0, height - 1)[:, :, None], across.clip(0, width - 1)[:, None, :]]

    def _solve(self, which: Mask) -> None:
        """Turn the projections on the present anchors of the blocks ``which`` into displacement."""
        mean = self._total.copy()
        count = self._count.clip(1).repeat(self.block, 0).repeat(self.block, 1)
        mean[self._within] = self._total[self._within] / count
        matrix = self._matrix([self._tiled(part) for part in _gradient(mean)])
        inverse = _damped_inverse(matrix, self.block)
        for first in np.unique(self._first[which]):
            group = which & (self._first == first)
            part, whole = (
                self._signals[first : self._frames, group],
                self._shifts[first : self._frames, group],
            )
            moved = self._base[group] + whole + np.einsum("nij,tnj->tni", inverse[group], part)
            self._signals[first : self._frames, group] = _held(moved)
            self._texture[group] += matrix[group] * (self._frames - first)
        self._first[which] = self._frames

    def _take_anchor(self, frame: Array, which: Mask) -> None:
        tiles = self._tiled(frame)
        area = self.block**2
        level = _spread(_sums(tiles) / area)
        contrast = tiles - level
        contrast /= _spread(np.sqrt(_sums(contrast**2) + 1e-12))
        maps = []
        for part in _gradient(frame):
            slope = self._tiled(part)
            slope = slope - _spread(_sums(slope) / area)
            maps.append(slope - contrast * _spread(_sums(slope * contrast)))
        pixels = _spread(which)
        self._maps = np.where(pixels, np.stack(maps), self._maps)
        self._anchor = np.where(pixels, tiles, self._anchor)
        self._contrast = np.where(pixels, contrast, self._contrast)
        self._rough[which] = _damped_inverse(self._matrix(self._maps), self.block)[which]
        inside = self._total[self._within]
        inside[...] = np.where(pixels, tiles, self._tiled(self._total)).reshape(inside.shape)
        self._count[which] = 1
        self._shift[which] = 0
        self._gone[which] = 0

    def _matrix(self, slopes: Array | list[Array]) -> Array:
        """Return Σ g̃ sᵀ over each block, made symmetric, (rows, columns, 2, 2)."""
        sums = [[_sums(own * other) for other in slopes] for own in self._maps]
        matrix = np.asarray(sums, np.float64).transpose(2, 3, 0, 1)
        return (matrix + matrix.swapaxes(-1, -2)) / 2

    def _tiled(self, frame: Array) -> Array:
        """View a frame's blocks as (rows, block, columns, block)."""
        return frame[self._within].reshape(self.rows, self.block, self.columns, self.block)


def _held(moved: Array) -> Array:
    """Return signals (T, n, 2) in which a frame that is not a number has the value of the one before."""
    for number in np.nonzero(~np.isfinite(moved).all((1, 2)))[0]:
        before = moved[number - 1] if number else np.zeros_like(moved[0])
        moved[number] = np.where(np.isfinite(moved[number]), moved[number], before)
    return moved


def _sums(tiles: Array) -> Array:
    return tiles.sum(1).sum(-1)


def _spread(values: NDArray) -> NDArray:
    """(rows, columns) → what broadcasts over (rows, block, columns, block)."""
    return values[:, None, :, None]


def _gradient(frame: Array) -> tuple[Array, Array]:
    """Return the x and y derivatives per px by the five-point rule, the rim repeated."""
    wide, tall = np.pad(frame, ((0, 0), (2, 2)), "edge"), np.pad(frame, ((2, 2), (0, 0)), "edge")
    across = (8 * (wide[:, 3:-1] - wide[:, 1:-3]) - (wide[:, 4:] - wide[:, :-4])) / 12
    down = (8 * (tall[3:-1] - tall[1:-3]) - (tall[4:] - tall[:-4])) / 12
    return across, down


def _damped_inverse(matrix: Array, block: int) -> Array:
    """Return −matrix⁻¹ where there is texture, 0 in the directions and blocks where there is none."""
    values, vectors = np.linalg.eigh(matrix)
    values = values.clip(0)
    strongest = values[..., 1:]
    inverse = values / (values**2 + (DAMPING * strongest) ** 2 + 1e-30)
    inverse = np.where(strongest > FLAT**2 * block**2, inverse, 0)
    # The sign: content that moves to the right takes brightness from where the slope is.
    return -(vectors * inverse[..., None, :]) @ vectors.swapaxes(-1, -2)


def _correlation(a: Array, b: Array) -> float:
    """Return the correlation of two frames; 1 where one of them is flat, which proves nothing."""
    a, b = a - a.mean(), b - b.mean()
    power = float((a * a).mean()) * float((b * b).mean())
    return float((a * b).mean()) / math.sqrt(power) if power > FLAT**4 else 1.0


def warn_of(grid: Grid, path: Path) -> None:
    """Warn that a clip's motion is brought to even times.

    Raises:
        InputError: if its rate varies too much for that.
    """
    grid.check(path)
    warnings.warn(f"{path}: {grid.describe()}; motion is interpolated to even times", stacklevel=3)


def _tell_cut(path: Path, seconds: float) -> None:
    warnings.warn(
        f"{path} changes its scene at {seconds:.2f} s, and the spectrum is of both parts; choose one with "
        "--start and --end",
        stacklevel=3,
    )
