"""The layered method: a vibration on a region that crosses the frame, in a scene that is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.framing import Framing
from mm.methods import Magnifier, PhaseMagnifier
from mm.methods.affine import apply, grid, inverse
from mm.methods.layered import LayeredMagnifier
from mm.methods.masks import feathered, rectangle
from mm.motion.registration import measure_displacement
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.registry import methods
from mm.temporal import Band
from mm.video import ClipInfo

Held = Callable[[Magnifier], int]
FPS, FREQUENCY, FRAMES = 30.0, 3.0, 60
HEIGHT, WIDTH = 96, 144
CENTRE, RADIUS = (46.0, 46.0), 28.0
BAND = Band(1.5, 6.0, FPS)
QUICK = Band(2.0, 10.0, FPS, "fir", taps=15)
TIME = torch.arange(FRAMES).double() / FPS
VIBRATION = 0.1 * torch.sin(2 * math.pi * FREQUENCY * TIME)


class Texture:
    """A sum of plane waves of 8 to 40 px, which has a value at every point."""

    def __init__(self, seed: int, contrast: float, mean: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        length = 8 * 5 ** torch.rand(30, generator=generator, dtype=torch.float64)
        angle, self._phase = math.pi * torch.rand(2, 30, generator=generator, dtype=torch.float64)
        self._waves = torch.stack([angle.cos(), angle.sin()]) * 2 * math.pi / length
        self._contrast, self._mean = contrast / math.sqrt(15), mean

    def __call__(self, points: Tensor) -> Tensor:
        return self._mean + self._contrast * torch.sin(points @ self._waves + self._phase).sum(-1)


FRONT, BACK = Texture(1, 0.12, 0.5), Texture(2, 0.07, 0.35)


@dataclass(frozen=True)
class Clip:
    """A textured disc before a background that stands still.

    Attributes:
        frames: (n, 3, H, W) in [0, 1].
        share: (n, H, W), how much of each pixel is the disc's.
    """

    frames: Tensor
    share: Tensor


def scene(
    crossing: float = 1.0,
    shake: Tensor | None = None,
    bend: Tensor | None = None,
    count: int = FRAMES,
) -> Clip:
    """The disc goes ``crossing`` × (26, 6) px, turns by 4° and grows by 6 %, evenly.

    Args:
        crossing: how much of that.
        shake: (n,) px along x, in addition.
        bend: (n,) px along x that the disc's middle moves within it, by a Gaussian of 8 px.
        count: frames.
    """
    places, centre = grid(HEIGHT, WIDTH), torch.tensor(CENTRE).double()
    frames, shares = [], []
    for number in range(count):
        part = crossing * number / (FRAMES - 1)
        turn, scale = math.radians(4 * part), 1 + 0.06 * part
        linear = scale * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        shift = torch.tensor([26 * part, 6 * part]).double()
        if shake is not None:
            shift[0] += shake[number]
        transform = torch.cat([linear.double(), (centre + shift - linear.double() @ centre)[:, None]], dim=1)
        own = apply(inverse(transform), places)
        away = (own - centre).norm(dim=1) - RADIUS
        share = 0.5 * torch.special.erfc(away / math.sqrt(2))
        if bend is not None:
            own = own - bend[number] * _bump(own)[:, None] * torch.tensor([1.0, 0.0]).double()
        frames.append(share * FRONT(own) + (1 - share) * BACK(places))
        shares.append(share)
    stacked = torch.stack(frames).float().view(count, 1, HEIGHT, WIDTH)
    return Clip(stacked.expand(-1, 3, -1, -1).contiguous(), torch.stack(shares).view(count, HEIGHT, WIDTH))


def _bump(points: Tensor) -> Tensor:
    return torch.exp(-(points - torch.tensor(CENTRE).double()).square().sum(1) / (2 * 8**2))


def run(magnifier: Magnifier, frames: Tensor, chunk: int = 16) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in frames.split(chunk)), magnifier.flush()])


def moved(still: Clip, out: Tensor, numbers: range) -> Tensor:
    """(n, 2) px by which the disc is off where it would be without vibration, well inside its rim."""
    found = []
    for number in numbers:
        core = cv2.erode((still.share[number].numpy() > 0.99).astype(np.uint8), np.ones((15, 15)))
        weight = torch.from_numpy(core).float()
        found.append(measure_displacement(still.frames[number], out[number], weight=weight, limit=4))
    return torch.stack(found).double()


def gain(displacement: Tensor, numbers: range) -> tuple[float, float]:
    """Of the vibration, over the input's: in step, and a quarter of a period late; along x."""
    phase = 2 * math.pi * FREQUENCY * TIME[numbers.start : numbers.stop]
    basis = torch.stack([phase.sin(), -phase.cos(), torch.ones_like(phase)], dim=1)
    fit = torch.linalg.lstsq(basis, displacement[:, :1]).solution[:2, 0] / 0.1
    return float(fit[0]), float(fit[1])


