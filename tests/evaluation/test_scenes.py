"""The ground truth held against formulas, whole-pixel shifts and the independent estimator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation import (
    Layer,
    Scene,
    layer,
    random_displacements,
    random_scene,
    random_texture,
    record,
    soft_mask,
    texture_from_image,
)
from mm.motion import measure_displacement


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane_wave(at: tuple[float, float], height: int = 48, width: int = 60) -> Tensor:
    x = torch.arange(width, dtype=torch.float64) - at[0]
    y = torch.arange(height, dtype=torch.float64)[:, None] - at[1]
    return (0.5 + 0.3 * torch.cos(2 * math.pi * (5 * x / width - 7 * y / height) + 0.4)).expand(3, -1, -1)


@pytest.mark.parametrize("displacement", [(0.01, 0.0), (0.37, -0.61), (-12.5, 7.25)])
def test_a_layer_moves_as_the_formula_says(displacement: tuple[float, float]) -> None:
    moved = layer("wave", plane_wave((0, 0))).at(torch.tensor([displacement], dtype=torch.float64))[0]
    torch.testing.assert_close(moved[:3], plane_wave(displacement), atol=1e-12, rtol=0)
    torch.testing.assert_close(moved[3], torch.ones(48, 60, dtype=torch.float64))


def test_a_whole_pixel_is_a_roll_and_there_and_back_is_nothing() -> None:
    picture = layer("texture", random_texture(40, 50, generator()))
    rolled = picture.at(torch.tensor([[3.0, -2.0]]))[0]
    torch.testing.assert_close(rolled, picture.pixels.roll((-2, 3), (-2, -1)), atol=1e-12, rtol=0)
    away = Layer("away", picture.at(torch.tensor([[0.3, 0.7]], dtype=torch.float64))[0])
    back = away.at(torch.tensor([[-0.3, -0.7]], dtype=torch.float64))[0]
    torch.testing.assert_close(back, picture.pixels, atol=1e-12, rtol=0)


@pytest.mark.parametrize("along", ["x", "y"])
def test_a_bending_layer_moves_each_line_by_its_share(along: str) -> None:
    share = torch.linspace(0, 1, 48 if along == "x" else 60, dtype=torch.float64)
    wave = layer("wave", plane_wave((0, 0)), torch.ones(48, 60), bend=share, along=along)  # type: ignore[arg-type]
    moved = wave.at(torch.tensor([[2.5, 2.5]], dtype=torch.float64))[0, :3]
    for line in (0, 20, 47):
        at = 2.5 * float(share[line])
        if along == "x":
            torch.testing.assert_close(moved[:, line], plane_wave((at, 0))[:, line], atol=1e-9, rtol=0)
        else:
            torch.testing.assert_close(moved[:, :, line], plane_wave((0, at))[:, :, line], atol=1e-9, rtol=0)


@pytest.mark.parametrize(("centre", "radius"), [((30.0, 25.0), 9.0), ((30.4, 24.7), 12.5)])
def test_a_mask_is_where_its_shape_is(centre: tuple[float, float], radius: float) -> None:
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (52, 64)), indexing="ij")
    mask = soft_mask(torch.hypot(columns - centre[0], rows - centre[1]) - radius)
    area = mask.sum()
    # A blurred disc keeps its area to the order of the blur squared.
    assert area / (math.pi * radius**2) == pytest.approx(1, abs=0.01)
    assert (mask * columns).sum() / area == pytest.approx(centre[0], abs=1e-3)
    assert (mask * rows).sum() / area == pytest.approx(centre[1], abs=1e-3)
    assert mask.min() > -0.01
    assert mask.max() < 1.01


def test_a_texture_has_nothing_finer_than_its_cutoff() -> None:
    texture = random_texture(64, 96, generator(), cutoff=0.3, colour=(0.3, 0.5, 0.7), contrast=0.1)
    power = torch.fft.fft2(texture).abs()
    fineness = torch.hypot(
        torch.fft.fftfreq(96, dtype=torch.float64), torch.fft.fftfreq(64, dtype=torch.float64)[:, None]
    )
    assert power[:, fineness >= 0.3].max() < 1e-9 * power.max()
    torch.testing.assert_close(texture.mean((-2, -1)), torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64))
    assert texture.min() >= 0.02
    assert texture.max() <= 0.98


def test_a_photograph_is_kept_inside_and_repeats_without_a_seam() -> None:
    """A slope, whose opposite sides differ by half of the range, with a plane wave on it."""
    slope = 0.25 + 0.5 * torch.linspace(0, 1, 80, dtype=torch.float64).expand(3, 70, 80)
    photograph = slope + 0.4 * (plane_wave((0, 0), 70, 80) - 0.5)
    texture = texture_from_image(photograph, 64, 72)
    seam = (texture[:, :, 0] - texture[:, :, -1]).abs().mean()
    step = (texture[:, :, 1:] - texture[:, :, :-1]).abs().mean()
    before = (photograph[:, 3:67, 4] - photograph[:, 3:67, 75]).abs().mean()
    assert before > 10 * step
    assert seam < 2 * step
    difference = texture - photograph[:, 3:67, 4:76]
    # What was taken out is smooth: hardly anything of it is between neighbouring pixels in the middle.
    middle = difference[:, 16:48, 18:54]
    assert (middle[..., 1:] - middle[..., :-1]).abs().max() < 0.02
    with pytest.raises(InputError, match="cannot fill a canvas of 96×64 px"):
        texture_from_image(photograph, 64, 96)


def test_a_scene_moves_its_background_by_what_it_says() -> None:
    scene = random_scene(80, 96, 5, objects=(0, 0))
    for size in (0.01, 0.3, 17.0):
        displacement = random_displacements(1, size, generator(2))
        a, b = scene.frames(torch.stack([torch.zeros_like(displacement), displacement]), torch.float64)
        assert (measure_displacement(a, b) - displacement[0]).abs().max() < 1e-3 * max(size, 0.1)


def test_objects_cover_what_is_behind_and_move_alone() -> None:
    scene = random_scene(96, 96, 11, objects=(4, 4))
    count = len(scene.layers)
    assert count == 5
    shares = scene.visible(torch.zeros(1, count, 2))[0]
    torch.testing.assert_close(shares.sum(0), torch.ones(96, 96, dtype=torch.float64), atol=0.03, rtol=0)
    displacements = torch.zeros(2, count, 2)
    displacements[1, -1] = torch.tensor([0.4, -0.3])
    a, b = scene.frames(displacements)
    away = torch.nn.functional.max_pool2d(shares[-1][None], 9, 1, 4)[0] < 1e-3
    assert (a - b)[:, away].abs().max() < 2e-3
    assert (a - b).abs().max() > 0.01


def test_a_triplet_is_rest_once_and_factor_times() -> None:
    scene = random_scene(64, 72, 3)
    displacements = random_displacements(len(scene.layers), 0.1, generator())
    triplet = scene.triplet(displacements, 20)
    frames = scene.frames(torch.stack([0 * displacements, displacements, 20 * displacements]))
    for got, wanted in zip(triplet, frames, strict=True):
        assert torch.equal(got, wanted)
        assert got.shape == (3, 64, 72)
        assert got.dtype == torch.float32
        assert 0 <= got.min() <= got.max() <= 1


def test_a_scene_is_a_function_of_its_seed() -> None:
    zero = torch.zeros(1, 4, 2)
    first, again, other = (random_scene(48, 48, seed, objects=(3, 3)).frames(zero) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.02


def test_a_photograph_can_be_the_background() -> None:
    photograph = plane_wave((0, 0), 120, 130)
    scene = random_scene(48, 48, 0, objects=(0, 0), photograph=photograph)
    assert scene.frames(torch.zeros(1, 1, 2)).std() > 0.1


def test_noise_grows_with_the_square_root_of_the_value() -> None:
    for value, wanted in ((0.5, 3.0), (0.125, 1.5)):
        recorded = record(torch.full((3, 200, 200), value), noise=3.0, bits=None, seed=4)
        assert recorded.std() * 255 == pytest.approx(wanted, rel=0.02)
        assert recorded.mean() == pytest.approx(value, abs=2e-4)


def test_a_recording_has_levels_and_a_seed() -> None:
    frames = torch.rand(2, 3, 32, 32, generator=generator())
    eight = record(frames, noise=1.0, seed=1) * 255
    torch.testing.assert_close(eight, eight.round(), atol=1e-4, rtol=0)
    assert torch.equal(eight, record(frames, noise=1.0, seed=1) * 255)
    assert not torch.equal(eight, record(frames, noise=1.0, seed=2) * 255)
    assert torch.equal(record(frames, bits=None), frames)


def test_displacements_of_another_number_of_layers() -> None:
    scene = Scene((layer("only", random_texture(40, 40, generator())),), margin=4)
    assert scene.size == (32, 32)
    with pytest.raises(InputError, match="1 layers"):
        scene.frames(torch.zeros(1, 2, 2))
