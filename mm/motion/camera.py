"""The camera's own motion: the transform that takes the first frame to each other one.

Corners of the first frame are followed by pyramidal Lucas–Kanade (OpenCV), whose bilinear interpolation errs
by a hundredth of a px; so windows about some of them are then registered (:mod:`mm.motion.registration`). A
translation, a similarity or an affine transform is fitted robustly: what moves by itself counts little. Every
frame is compared with the first, so errors do not add up.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm.errors import InputError
from mm.motion.registration import luminance, register
from mm.video.grid import Region

Floats = NDArray[np.floating]
Kind = Literal["translation", "similarity", "affine"]

CORNERS = 600  # that are followed at most
APART = 8  # px, at least, between corners
QUALITY = 0.01  # of the best corner's
WINDOW = 21  # px, the side of what is followed
INLIER = 0.5  # px from the first fit
TILES = 64  # windows that are registered at most
TILE, TILE_AROUND = 24, 9  # px, a window's side, and what registration sees beyond it
LEAST_SCALE = 0.003  # px, the distance from the fit beyond which a window counts less
PARTS = 6  # of the frame's width and height
ALIKE = 0.8  # correlation of a window with the first frame's
LEAST = {"translation": 3, "similarity": 6, "affine": 8}  # corners that a fit takes
ITERATIONS = 8  # of registration
SEED = 0  # of the fit's random choices


class Camera:
    """Follows the camera through frames that come a few at a time.

    Args:
        kind: of transform.
        still: (x, y, width, height) px of the frames that should stand still; everywhere if None.
        name: of the clip, for messages.

    Raises:
        InputError: for an unknown kind.
    """

    def __init__(
        self, kind: Kind = "translation", still: Region | None = None, name: str = "the clip"
    ) -> None:
        if kind not in get_args(Kind):
            raise InputError(f"stabilize must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        self.kind, self.still, self.name = kind, still, name
        self._anchor: NDArray[np.uint8] | None = None
        self._corners: Floats = np.zeros((0, 2), np.float32)
        self._base: Floats = np.eye(3)
        self._last: Floats = np.eye(3)
        self._step: Floats = np.eye(3)
        self._warned = False

    def push(self, frames: Tensor) -> Floats:
        """Take the next frames (n, 3, H, W) in [0, 1] or their luminance (n, H, W).

        Returns:
            (n, 2, 3): what is at p = (x, y) px in the first frame is at A[:, :2] p + A[:, 2] in each.

        Raises:
            InputError: for a region outside of the frame, or without corners, with the first frame.
        """
        grey = luminance(frames) if frames.ndim == 4 else frames
        return np.stack([self._next(one.cpu()) for one in grey])

    def _next(self, frame: Tensor) -> Floats:
        if self._anchor is None:
            self._take_anchor(frame)
            if len(self._corners) < LEAST[self.kind]:
                where = "the region that should stand still" if self.still else "the first frame"
                raise InputError(
                    f"{self.name} cannot be stabilised: {where} has {len(self._corners)} corners to follow, "
                    f"and {LEAST[self.kind]} are needed; choose a region with texture"
                )
            return self._base[:2].copy()
        fit = self._fit(frame)
        if fit is None:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{self.name}: the first frame's corners are lost, after a cut or a long pan; "
                    "stabilisation goes on from there",
                    stacklevel=4,
                )
            self._base = self._last
            self._take_anchor(frame)
            return self._base[:2].copy()
        self._last = fit @ self._base
        return self._last[:2].copy()

    def _take_anchor(self, whole: Tensor) -> None:
        frame, mask = _bytes(whole), None
        if self.still is not None:
            x, y, width, height = self.still
            if not (x >= 0 and y >= 0 and x + width <= frame.shape[1] and y + height <= frame.shape[0]):
                raise InputError(
                    f"the region that should stand still, {x},{y},{width},{height}, does not lie within the "
                    f"frame of {frame.shape[1]}×{frame.shape[0]} px; change it"
                )
            mask = np.zeros_like(frame)
            mask[y : y + height, x : x + width] = 255
        corners = cv2.goodFeaturesToTrack(frame, CORNERS, QUALITY, APART, mask=mask)
        self._corners = (
            np.zeros((0, 2), np.float32) if corners is None else np.float32(corners).reshape(-1, 2)
        )
        self._anchor, self._step = frame, np.eye(3)
        # The corners come best first; one of each part of the frame before a second, so that a thing with
        # many does not outvote the rest.
        height, width = frame.shape
        parts = (self._corners / (width, height) * PARTS).astype(int) @ (1, PARTS)
        turn = [int((parts[:number] == part).sum()) for number, part in enumerate(parts)]
        side = TILE + 2 * TILE_AROUND
        places: list[Floats] = []
        for x, y in self._corners[np.argsort(turn, kind="stable")]:
            left, top = (round(float(at) - side / 2) for at in (x, y))
            fits = left >= 0 and top >= 0 and left + side <= width and top + side <= height
            if mask is not None and fits:
                inner = slice(TILE_AROUND, TILE_AROUND + TILE)
                fits = bool(mask[top : top + side, left : left + side][inner, inner].all())
            if fits and all(max(abs(left - other[0]), abs(top - other[1])) >= TILE / 2 for other in places):
                places.append(np.array([left, top]))
            if len(places) == TILES:
                break
        self._tiles = np.array(places, dtype=int).reshape(-1, 2)
        self._windows = _cut(whole, self._tiles, side)

    def _fit(self, whole: Tensor) -> Floats | None:
        """Return (3, 3) from the anchor to a frame; None where it cannot be found."""
        if len(self._corners) < LEAST[self.kind]:
            return None
        assert self._anchor is not None
        frame = _bytes(whole)
        begin = (self._corners @ self._step[:2, :2].T + self._step[:2, 2]).astype(np.float32)
        end, status, _ = cv2.calcOpticalFlowPyrLK(
            self._anchor,
            frame,
            self._corners,
            begin,
            winSize=(WINDOW, WINDOW),
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-3),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        found = status[:, 0] > 0
        first, there = self._corners[found].astype(np.float64), end[found].astype(np.float64)
        if len(first) < max(LEAST[self.kind], 0.2 * len(self._corners)):
            return None
        fit = self._roughly(first, there)
        if fit is not None:
            self._step = fit = self._closely(whole, fit)
        return fit

    def _closely(self, whole: Tensor, fit: Floats) -> Floats:
        """Improve a transform by registering the windows where it takes them."""
        side = TILE + 2 * TILE_AROUND
        centre = self._tiles + (side - 1) / 2
        near = centre @ fit[:2, :2].T + fit[:2, 2] - centre
        shift = near.round().astype(int)
        corner = self._tiles + shift
        inside = ((corner >= 0) & (corner + side <= np.array(whole.shape[::-1]))).all(1)
        if inside.sum() < LEAST[self.kind]:
            return fit
        weight = torch.zeros(side, side)
        weight[TILE_AROUND:-TILE_AROUND, TILE_AROUND:-TILE_AROUND] = 1
        found = register(
            self._windows[torch.from_numpy(inside), None],
            _cut(whole, corner[inside], side)[:, None],
            torch.from_numpy((near - shift)[inside]),
            0,
            weight,
            ITERATIONS,
        )
        sound = (found.agreement > ALIKE).numpy()
        if sound.sum() < LEAST[self.kind]:
            return fit
        moved = shift[inside] + found.displacement.double().numpy()
        return _weighted_fit(self.kind, centre[inside][sound], (centre[inside] + moved)[sound])

    def _roughly(self, first: Floats, there: Floats) -> Floats | None:
        fit = np.eye(3)
        if self.kind == "translation":
            moved = there - first
            middle = np.median(moved, axis=0)
            inside = np.hypot(*(moved - middle).T) < INLIER
            if inside.sum() < LEAST[self.kind]:
                return None
            fit[:2, 2] = moved[inside].mean(0)
            return fit
        cv2.setRNGSeed(SEED)
        estimate = cv2.estimateAffinePartial2D if self.kind == "similarity" else cv2.estimateAffine2D
        found, inside = estimate(first, there, method=cv2.RANSAC, ransacReprojThreshold=INLIER, maxIters=500)
        if found is None or inside.sum() < LEAST[self.kind]:
            return None
        fit[:2] = found
        return fit


def _bytes(frame: Tensor) -> NDArray[np.uint8]:
    return (frame * 255).round().byte().numpy()


def _cut(frame: Tensor, corners: NDArray[np.integer], side: int) -> Tensor:
    return torch.stack([frame[y : y + side, x : x + side] for x, y in corners]) if len(corners) else frame[:0]


def _weighted_fit(kind: Kind, first: Floats, there: Floats) -> Floats:
    """Return (3, 3) by least squares, reweighted (Geman and McClure) so that outliers count little."""
    x, y, one, zero = *first.T, np.ones(len(first)), np.zeros(len(first))
    # Rows for x and for y of each place; columns are the parameters.
    across, down = {
        "translation": ([one, zero], [zero, one]),
        "similarity": ([x, -y, one, zero], [y, x, zero, one]),
        "affine": ([x, y, zero, zero, one, zero], [zero, zero, x, y, zero, one]),
    }[kind]
    rows = np.stack([np.stack(across, 1), np.stack(down, 1)], 1)
    target = there - first if kind == "translation" else there
    weight = np.ones(len(first))
    values = np.zeros(rows.shape[-1])
    for _ in range(20):
        root = np.sqrt(weight)[:, None]
        values = np.linalg.lstsq(
            (rows * root[..., None]).reshape(-1, rows.shape[-1]), (target * root).reshape(-1), rcond=None
        )[0]
        apart = np.hypot(*(target - rows @ values).T)
        scale = np.median(apart) + LEAST_SCALE
        weight = 1 / (1 + (apart / scale) ** 2) ** 2
    fit = np.eye(3)
    fit[:2, 2] = values[-2:]
    if kind == "similarity":
        fit[:2, :2] = [[values[0], -values[1]], [values[1], values[0]]]
    elif kind == "affine":
        fit[:2, :2] = values[:4].reshape(2, 2)
    return fit


def displacement_of(camera: Floats, x: float | Floats, y: float | Floats) -> Floats:
    """Return (T, …, 2) px, by how much the camera moves what is at (x, y) px in the first frame.

    Args:
        camera: (T, 2, 3), see :meth:`Camera.push`.
        x: px, of any shape.
        y: px, likewise.
    """
    place = np.stack(np.broadcast_arrays(x, y), -1).astype(np.float64)
    return (
        np.einsum("tij,...j->t...i", camera[:, :, :2], place)
        + camera[:, :, 2].reshape(len(camera), *(1,) * (place.ndim - 1), 2)
        - place
    )
