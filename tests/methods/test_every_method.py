"""What every method of the registry promises, whatever it does inside: one matrix of methods and modes."""

from __future__ import annotations

import functools
import math
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mm.methods  # noqa: F401  (enters the methods that are built in)
from mm.errors import InputError
from mm.magnify.clip import magnify
from mm.methods import Magnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods
from mm.temporal import Band
from mm.video import read_clip, write_clip

HEIGHT, WIDTH, COUNT, FPS = 40, 56, 24, 30.0
MARKED = 13  # the frame that is told from its neighbours
LEVEL = 1 / 255
# Whose filter looks ahead for a few frames only, so that short clips show a steady state.
BAND = Band(3.0, 8.0, FPS, "fir", taps=15)
TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)


@functools.cache
def network() -> MagnificationNetwork:
    """Random weights: what it makes of a frame is not the frame, but its streams must be as all others."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MagnificationNetwork(TINY).eval()


@dataclass(frozen=True)
class Extras:
    """What a method needs beside the parameters that all have.

    Attributes:
        options: its own parameters.
        modes: those that are tried; "layered" takes ten times as long as the method inside it.
        band: in temporal mode.
        least: frames that it needs in temporal mode.
        reproduces: whether what does not move comes out as it was.
        plain: whether frames of one colour can be magnified; what must be followed needs texture.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    modes: tuple[str, ...] = ("static", "dynamic", "temporal")
    band: Band = BAND
    least: int = 10
    reproduces: bool = True
    plain: bool = True


USUAL = Extras()
EXTRAS = {
    # Its kernel stands in the place of a filter, for the middle of the band.
    "acceleration": Extras(modes=("temporal",), band=Band(3.0, 8.0, FPS), least=6),
    "flow": Extras({"window": 8}),
    "layered": Extras(
        {"region": (18, 12, 20, 16), "inner": "phase"}, modes=("static", "temporal"), plain=False
    ),
    "learned": Extras({"network": network()}, reproduces=False),
}
# Plug-ins that other tests have entered are not here.
BUILT_IN = sorted(name for name in methods if methods.get(name).__module__.startswith("mm.methods."))


@dataclass(frozen=True)
class Case:
    """A method in a mode."""

    name: str
    mode: str

    @property
    def extras(self) -> Extras:
        return EXTRAS.get(self.name, USUAL)

    @property
    def band(self) -> Band | None:
        return self.extras.band if self.mode == "temporal" else None

    def make(self, factor: float = 4.0, **changes: Any) -> Magnifier:
        shared = {"factor": factor, "mode": self.mode, "band": self.band, "batch": 2}
        made: Magnifier = methods.get(self.name)(**{**shared, **self.extras.options, **changes})
        return made

    def unmoved(self, frames: Tensor) -> Tensor:
        """What the method makes of frames in which there is nothing to magnify."""
        if self.extras.reproduces:
            return frames
        with torch.no_grad():
            return torch.cat([network().magnify_pair(one, one, 1.0) for one in frames.split(1)])


CASES = [Case(name, mode) for name in BUILT_IN for mode in EXTRAS.get(name, USUAL).modes]
TEMPORAL = [case for case in CASES if case.mode == "temporal"]


def _name(case: Case) -> str:
    return f"{case.name}-{case.mode}"


every = pytest.mark.parametrize("case", CASES, ids=_name)
every_temporal = pytest.mark.parametrize("case", TEMPORAL, ids=_name)


# --- clips ------------------------------------------------------------------------------------------------


