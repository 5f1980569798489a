"""The flow method: known motion of rendered scenes, in amplitude and in time, layers, camera and stream."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from mm.errors import InputError
from mm.evaluation import scenes
from mm.magnify.framing import Framing
from mm.methods.flow import FlowMagnifier
from mm.methods.lagrangian.flows import dis
from mm.motion import measure_displacement
from mm.registry import methods
from mm.temporal import Band
from mm.video import ClipInfo

FPS = 30.0
BAND = Band(0.5, 7.5, FPS)
MARGIN = 24


def run(magnifier: FlowMagnifier, frames: Tensor, chunk: int = 16) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in frames.split(chunk)), magnifier.flush()])


def sine(count: int, frequency: float = 3.0) -> Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(count).double() / FPS)


def pattern(shift: Tensor, periods: tuple[float, ...], size: tuple[int, int] = (64, 96)) -> Tensor:
    """Sinusoids of these periods in turned directions, moved along x by ``shift`` px, and along y by half."""
    y, x = torch.meshgrid(*(torch.arange(side).double() for side in size), indexing="ij")
    wave = torch.zeros(len(shift), *size, dtype=torch.float64)
    for number, period in enumerate(periods):
        angle = 0.3 + 1.1 * number
        along = (x - shift[:, None, None]) * math.cos(angle) + (y - shift[:, None, None] / 2) * math.sin(
            angle
        )
        wave += torch.sin(2 * math.pi * along / period + number)
    return (0.5 + 0.3 * wave / len(periods)).float()[:, None].expand(-1, 3, -1, -1).contiguous()


def moved(reference: Tensor, frames: Tensor, limit: int = 4) -> Tensor:
    return torch.cat([measure_displacement(reference, frame, limit=limit).reshape(1, 2) for frame in frames])


def two_layers(objects: int = 1, height: int = 112, width: int = 144, radius: float = 30) -> scenes.Scene:
    generator = torch.Generator().manual_seed(3)
    tall, wide = height + 2 * MARGIN, width + 2 * MARGIN
    y, x = torch.meshgrid(torch.arange(tall).double(), torch.arange(wide).double(), indexing="ij")
    made = [
        scenes.layer("background", scenes.random_texture(tall, wide, generator, colour=(0.35, 0.45, 0.55)))
    ]
    for number in range(objects):
        texture = scenes.random_texture(tall, wide, generator, colour=(0.7, 0.5 - 0.2 * number, 0.3))
        centre = MARGIN + width * (number + 1) / (objects + 1)
        distance = torch.hypot(x - centre, y - tall / 2) - radius
        made.append(scenes.layer(f"object {number}", texture, scenes.soft_mask(distance)))
    return scenes.Scene(tuple(made), MARGIN)


def swinging(objects: int = 1, count: int = 14) -> Tensor:
    """(T, layers, 2): the background rests, the objects swing by half a pixel at different frequencies."""
    made = torch.zeros(count, 1 + objects, 2).double()
    made[:, 1, 0] = 0.5 * sine(count)
    if objects > 1:
        made[:, 2, 1] = 0.5 * sine(count, 5.0)
    return made


# --- the truth --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periods", [(12.0, 16.0), (24.0, 20.0), (48.0, 36.0), (12.0, 20.0, 48.0)])
def test_a_tenth_of_a_pixel_times_ten_with_default_parameters(periods: tuple[float, ...]) -> None:
    """0.1 px at 3 Hz: ten times as large within 10 %, in step within 1 % of a period."""
    out = run(FlowMagnifier(10.0, "temporal", BAND), pattern(0.1 * sine(64), periods))
    course = moved(pattern(torch.zeros(1).double(), periods)[0], out[27:37]).double()
    time = 2 * math.pi * 3 * torch.arange(27, 37).double() / FPS
    got, late = torch.linalg.lstsq(torch.stack([time.sin(), -time.cos()], 1), course).solution
    torch.testing.assert_close(got, torch.tensor([1.0, 0.5]).double(), rtol=0.1, atol=0)
    assert (torch.atan2(late, got).abs() < 0.01 * 2 * math.pi).all()


@pytest.mark.parametrize("amount", [0.02, 0.1, 0.5, 2.0])
def test_static_mode_multiplies_the_displacement_from_the_first_frame(amount: float) -> None:
    """Also for motion of pixels, where no Eulerian method holds."""
    scene = scenes.Scene((two_layers().layers[0],), MARGIN)
    steps = torch.tensor([[0.0, 0.0], [0.6, 0.8], [1.0, 0.0], [-0.6, 0.3]]).double() * amount
    frames = scene.frames(steps[:, None])
    out = moved(frames[0], run(FlowMagnifier(5.0), frames), 14)
    torch.testing.assert_close(out.double(), 5 * steps, atol=0.005 + 0.25 * amount, rtol=0)
    assert (out[1:].norm(dim=1) / (5 * steps[1:]).norm(dim=1)).sub(1).abs().max() < 0.05


def test_what_has_moved_far_is_known_as_well_as_what_has_not() -> None:
    """0.1 px at 3 Hz on a walk of 3 px a frame: from 256 px on half precision knows 0.25 px, enlarged by ten.

    The walk is given to the method's filter, for a scene so wide would take long to draw and to follow.
    """
    count = 130
    # A symmetric filter, which takes away every even walk but near the ends.
    filter_ = FlowMagnifier(10.0, "temporal", Band(1.0, 6.0, FPS, "fir", taps=31)).filter
    assert filter_ is not None
    course = (3 * torch.arange(count) + 0.1 * sine(count)).float().view(-1, 1, 1, 1).expand(-1, 2, 2, 3)
    parts = [*filter_.push_aligned(course), *filter_.flush_aligned()]
    left, wanted = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    torch.testing.assert_close(left, course, atol=1e-3, rtol=0)
    expected = filter_.gain(3.0).real * 0.1 * sine(count).float()
    torch.testing.assert_close(
        wanted[20:-20], expected[20:-20].view(-1, 1, 1, 1).expand(-1, 2, 2, 3), atol=1e-3, rtol=0
    )


def test_dynamic_mode_multiplies_the_step_from_the_frame_before() -> None:
    scene = scenes.Scene((two_layers().layers[0],), MARGIN)
    place = torch.tensor([0.0, 0.2, 0.5, 0.6, 0.4]).double()
    steps = torch.stack([place, torch.zeros(5).double()], 1)
    frames = scene.frames(steps[:, None])
    out = moved(frames[0], run(FlowMagnifier(6.0, "dynamic"), frames))[:, 0]
    before = torch.cat([place[:1], place[:-1]])
    torch.testing.assert_close(out.double(), before + 6 * (place - before), atol=0.05, rtol=0)


def test_a_factor_of_zero_takes_the_motion_away_and_of_one_changes_nothing() -> None:
    frames = pattern(0.5 * sine(12), (12.0, 20.0))
    still = moved(frames[0], run(FlowMagnifier(0.0), frames))
    assert still.abs().max() < 0.02
    torch.testing.assert_close(run(FlowMagnifier(1.0), frames), frames, atol=2e-5, rtol=0)


# --- layers -----------------------------------------------------------------------------------------------


def test_an_object_moves_and_what_is_behind_stays() -> None:
    scene, motion = two_layers(), swinging()
    frames, truth = scene.frames(motion), scene.frames(10 * motion)
    magnifier = FlowMagnifier(10.0)
    out = run(magnifier, frames)
    assert "a background" in magnifier.describe()
    own = scene.visible(motion[:1])[0, 1].float()
    for moment in (2, 8, 12):
        got = measure_displacement(frames[0], out[moment], weight=own).flatten()
        assert float(got[0]) == pytest.approx(10 * float(motion[moment, 1, 0]), rel=0.1)
        assert abs(float(got[1])) < 0.2
        shown = scene.visible(10 * motion[moment : moment + 1])[0]
        # Where the truth and the input both show background, it is the frame's own.
        free = (shown[0] > 0.999) & (scene.visible(motion[moment : moment + 1])[0, 0] > 0.999)
        assert (out[moment] - frames[moment]).abs().mean(0)[free].mean() < 1e-3
        # What the object bared looks more like what is there than the object, which the input shows.
        hole = ((shown[0] > 0.9) & (scene.visible(motion[moment : moment + 1])[0, 0] < 0.5)).numpy()
        assert hole.sum() > 50
        like = [_similarity(picture, truth[moment]) for picture in (out[moment], frames[moment])]
        assert like[0][hole].mean() > like[1][hole].mean() + 0.05
        assert like[0].mean() > 0.95
    # The object's own texture is not blurred: its contrast is the truth's.
    inside = scene.visible(10 * motion[2:3])[0, 1] > 0.999
    assert out[2].mean(0)[inside].std() == pytest.approx(float(truth[2].mean(0)[inside].std()), rel=0.05)


def _similarity(picture: Tensor, truth: Tensor) -> np.ndarray:
    images = [image.permute(1, 2, 0).numpy() for image in (picture, truth)]
    _, full = structural_similarity(*images, channel_axis=2, data_range=1, full=True)
    return np.asarray(full).mean(2)


def test_layers_are_told_by_when_they_move_and_chosen_by_number_or_point() -> None:
    scene, motion = two_layers(2, width=192, radius=26), swinging(2)
    frames = scene.frames(motion)
    truth = scene.visible(motion[:1])[0].argmax(0)
    magnifier = FlowMagnifier(8.0)
    magnifier.push(frames)
    assert magnifier.label is None
    run(magnifier, frames[:0])
    by_point = FlowMagnifier(8.0, layers=(128.0, 56.0), window=14)
    out = by_point.push(frames)
    label = by_point.label
    assert label is not None
    for true in (1, 2):
        found = label == label[truth == true].mode().values
        union = (found | (truth == true)).sum()
        assert int((found & (truth == true)).sum()) / int(union) > 0.85
    wanted = measure_displacement(frames[0], out[4], weight=(truth == 2).float()).flatten()
    assert float(wanted[1]) == pytest.approx(8 * float(motion[4, 2, 1]), rel=0.1, abs=0.1)
    left = measure_displacement(frames[0], out[2], weight=(truth == 1).float()).flatten()
    assert float(left[0]) == pytest.approx(float(motion[2, 1, 0]), abs=0.1)
    number = int(label[56, 128])
    other = run(FlowMagnifier(8.0, layers=number, window=14), frames)
    shown = torch.cat([out, by_point.flush()])
    torch.testing.assert_close(other, shown)
    # The same point of a clip that is twice as large, and of which a part is magnified.
    clip = cast(ClipInfo, SimpleNamespace(width=500, height=300))
    height, width = label.shape
    framing = Framing.of(clip, 0.5, (40, 20, 2 * width, 2 * height), False)
    by_point = FlowMagnifier(8.0, layers=(40 + 256.0, 20 + 112.0), window=14)
    by_point.see_through(framing)
    torch.testing.assert_close(run(by_point, frames), shown)


def test_what_was_behind_is_remembered_from_when_it_was_seen() -> None:
    """An object walks 9 px to the right and back by 6: the gap behind it shows what was seen, not a guess."""
    scene = two_layers()
    motion = torch.zeros(16, 2, 2).double()
    motion[:, 1, 0] = torch.cat([torch.linspace(0, 9, 12), torch.linspace(7.5, 3, 4)]).double()
    frames, truth = scene.frames(motion), scene.frames(2.5 * motion)
    out = run(FlowMagnifier(2.5, window=6), frames)
    # The last frame shows the object at 3 px and has it at 7.5 px: of what it bares, all was seen at 9 px.
    shown, now = scene.visible(2.5 * motion[15:16])[0], scene.visible(motion[15:16])[0]
    hole = (shown[0] > 0.95) & (now[0] < 0.3)
    assert int(hole.sum()) > 30
    error, before = ((picture[15] - truth[15]).abs().mean(0)[hole].mean() for picture in (out, frames))
    assert error < 0.4 * before


# --- the camera -------------------------------------------------------------------------------------------


def test_a_shaken_camera_is_taken_out_and_put_back() -> None:
    scene, own = two_layers(), swinging()
    time = torch.arange(14).double() / FPS
    camera = torch.stack([1.5 * torch.sin(8 * time), 0.8 * torch.sin(13 * time)], 1)[:, None]
    frames = scene.frames(own + camera)
    magnifier = FlowMagnifier(10.0)
    out = run(magnifier, frames)
    assert "camera affine" in magnifier.describe()
    weight = scene.visible(own[:1])[0].float()
    # Well away from where the object goes.
    weight[0] = 1 - torch.nn.functional.max_pool2d(1 - weight[:1], 25, 1, 12)[0]
    for moment in (2, 8):
        got = measure_displacement(frames[0], out[moment], weight=weight[1]).flatten().double()
        torch.testing.assert_close(got, (10 * own[moment, 1] + camera[moment, 0]), atol=0.5, rtol=0)
        behind = measure_displacement(frames[0], out[moment], weight=weight[0]).flatten().double()
        torch.testing.assert_close(behind, camera[moment, 0], atol=0.05, rtol=0)


def test_motion_of_all_as_one_is_removed_only_on_request() -> None:
    frames = pattern(0.5 * sine(10), (12.0, 20.0))
    assert moved(frames[0], run(FlowMagnifier(4.0), frames))[2, 0] == pytest.approx(
        2 * math.sin(0.4 * math.pi), rel=0.05
    )
    with pytest.warns(UserWarning, match="nothing moves"):
        out = run(FlowMagnifier(4.0, registration="affine"), frames)
    torch.testing.assert_close(out, frames, atol=1e-4, rtol=0)


# --- the stream -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_chunks_change_nothing(mode: str) -> None:
    frames = two_layers(height=64, width=80, radius=20).frames(swinging(count=20))
    band = Band(2.0, 4.0, FPS, "fir", taps=9) if mode == "temporal" else None

    def made(batch: int, chunk: int) -> Tensor:
        return run(FlowMagnifier(5.0, mode, band, window=8, batch=batch), frames, chunk)  # type: ignore[arg-type]

    whole = made(1, 20)
    assert whole.shape == frames.shape
    assert torch.equal(whole, made(1, 3))
    assert torch.equal(whole, made(4, 7))


def test_it_is_ready_for_another_clip_and_holds_a_constant_number_of_frames() -> None:
    scene = two_layers(height=64, width=80, radius=20)
    frames = scene.frames(swinging(count=16))
    magnifier = FlowMagnifier(5.0, window=8)
    first = run(magnifier, frames)
    assert torch.equal(first, run(magnifier, frames))
    given = [len(magnifier.push(frames[i % 16][None])) for i in range(24)]
    assert given == [0] * 7 + [8] + [1] * 16
    assert magnifier.memory(64, 80, 1000) == magnifier.memory(64, 80, 100_000)


def test_a_registered_method_finds_it() -> None:
    assert methods.get("flow") is FlowMagnifier


# --- bad input --------------------------------------------------------------------------------------------


def test_a_static_clip_comes_out_as_it_is_with_a_warning() -> None:
    generator = torch.Generator().manual_seed(0)
    still = torch.rand(1, 3, 40, 48, generator=generator).expand(10, -1, -1, -1)
    with pytest.warns(UserWarning, match="nothing moves in these 10 frames"):
        out = run(FlowMagnifier(10.0), still)
    # Frames wait with 15 bits.
    torch.testing.assert_close(out, still, atol=2e-5, rtol=0)


def test_a_clip_in_which_nothing_moves_is_told_by_its_first_frame_and_not_by_the_layers_before() -> None:
    frames = pattern(0.5 * sine(12), (12.0, 20.0))
    magnifier = FlowMagnifier(4.0, batch=5)
    run(magnifier, frames)
    # The layers are told after the end, until another clip begins.
    assert "layers" in magnifier.describe()
    with pytest.warns(UserWarning, match="in these 7 frames, from frame 12 on, that could be followed"):
        run(magnifier, frames[:1].expand(7, -1, -1, -1))
    assert "layers" not in magnifier.describe()
    assert "registration auto" in magnifier.describe()
    with pytest.warns(UserWarning, match="in these 3 frames, from frame 19 on"):
        run(magnifier, frames[:1].expand(3, -1, -1, -1))


def test_noise_is_no_motion() -> None:
    scene = scenes.Scene((two_layers().layers[0],), MARGIN)
    frames = scene.frames(torch.zeros(1, 1, 2)).expand(12, -1, -1, -1)
    noisy = scenes.record(frames, noise=2.0)
    with pytest.warns(UserWarning, match="nothing moves"):
        out = run(FlowMagnifier(10.0), noisy)
    torch.testing.assert_close(out, noisy, atol=1e-4, rtol=0)


def test_motion_that_begins_after_the_first_window_is_found() -> None:
    shift = torch.cat([torch.zeros(8), 0.5 * sine(8).float()]).double()
    frames = pattern(shift, (12.0, 20.0))
    out = moved(frames[0], run(FlowMagnifier(4.0, window=8), frames))
    assert float(out[10, 0]) == pytest.approx(4 * float(shift[10]), rel=0.05)


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_constant_colour_gives_no_nan(mode: str, value: float) -> None:
    frames = torch.full((12, 3, 24, 33), value)
    band = Band(3.0, 6.0, FPS, "fir", taps=5) if mode == "temporal" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = run(FlowMagnifier(10.0, mode, band), frames)  # type: ignore[arg-type]
    torch.testing.assert_close(out, frames, atol=1e-4, rtol=0)
    flicker = frames * torch.linspace(0.5, 1, 12)[:, None, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.isfinite(run(FlowMagnifier(10.0, mode, band), flicker)).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (17, 64)])
def test_small_and_odd_frames(size: tuple[int, int]) -> None:
    frames = pattern(0.3 * sine(6), (6.0, 9.0), size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # In the smallest too few points move together.
        out = run(FlowMagnifier(3.0), frames)
    assert out.shape == frames.shape
    assert torch.isfinite(out).all()


def test_frames_of_another_size_are_refused() -> None:
    magnifier = FlowMagnifier(2.0)
    magnifier.push(torch.rand(2, 3, 16, 16))
    with pytest.raises(InputError, match="frame size changes"):
        magnifier.push(torch.rand(2, 3, 16, 20))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 1}, "window must be at least 2"),
        ({"steps": 11}, "steps must be from 0 to 10"),
        ({"most": 0}, "most must be from 1 to 16"),
        ({"trust": 1.5}, "trust must be from 0 to 1"),
        ({"registration": "rigid"}, "registration must be one of auto"),
        ({"layers": "front"}, "layers must be moving"),
        ({"layers": -1}, "layers must be moving"),
        ({"flow": "raft"}, "no flow is called 'raft'"),
        ({"flow": "math:no_such"}, "cannot be imported"),
        ({"flow": "no_such_module:flow"}, "cannot be imported"),
        ({"flow": "math:pi"}, "is no function"),
    ],
)
def test_options_outside_their_range(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        FlowMagnifier(2.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "words"), [(9, "there is no layer 9"), ((500.0, 2.0), "lies outside of the frame of 96×64")]
)
def test_a_layer_that_is_not_there(layers: int | tuple[float, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(FlowMagnifier(2.0, layers=layers), pattern(0.5 * sine(6), (12.0, 20.0)))


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ((128.0, 2.0), "the point 128,2 lies outside of the frame of 128×96 px"),
        ((20.0, 40.0), "the point 20,40 does not lie within --roi; change one of them"),
        ((40.0, 91.0), "does not lie within --roi"),
    ],
)
def test_a_point_that_is_not_in_what_is_seen(point: tuple[float, float], words: str) -> None:
    framing = Framing.of(cast(ClipInfo, SimpleNamespace(width=128, height=96)), 0.5, (30, 30, 60, 60), False)
    with pytest.raises(InputError, match=words):
        FlowMagnifier(2.0, layers=point).see_through(framing)


def test_a_flow_of_ones_own() -> None:
    calls = []

    def mine(reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
        calls.append((reference.shape, reference.dtype))
        return dis(reference, frame)

    frames = pattern(0.5 * sine(5), (12.0, 20.0))
    own = run(FlowMagnifier(3.0, flow=mine), frames)
    assert calls == [((64, 96, 3), np.uint8)] * 4
    assert torch.equal(own, run(FlowMagnifier(3.0, flow="mm.methods.lagrangian.flows:dis"), frames))
    with pytest.raises(InputError, match="must give an array of shape"):
        run(FlowMagnifier(3.0, flow=lambda a, b: np.zeros(3)), frames)
    with pytest.raises(InputError, match="NaN or infinite"):
        run(FlowMagnifier(3.0, flow=lambda a, b: np.full((64, 96, 2), np.nan)), frames)
