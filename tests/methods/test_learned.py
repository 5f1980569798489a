"""The learned method as a stream: what it computes, once a frame, in step, whatever the chunks."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mm.errors import InputError
from mm.methods import LearnedMagnifier, Magnifier
from mm.networks import MagnificationNetwork, NetworkConfig, ThreePartNetwork
from mm.networks.weights import load, shipped
from mm.registry import methods
from mm.temporal import Band

Held = Callable[[Magnifier], int]
SMALL = {"stem_channels": 4, "channels": 4, "encoder_blocks": 1, "decoder_blocks": 1, "initialisation": "he"}
BAND = Band(1.0, 4.0, 30.0)


@pytest.fixture(params=["nonlinear", "linear"])
def network(request: pytest.FixtureRequest) -> MagnificationNetwork:
    torch.manual_seed(0)
    return MagnificationNetwork(NetworkConfig(manipulator=request.param, **SMALL)).eval()


@pytest.fixture
def clip() -> Tensor:
    """45 frames of 14×18 px (not multiples of 4), smooth enough for a network to see motion in them."""
    noise = torch.rand(45, 3, 14, 18, generator=torch.Generator().manual_seed(1))
    return 0.25 + 0.5 * noise.cumsum(0) / torch.arange(1, 46).view(-1, 1, 1, 1)


def run(magnifier: Magnifier, clip: Tensor, chunk: int) -> Tensor:
    return torch.cat([*(magnifier.push(part) for part in clip.split(chunk)), magnifier.flush()])


def test_static_is_the_pair_with_the_first_frame(network: MagnificationNetwork, clip: Tensor) -> None:
    out = run(LearnedMagnifier(network, 5.0), clip, 7)
    expected = network.magnify_pair(clip[:1].expand_as(clip), clip, 5.0)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_dynamic_is_the_pair_with_the_frame_before(network: MagnificationNetwork, clip: Tensor) -> None:
    out = run(LearnedMagnifier(network, 5.0, "dynamic"), clip, 7)
    expected = network.magnify_pair(torch.cat([clip[:1], clip[:-1]]), clip, 5.0)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_the_first_frame_is_its_own_reconstruction(
    network: MagnificationNetwork, clip: Tensor, mode: str
) -> None:
    out = LearnedMagnifier(network, 50.0, mode).push(clip[:3])
    torch.testing.assert_close(out[:1], network.reconstruct(clip[:1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mode", "filter_"),
    [
        ("static", None),
        ("dynamic", None),
        ("temporal", "butter"),
        ("temporal", "fir"),
        ("temporal", "ideal"),
        ("temporal", "butter-causal"),
    ],
)
def test_chunks_make_no_difference_and_batches_only_rounding(
    network: MagnificationNetwork, clip: Tensor, mode: str, filter_: str | None
) -> None:
    band = Band(1.0, 4.0, 30.0, filter_) if filter_ else None
    singly = run(LearnedMagnifier(network, 5.0, mode, band, batch=1), clip, 45)
    for batch in (1, 4):
        whole = run(LearnedMagnifier(network, 5.0, mode, band, batch=batch), clip, 45)
        assert whole.shape == clip.shape
        for chunk in (1, 8, 31):
            assert torch.equal(
                run(LearnedMagnifier(network, 5.0, mode, band, batch=batch), clip, chunk), whole
            )
        # Where frames wait in half precision, a last bit that differs may round the other way.
        torch.testing.assert_close(whole, singly, atol=2e-3 if band else 1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_a_factor_of_one_reconstructs_and_a_still_clip_stays_still(
    network: MagnificationNetwork, clip: Tensor, mode: str
) -> None:
    band = BAND if mode == "temporal" else None
    out = run(LearnedMagnifier(network, 1.0, mode, band), clip, 10)
    # In temporal mode shapes and textures have waited in half precision.
    torch.testing.assert_close(out, network.reconstruct(clip), atol=2e-3 if band else 1e-5, rtol=0)
    still = run(LearnedMagnifier(network, 100.0, mode, band), clip[:1].expand_as(clip), 10)
    torch.testing.assert_close(
        still, network.reconstruct(clip[:1]).expand_as(clip), atol=2e-3 if band else 1e-4, rtol=0
    )


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_each_frame_is_encoded_once_and_decoded_once(
    network: MagnificationNetwork, clip: Tensor, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"encode": 0, "decode": 0}
    for name in counts:
        original = getattr(network, name)

        def counted(x: Tensor, *rest: object, name: str = name, original: object = original) -> object:
            counts[name] += len(x)
            return original(x, *rest)  # type: ignore[operator]

        monkeypatch.setattr(network, name, counted)
    run(LearnedMagnifier(network, 5.0, mode, BAND if mode == "temporal" else None), clip, 7)
    assert counts == {"encode": len(clip), "decode": len(clip)}


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_holds_no_more_than_it_says_however_long_the_clip(
    network: MagnificationNetwork, clip: Tensor, mode: str, held: Held
) -> None:
    magnifier = LearnedMagnifier(network, 5.0, mode, BAND if mode == "temporal" else None, batch=3)
    most, given = 0, 0
    for part in clip.repeat(6, 1, 1, 1).split(2):
        given += len(magnifier.push(part))
        most = max(most, held(magnifier))
    assert given > 150
    limit = magnifier.memory(14, 18, 270)
    assert limit == magnifier.memory(14, 18, 10**6)
    assert 0.8 * limit < most <= limit


class Pixels(ThreePartNetwork):
    """A stand-in whose shape is the frame itself, so that temporal mode has an analytic answer."""

    multiple, min_side = 1, 8

    def __init__(self, show_texture: bool = False) -> None:
        super().__init__(None)
        self.show_texture = show_texture
        self.place = nn.Parameter(torch.zeros(1))

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return frames.mean((2, 3), keepdim=True), frames

    def manipulate(self, shape_a: Tensor, shape_b: Tensor, factor: float) -> Tensor:
        return shape_a + factor * (shape_b - shape_a)

    def decode(
        self, texture: Tensor, manipulated: Tensor, size: tuple[int, int], direction: float | None = None
    ) -> Tensor:
        return texture.expand_as(manipulated) if self.show_texture else manipulated

    def values(self, height: int, width: int) -> tuple[int, int]:
        return 3, 3 * height * width

    def working_bytes(self, height: int, width: int, bytes_per_number: int) -> int:
        return height * width * bytes_per_number


@pytest.mark.parametrize("filter_", ["butter", "iir", "fir", "ideal", "butter-causal"])
def test_temporal_mode_takes_the_texture_of_the_current_frame(filter_: str, clip: Tensor) -> None:
    magnifier = LearnedMagnifier(
        Pixels(show_texture=True),  # type: ignore[arg-type]
        10.0,
        "temporal",
        Band(1.0, 4.0, 30.0, filter_),
    )
    out = run(magnifier, clip, 7)
    torch.testing.assert_close(out[..., 0, 0], clip.mean((2, 3)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("filter_", ["butter", "iir", "fir", "ideal"])
def test_temporal_mode_is_equation_4_in_step(filter_: str) -> None:
    """3 Hz at 30 fps in the paper's band: comes out `factor` times as large, at the same moment."""
    t = torch.arange(150) / 30
    wave = 0.01 * torch.sin(2 * torch.pi * 3 * t)
    ramp = torch.linspace(0.3, 0.6, 8 * 8 * 3).view(1, 3, 8, 8)
    clip = ramp + wave.view(-1, 1, 1, 1)
    magnifier = LearnedMagnifier(Pixels(), 10.0, "temporal", Band(0.5, 7.5, 30.0, filter_))  # type: ignore[arg-type]
    moved = (run(magnifier, clip, 16) - ramp).mean((1, 2, 3))[60:90]
    basis = torch.stack([torch.sin(2 * torch.pi * 3 * t), torch.cos(2 * torch.pi * 3 * t)], dim=1)[60:90]
    sine, cosine = torch.linalg.lstsq(basis, moved[:, None]).solution[:, 0].tolist()
    assert sine == pytest.approx(0.1, rel=0.03)
    assert abs(math.atan2(cosine, sine)) < 0.02 * 2 * math.pi