def scene(shifts: Tensor, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """(T, 3, H, W): a textured patch in the middle moves along x by ``shifts`` px, what is round it rests."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )

    def texture(x: Tensor, y: Tensor, turn: float) -> Tensor:
        waves = [(0.55, 0.2, 0.0), (-0.3, 0.6, 1.0), (0.35, -0.75, 2.0), (0.8, 0.5, 3.0)]
        return sum(torch.sin(a * x + b * y + c + turn) for a, b, c in waves) / 10  # type: ignore[return-value]

    inside = torch.sigmoid(2 * (9 - (y - height / 2).abs())) * torch.sigmoid(2 * (13 - (x - width / 2).abs()))
    moving = texture(x - shifts.double().view(-1, 1, 1), y, 1.7)
    light = 0.5 + texture(x, y, 0.0) * (1 - inside) + moving * inside
    colour = torch.tensor([0.95, 1.0, 0.9], dtype=torch.float64).view(3, 1, 1)
    return (light[:, None] * colour).clamp(0, 1).float()


def course(count: int = COUNT) -> Tensor:
    """Half a px at 5 Hz, in the middle of the bands."""
    return 0.5 * torch.sin(2 * math.pi * 5 / FPS * torch.arange(count).double())


@functools.cache
def clip() -> Tensor:
    return scene(course())


@functools.cache
def other_clip() -> Tensor:
    """Of another content and another size; as long as what the methods need."""
    return scene(0.6 * course(COUNT - 8).flip(0), HEIGHT + 4, WIDTH + 3).flip(-1, -2).contiguous()


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """That nothing was there to follow is told by warnings, which other tests are for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def run(magnifier: Magnifier, frames: Tensor, chunk: int = COUNT) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in frames.split(chunk)), magnifier.flush()])


@functools.cache
def rendered(case: Case) -> Tensor:
    """The clip, magnified; a chunk that holds all of it."""
    return run(case.make(), clip())


# --- the table --------------------------------------------------------------------------------------------


def test_every_method_is_here() -> None:
    assert set(BUILT_IN) >= {"acceleration", "flow", "layered", "learned", "linear", "phase", "riesz"}
    assert set(EXTRAS) <= set(BUILT_IN)
    assert {case.name for case in CASES} == set(BUILT_IN)
    for case in CASES:
        assert isinstance(case.make(), Magnifier)


# --- the stream -------------------------------------------------------------------------------------------


@every
def test_output_t_is_for_input_t(case: Case) -> None:
    """One frame is told from the others by where its patch is: that frame of the output changes most."""
    out = rendered(case)
    assert out.shape == clip().shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    shifts = course()
    shifts[MARKED] += 0.25
    change = (run(case.make(), scene(shifts)) - out).abs().mean((1, 2, 3))
    assert int(change.argmax()) == MARKED
    # Neither its neighbours nor anything else comes near it, but for the step back in dynamic mode.
    others = torch.cat([change[:MARKED], change[MARKED + 1 + (case.mode == "dynamic") :]])
    assert others.max() < 0.8 * change[MARKED]


@every
@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_make_no_difference(case: Case, chunk: int) -> None:
    assert torch.equal(run(case.make(), clip(), chunk), rendered(case))


@every
def test_a_flushed_method_is_as_new(case: Case) -> None:
    magnifier = case.make()
    first, second = run(magnifier, clip()), run(magnifier, other_clip())
    assert torch.equal(first, rendered(case))
    assert torch.equal(second, run(case.make(), other_clip()))
    assert len(magnifier.flush()) == 0


@every
def test_the_batch_is_no_parameter_of_the_result(case: Case) -> None:
    one, three = (run(case.make(batch=batch), clip()) for batch in (1, 3))
    # A batch of another size adds up in another order: 1.03e-5 was seen. This is a 200th of a grey level.
    torch.testing.assert_close(one, three, rtol=0, atol=2e-5)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return str(request.param)


@every
def test_a_device_that_is_named(case: Case, device: str) -> None:
    magnifier = case.make(device=device)
    try:
        given = run(magnifier, clip())
        there = given if device == "cpu" else run(magnifier, clip().to(device))
    finally:
        network().cpu()  # The one network of these tests goes where it is sent.
    assert f"on {device}" in magnifier.describe()
    # What comes out is where what went in was.
    assert (given.device.type, there.device.type) == ("cpu", device)
    assert torch.equal(given, there.cpu())
    if device == "cpu":
        assert torch.equal(given, rendered(case))
    else:
        assert (given - rendered(case)).abs().mean() < 1e-3


# --- memory -----------------------------------------------------------------------------------------------


@every
def test_memory_does_not_grow_with_the_clip(case: Case) -> None:
    held = [case.make().memory(HEIGHT, WIDTH, frames) for frames in (100, 1000, 100_000)]
    assert held[0] > 0
    assert held[0] == held[1] == held[2]


