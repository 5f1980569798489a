"""Writing: playable, in step, in the right colours, and whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream

from mm.errors import InputError
from mm.video import Colour, FolderWriter, VideoWriter, create_clip, open_clip, read_clip, write_clip
from mm.video.colour import BT601, BT709, RGB

Frames = list[list[np.ndarray]]


def smooth_frames(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Coloured waves that move: easy for an encoder, different in every frame and channel."""
    x = torch.arange(width).view(1, 1, 1, -1)
    y = torch.arange(height).view(1, 1, -1, 1)
    t = torch.arange(count).view(-1, 1, 1, 1)
    channel = torch.arange(3).view(1, -1, 1, 1)
    return 0.5 + 0.3 * torch.sin(x / 9 + t / 3 + channel) * torch.cos(y / 7)


def probe(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        stream: VideoStream = container.streams.video[0]
        context = stream.codec_context
        return {
            "codec": context.name,
            "format": context.pix_fmt,
            "size": (context.width, context.height),
            "matrix": context.colorspace,
            "range": context.color_range,
            "primaries": context.color_primaries,
            "transfer": context.color_trc,
            "aspect": stream.sample_aspect_ratio,
            "rate": stream.average_rate,
            "pts": [frame.pts for frame in container.decode(stream)],
            "time_base": stream.time_base,
        }


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
def test_the_default_is_what_players_open(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    frames = smooth_frames(10)
    write_clip(path, frames, rate=25)
    found = probe(path)
    assert (found["codec"], found["format"], found["size"]) == ("h264", "yuv420p", (48, 32))
    assert found["rate"] == 25
    assert (found["matrix"], found["range"]) == (BT709, 1)
    back, info = read_clip(path)
    assert (info.colour.matrix, info.colour.full_range) == (BT709, False)
    assert (back - frames).abs().mean() < 2 / 255
    assert (back - frames).mean(dim=(0, 2, 3)).abs().max() < 0.5 / 255
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("size", "padded"), [((31, 47), (48, 32)), ((31, 48), (48, 32)), ((32, 47), (48, 32))]
)
def test_odd_sizes_repeat_their_last_line(
    tmp_path: Path, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    frames = smooth_frames(4, *size)
    with VideoWriter(tmp_path / "odd.mp4", size, crf=1) as writer:
        writer.write(frames)
    assert writer.padding == (size[0] % 2, size[1] % 2)
    assert probe(tmp_path / "odd.mp4")["size"] == padded
    back, _ = read_clip(tmp_path / "odd.mp4")
    assert (back[:, :, : size[0], : size[1]] - frames).abs().mean() < 1.5 / 255
    assert (back[:, :, -1, :-1] - frames[:, :, -1, : back.shape[3] - 1]).abs().mean() < 3 / 255


@pytest.mark.parametrize(
    ("depth", "size"), [(8, (32, 48)), (8, (31, 47)), (10, (32, 47)), (12, (8, 8)), (16, (9, 8))]
)
def test_lossless_is_exact(tmp_path: Path, depth: int, size: tuple[int, int]) -> None:
    top = 2**depth - 1
    codes = torch.randint(0, top + 1, (5, 3, *size), generator=torch.Generator().manual_seed(0))
    path = tmp_path / "exact.mkv"
    with VideoWriter(path, size, bit_depth=depth, lossless=True) as writer:
        writer.write((codes.double() / top).float())
    back, info = read_clip(path)
    assert info.bit_depth == depth
    assert torch.equal((back.double() * top).round().long(), codes)


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    # Sixty grey levels of 10 bits, in 8 bits there are fifteen.
    ramp = (torch.arange(400, 460).repeat_interleave(2).view(1, 1, 1, -1).expand(2, 3, 32, 120) - 64) / 876
    path = tmp_path / "ten.mp4"
    with VideoWriter(path, (32, 120), bit_depth=10, crf=1) as writer:
        writer.write(ramp)
    assert probe(path)["format"] == "yuv420p10le"
    back, _ = read_clip(path)
    assert (back - ramp).abs().mean() * 876 < 0.5


@pytest.mark.parametrize(
    "colour",
    [Colour(BT601, True, 6, 1), Colour(BT601, False), Colour(9, False, 9, 16), Colour(BT709, True, 1, 13)],
)
def test_colours_are_carried_through(tmp_path: Path, colour: Colour) -> None:
    frames = torch.tensor([0.9, 0.3, 0.2]).view(1, 3, 1, 1).expand(3, 3, 32, 32)
    path = tmp_path / "colour.mp4"
    with VideoWriter(path, (32, 32), colour=colour, crf=1) as writer:
        writer.write(frames)
    found = probe(path)
    assert (found["matrix"], found["primaries"], found["transfer"]) == (
        colour.matrix,
        colour.primaries,
        colour.transfer,
    )
    assert found["range"] == (2 if colour.full_range else 1)
    back, info = read_clip(path)
    assert info.colour == colour
    # Wrong by more than this with any other matrix or range.
    assert (back - frames).abs().max() < 2.5 / 255


def test_an_unchanged_clip_is_unchanged_to_the_last_code(
    write_raw: Any, tmp_path: Path, grey_steps: Callable[..., Frames]
) -> None:
    generator = np.random.default_rng(0)
    frames: Frames = grey_steps(3)
    for planes in frames:
        planes[0][:] = generator.integers(110, 150, planes[0].shape)
        for chroma in planes[1:]:
            chroma[:] = generator.integers(115, 141, chroma.shape)
    source = write_raw(frames, options={"qp": "0"}, colorspace=BT709, color_range=1)
    target = tmp_path / "copy.mp4"
    with (
        open_clip(source) as clip,
        create_clip(target, (clip.info.height, clip.info.width), clip.info, crf=0) as writer,
    ):
        for chunk in clip.chunks():
            writer.write(*chunk)
    with av.open(str(target)) as container:
        for planes, frame in zip(frames, container.decode(video=0), strict=True):
            for values, plane in zip(planes, frame.planes, strict=True):
                stored: Any = plane
                rows = np.frombuffer(stored, np.uint8).reshape(-1, plane.line_size)
                np.testing.assert_array_equal(rows[: values.shape[0], : values.shape[1]], values)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_varying_times_and_pixel_aspect(tmp_path: Path, suffix: str) -> None:
    pts = (1000, 4000, 8005, 9000, 9190, 30000)
    path = tmp_path / f"vfr{suffix}"
    with VideoWriter(
        path,
        (32, 32),
        rate=Fraction(30000, 1001),
        time_base=Fraction(1, 90000),
        sample_aspect=Fraction(4, 3),
    ) as writer:
        writer.write(torch.zeros(2, 3, 32, 32), pts[:2])
        writer.write(torch.zeros(4, 3, 32, 32), pts[2:])
    found = probe(path)
    assert found["aspect"] == Fraction(4, 3)
    seconds = [float(tick * found["time_base"]) for tick in found["pts"]]
    # Matroska counts milliseconds, MP4 the clip's own ticks.
    tolerance = 0.0006 if suffix == ".mkv" else 1e-9
    assert seconds == pytest.approx([(tick - 1000) / 90000 for tick in pts], abs=tolerance)


@pytest.mark.parametrize(("depth", "kind"), [(8, np.uint8), (10, np.uint16)])
def test_folders_of_png_are_exact(tmp_path: Path, depth: int, kind: Any) -> None:
    top = np.iinfo(kind).max
    codes = torch.randint(0, top + 1, (12, 3, 9, 7), generator=torch.Generator().manual_seed(0))
    target = tmp_path / "frames"
    with FolderWriter(target, (9, 7), bit_depth=depth) as writer:
        writer.write((codes[:5].double() / top).float())
        writer.write((codes[5:].double() / top).float())
    assert sorted(name.name for name in target.iterdir()) == [f"{i:06d}.png" for i in range(12)]
    back, _ = read_clip(target)
    assert torch.equal((back.double() * top).round().long(), codes)
    assert list(tmp_path.iterdir()) == [target]


class TestWholeOrNotAtAll:
    @staticmethod
    def break_off(path: Path, error: type[BaseException]) -> None:
        with create_clip(path, (32, 32)) as writer:
            writer.write(torch.zeros(4, 3, 32, 32))
            raise error

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out"])
    def test_nothing_is_left_of_a_clip_that_is_broken_off(
        self, tmp_path: Path, name: str, error: type[BaseException]
    ) -> None:
        with pytest.raises(error):
            self.break_off(tmp_path / name, error)
        assert list(tmp_path.iterdir()) == []

    def test_an_earlier_clip_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        write_clip(path, smooth_frames(3))
        before = path.read_bytes()
        with pytest.raises(RuntimeError):
            self.break_off(path, RuntimeError)
        assert path.read_bytes() == before
        write_clip(path, smooth_frames(5))
        assert len(read_clip(path)[0]) == 5
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["out.mp4", "out"])
    def test_no_frames_no_clip(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match="no frame was written"), create_clip(tmp_path / name, (32, 32)):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk(self, tmp_path: Path) -> None:
        # A process that may write no file above 8 kB: the same refusal by the system, with another number.
        script = """
            import resource, sys, torch
            from mm.errors import InputError
            from mm.video import create_clip
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            torch.manual_seed(0)
            for name in ("out.mp4", "out.mkv", "out"):
                try:
                    with create_clip(f"{sys.argv[1]}/{name}", (128, 128)) as writer:
                        for _ in range(10):
                            writer.write(torch.rand(8, 3, 128, 128))
                except InputError as error:
                    print(error)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        told = done.stdout.splitlines()
        assert len(told) == 3
        assert all("there is no room left for it" in line for line in told)
        assert list(tmp_path.iterdir()) == []

    def test_permissions_are_those_of_an_ordinary_file(self, tmp_path: Path) -> None:
        old = os.umask(0o022)
        try:
            write_clip(tmp_path / "out.mp4", smooth_frames(2))
            write_clip(tmp_path / "out", smooth_frames(2))
        finally:
            os.umask(old)
        assert (tmp_path / "out.mp4").stat().st_mode & 0o777 == 0o644
        assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


class TestUnusable:
    def test_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"'\.wmv' is none of \.mp4"):
            create_clip(tmp_path / "out.wmv", (32, 32))

    def test_lossless_mp4(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"name the output \.mkv"):
            create_clip(tmp_path / "out.mp4", (32, 32), lossless=True)

    @pytest.mark.parametrize("name", ["out.mp4", "out"])
    def test_no_folder(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match=r"there is no folder .*gone"):
            create_clip(tmp_path / "gone" / name, (32, 32))

    @pytest.mark.skipif(
        not Path("/proc/self").is_dir(), reason="needs a folder that not even root may write to"
    )
    @pytest.mark.parametrize("name", ["out.mp4", "out"])
    def test_a_folder_that_refuses(self, name: str) -> None:
        with pytest.raises(
            InputError, match=r"cannot write /proc/self/out.*name a folder that you may write to"
        ):
            create_clip(Path("/proc/self") / name, (32, 32))

    def test_a_folder_with_something_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").touch()
        with pytest.raises(InputError, match="is not empty"):
            create_clip(tmp_path / "out", (32, 32))
        assert (tmp_path / "out" / "thesis.txt").exists()

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "out").touch()
        with pytest.raises(InputError, match="is a file"):
            create_clip(tmp_path / "out", (32, 32))


class TestAudio:
    @staticmethod
    def copy(source: Path, target: Path, **span: float) -> None:
        with (
            open_clip(source, **span) as clip,
            create_clip(target, (clip.info.height, clip.info.width), clip.info, audio=clip.audio()) as writer,
        ):
            for chunk in clip.chunks(4):
                writer.write(*chunk)

    @staticmethod
    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    @staticmethod
    def times(path: Path) -> tuple[float, float]:
        """When the picture becomes bright, and when the click begins, in seconds of the file's clock."""
        bright, click = None, None
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams.video[0], container.streams.audio[0]):
                if isinstance(frame, av.VideoFrame):
                    if bright is None and frame.to_ndarray(format="gray").mean() > 100:
                        bright = frame.time
                elif click is None:
                    loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
                    if len(loud):
                        click = frame.time + loud[0] / frame.sample_rate
        assert bright is not None
        assert click is not None
        return bright, click

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_is_copied_packet_for_packet(self, sound_clip: Path, tmp_path: Path, suffix: str) -> None:
        target = tmp_path / f"out{suffix}"
        self.copy(sound_clip, target)
        # Matroska has no negative times: the packet in which the codec runs in is left out.
        kept = self.packets(sound_clip)[suffix == ".mkv" :]
        assert self.packets(target) == kept
        before, after = self.times(sound_clip), self.times(target)
        assert after == pytest.approx(before, abs=0.002)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_stays_with_the_picture_where_the_clip_is_cut(
        self, sound_clip: Path, tmp_path: Path, suffix: str
    ) -> None:
        target = tmp_path / f"out{suffix}"
        self.copy(sound_clip, target, start=0.48, end=1.6)
        with open_clip(target) as clip:
            assert sum(len(chunk.pts) for chunk in clip.chunks()) == 28
        bright, click = self.times(target)
        assert bright == pytest.approx(0.52, abs=0.012 if suffix == ".mkv" else 0.001)
        before = self.times(sound_clip)
        assert click - bright == pytest.approx(before[1] - before[0], abs=0.002)
        with av.open(str(target)) as container:
            heard = sum(frame.samples for frame in container.decode(audio=0)) / 48000
        # To within the packets at both ends, 21 ms each.
        assert heard == pytest.approx(1.12, abs=0.045)

    def test_a_codec_that_the_container_does_not_hold_is_told(self, tmp_path: Path) -> None:
        source = tmp_path / "in.mkv"
        with av.open(str(source), "w") as container:
            video = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            audio = container.add_stream("wavpack", rate=48000)
            audio.layout = "mono"
            for number in range(5):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(video.encode(frame))
            samples = av.AudioFrame.from_ndarray(
                np.zeros((1, 9600), np.float32), format="fltp", layout="mono"
            )
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(audio.encode(samples))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        with pytest.warns(UserWarning, match=r"wavpack audio cannot be copied into \.mp4"):
            self.copy(source, tmp_path / "out.mp4")
        assert len(read_clip(tmp_path / "out.mp4")[0]) == 5
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.copy(source, tmp_path / "out.mkv")
        assert self.packets(tmp_path / "out.mkv") == self.packets(source)

    @pytest.mark.material
    def test_a_real_clip_s_audio(self, material: Path, tmp_path: Path) -> None:
        source = material / "clips" / "face.mp4"
        target = tmp_path / "out.mp4"
        with (
            open_clip(source) as clip,
            create_clip(target, (32, 32), clip.info, audio=clip.audio()) as writer,
        ):
            for chunk in clip.chunks(8):
                writer.write(chunk.frames[:, :, :32, :32], chunk.pts)
        assert self.packets(target) == self.packets(source)
        with av.open(str(source)) as before, av.open(str(target)) as after:
            old, new = before.streams.audio[0], after.streams.audio[0]
            assert float(new.duration * new.time_base) == pytest.approx(
                float(old.duration * old.time_base), abs=0.03
            )


def test_rgb_is_tagged_when_it_becomes_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (32, 32), colour=Colour(RGB, True)) as writer:
        writer.write(smooth_frames(2, 32, 32))
    found = probe(tmp_path / "a.mp4")
    assert (found["matrix"], found["primaries"], found["range"]) == (BT709, BT709, 1)
