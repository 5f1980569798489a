"""The camera's motion: one affine map or homography that most points agree on, robust and to 0.01 px."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

Model = Literal["affine", "homography"]

# px; points this near to a sample's map agree with it, and this part of the typical motion for large ones.
_NEAR, _NEAR_SHARE = 0.1, 0.02
# Tukey's biweight: points past this many standard deviations count nothing (95 % efficient).
_TUKEY = 4.685
_LEAST_SPREAD = 1e-3  # px
_ROUNDS = 5
#: fewest points, by model
LEAST_POINTS = {"affine": 6, "homography": 8}


def camera_motion(points: np.ndarray, moved: np.ndarray, tensor: np.ndarray, model: Model) -> np.ndarray:
    """The map that takes most of ``points`` to ``moved``.

    RANSAC (Fischler and Bolles 1981, with OpenCV's fixed seed) finds who agrees. An affine map is then made
    by least squares of all points, weighted by what each knows (its structure tensor) and by Tukey's biweight
    of its error; a homography by OpenCV's plain least squares of those that agree.

    Args:
        points, moved: (n, 2) px, order (x, y).
        tensor: (n, 3) structure tensors, xx, xy, yy.
        model: "affine" or "homography".

    Returns:
        (3, 3) float64; the identity for fewer points than the model needs, or none that agree.
    """
    if len(points) < LEAST_POINTS[model]:
        return np.eye(3)
    near = max(_NEAR, _NEAR_SHARE * float(np.median(np.linalg.norm(moved - points, axis=1))))
    source, target = points.astype(np.float64), moved.astype(np.float64)
    if model == "homography":
        start, agree = cv2.findHomography(source, target, cv2.RANSAC, near)
    else:
        start, agree = cv2.estimateAffine2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=near, refineIters=0
        )
        if start is not None:
            start = np.vstack([start, [0.0, 0.0, 1.0]])
    if start is None or agree.sum() < LEAST_POINTS[model]:
        return np.eye(3)
    if model == "homography":
        inside = agree[:, 0] > 0
        better, _ = cv2.findHomography(source[inside], target[inside], 0)
        return start if better is None else better
    return _refined(source, target, tensor.astype(np.float64), start)


def apply(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take points (…, 2), order (x, y), px, through a (3, 3) map."""
    made = points @ camera[:, :2].T + camera[:, 2]
    return made[..., :2] / made[..., 2:]


def _refined(source: np.ndarray, target: np.ndarray, tensor: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Affine map by reweighted least squares, the error measured as the structure tensor sees it."""
    middle, scale = source.mean(0), max(1.0, float(source.std()))
    local = (source - middle) / scale
    rows = np.concatenate([local, np.ones((len(local), 1))], axis=1)
    weight = np.stack([tensor[:, [0, 1]], tensor[:, [1, 2]]], axis=1)
    trace = tensor[:, 0] + tensor[:, 2]
    weight = weight / max(float(np.median(trace)), 1e-12)
    found = start
    for _ in range(_ROUNDS):
        error = target - apply(found, source)
        # Along an edge the error is not known and does not count.
        length = np.sqrt(
            np.maximum(np.einsum("ni,nij,nj->n", error, weight, error) / weight.trace(axis1=1, axis2=2), 0)
        )
        spread = max(1.4826 * float(np.median(length)), _LEAST_SPREAD)
        trust = np.clip(1 - (length / (_TUKEY * spread)) ** 2, 0, None) ** 2
        # Unknowns: the displacement's six coefficients, which are better conditioned than the map's.
        both = weight * trust[:, None, None]
        normal = np.einsum("nij,na,nb->iajb", both, rows, rows).reshape(6, 6)
        right = np.einsum("nij,nj,na->ia", both, target - source, rows).reshape(6)
        # A small pull to no motion holds what no point tells.
        normal += 1e-6 * np.trace(normal) / 6 * np.eye(6)
        shift = np.linalg.solve(normal, right).reshape(2, 3)
        found = np.eye(3)
        found[:2, :2] += shift[:, :2] / scale
        found[:2, 2] = shift[:, 2] - shift[:, :2] @ middle / scale
    return found