MIDDLE = range(10, 50)


@pytest.fixture(scope="module")
def crossing() -> tuple[Clip, Clip]:
    """The scene with the vibration, and without."""
    return scene(shake=VIBRATION), scene()


@pytest.fixture(scope="module")
def out(crossing: tuple[Clip, Clip]) -> Tensor:
    clip, _ = crossing
    return run(LayeredMagnifier(10.0, "temporal", BAND, mask=clip.share[0].float()), clip.frames)


@pytest.fixture(scope="module")
def short() -> Tensor:
    return scene(shake=VIBRATION, count=24).frames


REGION = (24, 24, 44, 44)

# --- the truth ------------------------------------------------------------------------------------


def test_a_vibration_on_a_crossing_is_magnified(crossing: tuple[Clip, Clip], out: Tensor) -> None:
    """26 px of travel, 0.1 px of vibration: ten times the vibration, in step, and the same travel."""
    clip, still = crossing
    assert gain(moved(still, clip.frames, MIDDLE), MIDDLE)[0] == pytest.approx(1, abs=0.02)
    found = moved(still, out, MIDDLE)
    in_step, off = gain(found, MIDDLE)
    assert in_step == pytest.approx(10, rel=0.1)
    assert abs(math.atan2(off, in_step)) < 0.01 * 2 * math.pi
    torch.testing.assert_close(found[:, 0], 10 * VIBRATION[10:50], atol=0.15, rtol=0)
    assert found[:, 1].abs().max() < 0.05


def test_the_inner_method_alone_fails_on_it(crossing: tuple[Clip, Clip], out: Tensor) -> None:
    clip, still = crossing
    alone = run(PhaseMagnifier(10.0, "temporal", BAND), clip.frames)
    off = moved(still, alone, MIDDLE)[:, 0] - 10 * VIBRATION[10:50]
    own = moved(still, out, MIDDLE)[:, 0] - 10 * VIBRATION[10:50]
    assert off.square().mean().sqrt() > 0.3
    assert off.square().mean() > 25 * own.square().mean()
    # And it changes the background, which the region passes over.
    background = clip.share.amax(0) < 1e-4
    assert (alone - clip.frames).abs().amax((0, 1))[background].max() > 2 / 255


def test_the_background_is_the_inputs(crossing: tuple[Clip, Clip], out: Tensor) -> None:
    clip, _ = crossing
    for number in range(FRAMES):
        near = cv2.dilate((clip.share[number].numpy() > 1e-4).astype(np.uint8), np.ones((9, 9)))
        far = torch.from_numpy(near) == 0
        assert (out[number] - clip.frames[number]).abs().amax(0)[far].max() < 1e-4


def test_it_is_nearer_to_the_magnified_scene_than_the_input(crossing: tuple[Clip, Clip], out: Tensor) -> None:
    clip, _ = crossing
    truth = scene(shake=10 * VIBRATION)
    inside = (truth.share > 0.5).unsqueeze(1)

    def error(frames: Tensor) -> float:
        return float(((frames - truth.frames).abs() * inside)[10:50].mean())

    assert error(out) < 0.4 * error(clip.frames)


