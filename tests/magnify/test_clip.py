"""Clips through a method: every frame in step, only what should change changed, nothing half written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import mm
from mm.errors import ClipWarning, InputError
from mm.magnify.clip import choose_device, magnify
from mm.magnify.settings import Settings
from mm.methods import Magnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods
from mm.temporal import Band
from mm.video import VideoWriter, read_clip, write_clip

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)


class Late(Magnifier):
    """A method that gives each frame's negative, ``DELAY`` frames late, and remembers how much it held."""

    DELAY = 5
    made: list[Late]

    def __init__(self, factor: float, band: Band | None, device: torch.device) -> None:
        self.factor, self.band, self.device = factor, band, device
        self.waiting: list[Tensor] = []
        self.most_waiting = 0
        self.most_pushed = 0
        Late.made.append(self)

    def push(self, frames: Tensor) -> Tensor:
        self.waiting.extend(1 - frames)
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        self.most_pushed = max(self.most_pushed, len(frames))
        ready = max(0, len(self.waiting) - self.DELAY)
        out, self.waiting = self.waiting[:ready], self.waiting[ready:]
        return torch.stack(out) if out else frames[:0]

    def flush(self) -> Tensor:
        out, self.waiting = self.waiting, []
        return torch.stack(out) if out else torch.empty(0, 3, 0, 0)

    def memory(self, height: int, width: int, frames: int) -> int:
        return 4 * 3 * height * width * min(frames, self.DELAY)

    def describe(self) -> str:
        return f"late, factor {self.factor:g}"


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> type[Late]:
    Late.made = []
    monkeypatch.setitem(methods.entries, "late", Late)
    return Late