@every_temporal
def test_the_ideal_filter_says_that_it_holds_the_clip(case: Case) -> None:
    band = replace(case.extras.band, filter="ideal", taps=None)
    if case.name == "acceleration":
        with pytest.raises(InputError, match="leave it out"):
            case.make(band=band)
        return
    one, ten = (case.make(band=band).memory(HEIGHT, WIDTH, frames) for frames in (1000, 10_000))
    assert 5 * one < ten < 11 * one
    assert "holds the whole clip" in case.make(band=band).describe()


def held(thing: object) -> int:
    """Bytes of the tensors and arrays within reach of an object's attributes; not of networks."""
    bytes_of: dict[int, int] = {}
    seen: set[int] = set()
    left, kept = [thing], []
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, (str, bytes, type, nn.Module)):
            continue
        if type(value).__name__ in ("_Matrices", "Kernel"):
            continue  # A filter's own, which are small beside frames of any real size.
        seen.add(id(value))
        kept.append(value)  # So that no other object takes its place in memory, and its id.
        if isinstance(value, Tensor):
            bytes_of[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, np.ndarray):
            bytes_of[value.__array_interface__["data"][0]] = value.nbytes
        elif isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, (list, tuple, set, deque)):
            left.extend(value)
        elif hasattr(value, "__dict__"):
            left.extend(vars(value).values())
    return sum(bytes_of.values())


@every
def test_no_more_is_held_than_is_said(case: Case) -> None:
    count = 50
    # So many that batches and the filter's blocks meet at every place.
    magnifier = case.make(batch=5)
    limit = magnifier.memory(HEIGHT, WIDTH, count)
    most = 0
    for part in scene(course(count)).split(1):
        magnifier.push(part)
        most = max(most, held(magnifier))
    assert most <= limit
    # What is said is a bound that means something.
    assert limit < 3 * most


# --- what should not change -------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.2, 0.6, 0.9), (1.0, 1.0, 1.0)])
def test_frames_of_one_colour(case: Case, colour: tuple[float, ...]) -> None:
    frames = torch.tensor(colour).view(1, 3, 1, 1).repeat(12, 1, HEIGHT, WIDTH)
    if not case.extras.plain:
        with pytest.raises(InputError, match="texture"):
            run(case.make(50.0), frames)
        return
    assert (run(case.make(50.0), frames) - case.unmoved(frames)).abs().max() <= LEVEL


@every
def test_a_clip_that_stands_still(case: Case) -> None:
    frames = clip()[:1].repeat(12, 1, 1, 1)
    assert (run(case.make(50.0), frames) - case.unmoved(frames)).abs().max() <= LEVEL


@every
def test_factor_1_changes_nothing(case: Case) -> None:
    assert (run(case.make(1.0), clip()) - case.unmoved(clip())).abs().max() <= LEVEL


@every
def test_one_frame(case: Case) -> None:
    if case.mode == "temporal":
        with pytest.raises(InputError, match=r"has 1 frames? .* needs at least"):
            run(case.make(), clip()[:1])
        return
    assert (run(case.make(50.0), clip()[:1]) - case.unmoved(clip()[:1])).abs().max() <= LEVEL


@every
def test_no_frame(case: Case) -> None:
    magnifier = case.make()
    assert magnifier.push(clip()[:0]).shape == (0, 3, HEIGHT, WIDTH)
    assert len(magnifier.flush()) == 0


@every
def test_a_shot_that_shows_nothing(case: Case, tmp_path: Path) -> None:
    """In the middle of a clip it costs neither the frames around it nor itself."""
    shot = clip()[:16]
    write_clip(tmp_path / "in.mkv", torch.cat([shot, torch.zeros_like(shot), shot]), lossless=True)
    options, band = dict(case.extras.options), case.band
    if options.pop("network", None) is not None:
        save(network(), tmp_path / "tiny.safetensors", {})
    report = magnify(
        tmp_path / "in.mkv",
        tmp_path / "out.mkv",
        method=case.name,
        mode=case.mode,
        factor=4.0,
        options=options,
        weights=tmp_path / "tiny.safetensors" if case.name == "learned" else None,
        low=None if band is None else band.low,
        high=None if band is None else band.high,
        filter=None if band is None or case.name == "acceleration" else band.filter,
        taps=None if band is None else band.taps,
        lossless=True,
        device="cpu",
        batch=5,
    )
    out = read_clip(tmp_path / "out.mkv")[0]
    assert report.cuts == (16, 32)
    assert out.shape == (48, 3, HEIGHT, WIDTH)
    assert torch.equal(out[32:], out[:16])
    assert (out[16:32] - case.unmoved(torch.zeros_like(shot))).abs().max() <= 1.01 * LEVEL