def test_a_rectangle_within_the_region_will_do(crossing: tuple[Clip, Clip]) -> None:
    clip, still = crossing
    frames = run(LayeredMagnifier(10.0, "temporal", BAND, region=(20, 20, 52, 52)), clip.frames)
    assert gain(moved(still, frames, MIDDLE), MIDDLE)[0] == pytest.approx(10, rel=0.1)


def test_all_of_the_affine_motion_can_be_taken_out(crossing: tuple[Clip, Clip]) -> None:
    """Then a vibration of the region as a whole is not magnified."""
    clip, still = crossing
    magnifier = LayeredMagnifier(10.0, "temporal", BAND, region=REGION, stabilise="all")
    assert gain(moved(still, run(magnifier, clip.frames), MIDDLE), MIDDLE)[0] == pytest.approx(1, abs=0.05)


def test_deformation_is_magnified_against_the_first_frame() -> None:
    """The disc's middle moves by up to 0.2 px within it while it crosses."""
    count = 24
    bend = 2 * VIBRATION[:count]

    def magnified(crossing: float, magnifier: Magnifier) -> float:
        """Displacement of the disc's middle over the input's, less 1."""
        still = scene(crossing, count=count)
        out = run(magnifier, scene(crossing, bend=bend, count=count).frames)
        found = []
        for number in range(1, count):
            part = crossing * number / (FRAMES - 1)
            away = grid(HEIGHT, WIDTH) - torch.tensor([CENTRE[0] + 26 * part, CENTRE[1] + 6 * part])
            weight = torch.exp(-away.square().sum(1) / (2 * 5**2)).view(HEIGHT, WIDTH).float()
            found.append(measure_displacement(still.frames[number], out[number], weight=weight, limit=3)[0])
        shown = torch.stack(found).double()
        # The measure averages over its weight, by which the bump is lower too.
        wide = 8**2 / (8**2 + 5**2)
        return float(shown @ bend[1:] / (bend[1:] @ bend[1:])) / wide - 1

    disc = scene(count=1).share[0]
    alone = magnified(0.0, PhaseMagnifier(5.0))
    assert alone > 2
    # The stabilisation takes with it the bump's own share of an affine motion: its mean, by symmetry.
    share = float(_bump(grid(HEIGHT, WIDTH))[disc.flatten() > 0.5].mean())
    found = magnified(1.0, LayeredMagnifier(5.0, mask=disc.float()))
    assert found == pytest.approx(alone * (1 - share), rel=0.12)


@pytest.mark.parametrize("inner", ["linear", "phase"])
def test_any_inner_method_and_its_options(inner: str, crossing: tuple[Clip, Clip]) -> None:
    clip, still = crossing
    options: dict[str, Any] = {"phase": {"orientations": "8"}, "linear": {"cutoff": 0.0}}[inner]
    magnifier = LayeredMagnifier(5.0, "temporal", BAND, region=REGION, inner=inner, batch=4, **options)
    if inner == "phase":
        assert "8 orientations" in magnifier.describe()
    numbers = range(20, 40)
    assert gain(moved(still, run(magnifier, clip.frames), numbers), numbers)[0] == pytest.approx(5, rel=0.12)


def test_a_network_inside_is_the_one_that_is_given() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MagnificationNetwork(
            NetworkConfig(
                stem_channels=2,
                channels=2,
                encoder_blocks=1,
                texture_blocks=1,
                shape_blocks=1,
                decoder_blocks=1,
            )
        )
    magnifier = LayeredMagnifier(region=REGION, inner="learned", network=network, precision="bf16")
    assert magnifier.trained_reach == 30
    assert "inside it learned, static, factor 10, bf16 on cpu" in magnifier.describe()
    assert LayeredMagnifier(region=REGION).trained_reach is None