@pytest.fixture
def codes() -> Tensor:
    return torch.randint(0, 256, (23, 3, 24, 32), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def source(tmp_path: Path, codes: Tensor) -> Path:
    """23 different frames at uneven times."""
    path = tmp_path / "in.mkv"
    times = [40 * i + (7 if i % 3 else 0) for i in range(23)]
    with VideoWriter(path, (24, 32), rate=25, time_base=Fraction(1, 1000), lossless=True) as writer:
        writer.write(codes / 255, tuple(times))
    return path


def back(path: Path) -> Tensor:
    """A lossless clip's codes."""
    return (read_clip(path)[0] * 255).round().long()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save(MagnificationNetwork(TINY), path, {"max_magnified_motion": 12.0})
    return path


@pytest.mark.parametrize(
    ("given", "named"), [({"preset": "breathing"}, "preset breathing looks at"), ({}, "the band has")]
)
def test_a_clip_too_short_for_a_band_is_refused_before_any_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], named: str
) -> None:
    """23 frames at 25 a second; the filter itself would say it at the end, in frames alone."""
    given = given or {"low": 0.2, "high": 1.0}
    begun: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr("mm.magnify.clip.Pipeline", lambda *args, **named: begun.append(args) or [])
        with pytest.raises(InputError, match=named + r" 0\.2 Hz .* 5 s \(125 frames .* \(23 frames\);"):
            magnify(source, tmp_path / "out.mkv", device="cpu", **given)
    assert not begun
    assert not (tmp_path / "out.mkv").exists()
    # A filter that needs no look ahead takes any clip, and so does a higher band.
    for options in ({"filter": "butter-causal"}, {"low": 1.2, "high": 4.0}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            magnify(source, tmp_path / "out.mkv", device="cpu", scale=2.0, **given | options)  # type: ignore[arg-type]


class TestLayered:
    """Its region and its mask are px of the input clip, as --roi is."""

    REGION = (8, 4, 20, 16)

    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        path = tmp_path / "scene.mkv"
        write_clip(path, shot(1, 6), lossless=True)
        return path

    @pytest.mark.parametrize("extra", [{}, {"scale": 2.0}, {"roi": (4, 2, 28, 22)}])
    @pytest.mark.parametrize("kind", ["region", "mask"])
    def test_outside_it_the_frame_is_the_input_s(
        self, clip: Path, tmp_path: Path, extra: dict[str, Any], kind: str
    ) -> None:
        x, y, width, height = self.REGION
        value: Any = self.REGION
        if kind == "mask":
            value = tmp_path / "mask.png"
            mask = np.zeros((24, 32), np.uint8)
            mask[y : y + height, x : x + width] = 255
            cv2.imwrite(str(value), mask)
        usual: dict[str, Any] = {"lossless": True, "device": "cpu", **extra}
        report = magnify(
            clip, tmp_path / "a.mkv", method="layered", factor=30, options={kind: value}, **usual
        )
        magnify(clip, tmp_path / "b.mkv", method="linear", factor=1, **usual)
        change = (back(tmp_path / "a.mkv") - back(tmp_path / "b.mkv")).abs().amax((0, 1))
        assert change.max() > 4
        scale = int(extra.get("scale", 1))
        rows, columns = (change > 1).nonzero().unbind(1)
        # Bicubic resizing of a mask widens its grey rim by a px of the input.
        slack = 2 * scale
        assert x * scale - slack <= columns.min() <= columns.max() < (x + width) * scale + slack
        assert y * scale - slack <= rows.min() <= rows.max() < (y + height) * scale + slack
        # And it reaches across most of the region.
        assert columns.max() - columns.min() > 0.6 * width * scale
        if kind == "region":
            assert "20×16 px at 8,4" in report.method

    def test_one_outside_the_clip_or_the_roi_is_told_in_its_px(self, clip: Path, tmp_path: Path) -> None:
        usual: dict[str, Any] = {"method": "layered", "device": "cpu"}
        with pytest.raises(InputError, match=r"region 20,4,20,16 .* px of the input\) .* frame of 32×24 px"):
            magnify(clip, tmp_path / "a.mkv", options={"region": (20, 4, 20, 16)}, scale=4.0, **usual)
        with pytest.raises(InputError, match="does not lie within --roi"):
            magnify(clip, tmp_path / "a.mkv", options={"region": self.REGION}, roi=(0, 0, 16, 16), **usual)
        assert not (tmp_path / "a.mkv").exists()


class TestPlumbing:
    @pytest.mark.parametrize("batch", [1, 4, 100])
    def test_output_t_is_input_t(
        self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path, batch: int
    ) -> None:
        target = tmp_path / "out.mkv"
        report = magnify(source, target, method="late", lossless=True, batch=batch, factor=3)
        assert torch.equal(back(target), 255 - codes)
        assert report.frames == 23
        assert report.size == (32, 24)
        assert report.method == "late, factor 3"
        assert late.made[0].factor == 3

    def test_times_are_kept(self, late: type[Late], source: Path, tmp_path: Path) -> None:
        magnify(source, tmp_path / "out.mp4", method="late")
        pts = []
        for path in (source, tmp_path / "out.mp4"):
            with mm.video.open_clip(path) as clip:
                pts.append([float(t * clip.info.time_base) for chunk in clip.chunks() for t in chunk.pts])
        assert pts[0] == pytest.approx(pts[1], abs=1e-6)
        assert len(set(round(b - a, 4) for a, b in zip(pts[0], pts[0][1:], strict=False))) > 1

    def test_a_constant_number_of_frames_is_held(self, late: type[Late], tmp_path: Path) -> None:
        held = []
        for length in (20, 80):
            write_clip(tmp_path / f"{length}.mkv", torch.rand(length, 3, 16, 16))
            magnify(
                tmp_path / f"{length}.mkv", tmp_path / "out.mp4", method="late", batch=4, side_by_side=True
            )
            held.append((late.made[-1].most_waiting, late.made[-1].most_pushed))
        assert held == [(9, 4), (9, 4)]

    def test_side_by_side(self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path) -> None:
        target = tmp_path / "out.mkv"
        report = magnify(source, target, method="late", lossless=True, side_by_side=True)
        assert torch.equal(back(target), torch.cat([codes, 255 - codes], dim=-1))
        assert report.size == (64, 24)

    def test_region(self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path) -> None:
        target = tmp_path / "out.mkv"
        magnify(source, target, method="late", lossless=True, roi=(8, 4, 16, 16))
        out = back(target)
        outside = torch.ones(24, 32, dtype=torch.bool)
        outside[4:20, 8:24] = False
        assert torch.equal(out[:, :, outside], codes[:, :, outside])
        # The border is 2 px wide here; within it the magnified region is all there is.
        inside = (slice(None), slice(None), slice(7, 17), slice(11, 21))
        assert torch.equal(out[inside], (255 - codes)[inside])
        # On the border a mixture: further in, more of the magnified.
        share = [
            float(((out - codes)[:, :, 12, x] / (255 - 2 * codes)[:, :, 12, x].float()).median())
            for x in (8, 9, 10)
        ]
        assert 0 < share[0] < share[1] < share[2] <= 1

    def test_a_region_at_the_frame_s_own_border_is_not_faded_there(
        self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path
    ) -> None:
        target = tmp_path / "out.mkv"
        magnify(source, target, method="late", lossless=True, roi=(0, 0, 32, 12))
        out = back(target)
        assert torch.equal(out[:, :, :9], 255 - codes[:, :, :9])
        assert torch.equal(out[:, :, 12:], codes[:, :, 12:])

    def test_scale(self, late: type[Late], tmp_path: Path) -> None:
        x = torch.arange(64) / 64
        wave = (0.5 + 0.4 * torch.sin(2 * torch.pi * x * 2)).expand(4, 3, 48, 64)
        write_clip(tmp_path / "in.mkv", wave, lossless=True)
        report = magnify(tmp_path / "in.mkv", tmp_path / "out.mkv", method="late", lossless=True, scale=0.5)
        assert report.size == (32, 24)
        out, _ = read_clip(tmp_path / "out.mkv")
        # The middle of the new pixel i lies at 2·i + 0.5 of the old ones.
        expected = 0.5 - 0.4 * torch.sin(2 * torch.pi * (2 * torch.arange(32) + 0.5) / 64 * 2)
        assert (out[1, 1, 10] - expected).abs().max() < 0.02

    def test_scale_and_region_together(self, late: type[Late], source: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.mkv"
        report = magnify(source, target, method="late", lossless=True, scale=2, roi=(8, 4, 16, 16))
        assert report.size == (64, 48)
        magnify(source, tmp_path / "plain.mkv", method="late", lossless=True, scale=2)
        inside = (slice(None), slice(None), slice(14, 34), slice(22, 42))
        assert torch.equal(back(target)[inside], back(tmp_path / "plain.mkv")[inside])

    def test_part_of_a_clip(self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path) -> None:
        magnify(source, tmp_path / "out.mkv", method="late", lossless=True, start=0.2, end=0.6)
        assert torch.equal(back(tmp_path / "out.mkv"), 255 - codes[5:15])

    def test_folders_in_and_out(self, late: type[Late], source: Path, codes: Tensor, tmp_path: Path) -> None:
        magnify(source, tmp_path / "frames", method="late")
        assert torch.equal(back(tmp_path / "frames"), 255 - codes)
        report = magnify(tmp_path / "frames", tmp_path / "out.mkv", method="late", lossless=True, fps=12)
        assert torch.equal(back(tmp_path / "out.mkv"), codes)
        assert read_clip(tmp_path / "out.mkv")[1].rate == report.rate == 12

    def test_grey_stays_grey(self, late: type[Late], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "frames").mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), np.full((16, 16), 90, np.uint8))
        push = Late.push
        tint = torch.tensor([1.0, 0.5, 0.5]).view(3, 1, 1)
        monkeypatch.setattr(Late, "push", lambda self, frames: push(self, frames) * tint)
        magnify(tmp_path / "frames", tmp_path / "out", method="late")
        out = back(tmp_path / "out")
        assert torch.equal(out, out[:, :1].expand(-1, 3, -1, -1))

    def test_capture_rate(self, late: type[Late], source: Path, tmp_path: Path) -> None:
        magnify(source, tmp_path / "a.mp4", method="late", low=10, high=20, fps=600)
        magnify(source, tmp_path / "b.mp4", method="late", low=1, high=2, filter="fir")
        assert late.made[0].band == Band(10, 20, 600, "butter")
        assert late.made[1].band == Band(1, 2, 25, "fir")
        # The capture rate changes no time of playback.
        assert read_clip(tmp_path / "a.mp4")[1].rate == read_clip(tmp_path / "b.mp4")[1].rate

    def test_a_rate_that_changes_midway(self, tmp_path: Path) -> None:
        """Both halves, at 60 and at 30 frames a second, move ten times as far: a wave of known phase."""
        seconds = np.r_[np.arange(120) / 60, 2 + np.arange(60) / 30]
        moved = 0.1 * np.sin(2 * np.pi * 4 * seconds)
        x = np.arange(48)
        lines = torch.from_numpy(0.5 + 0.3 * np.cos(2 * np.pi * (x - moved[:, None]) / 24)).float()
        frames = lines[:, None, None].expand(-1, 3, 16, -1)
        with VideoWriter(
            tmp_path / "in.mkv", (16, 48), rate=45, time_base=Fraction(1, 1000), lossless=True
        ) as writer:
            writer.write(frames, tuple(np.round(seconds * 1000).astype(int).tolist()))
        with pytest.warns(ClipWarning, match="varying frame rate, 30 to 60 a second"):
            report = magnify(
                tmp_path / "in.mkv", tmp_path / "out.mkv", method="linear", low=1, high=12, lossless=True
            )
        assert report.frames == 180
        out = read_clip(tmp_path / "out.mkv")[0].mean((1, 2)).double().numpy()
        shown = -np.angle(out @ np.exp(-2j * np.pi * x / 24)) * 24 / (2 * np.pi)
        for part in (slice(40, 90), slice(130, 170)):
            turns = 2 * np.pi * 4 * seconds[part]
            basis = np.stack([np.sin(turns), np.cos(turns), np.ones_like(turns)], 1)
            sine, cosine, _ = np.linalg.lstsq(basis, shown[part], rcond=None)[0]
            assert sine == pytest.approx(1.0, abs=0.05)
            assert abs(cosine) < 0.05

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            ((0, 40, 80, 120, 400, 440, 480, 520), "method Late filters over time by counting frames"),
            ((0, 1, 2, 3, 4, 5, 6, 7, 8, 9000), "10 frames would be 9001 even ones; take a part"),
        ],
    )
    def test_a_varying_rate_that_cannot_be_filtered_is_refused_where_frequencies_matter(
        self, times: tuple[int, ...], message: str, late: type[Late], tmp_path: Path
    ) -> None:
        path = tmp_path / "vfr.mp4"
        with VideoWriter(path, (16, 16), rate=25, time_base=Fraction(1, 1000)) as writer:
            writer.write(torch.rand(len(times), 3, 16, 16), times)
        with pytest.raises(InputError, match=message):
            magnify(path, tmp_path / "out.mp4", method="late", low=1, high=2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            magnify(path, tmp_path / "out.mp4", method="late")

    @pytest.mark.parametrize("rate", [25, Fraction(30000, 1001), 240])
    def test_an_even_rate_is_filtered_by_counting_frames(
        self, rate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mm.methods.stream.UnevenFilter", lambda *_: pytest.fail("the clip is even"))
        for name in ("in.mp4", "in.mkv"):
            frames = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
            with VideoWriter(tmp_path / name, (16, 16), rate=rate) as writer:
                writer.write(frames)
            magnify(
                tmp_path / name, tmp_path / f"out-{name}", method="linear", low=0.1 * rate, high=0.2 * rate
            )

    def test_the_whole_clip_s_memory_is_told_before_it_is_taken(
        self, late: type[Late], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.warns(UserWarning, match=r"ideal filter holds .* GiB for 23 frames of 32×24 px"):
            magnify(source, tmp_path / "out.mp4", method="late", low=1, high=2, filter="ideal")
        monkeypatch.setattr(Late, "memory", lambda *_: 2**50)
        with pytest.raises(InputError, match=r"holds 1e\+06 GiB .* --filter butter"):
            magnify(source, tmp_path / "out2.mp4", method="late", low=1, high=2, filter="ideal")
        assert not (tmp_path / "out2.mp4").exists()
        assert late.made[-1].most_pushed == 0


FAULTS: dict[str, Callable[[Tensor], Any]] = {
    "NaN or infinite": lambda frames: frames / 0,
    "torch.uint8": lambda frames: (frames * 255).byte(),
    r"shape \(4, 3, 24, 31\)": lambda frames: frames[..., 1:],
    "more frames": lambda frames: frames.repeat(2, 1, 1, 1),
    "fewer": lambda frames: frames[1:],
    "a list": list,
}


@pytest.mark.filterwarnings("ignore:.* has a cut")
@pytest.mark.parametrize("says", FAULTS)
@pytest.mark.parametrize("cut", [False, True])
def test_a_method_that_breaks_the_contract_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, cut: bool
) -> None:
    class Faulty(Magnifier):
        seen = 0

        def push(self, frames: Tensor) -> Any:
            self.seen += len(frames)
            return FAULTS[says](frames) if self.seen > 20 * cut else frames

        def flush(self) -> Tensor:
            return torch.empty(0, 3, 0, 0)

    monkeypatch.setitem(methods.entries, "faulty", Faulty)
    if cut:
        source = tmp_path / "cut.mkv"
        write_clip(source, torch.cat([shot(1, 20), shot(2, 20)]), lossless=True)
    with pytest.raises(InputError, match=f"the method Faulty returned .*{says}"):
        magnify(source, tmp_path / "out.mkv", method="faulty", batch=4, device="cpu")
    assert not (tmp_path / "out.mkv").exists()


def picture(seed: int) -> Tensor:
    """(3, 24, 32) with detail of all sizes."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.zeros(1, 3, 24, 32)
    for cells in (2, 4, 8, 16):
        coarse = torch.rand(1, 3, cells, cells, generator=generator)
        made += torch.nn.functional.interpolate(coarse, (24, 32), mode="bicubic") / cells**0.5
    return ((made - made.min()) / (made.max() - made.min()))[0]


def shot(seed: int, length: int) -> Tensor:
    """A scene that sways by a fraction of a px."""
    steps = 0.02 * torch.sin(torch.arange(length) * 2.0).view(-1, 1, 1, 1)
    still = picture(seed)
    return (still + steps * (still.roll(1, -1) - still)).clamp(0, 1)


class TestCuts:
    @pytest.mark.parametrize("batch", [1, 4, 100])
    @pytest.mark.parametrize(
        "options",
        [
            {"mode": "static"},
            {"mode": "dynamic"},
            {"mode": "temporal", "low": 2, "high": 6},
            {"mode": "temporal", "low": 2, "high": 6, "filter": "ideal"},
        ],
        ids=["static", "dynamic", "temporal", "ideal"],
    )
    @pytest.mark.filterwarnings("ignore:the ideal filter")
    def test_each_shot_is_magnified_as_if_it_were_a_clip(
        self, tmp_path: Path, batch: int, options: dict[str, Any]
    ) -> None:
        shots = [shot(1, 17), shot(2, 22)]
        usual = {"method": "phase", "factor": 8, "lossless": True, "device": "cpu", "batch": batch, **options}
        for number, frames in enumerate(shots):
            write_clip(tmp_path / f"{number}.mkv", frames, lossless=True)
            magnify(tmp_path / f"{number}.mkv", tmp_path / f"out{number}.mkv", **usual)
        write_clip(tmp_path / "both.mkv", torch.cat(shots), lossless=True)
        with pytest.warns(
            UserWarning, match=r"both.mkv has a cut before frame 17 \(0.57 s\): .*--ignore-cuts"
        ):
            report = magnify(tmp_path / "both.mkv", tmp_path / "out.mkv", **usual)
        apart = torch.cat([back(tmp_path / f"out{number}.mkv") for number in (0, 1)])
        assert torch.equal(back(tmp_path / "out.mkv"), apart)
        assert report.cuts == (17,)
        assert report.frames == 39

    def test_they_can_be_ignored(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 12), shot(2, 12)]), lossless=True)
        outputs = []
        for cuts in (True, False):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if cuts else "error")
                report = magnify(
                    tmp_path / "in.mkv",
                    tmp_path / "out.mkv",
                    method="phase",
                    lossless=True,
                    device="cpu",
                    cuts=cuts,
                )
            assert report.cuts == ((12,) if cuts else ())
            outputs.append(back(tmp_path / "out.mkv"))
        assert torch.equal(outputs[0][:12], outputs[1][:12])
        # Across the cut the other scene is the reference, and nothing good comes of it.
        inputs = back(tmp_path / "in.mkv")[12:]
        assert (outputs[0][12:] - inputs).abs().float().mean() < 2
        assert (outputs[1][12:] - inputs).abs().float().mean() > 10

    def test_a_shot_of_one_frame_is_told_of_as_one(self, tmp_path: Path) -> None:
        shots = [shot(seed, length) for seed, length in enumerate((30, 1, 30))]
        write_clip(tmp_path / "in.mkv", torch.cat(shots), lossless=True)
        options: dict[str, Any] = {"method": "linear", "low": 2, "high": 6, "device": "cpu"}
        with pytest.warns(
            UserWarning, match="the 1 frame from frame 30 on is too few .* it is left as it is"
        ):
            magnify(tmp_path / "in.mkv", tmp_path / "out.mkv", **options)

    @pytest.mark.parametrize("extra", [{}, {"side_by_side": True}, {"scale": 2.0}, {"roi": (0, 0, 32, 16)}])
    @pytest.mark.parametrize("lengths", [(30, 6, 30), (6, 30, 30), (30, 30, 6), (30, 4, 5)])
    def test_a_shot_too_short_for_the_filter_is_left_as_it_is(
        self, tmp_path: Path, lengths: tuple[int, ...], extra: dict[str, Any]
    ) -> None:
        shots = [shot(seed, length) for seed, length in enumerate(lengths)]
        write_clip(tmp_path / "in.mkv", torch.cat(shots), lossless=True)
        usual = {"method": "phase", "lossless": True, "device": "cpu", "batch": 4, **extra}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            report = magnify(
                tmp_path / "in.mkv",
                tmp_path / "out.mkv",
                mode="temporal",
                low=2,
                high=6,
                factor=50,
                **usual,
            )
        magnify(tmp_path / "in.mkv", tmp_path / "same.mkv", factor=1, cuts=False, **usual)
        out, same = back(tmp_path / "out.mkv"), back(tmp_path / "same.mkv")
        at = 0
        for length in lengths:
            change = (out - same)[at : at + length].abs()
            assert (change.max() <= 1) == (length < 15)
            at += length
        assert report.frames == sum(lengths)
        short = [str(each.message) for each in told if "too few between cuts" in str(each.message)]
        assert len(short) == sum(length < 15 for length in lengths)
        assert all("needs 15; they are left as they are" in text for text in short)

    def test_no_shot_is_long_enough(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 10), shot(2, 12)]), lossless=True)
        with (
            pytest.warns(UserWarning, match="cut before frame 10"),
            pytest.raises(
                InputError, match=r"in\.mkv has 1 cut, and the longest part between them has 12 frames"
            ),
        ):
            magnify(tmp_path / "in.mkv", tmp_path / "out.mp4", method="phase", mode="temporal", low=2, high=6)
        assert not (tmp_path / "out.mp4").exists()

    def test_a_part_of_a_clip_and_a_folder(self, tmp_path: Path) -> None:
        """The short shot is read again, from where it was."""
        frames = torch.cat([shot(1, 40), shot(2, 6), shot(3, 30)])
        usual = {"method": "phase", "mode": "temporal", "low": 2, "high": 6, "device": "cpu"}
        for name, extra in (("in.mkv", {"start": 0.5}), ("frames", {"fps": 30})):
            write_clip(tmp_path / name, frames, lossless=name.endswith("mkv"))
            with pytest.warns(UserWarning, match="6 frames from frame"):
                magnify(
                    tmp_path / name, tmp_path / f"out_{name}", **usual, **extra, lossless="start" in extra
                )
            skipped = 15 if "start" in extra else 0
            out = back(tmp_path / f"out_{name}")
            assert torch.equal(out[40 - skipped : 46 - skipped], back(tmp_path / name)[40:46])

    def test_a_causal_filter_needs_no_length(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 10), shot(2, 12)]), lossless=True)
        with pytest.warns(UserWarning, match="has a cut before frame") as told:
            magnify(
                tmp_path / "in.mkv",
                tmp_path / "out.mp4",
                method="phase",
                mode="temporal",
                low=2,
                high=6,
                filter="butter-causal",
            )
        assert len(told) == 1

    def test_the_network_s_watch_starts_afresh(self, weights: Path, tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 10), shot(2, 12)]), lossless=True)
        with pytest.warns(UserWarning, match="has a cut before frame") as told:
            report = magnify(
                tmp_path / "in.mkv", tmp_path / "out.mp4", weights=weights, device="cpu", factor=20
            )
        assert len(told) == 1
        assert report.largest_motion == pytest.approx(0, abs=0.2)

    @pytest.mark.parametrize("extra", [{}, {"side_by_side": True}, {"low": 2, "high": 6}])
    def test_a_later_shot_that_cannot_be_followed_is_left_as_it_is(
        self, tmp_path: Path, extra: dict[str, Any]
    ) -> None:
        flat = torch.zeros(20, 3, 24, 32)
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 20), flat, shot(3, 20)]), lossless=True)
        usual = {"method": "layered", "options": {"region": (4, 4, 24, 16)}, "lossless": True, **extra}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            report = magnify(tmp_path / "in.mkv", tmp_path / "out.mkv", device="cpu", batch=3, **usual)
        assert report.frames == 60
        assert report.cuts == (20, 40)
        out = back(tmp_path / "out.mkv")
        assert (out[20:40] == 0).all()
        for first, seed in ((0, 1), (40, 3)):
            write_clip(tmp_path / "one.mkv", shot(seed, 20), lossless=True)
            magnify(tmp_path / "one.mkv", tmp_path / "out1.mkv", device="cpu", batch=3, **usual)
            assert torch.equal(out[first : first + 20], back(tmp_path / "out1.mkv"))
        refused = [str(each.message) for each in told if "left as it is" in str(each.message)]
        assert len(refused) == 1
        assert "the shot that begins with frame 20 is left as it is: the region of 24×16 px" in refused[0]

    def test_the_first_shot_s_refusal_ends_the_run(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([torch.zeros(20, 3, 24, 32), shot(1, 20)]), lossless=True)
        with pytest.raises(InputError, match="no texture in the first frame"):
            magnify(
                tmp_path / "in.mkv",
                tmp_path / "out.mkv",
                method="layered",
                options={"region": (4, 4, 24, 16)},
            )
        assert not (tmp_path / "out.mkv").exists()

    def test_nothing_but_short_and_refused_shots(self, tmp_path: Path) -> None:
        flat = torch.zeros(20, 3, 24, 32)
        write_clip(tmp_path / "in.mkv", torch.cat([shot(1, 8), flat, shot(3, 8)]), lossless=True)
        with (
            pytest.warns(UserWarning, match="begins with frame 8 is left as it is"),
            pytest.raises(
                InputError, match=r"nothing of .* needs 15 frames, or refused, .* frame 8 on: the reg"
            ),
        ):
            magnify(
                tmp_path / "in.mkv",
                tmp_path / "out.mkv",
                method="layered",
                options={"region": (4, 4, 24, 16)},
                low=2,
                high=6,
            )

    def test_a_refusal_after_frames_were_given(
        self, late: type[Late], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that were given stay; the others, and what follows in the shot, are passed."""
        push = Late.push

        def refuse(self: Late, frames: Tensor) -> Tensor:
            self.seen = getattr(self, "seen", 0) + len(frames)
            if self.seen == 26:
                raise InputError("not this one")
            return push(self, frames)

        monkeypatch.setattr(Late, "push", refuse)
        frames = torch.cat([shot(1, 16), shot(2, 16), shot(3, 16)])
        write_clip(tmp_path / "in.mkv", frames, lossless=True)
        with pytest.warns(
            UserWarning, match="frame 16 is, but for its first 4 frames, left as it is: not this one"
        ):
            magnify(tmp_path / "in.mkv", tmp_path / "out.mkv", method="late", lossless=True, batch=1)
        inputs, out = back(tmp_path / "in.mkv"), back(tmp_path / "out.mkv")
        assert torch.equal(out[:20], 255 - inputs[:20])
        assert torch.equal(out[20:32], inputs[20:32])
        assert torch.equal(out[32:], 255 - inputs[32:])

    def test_of_many_cuts_some_are_told(self, late: type[Late], tmp_path: Path) -> None:
        write_clip(tmp_path / "in.mkv", torch.cat([shot(seed, 5) for seed in range(14)]), lossless=True)
        with pytest.warns(UserWarning, match="has a cut before frame") as told:
            report = magnify(tmp_path / "in.mkv", tmp_path / "out.mp4", method="late")
        assert report.cuts == tuple(range(5, 70, 5))
        assert len(told) == 10
        assert "further cuts are not told" in str(told[-1].message)


class TestParameters:
    def test_options_reach_the_method(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[dict[str, Any]] = []

        class WithOptions(Late):
            def __init__(
                self,
                factor: float,
                band: Band | None,
                device: torch.device,
                *,
                size: int = 3,
                fast: bool = False,
            ) -> None:
                super().__init__(factor, band, device)
                made.append({"size": size, "fast": fast})

        Late.made = []
        monkeypatch.setitem(methods.entries, "with-options", WithOptions)
        for options in ({"size": "5", "fast": "yes"}, {"size": 5, "fast": True}):
            magnify(source, tmp_path / "out.mp4", method="with-options", options=options)
            assert made[-1] == {"size": 5, "fast": True}
        magnify(source, tmp_path / "out.mp4", method="with-options")
        assert made[-1] == {"size": 3, "fast": False}

    def test_the_filter_s_parameters_reach_the_band(
        self, late: type[Late], source: Path, tmp_path: Path
    ) -> None:
        magnify(source, tmp_path / "a.mp4", method="late", low=2, high=7.5, filter="fir", taps=30)
        magnify(source, tmp_path / "a.mp4", method="late", low=2, high=7.5, order=4)
        assert [each.band for each in late.made] == [
            Band(2, 7.5, 25, "fir", None, 30),
            Band(2, 7.5, 25, "butter", 4, None),
        ]

    def test_a_preset_and_what_is_given_beside_it(
        self, late: type[Late], source: Path, tmp_path: Path
    ) -> None:
        started: list[Settings] = []
        report = magnify(
            source,
            tmp_path / "out.mp4",
            preset="string",
            method="late",
            factor=3,
            fps=600,
            on_start=started.append,
        )
        assert late.made[0].factor == 3
        assert late.made[0].band == Band(72, 92, 600, "butter")
        assert started == [report.settings]
        assert report.settings.given == {"method", "factor"}

    def test_the_preset_is_refused_at_the_container_s_rate(
        self, late: type[Late], source: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(
            InputError, match=r"takes more than 184 frames a second, but .*in.mkv has 25; .*--fps"
        ):
            magnify(source, tmp_path / "out.mp4", preset="string", method="late")
        assert late.made == []


class TestLearned:
    def test_each_frame_is_encoded_once(
        self, weights: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoded: list[int] = []
        usual = MagnificationNetwork.encode

        def counting(self: MagnificationNetwork, frames: Tensor) -> tuple[Tensor, Tensor]:
            encoded.append(len(frames))
            return usual(self, frames)

        monkeypatch.setattr(MagnificationNetwork, "encode", counting)
        for mode, band in (("static", {}), ("dynamic", {}), ("temporal", {"low": 5, "high": 8})):
            encoded.clear()
            magnify(source, tmp_path / "out.mp4", mode=mode, weights=weights, device="cpu", batch=5, **band)
            assert sum(encoded) == 23

    def test_static_mode_is_the_network_on_pairs(self, weights: Path, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.mkv"
        magnify(source, target, weights=weights, factor=7, device="cpu", lossless=True)
        frames, _ = read_clip(source)
        expected = mm.load(weights).magnify_pair(frames[:1].expand_as(frames), frames, 7.0)
        assert (back(target) / 255 - expected).abs().max() < 0.51 / 255

    def test_bf16_is_close(self, weights: Path, source: Path, tmp_path: Path) -> None:
        outputs = []
        for precision in ("32", "bf16"):
            target = tmp_path / f"{precision}.mkv"
            magnify(source, target, weights=weights, precision=precision, device="cpu", lossless=True)
            outputs.append(back(target).float())
        assert (outputs[0] - outputs[1]).abs().mean() < 3
        assert not torch.equal(outputs[0], outputs[1])

    def test_the_card_s_reach_is_held(self, weights: Path, tmp_path: Path) -> None:
        # A pattern that moves by 2 px: 2 × 5 = 10 px is within the card's 12 px, 2 × 20 is not.
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(1, 1, 20, 24, generator=generator)
        scene = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
        frames = torch.cat([scene[..., 8:136, 8 + 2 * i : 168 + 2 * i] for i in (0, 1, 0)]).expand(
            -1, 3, -1, -1
        )
        write_clip(tmp_path / "in.mkv", frames, lossless=True)
        options = {"weights": weights, "device": "cpu"}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = magnify(tmp_path / "in.mkv", tmp_path / "out.mp4", factor=5, **options)
        assert report.largest_motion == pytest.approx(2, rel=0.15)
        assert report.trained_reach == 12
        with pytest.warns(
            UserWarning, match=r"at frame 1, about x \d+, y \d+: factor 20 makes that \d\d px, past the 12 px"
        ) as told:
            magnify(tmp_path / "in.mkv", tmp_path / "out.mp4", factor=20, **options)
        assert len(told) == 1

    def test_inside_layered_what_is_followed_does_not_count(self, weights: Path, tmp_path: Path) -> None:
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(1, 1, 20, 24, generator=generator)
        scene = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
        frames = torch.cat([scene[..., 8:136, 8 + 2 * i : 168 + 2 * i] for i in (0, 1, 0)])
        write_clip(tmp_path / "in.mkv", frames.expand(-1, 3, -1, -1), lossless=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = magnify(
                tmp_path / "in.mkv",
                tmp_path / "out.mp4",
                factor=20,
                method="layered",
                options={"region": (40, 40, 64, 48), "inner": "learned"},
                weights=weights,
                device="cpu",
            )
        assert report.trained_reach is not None
        assert report.largest_motion is not None
        assert report.largest_motion < 0.3


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="no device is called 'gpu'"):
        choose_device("gpu")
    with pytest.raises(InputError, match="device 'meta' is none that mm works on"):
        choose_device("meta")
    count = torch.cuda.device_count()
    with pytest.raises(InputError, match=rf"device 'cuda:{count}' is not there: torch sees {count}"):
        choose_device(f"cuda:{count}")
