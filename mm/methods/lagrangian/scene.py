"""The scene of a window of frames: the camera's motion, to 0.01 px, and the points that move together."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from mm.errors import InputError
from mm.methods.lagrangian.trajectories import Clusters, cluster

Model = Literal["affine", "homography"]
Registration = Literal["auto", "none", "affine", "homography"]

# Of all points: this many at rest are a background; a smaller part may be what has no texture to follow.
_BACKGROUND = 0.1
# Of all points: what agrees on a camera's motion is the background only if it is more than this.
_MAJORITY = 0.5
# Beside a camera's motion, of which measuring leaves a percent, less than this part of it is no other motion.
_BESIDE = 0.05
# With "auto" it takes this part: a scene that moves as one must not be swallowed for an error at its rim.
_DISTINCT = 0.15
# px; points this near to a sample's map agree with it, and this part of the typical motion for large ones.
_NEAR, _NEAR_SHARE = 0.1, 0.02
# Tukey's biweight: points past this many standard deviations count nothing (95 % efficient).
_TUKEY = 4.685
_LEAST_SPREAD = 1e-3  # px
_ROUNDS = 5
#: fewest points, by model
LEAST_POINTS = {"affine": 6, "homography": 8}


class WindowMotion(NamedTuple):
    """The motion of a window of frames.

    Attributes:
        camera: the model of the camera's motion that is taken out, None for a camera that stands still.
        clusters: the points that move together, the camera's motion taken out.
        background: whether there is one, the points with the label 0; if not, all that there is moves.
    """

    camera: Model | None
    clusters: Clusters
    background: bool


def check_registration(registration: str) -> None:
    """Raise InputError for a name that is none of :data:`Registration`."""
    if registration not in get_args(Registration):
        raise InputError(
            f"registration must be one of {', '.join(get_args(Registration))}, got {registration!r}"
        )


def learn(
    points: np.ndarray,
    motion: np.ndarray,
    tensor: np.ndarray,
    believed: np.ndarray,
    registration: Registration,
    most: int,
) -> WindowMotion:
    """Tell the camera's motion from the scene's.

    Registration removes motion, and a scene that moves as one is not to be swallowed by it. With "auto" the
    camera stands still if a tenth of the points rest. Otherwise it moves if more than half of the points
    agree on one affine motion *and* others move beside it. If none do, there is nothing else to magnify: what
    all do together is the motion that is meant, be it the camera's own.

    Args:
        points: (n, 2) px, order (x, y).
        motion: (T, n, 2) px, displacement of the points.
        tensor: (n, 3) structure tensors of the points.
        believed: (n,) bool, points whose motion is more than noise.
        registration: what the user chose.
        most: clusters at most.
    """
    clusters = cluster(motion, most, believed)
    still = WindowMotion(None, clusters, _rests(clusters))
    if registration == "none" or not len(points):
        return still
    if registration == "auto" and (still.background or not len(clusters.templates)):
        return still
    model: Model = "homography" if registration == "homography" else "affine"
    left = residual(points, motion, tensor, model)
    shaken = float(np.sqrt((motion**2).sum(2).mean()))
    beside = cluster(left, most, believed, _BESIDE * shaken)
    registered = WindowMotion(model, beside, True)
    if registration != "auto":
        return registered
    moves = len(beside.templates) > 0 and beside.strength[1] > _DISTINCT * shaken
    majority = (beside.label == 0).mean() > _MAJORITY
    return registered if moves and majority else still


def residual(points: np.ndarray, motion: np.ndarray, tensor: np.ndarray, model: Model) -> np.ndarray:
    """Displacements (T, n, 2) with the camera's motion taken out, in the reference's px."""
    left = np.empty_like(motion)
    for time, moved in enumerate(motion):
        camera = camera_motion(points, points + moved, tensor, model)
        left[time] = apply(np.linalg.inv(camera), points + moved) - points
    return left


def _rests(clusters: Clusters) -> bool:
    return bool(len(clusters.label)) and bool((clusters.label == 0).mean() >= _BACKGROUND)


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