def wavy(frames: int, amplitude: float, frequency: float, fps: float) -> tuple[Tensor, Tensor]:
    """A 48×48 px grating of period 16 px that moves sideways by a sinusoid, and its displacement in px."""
    shift = amplitude * torch.sin(2 * torch.pi * frequency * torch.arange(frames) / fps)
    x = torch.arange(48.0)
    rows = 0.5 + 0.25 * torch.sin(2 * torch.pi * (x - shift[:, None]) / 16)
    return rows[:, None, None, :].expand(-1, 3, 48, -1).contiguous(), shift


def displacement(frames: Tensor) -> Tensor:
    """Displacement of the grating in px, from the phase of its Fourier component, border left out."""
    x = torch.arange(48.0)
    weight = torch.hann_window(48, periodic=False) * torch.exp(-2j * torch.pi * x / 16)
    component = (frames.mean((1, 2)) - 0.5).to(torch.complex64) @ weight.to(torch.complex64)
    phase = torch.angle(component / component[0])
    return -phase * 16 / (2 * torch.pi)


def test_the_estimator_of_displacement_is_right() -> None:
    clip, shift = wavy(30, 2.0, 3.0, 30.0)
    assert torch.allclose(displacement(clip), shift, atol=0.02)


def check_real_motion(network: MagnificationNetwork, tolerance: float) -> None:
    clip, shift = wavy(90, 0.2, 3.0, 30.0)
    out = run(LearnedMagnifier(network, 10.0, "temporal", Band(0.5, 7.5, 30.0), batch=8), clip, 16)
    truth, moved = shift[30:60], displacement(out)[30:60]
    quarter = 0.2 * torch.cos(2 * torch.pi * 3 * torch.arange(30, 60) / 30)
    in_step = (moved @ truth / (truth @ truth)).item()
    out_of_step = (moved @ quarter / (quarter @ quarter)).item()
    assert in_step == pytest.approx(10, rel=tolerance)
    # 2 % of a period.
    assert abs(math.atan2(out_of_step, in_step)) < 0.02 * 2 * math.pi