# --- the stream -----------------------------------------------------------------------------------

modes = pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])


def make(mode: str, factor: float = 5.0, **options: Any) -> LayeredMagnifier:
    band = QUICK if mode == "temporal" else None
    return LayeredMagnifier(factor, mode, band, **{"region": REGION, **options})  # type: ignore[arg-type]


@modes
def test_chunks_make_no_difference(mode: str, short: Tensor) -> None:
    outputs = [run(make(mode, batch=3), short, chunk) for chunk in (1, 7, 24)]
    assert outputs[0].shape == short.shape
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@modes
def test_a_factor_of_one_changes_nothing(mode: str, short: Tensor) -> None:
    torch.testing.assert_close(run(make(mode, 1.0), short), short, atol=3e-5, rtol=0)


@modes
def test_a_still_clip_stays(mode: str, short: Tensor) -> None:
    still = short[:1].expand(24, -1, -1, -1)
    torch.testing.assert_close(run(make(mode, 50.0), still), still, atol=2e-3, rtol=0)


def test_the_end_comes_in_parts_and_the_next_clip_begins_anew(short: Tensor) -> None:
    magnifier = make("temporal")
    parts = [magnifier.push(short), *magnifier.flush_parts()]
    assert all(len(part) == 1 for part in parts[1:])
    again = run(magnifier, short)
    assert torch.equal(torch.cat(parts), again)


def test_a_clip_that_is_too_short_leaves_nothing_behind(short: Tensor) -> None:
    magnifier = make("temporal")
    magnifier.push(short[:10])
    with pytest.raises(InputError, match="the clip has 10 frames"):
        magnifier.flush()
    assert torch.equal(run(magnifier, short), run(make("temporal"), short))


@pytest.mark.parametrize("mode", ["static", "temporal"])
def test_holds_no_more_than_it_says(mode: str, short: Tensor, held: Held) -> None:
    magnifier = make(mode)
    most = []
    for part in torch.cat([short, short.flip(0), short, short.flip(0), short]).split(8):
        magnifier.push(part)
        most.append(held(magnifier))
    limit = magnifier.memory(HEIGHT, WIDTH, 120)
    assert limit == magnifier.memory(HEIGHT, WIDTH, 10**6)
    assert 0.4 * limit < max(most) <= limit
    # Nothing grows once the filters are full.
    assert max(most[-4:]) <= 1.01 * max(most[-8:-4])


def test_is_found_by_name_and_keeps_the_interface() -> None:
    magnifier = methods.get("layered")(factor=2.0, band=BAND, mode="temporal", device="cpu", region=REGION)
    assert isinstance(magnifier, Magnifier)
    line = magnifier.describe()
    assert line.startswith(
        "layered, 44×44 px at 24,24, affine motion outside the band taken out; inside it phase"
    )
    assert "\n" not in line


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_region_that_leaves_the_frame_is_left_alone_then() -> None:
    clip = scene(crossing=-9.0, shake=VIBRATION, count=20)
    magnifier = LayeredMagnifier(10.0, mask=clip.share[0].float())
    with pytest.warns(UserWarning, match=r"the region is lost at frame \d+, where \d+% of it"):
        out = run(magnifier, clip.frames)
    assert out.isfinite().all()
    torch.testing.assert_close(out[-1], clip.frames[-1], atol=1e-4, rtol=0)
    temporal = make("temporal", region=(24, 24, 44, 44))
    with pytest.warns(UserWarning, match="the region is lost"):
        out = run(temporal, scene(crossing=-9.0, count=30).frames)
    assert out.isfinite().all()


@modes
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_frames_have_nothing_to_follow(mode: str, value: float) -> None:
    with pytest.raises(InputError, match="44×44 px at 24,24 has no texture in the first frame"):
        make(mode).push(torch.full((30, 3, HEIGHT, WIDTH), value))


