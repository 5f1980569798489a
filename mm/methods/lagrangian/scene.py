"""What a window of frames tells: whether the camera moves, and which points move together."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from mm.errors import InputError
from mm.methods.lagrangian.registration import Model, apply, camera_motion
from mm.methods.lagrangian.trajectories import Clusters, cluster

Registration = Literal["auto", "none", "affine", "homography"]

# Of all points: this many at rest are a background; a smaller part may be what has no texture to follow.
_BACKGROUND = 0.1
# Of all points: what agrees on a camera's motion is the background only if it is more than this.
_MAJORITY = 0.5
# Beside a camera's motion, of which measuring leaves a percent, less than this part of it is no other motion.
_BESIDE = 0.05
# With "auto" it takes this part: a scene that moves as one must not be swallowed for an error at its rim.
_DISTINCT = 0.15


class Scene(NamedTuple):
    """What was told from a window.

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
) -> Scene:
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
    still = Scene(None, clusters, _rests(clusters))
    if registration == "none" or not len(points):
        return still
    if registration == "auto" and (still.background or not len(clusters.templates)):
        return still
    model: Model = "homography" if registration == "homography" else "affine"
    left = residual(points, motion, tensor, model)
    shaken = float(np.sqrt((motion**2).sum(2).mean()))
    beside = cluster(left, most, believed, _BESIDE * shaken)
    registered = Scene(model, beside, True)
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