def test_released_weights_magnify_three_hertz_in_step(material: Path) -> None:
    check_real_motion(load(material / "anchors" / "oh2018_release.npz"), 0.25)


@pytest.mark.skipif(not shipped(), reason="no weights are shipped yet")
def test_shipped_weights_magnify_three_hertz_in_step() -> None:
    check_real_motion(load(), 0.25)


@pytest.mark.slow
@pytest.mark.skipif(not shipped(), reason="no weights are shipped yet")
@pytest.mark.parametrize("mode", ["temporal", "static"])
@pytest.mark.parametrize("period", [12, 16, 24, 32, 48])
def test_shipped_weights_magnify_a_tenth_of_a_pixel(period: int, mode: str) -> None:
    """0.1 px at 3 Hz, ten times: the gain by least squares, and how late it comes.

    The shipped weights give 9.5 to 10.9 over these periods in both modes, less than 0.01 frames late.
    """
    fps, frequency, amplitude, factor = 30.0, 3.0, 0.1, 10.0
    turn = 2 * torch.pi * frequency * torch.arange(60) / fps
    x = torch.arange(48.0)
    rows = 0.5 + 0.25 * torch.sin(2 * torch.pi * (x - amplitude * torch.sin(turn)[:, None]) / period)
    clip = rows[:, None, None, :].expand(-1, 3, 16, -1).contiguous()
    band = Band(0.5, 7.5, fps) if mode == "temporal" else None
    out = run(LearnedMagnifier(load(), factor, mode, band, batch=8), clip, 16)

    def of_time(frames: Tensor) -> tuple[float, float]:
        """Amplitude in px, and delay in frames, of the grating's motion in whole periods of the middle."""
        # Its phase by a weighted fit, since a period need not divide the width; the borders count little.
        weight = torch.hann_window(50, periodic=False)[1:-1, None]
        wave = 2 * torch.pi * x / period
        basis = torch.stack([torch.sin(wave), torch.cos(wave), torch.ones_like(x)], dim=1)
        sine, cosine, _ = torch.linalg.lstsq(basis * weight, frames.mean((1, 2)).mT * weight).solution
        moved = -torch.atan2(cosine, sine)[20:40] * period / (2 * torch.pi)
        times = torch.stack([torch.sin(turn), torch.cos(turn), torch.ones_like(turn)], dim=1)[20:40]
        in_step, out_of_step, _ = torch.linalg.lstsq(times, moved[:, None]).solution[:, 0].tolist()
        late = -math.atan2(out_of_step, in_step) / (2 * math.pi * frequency) * fps
        return math.hypot(in_step, out_of_step), late

    assert of_time(clip) == pytest.approx((amplitude, 0), abs=1e-4)
    gain, late = of_time(out)
    assert gain / amplitude == pytest.approx(factor, rel=0.15)
    assert abs(late) < 0.2


def test_bf16_is_near(network: MagnificationNetwork, clip: Tensor) -> None:
    exact = run(LearnedMagnifier(network, 3.0), clip, 9)
    rounded = run(LearnedMagnifier(network, 3.0, precision="bf16"), clip, 9)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0)