@modes
def test_a_clip_that_turns_constant_is_left_alone_then(mode: str, short: Tensor) -> None:
    frames = torch.cat([short[:12], torch.full((12, 3, HEIGHT, WIDTH), 0.5)])
    with pytest.warns(UserWarning, match="the region is lost at frame 13"):
        out = run(make(mode), frames)
    assert out.isfinite().all()
    torch.testing.assert_close(out[12:], frames[12:], atol=1e-4, rtol=0)


def test_a_mask_from_a_file_is_the_mask_from_a_tensor(short: Tensor, tmp_path: Path) -> None:
    mask = rectangle(REGION, HEIGHT, WIDTH)
    cv2.imwrite(str(tmp_path / "mask.png"), (mask.numpy() * 255).astype(np.uint8))
    frames = short[:4]
    outputs = [
        run(make("static", **{"region": None, "mask": one}), frames)
        for one in (mask, tmp_path / "mask.png", str(tmp_path / "mask.png"))
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[0], run(make("static"), frames))


def test_a_region_of_the_clip_is_found_in_what_is_seen_of_it(short: Tensor) -> None:
    """As if it had been typed in px of the resized and cut frames."""
    info = cast(ClipInfo, SimpleNamespace(width=2 * WIDTH, height=2 * HEIGHT))
    x, y, wide, high = REGION
    doubled = (2 * x, 2 * y, 2 * wide, 2 * high)
    roi = (2 * (x - 4), 2 * (y - 6), 2 * (wide + 8), 2 * (high + 8))
    mask = rectangle(doubled, 2 * HEIGHT, 2 * WIDTH)
    for cut, own in ((None, REGION), (roi, (4, 6, wide, high))):
        framing = Framing.of(info, 0.5, cut, False)
        frames = framing.cut(short[:3])
        placed = make("static", region=doubled)
        placed.see_through(framing)
        assert torch.equal(run(placed, frames), run(make("static", region=own), frames))
        # What is said of it is what was typed.
        assert f"{2 * wide}×{2 * high} px at {2 * x},{2 * y}" in placed.describe()
        masked = make("static", region=None, mask=mask)
        masked.see_through(framing)
        assert masked._mask is not None
        assert torch.equal((masked._mask >= 0.5).float(), rectangle(own, *framing.seen))
    # At the clip's own size nothing changes.
    plain = make("static")
    plain.see_through(
        Framing.of(cast(ClipInfo, SimpleNamespace(width=WIDTH, height=HEIGHT)), 1.0, None, False)
    )
    assert torch.equal(run(plain, short[:3]), run(make("static"), short[:3]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"region": (100, 0, 30, 30)},
            r"region 100,0,30,30 \(x,y,width,height, px of the input\) does not lie .* frame of 128×96 px",
        ),
        ({"region": (20, 20, 20, 20)}, r"region 20,20,20,20 .* does not lie within --roi"),
        ({"region": (40, 40, 10, 10)}, r"a region of 5×5 px is too small"),
        ({"mask": torch.ones(48, 64)}, "the mask is of 64×48 px, the frames are of 128×96 px"),
        ({"mask": rectangle((0, 0, 20, 20), 96, 128)}, "the white of mask lies outside --roi"),
    ],
)
def test_a_region_that_is_not_in_what_is_seen(options: dict[str, Any], says: str) -> None:
    framing = Framing.of(cast(ClipInfo, SimpleNamespace(width=128, height=96)), 0.5, (30, 30, 60, 60), False)
    magnifier = LayeredMagnifier(**options)

    def before_any_frame() -> None:
        magnifier.see_through(framing)
        magnifier.memory(*framing.seen, 10)

    with pytest.raises(InputError, match=says):
        before_any_frame()


def test_the_matte_rises_inside_the_rim_but_not_at_the_frames_border() -> None:
    matte = feathered(rectangle((0, 10, 30, 20), 40, 60), 4.0)
    assert matte[matte > 0].numel() == 30 * 20
    # Pixel centres are 3.5, 2.5, 1.5 and 0.5 px from the rim.
    rise = [(1 - math.cos(math.pi * away / 4)) / 2 for away in (3.5, 2.5, 1.5, 0.5)]
    assert matte[20].tolist() == pytest.approx([1.0] * 26 + rise + [0.0] * 30, abs=1e-4)
    assert (matte.diff(dim=1) <= 1e-6).all()
    soft = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(feathered(soft, 0.0), soft)


