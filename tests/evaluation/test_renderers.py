"""Both renderers show the same content, moved by what was asked; measured by neither of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.renderers import RENDERERS, chosen_renderers, stage
from mm.evaluation.scene_spec import MAX_MOTION, PERIODS, Pictures, SceneSpec, crowded, pattern, picture
from mm.motion import measure_displacement


def still(content: SceneSpec, moments: int = 1) -> Tensor:
    return torch.zeros(moments, 1 + len(content.objects), 2, dtype=torch.float64)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("kind", ["picture", "pattern"])
def test_the_background_moves_by_what_was_asked(renderer: str, kind: str, pictures: Pictures) -> None:
    content = picture(pictures, 80, 96, 1, 0, 20.0) if kind == "picture" else pattern(80, 96, 1, 0, 20.0)
    asked = torch.tensor([[0.0, 0.0], [0.02, 0.0], [0.0, -0.5], [-7.3, 8.1]], dtype=torch.float64)
    frames = stage(renderer, content).frames(asked[:, None])
    assert frames.shape == (4, 3, 80, 96)
    assert frames.dtype == torch.float32
    found = measure_displacement(frames[:1], frames)
    torch.testing.assert_close(found.double(), asked, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_each_object_moves_alone_and_the_front_one_covers_the_others(
    renderer: str, pictures: Pictures
) -> None:
    content = crowded(pictures, 96, 96, 4, 2, 12.0)
    assert 3 <= len(content.objects) <= 6
    shown = stage(renderer, content)
    rest = shown.frames(still(content))[0]
    # The front object's middle is where it should be, and follows the displacement by 5 px down.
    moved = still(content)
    moved[0, 1] = torch.tensor([0.0, 5.0])
    change = (shown.frames(moved)[0] - rest).abs().amax(0)
    x, y = content.centres[0].round().long().tolist()
    half = content.objects[0].shape[-1] // 2
    near = torch.zeros_like(change)
    near[max(y - half, 0) : y + half + 6, max(x - half, 0) : x + half + 1] = 1
    assert change.max() > 0.05
    assert (change * (1 - near)).max() < 0.02
    window = (slice(None), slice(y - 6, y + 7), slice(x - 6, x + 7))
    below = (slice(None), slice(y - 1, y + 12), slice(x - 6, x + 7))
    if 6 <= x < 89 and 6 <= y < 84:
        torch.testing.assert_close(shown.frames(moved)[0][below], rest[window], atol=0.02, rtol=0)


def test_the_renderers_show_the_same_scene(pictures: Pictures) -> None:
    content = crowded(pictures, 96, 96, 0, 3, 12.0)
    displacements = torch.stack([content.directions * 0, content.directions * 10])
    fourier, project = (stage(name, content).frames(displacements) for name in RENDERERS)
    for a, b in zip(fourier, project, strict=True):
        # The same but for the anti-aliasing: alike once both are blurred.
        a, b = (torch.nn.functional.avg_pool2d(frame, 6) for frame in (a, b))
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert correlation > 0.98
    far = torch.corrcoef(torch.stack([fourier[0].flatten(), fourier[1].flatten()]))[0, 1]
    assert far < 0.95


def test_content_depends_on_seed_and_index_and_nothing_else(pictures: Pictures) -> None:
    first, again = (crowded(pictures, 64, 72, 5, 1, 10.0) for _ in range(2))
    assert torch.equal(first.background, again.background)
    assert torch.equal(first.directions, again.directions)
    assert all(torch.equal(a, b) for a, b in zip(first.objects, again.objects, strict=True))
    for other in (crowded(pictures, 64, 72, 5, 2, 10.0), crowded(pictures, 64, 72, 6, 1, 10.0)):
        assert not torch.equal(first.background, other.background)
    torch.testing.assert_close(first.directions.norm(dim=-1), torch.ones_like(first.directions[:, 0]))


def test_a_pattern_has_no_wave_outside_its_periods() -> None:
    content = pattern(96, 120, 0, 0, 30.0)
    picture_of = content.background
    power = torch.fft.fft2(picture_of - picture_of.mean((-2, -1), keepdim=True)).abs()
    tall, wide = picture_of.shape[-2:]
    frequency = torch.hypot(
        torch.fft.fftfreq(wide, dtype=torch.float64), torch.fft.fftfreq(tall, dtype=torch.float64)[:, None]
    )
    outside = (frequency < 1 / PERIODS[1] - 1e-9) | (frequency > 1 / PERIODS[0] + 1e-9)
    assert power[:, outside].max() < 1e-9 * power.max()
    assert 0 < picture_of.min() < picture_of.max() < 1


def test_objects_are_premultiplied_and_clear_of_their_patch(pictures: Pictures) -> None:
    objects = crowded(pictures, 128, 128, 0, 0, 10.0).objects
    assert len(objects) > 0
    for patch in objects:
        assert (patch[:3] <= patch[3:] + 1e-6).all()
        rim = torch.ones_like(patch, dtype=torch.bool)
        rim[:, 3:-3, 3:-3] = False
        assert patch[rim].max() == 0
        assert patch[3].max() > 0.9


def test_a_small_photograph_is_enlarged(pictures: Pictures) -> None:
    small = Pictures(lambda seed, index: torch.rand(3, 30, 50), pictures.cutout)
    content = picture(small, 64, 64, 0, 0, 5.0)
    assert content.size == (64, 64)


def test_sizes_and_motions_that_cannot_be_built(pictures: Pictures) -> None:
    with pytest.raises(InputError, match="between 64 and 2048 px wide and high, got 32×64 px"):
        crowded(pictures, 64, 32, 0, 0, 10.0)
    with pytest.raises(InputError, match="up to 60 px"):
        picture(pictures, 64, 64, 0, 0, MAX_MOTION + 1)
    with pytest.raises(InputError, match="renderer must be one of fourier, project or both, got 'spline'"):
        chosen_renderers("spline")
    assert chosen_renderers("both") == RENDERERS
