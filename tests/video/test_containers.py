"""Containers: every frame at its time in each of them, or a word; what accompanies the frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from mm.errors import ClipWarning, InputError
from mm.video import VideoWriter, create_clip, open_clip, read_clip, write_clip


def waves(count: int, height: int = 48, width: int = 64) -> torch.Tensor:
    """Coloured waves that move, so that encoders use frames before and after."""
    x, y = torch.arange(width).view(1, 1, 1, -1), torch.arange(height).view(1, 1, -1, 1)
    t, channel = torch.arange(count).view(-1, 1, 1, 1), torch.arange(3).view(1, -1, 1, 1)
    return 0.5 + 0.3 * torch.sin(x / 9 + t / 3 + channel) * torch.cos(y / 7)


def seconds_of(path: Path) -> list[float]:
    """Times by FFmpeg alone, from the first frame on."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return [time - times[0] for time in times]


def copy(source: Path, target: Path) -> None:
    with open_clip(source) as clip:
        size = (clip.info.height, clip.info.width)
        with create_clip(target, size, clip.info, audio=clip.audio()) as new:
            for chunk in clip.chunks():
                new.write(*chunk)


class TestTime:
    @pytest.mark.parametrize("rate", [2000, 4000, 10_000, 100_000])
    def test_a_few_frames_of_a_fast_clip(self, tmp_path: Path, rate: int) -> None:
        write_clip(tmp_path / "fast.mp4", waves(3), rate=rate)
        assert seconds_of(tmp_path / "fast.mp4") == pytest.approx([0, 1 / rate, 2 / rate], rel=1e-6)

    def test_too_fast_for_matroska_is_slowed(self, tmp_path: Path) -> None:
        path, frames = tmp_path / "fast.mkv", (waves(5) * 255).round() / 255
        with pytest.warns(ClipWarning, match=r"1000 .* has 2500: it plays 3 times slower; give --fps 2500"):
            write_clip(path, frames, rate=2500, lossless=True)
        np.testing.assert_allclose(seconds_of(path), np.arange(5) * 3 / 2500, atol=0.0006)
        torch.testing.assert_close(read_clip(path)[0], frames)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
    def test_a_frame_in_ten_seconds(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"slow{suffix}"
        write_clip(path, waves(6), rate=0.1)
        with open_clip(path) as clip:
            ticks = [tick for chunk in clip.chunks() for tick in chunk.pts]
            assert [float((tick - ticks[0]) * clip.info.time_base) for tick in ticks] == [
                0,
                10,
                20,
                30,
                40,
                50,
            ]

    @pytest.mark.parametrize(
        ("suffix", "rate", "error"), [(".avi", 25, 3), (".webm", 25, 4), (".gif", 25, 12), (".gif", 30, 12)]
    )
    def test_other_containers(self, tmp_path: Path, suffix: str, rate: int, error: float) -> None:
        path, frames = tmp_path / f"out{suffix}", waves(8, 48, 64)
        write_clip(path, frames, rate=rate)
        tick = 0.01 if suffix == ".gif" else 0.001
        np.testing.assert_allclose(seconds_of(path), np.arange(8) / rate, atol=tick / 2 + 1e-6)
        back, _ = read_clip(path)
        assert (back - frames).abs().mean() * 255 < error
        # No channel is off: every frame differs from the others by more.
        assert (back - frames).mean(dim=(0, 2, 3)).abs().max() * 255 < 1

    def test_gif_players_show_fifty_frames_a_second(self, tmp_path: Path) -> None:
        with pytest.warns(ClipWarning, match="plays 2 times slower"):
            write_clip(tmp_path / "out.gif", waves(4), rate=60)
        np.testing.assert_allclose(seconds_of(tmp_path / "out.gif"), np.arange(4) / 30, atol=0.0051)

    @pytest.mark.parametrize("pts", [(0, 40, 50), (0, 40, 120)])
    def test_avi_refuses_uneven_times(self, tmp_path: Path, pts: tuple[int, ...]) -> None:
        with (
            pytest.raises(InputError, match=rf"25 even frames a second.* at {pts[2] / 1000:.2f} s .*\.mp4"),
            VideoWriter(tmp_path / "out.avi", (48, 64), rate=25, time_base=Fraction(1, 1000)) as writer,
        ):
            writer.write(waves(3), pts)


class TestCompanions:
    @staticmethod
    def with_audio(path: Path, codec: str) -> Path:
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            audio = container.add_stream(codec, rate=48000)
            audio.layout = "mono"
            for number in range(25):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(video.encode(frame))
            kind, size = audio.codec_context.format.name, audio.codec_context.frame_size or 960
            for begin in range(0, 48000, size):
                samples = av.AudioFrame(format=kind, layout="mono", samples=size)
                samples.sample_rate, samples.pts = 48000, begin
                for plane in samples.planes:
                    plane.update(bytes(plane.buffer_size))
                container.mux(audio.encode(samples))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        return path

    @pytest.mark.parametrize(
        ("codec", "suffix"), [("libopus", ".mov"), ("flac", ".mov"), ("aac", ".webm"), ("aac", ".gif")]
    )
    def test_audio_that_a_container_refuses_is_named(self, tmp_path: Path, codec: str, suffix: str) -> None:
        source = self.with_audio(tmp_path / "in.mkv", codec)
        with pytest.warns(UserWarning, match=rf"audio cannot be copied into \{suffix}"):
            copy(source, tmp_path / f"out{suffix}")
        assert len(seconds_of(tmp_path / f"out{suffix}")) == 25

    @pytest.mark.filterwarnings("ignore:.*start again")
    def test_audio_of_joined_files_goes_on(self, tmp_path: Path) -> None:
        one = self.with_audio(tmp_path / "one.ts", "aac")
        joined = tmp_path / "joined.ts"
        joined.write_bytes(one.read_bytes() * 2)
        copy(joined, tmp_path / "out.mp4")
        with av.open(str(tmp_path / "out.mp4")) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 48000 == pytest.approx(2, abs=0.1)
        assert len(seconds_of(tmp_path / "out.mp4")) == 50

    def test_titles_and_subtitles_are_kept(self, tmp_path: Path) -> None:
        text = tmp_path / "in.srt"
        text.write_text("1\n00:00:00,100 --> 00:00:00,200\nLook here.\n\n")
        source = tmp_path / "in.mkv"
        with av.open(str(text)) as words, av.open(str(source), "w") as container:
            container.metadata["title"] = "A bridge"
            video = container.add_stream("ffv1", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "gray"
            lines = container.add_stream_from_template(words.streams.subtitles[0])
            for number in range(10):
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), format="gray")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(video.encode(frame))
            for packet in words.demux():
                if packet.dts is not None:
                    packet.stream = lines
                    container.mux(packet)
            container.mux(video.encode(None))
        copy(source, tmp_path / "out.mkv")
        with av.open(str(tmp_path / "out.mkv")) as container:
            assert container.metadata["title"] == "A bridge"
            (line,) = [packet for packet in container.demux(subtitles=0) if packet.size]
            assert (bytes(line), float(line.pts * line.time_base)) == (b"Look here.", pytest.approx(0.1))
        with pytest.warns(UserWarning, match=r"srt subtitles cannot be copied into \.mp4"):
            copy(source, tmp_path / "out.mp4")
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert container.metadata["title"] == "A bridge"

    @pytest.mark.filterwarnings("ignore:.*interlaced")
    def test_the_field_order_is_kept(self, write_raw: Any, grey_steps: Any, tmp_path: Path) -> None:
        source = write_raw(grey_steps(3), options={"x264-params": "bff=1"})
        copy(source, tmp_path / "out.mp4")
        with open_clip(tmp_path / "out.mp4") as clip:
            assert clip.info.field_order == "bff"

    def test_alpha_is_not_lost_without_a_word(self, write_raw: Any, tmp_path: Path) -> None:
        source = write_raw(
            [[np.full((48, 64), 200, np.uint8)] * 4], "a.mkv", codec="ffv1", pixel_format="yuva444p"
        )
        with pytest.warns(ClipWarning, match="alpha channel .* is not written to .*out.mp4"):
            copy(source, tmp_path / "out.mp4")


class TestEncoders:
    def test_a_frame_that_is_too_wide(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"encoder refuses 17000×16 px .*--scale"):
            create_clip(tmp_path / "out.mp4", (16, 17000))
        assert list(tmp_path.iterdir()) == []

    def test_presets_trade_time_for_size(self, tmp_path: Path) -> None:
        for preset in ("ultrafast", "medium"):
            with VideoWriter(tmp_path / f"{preset}.mp4", (48, 64), x264_preset=preset) as writer:
                writer.write(waves(10))
        assert (tmp_path / "medium.mp4").stat().st_size < (tmp_path / "ultrafast.mp4").stat().st_size
        with pytest.raises(InputError, match=r"x264_preset must be one of ultrafast, .*got 'quick'"):
            VideoWriter(tmp_path / "out.mp4", (48, 64), x264_preset="quick")
