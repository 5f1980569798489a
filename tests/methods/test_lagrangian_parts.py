"""The parts of the flow method by themselves, each against what is known of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mm.methods.lagrangian.cells import at, centres, pixels, to_cells, to_pixels
from mm.methods.lagrangian.compositing import mirrored
from mm.methods.lagrangian.refinement import measure, slopes
from mm.methods.lagrangian.sampling import coefficients, inverse, sample
from mm.methods.lagrangian.scene import apply, camera_motion
from mm.methods.lagrangian.trajectories import cluster


def wave(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 0.5 + 0.2 * torch.sin(2 * math.pi * x / 12) + 0.2 * torch.cos(2 * math.pi * (x + y) / 17)


def test_cells_and_pixels_agree_on_where_they_are() -> None:
    linear = pixels(22, 31)
    torch.testing.assert_close(to_cells(linear[None])[0, :, :5, :7], centres(22, 31)[:, :5, :7])
    fine = to_pixels(centres(22, 31)[None], 22, 31)[0]
    torch.testing.assert_close(fine[:, 2:18, 2:26], linear[:, 2:18, 2:26])
    places = torch.tensor([[[5.3, 9.0]], [[7.1, 2.0]]])
    torch.testing.assert_close(at(centres(22, 31), places), places)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.1, 0.5, 0.77])
def test_splines_show_a_shift_as_large_as_it_is(shift: float) -> None:
    x, y = pixels(40, 48)
    made = coefficients(wave(x, y)[None, None])[0]
    got = sample(made, torch.stack([x + shift, y - shift / 2]))[0]
    truth = wave(x + shift, y - shift / 2)
    torch.testing.assert_close(got[6:-6, 6:-6], truth[6:-6, 6:-6], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shift", [(0.01, 0.0), (0.1, -0.05), (0.5, 0.3), (2.3, -1.6)])
def test_motion_is_measured_to_a_percent(shift: tuple[float, float]) -> None:
    x, y = pixels(64, 80)
    before, after = slopes(wave(x, y)), slopes(wave(x - shift[0], y - shift[1]))
    start = torch.tensor(shift).round().view(2, 1, 1).expand(2, 64, 80) if max(shift) > 1 else None
    found = measure(before, after, start)[:, 4:-4, 4:-4]
    torch.testing.assert_close(found.mean((1, 2)), torch.tensor(shift), atol=1e-4, rtol=0.01)


def test_the_inverse_of_a_motion_leads_back() -> None:
    place = centres(64, 64)
    field = torch.stack([2 * torch.sin(place[1] / 15), 1.5 * torch.cos(place[0] / 12)])
    back = inverse(field)
    there = place + back
    torch.testing.assert_close(
        (there + at(field, there))[:, 2:-2, 2:-2], place[:, 2:-2, 2:-2], atol=0.02, rtol=0
    )


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_the_camera_is_told_among_others_that_move(model: str) -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 200, (80, 2))
    truth = np.array([[1.01, 0.02, 1.5], [-0.015, 0.99, -0.7], [0, 0, 1]])
    if model == "homography":
        truth[2] = [1e-4, -5e-5, 1]
    moved = apply(truth, points)
    moved[:25] += [0.8, -0.5]
    tensor = np.tile([1.0, 0.0, 1.0], (80, 1))
    found = camera_motion(points, moved, tensor, model)  # type: ignore[arg-type]
    assert np.abs(apply(found, points) - apply(truth, points)).max() < 0.02
    assert np.array_equal(camera_motion(points[:3], moved[:3], tensor[:3], model), np.eye(3))  # type: ignore[arg-type]


def test_points_are_sorted_by_when_they_move_not_by_where_to() -> None:
    generator = np.random.default_rng(1)
    time = np.arange(40) / 30
    motion = generator.normal(0, 0.004, (40, 45, 2))
    # Ten at 3 Hz in all directions and amounts, ten at 5 Hz, five each alone, twenty at rest.
    for point in range(10):
        angle, amount = generator.uniform(0, 6), generator.uniform(0.3, 1)
        motion[:, point] += amount * np.outer(np.sin(18.85 * time), [np.cos(angle), np.sin(angle)])
        motion[:, 10 + point] += 0.6 * amount * np.outer(np.sin(31.4 * time), [np.cos(angle), np.sin(angle)])
    motion[:, 20:25] += generator.normal(0, 0.3, (40, 5, 2))
    found = cluster(motion, 4)
    assert found.label.tolist() == [1] * 10 + [2] * 10 + [0] * 25
    assert len(found.templates) == 2
    assert cluster(motion, 1).label[:10].tolist() == [1] * 10
    assert not cluster(motion, 4, np.zeros(45, bool)).label.any()


def test_a_hole_mirrors_what_lies_beside_it() -> None:
    image = torch.arange(12.0).expand(3, 4, 12).clone()
    hole = torch.zeros(4, 12, dtype=torch.bool)
    hole[:, 5:7] = True
    filled = mirrored(image, hole)
    assert filled[0, 0].tolist() == [0, 1, 2, 3, 4, 3, 8, 7, 8, 9, 10, 11]
    assert torch.equal(mirrored(image, ~torch.zeros_like(hole)), image)
