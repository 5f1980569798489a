"""Points that move together: clusters of trajectories by correlation (Liu et al. 2005, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Points at most; the frame is cut into blocks, and each gives its best one.
_POINTS = 600
# Cells at the frame's rim whose windows it cuts: what comes in and goes out there is no motion.
_RIM = 2
_BLOCK = 3  # cells, at least: nearer windows share their pixels, and so their noise
# A point has texture if it has this part of what the best twentieth have, and this slope per px squared and
# summed over a window: a fifth of an 8-bit step per px.
_TEXTURED, _FAINTEST = 0.02, 5e-5
# Edges, where motion is known across only, are taken where there are no corners.
_EDGE = 1e-3
# Trajectories are of one cluster if they correlate by this on average.
_ALIKE = 0.5
# Motion below this part of the strongest twentieth's is rest; px below which everything is.
_REST, _LEAST = 0.15, 1e-3
# Clusters of fewer points, or of a smaller part of all, are no layer.
_FEWEST, _SMALLEST = 4, 0.01


class Clusters(NamedTuple):
    """Points sorted by how they move.

    Attributes:
        label: (n,) 0 for rest and for motion that no others share, 1, 2, … by falling strength of motion.
        strength: root mean square motion in px of each cluster, rest first.
        rest: root mean square motion in px below which a point rests.
        templates: (clusters, T) complex, each of unit length: the course that a cluster's points share.
    """

    label: np.ndarray
    strength: tuple[float, ...]
    rest: float
    templates: np.ndarray


def choose_points(tensor: Tensor) -> np.ndarray:
    """Cells (n, 2) as (row, column) whose motion can be told, spread over the frame.

    Args:
        tensor: (3, h, w) structure tensor of each cell, xx, xy, yy (slopes of values in [0, 1]).
    """
    xx, xy, yy = tensor.double().cpu().numpy()
    half = (xx + yy) / 2
    score = half - np.sqrt(((xx - yy) / 2) ** 2 + xy**2) + _EDGE * half
    rows, columns = score.shape
    for side, along in ((rows, score), (columns, score.T)):
        if side >= _RIM * 6:
            along[:_RIM] = along[-_RIM:] = 0
    block = max(_BLOCK, int(np.ceil(np.sqrt(rows * columns / _POINTS))))
    least = max(_TEXTURED * float(np.quantile(score, 0.95)), _EDGE * _FAINTEST)
    found = []
    for top in range(0, rows, block):
        for left in range(0, columns, block):
            some = score[top : top + block, left : left + block]
            row, column = np.unravel_index(int(some.argmax()), some.shape)
            if some[row, column] >= least:
                found.append((top + int(row), left + int(column)))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def cluster(
    motion: np.ndarray, most: int, believed: np.ndarray | None = None, least: float = 0.0
) -> Clusters:
    """Sort points into rest and clusters that move alike.

    Two trajectories are alike by the size of their normalised complex correlation, the displacement taken
    as x + iy: parts of one mechanism may move in different directions and by different amounts, but at the
    same times. Clusters are joined while their points correlate by 0.5 on average (average linkage), so
    their number need not be known; at most ``most`` remain, the others go to the one most alike.

    Args:
        motion: (T, n, 2) displacements in px.
        most: clusters at most.
        believed: (n,) bool, points whose motion is more than noise; the others rest. None: all.
        least: px, root mean square motion below which a point rests in any case.
    """
    course = (motion[..., 0] + 1j * motion[..., 1]).T.astype(np.complex128)
    # The reference frame is an arbitrary moment: only changes are compared.
    course = course - course.mean(1, keepdims=True)
    strength = np.sqrt((np.abs(course) ** 2).mean(1))
    rest = max(_LEAST, least, _REST * float(np.quantile(strength, 0.95)) if len(strength) else 0.0)
    moving = np.flatnonzero(strength >= rest if believed is None else (strength >= rest) & believed)
    label = np.zeros(len(course), dtype=np.int64)
    if len(moving) < _FEWEST:
        return Clusters(label, (_rms(strength),), rest, np.zeros((0, course.shape[1]), complex))
    # Here, not above: slow to load, and needed by one method only.
    from scipy.cluster.hierarchy import average, fcluster
    from scipy.spatial.distance import squareform

    unit = course[moving] / np.linalg.norm(course[moving], axis=1, keepdims=True)
    alike = np.abs(unit @ unit.conj().T).clip(0, 1)
    apart = 1 - (alike + alike.T) / 2
    np.fill_diagonal(apart, 0)
    groups = fcluster(average(squareform(apart, checks=False)), 1 - _ALIKE, "distance")
    fewest = max(_FEWEST, _SMALLEST * len(course))
    sizes = {group: int((groups == group).sum()) for group in np.unique(groups)}
    kept = sorted((g for g in sizes if sizes[g] >= fewest), key=lambda g: -sizes[g])[:most]
    templates = {g: _template(course[moving][groups == g]) for g in kept}
    for group in sizes:
        if group not in kept and sizes[group] >= fewest:
            # A cluster too many is not rest: it joins the one that it follows most.
            mean = _template(course[moving][groups == group])
            groups[groups == group] = max(kept, key=lambda g: abs(np.vdot(templates[g], mean)))
    by_strength = sorted(kept, key=lambda g: -_rms(strength[moving][groups == g]))
    for number, group in enumerate(by_strength, start=1):
        label[moving[groups == group]] = number
    strengths = [_rms(strength[label == number]) for number in range(len(kept) + 1)]
    made = [_template(course[label == number]) for number in range(1, len(kept) + 1)]
    return Clusters(label, tuple(strengths), rest, np.array(made).reshape(len(made), course.shape[1]))


def unexplained(motion: Tensor, clusters: Clusters) -> Tensor:
    """Mean square motion in px² of each cell that rest and each cluster leave unexplained.

    A cluster explains the part of a trajectory that follows its shared course in any direction and amount;
    as it can explain noise with that, each cluster is charged the square of the rest's limit.

    Args:
        motion: (T, 2, h, w) px.
        clusters: of these T moments.

    Returns:
        (1 + clusters, h, w).
    """
    course = torch.complex(motion[:, 0].double(), motion[:, 1].double())
    course = course - course.mean(0)
    energy = course.abs().square().mean(0)
    costs = [energy]
    for number, template in enumerate(clusters.templates, start=1):
        shared = torch.from_numpy(template).to(course).conj()
        along = torch.einsum("t,thw->hw", shared, course).abs().square() / len(course)
        # Half of a cluster's motion is where a window lies half on it.
        charge = max(clusters.rest, 0.3 * clusters.strength[number]) ** 2
        costs.append(energy - along + charge)
    return torch.stack(costs).float()


def _template(courses: np.ndarray) -> np.ndarray:
    """The course (T,) of unit length that most of the motion in ``courses`` (n, T) follows."""
    return np.linalg.svd(courses, full_matrices=False)[2][0]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean())) if len(values) else 0.0