def test_gives_float32_in_range_that_can_be_written_to(network: MagnificationNetwork, clip: Tensor) -> None:
    out = run(LearnedMagnifier(network, 100.0), clip.double(), 45)
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.min() >= 0
    assert out.max() <= 1
    out.add_(1)


def test_a_flushed_magnifier_takes_another_clip(network: MagnificationNetwork, clip: Tensor) -> None:
    for mode, band in (("static", None), ("dynamic", None), ("temporal", BAND)):
        magnifier = LearnedMagnifier(network, 5.0, mode, band)
        run(magnifier, clip, 9)
        other = clip.flip(0, 3)[:40, :, :12, :8]
        torch.testing.assert_close(
            run(magnifier, other, 9), run(LearnedMagnifier(network, 5.0, mode, band), other, 9)
        )


def test_is_found_by_name_and_keeps_the_interface(network: MagnificationNetwork) -> None:
    magnifier = methods.get("learned")(network=network, factor=2.0, band=BAND, mode="temporal")
    assert isinstance(magnifier, Magnifier)
    assert magnifier.describe().startswith("learned, temporal, factor 2, 32 bits on cpu; butter 1–4 Hz")


@pytest.mark.parametrize("filter_", ["butter", "ideal"])
def test_flushing_in_parts_gives_the_same_a_batch_at_a_time(
    network: MagnificationNetwork, clip: Tensor, filter_: str
) -> None:
    magnifier = LearnedMagnifier(network, 5.0, "temporal", Band(1.0, 4.0, 30.0, filter_), batch=4)
    given = len(magnifier.push(clip))
    whole = magnifier.flush()
    assert len(whole) == len(clip) - given > 10
    magnifier.push(clip)
    parts = list(magnifier.flush_parts())
    assert all(0 < len(part) <= 4 and not part.requires_grad for part in parts)
    assert torch.equal(torch.cat(parts), whole)
    # Ready for another clip.
    assert len(magnifier.push(clip)) == given


def test_no_frames_give_no_frames(network: MagnificationNetwork) -> None:
    assert LearnedMagnifier(network).flush().shape == (0, 3, 0, 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factor": -3.0}, "got -3"),
        ({"factor": math.nan}, "got nan"),
        ({"mode": "statc"}, "static, dynamic, temporal, got 'statc'"),
        ({"mode": "temporal"}, "needs a band"),
        ({"band": BAND}, "static mode magnifies all frequencies, but a band of 1 Hz to 4 Hz"),
        ({"precision": "16"}, "32 or bf16, got '16'"),
        ({"batch": 0}, "at least 1 frame, got 0"),
    ],
)
def test_bad_options(network: MagnificationNetwork, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LearnedMagnifier(network, **options)  # type: ignore[arg-type]


def test_bad_frames(network: MagnificationNetwork, clip: Tensor) -> None:
    magnifier = LearnedMagnifier(network)
    magnifier.push(clip[:4])
    with pytest.raises(InputError, match="size changes from 18×14 to 16×14 px"):
        magnifier.push(clip[4:6, :, :, :16])
    for bad, says in (
        (clip[0], r"\(n, 3, H, W\)"),
        (clip[:, :1], r"3, H, W"),
        (clip * math.nan, "NaN"),
        (clip * 255, "in \\[0, 1\\]"),
        ((clip * 255).byte(), "divide 8-bit frames by 255"),
        (clip[..., :7], "at least 8 px"),
    ):
        with pytest.raises(InputError, match=says):
            LearnedMagnifier(network).push(bad)


def test_a_clip_too_short_for_its_band(network: MagnificationNetwork, clip: Tensor) -> None:
    magnifier = LearnedMagnifier(network, 5.0, "temporal", Band(0.4, 3.0, 30.0))
    magnifier.push(clip)
    with pytest.raises(InputError, match=r"45 frames .* needs at least 75"):
        magnifier.flush()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_cuda_agrees_with_the_cpu(
    network: MagnificationNetwork, clip: Tensor, mode: str, precision: str
) -> None:
    band = BAND if mode == "temporal" else None
    expected = run(LearnedMagnifier(network, 5.0, mode, band), clip, 9)
    out = run(LearnedMagnifier(network, 5.0, mode, band, precision=precision, device="cuda"), clip, 9)
    assert out.device.type == "cpu"
    torch.testing.assert_close(out, expected, atol=1e-3 if precision == "32" else 0.05, rtol=0)