# --- bad input --------------------------------------------------------------------------------------------


def with_value(value: float) -> Tensor:
    frames = clip()[5:8].clone()
    frames[1, 2, 3, 4] = value
    return frames


BAD = {
    "NaN": (with_value(float("nan")), "NaN|finite"),
    "infinite": (with_value(float("inf")), "NaN|finite|in .0, 1"),
    "of 0 to 255": (with_value(200.0), "in .0, 1., got values from .* to 200"),
    "negative": (with_value(-0.5), "in .0, 1., got values from -0.5"),
    "wider": (torch.zeros(2, 3, HEIGHT, WIDTH + 1), f"{WIDTH}×{HEIGHT} to {WIDTH + 1}×{HEIGHT} px"),
    "grey": (torch.zeros(2, 1, HEIGHT, WIDTH), "3"),
    "one image": (torch.zeros(3, HEIGHT, WIDTH), "shape"),
    "whole numbers": (torch.zeros(2, 3, HEIGHT, WIDTH, dtype=torch.uint8), "float"),
}


@every
def test_bad_frames_are_refused_and_forgotten(case: Case) -> None:
    magnifier = case.make()
    first = magnifier.push(clip()[:5])
    for what, (frames, words) in BAD.items():
        with pytest.raises(InputError, match=words) as told:
            magnifier.push(frames)
        assert "\n" not in str(told.value), what
    rest = [magnifier.push(clip()[5:]), magnifier.flush()]
    assert torch.equal(torch.cat([first, *rest]), rendered(case))


@every
@pytest.mark.parametrize("size", [(7, WIDTH), (HEIGHT, 7), (1, 1)])
def test_frames_too_small_are_refused(case: Case, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"at least 8|8 px|does not lie within"):
        case.make().push(torch.full((2, 3, *size), 0.5))


@every_temporal
def test_a_clip_too_short_for_the_band(case: Case) -> None:
    magnifier = case.make()
    short = clip()[: case.extras.least - 1]
    magnifier.push(short)
    with pytest.raises(InputError, match=rf"{len(short)} frames at 30 .* at least {case.extras.least}"):
        magnifier.flush()
    # It has ended the clip all the same, and the next may be one frame longer.
    enough = clip()[: case.extras.least]
    assert torch.equal(run(magnifier, enough), run(case.make(), enough))


@pytest.mark.parametrize("name", BUILT_IN)
def test_parameters_that_all_share(name: str) -> None:
    case = Case(name, EXTRAS.get(name, USUAL).modes[-1])
    for changes, words in (
        ({"factor": -1.0}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"mode": "sideways"}, "mode"),
        ({"mode": "temporal", "band": None}, "band"),
        ({"mode": "static", "band": case.extras.band}, "mode"),
        ({"batch": 0}, "batch must be at least 1"),
    ):
        with pytest.raises(InputError, match=words):
            case.make(**changes)


# --- hard input -------------------------------------------------------------------------------------------


def checkers() -> Tensor:
    """Black and white squares of 4 px that jump by 3 px a frame."""
    place = torch.arange(HEIGHT).view(-1, 1) // 4 + torch.arange(WIDTH) // 4
    frame = (place % 2).float()
    return torch.stack([frame.roll(3 * t, 1) for t in range(16)])[:, None].repeat(1, 3, 1, 1)


def noise() -> Tensor:
    return torch.rand(16, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


@every
@pytest.mark.parametrize("frames", [checkers(), noise()], ids=["checkers", "noise"])
def test_hard_input_gives_pictures(case: Case, frames: Tensor) -> None:
    out = run(case.make(50.0), frames)
    assert out.shape == frames.shape
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1