FRAME = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (
            lambda: LayeredMagnifier(),
            "needs a region .*--option region=x,y,width,height or --option mask=FILE",
        ),
        (lambda: LayeredMagnifier(region=(1, 1, 9, 9), mask=torch.ones(4, 4)), "one of the two, not both"),
        (lambda: LayeredMagnifier(region=REGION, inner="layered"), "cannot be its own inner method"),
        (
            lambda: LayeredMagnifier(region=REGION, network="x.ckpt"),
            "the phase method inside layered has no weights, got --weights x.ckpt; leave them out, or choose",
        ),
        (lambda: LayeredMagnifier(region=REGION, precision="8"), "precision must be 32 or bf16, got '8'"),  # type: ignore[arg-type]
        (lambda: LayeredMagnifier(region=REGION, inner="phaze"), "'phaze'; did you mean 'phase'"),
        (lambda: LayeredMagnifier(region=REGION, orientation=8), "no option 'orientation'; .*'orientations'"),
        (
            lambda: LayeredMagnifier(region=REGION, stabilise="slow"),
            "slow leaves in .* there is none; give --low",
        ),
        (
            lambda: LayeredMagnifier(region=REGION, stabilise="fast"),
            "stabilise must be all or slow, got 'fast'",
        ),
        (lambda: LayeredMagnifier(region=REGION, feather=-1.0), "from 0 to 1000 px, got -1"),
        (lambda: LayeredMagnifier(region=REGION, batch=0), "batch must be at least 1 frame, got 0"),
        (lambda: LayeredMagnifier(-1.0, region=REGION), "at least 0 .*got -1"),
        (lambda: LayeredMagnifier(mask=torch.ones(1, 48, 64)), r"shape \(H, W\), got \(1, 48, 64\)"),
        (lambda: LayeredMagnifier(mask=torch.full((48, 64), 255.0)), r"in \[0, 1\], .*divide 8-bit"),
        (lambda: LayeredMagnifier(mask=torch.full((48, 64), math.nan)), r"in \[0, 1\]"),
        (lambda: LayeredMagnifier(mask=torch.zeros(48, 64)), "the mask is empty: no pixel reaches 0.5"),
        (lambda: LayeredMagnifier(mask="nowhere.png"), "no mask file nowhere.png"),
        (
            lambda: LayeredMagnifier(mask=torch.ones(48, 60)).push(FRAME),
            "60×48 px, the frames are of 64×48 px",
        ),
        (lambda: LayeredMagnifier(region=(50, 0, 20, 20)).push(FRAME), "50,0,20,20 .* frame of 64×48 px"),
        (lambda: LayeredMagnifier(region=(5, 5, 0, 20)).push(FRAME), "does not lie within"),
        (lambda: LayeredMagnifier(region=(5, 5, 20, 7)).push(FRAME), "20×7 px is too small .*at least 8 px"),
        (
            lambda: LayeredMagnifier(mask=torch.eye(64)[:48] * (torch.arange(64) < 5)).push(FRAME),
            "5×5 px is too",
        ),
        (lambda: LayeredMagnifier(region=REGION, scales=9).push(torch.rand(1, 3, 96, 96)), "most 5 scales"),
    ],
)
def test_bad_input_is_told_in_a_line(use: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_an_empty_or_broken_mask_file_is_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((48, 64), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"black\.png is empty: no pixel reaches 0\.5; make the region white"
    ):
        LayeredMagnifier(mask=tmp_path / "black.png")
    with pytest.raises(InputError, match=r"broken\.png cannot be read as a mask"):
        LayeredMagnifier(mask=tmp_path / "broken.png")
