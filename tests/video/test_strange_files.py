"""Files from other cameras and programs: joined, slow, damaged, of several streams, images in stacks."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mm.errors import ClipWarning, InputError
from mm.video import open_clip, read_clip
from mm.video.timing import Timeline

Frames = list[list[np.ndarray]]
LOSSLESS = {"qp": "0"}


def times_of(path: Path, **span: float) -> list[float]:
    with open_clip(path, **span) as clip:
        return [float(tick * clip.info.time_base) for chunk in clip.chunks() for tick in chunk.pts]


def codes_of(path: Path, **span: float) -> list[int]:
    frames, _ = read_clip(path, **span)
    return [round(float(frame.mean()) * 219 + 16) for frame in frames]


@pytest.fixture
def joined(write_raw: Any, grey_steps: Callable[..., Frames], tmp_path: Path) -> Path:
    """Two transport streams of 30 frames, 1 s, after each other in one file."""
    one = write_raw(grey_steps(30), "one.ts", options={**LOSSLESS, "g": "10"})
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() * 2)
    return path


class TestTime:
    def test_joined_files_go_on_a_frame_later(self, joined: Path) -> None:
        with pytest.warns(ClipWarning, match=r"start again \(at 1\.00 s\)"):
            times = times_of(joined)
        np.testing.assert_allclose(np.diff(times), np.full(59, 1 / 30), atol=1e-4)

    @pytest.mark.filterwarnings("ignore:.*start again")
    def test_a_part_of_joined_files(self, joined: Path) -> None:
        assert codes_of(joined, start=1.2, end=1.5) == [20 + 5 * i for i in range(6, 15)]

    def test_a_timeline_keeps_times_that_increase(self) -> None:
        timeline = Timeline(step=10)
        stamps = [100, 110, 110, None, 250, 0, 12]
        assert [timeline.mend(stamp) for stamp in stamps] == [100, 110, 111, 121, 250, 260, 272]
        assert timeline.restarts == [260]

    @pytest.mark.parametrize("rate", [Fraction(1, 5), Fraction(1, 30)])
    def test_slow_matroska_has_all_its_frames(
        self, write_raw: Any, grey_steps: Callable[..., Frames], rate: Fraction
    ) -> None:
        path = write_raw(
            grey_steps(12), "slow.mkv", rate=rate, time_base=1 / rate, options={**LOSSLESS, "bf": "2"}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert codes_of(path) == [20 + 5 * i for i in range(12)]
            step = float(1 / rate)
            assert times_of(path, start=4 * step, end=6 * step) == [4 * step, 5 * step]


class TestLosses:
    def test_a_cut_of_one_frame(self, write_raw: Any, grey_steps: Callable[..., Frames]) -> None:
        path = write_raw(grey_steps(20), "cut.mkv", codec="ffv1")
        with av.open(str(path)) as container:
            begin, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][
                -1
            ]
        path.write_bytes(path.read_bytes()[: begin + size // 2])
        with pytest.warns(ClipWarning, match=r"truncated: it announces 0\.67 s and ends 0\.03 s before"):
            assert len(codes_of(path)) == 19

    def test_damaged_frames_are_named(self, write_raw: Any) -> None:
        noise = np.random.default_rng(0)
        neutral = np.full((32, 32), 128, np.uint8)
        frames = [[noise.integers(0, 255, (64, 64), dtype=np.uint8), neutral, neutral] for _ in range(30)]
        path = write_raw(frames, "damaged.mkv", options={"g": "5", "bf": "0"})
        data = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
        begin, size = packets[10]
        data[begin + size // 2 : begin + size // 2 + 40] = bytes(40)
        path.write_bytes(data)
        # An independent count: the decoder's own flag.
        with av.open(str(path)) as container:
            flagged = [frame.time for frame in container.decode(video=0) if frame.is_corrupt]
        assert flagged[0] == pytest.approx(1 / 3, abs=0.001)
        with pytest.warns(ClipWarning, match=rf"{len(flagged)} frames? .*damaged \(at 0\.33 s"):
            assert len(codes_of(path)) == 30


class TestStreams:
    def test_the_largest_stream_is_read_and_named(self, tmp_path: Path) -> None:
        path = tmp_path / "proxy.mkv"
        with av.open(str(path), "w") as container:
            streams = []
            for width in (16, 64, 32):
                stream = container.add_stream("ffv1", rate=30)
                stream.width, stream.height, stream.pix_fmt = width, 16, "gray"
                streams.append(stream)
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.zeros((16, stream.width), np.uint8), format="gray")
                frame.pts, frame.time_base = 0, Fraction(1, 30)
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        with pytest.warns(ClipWarning, match=r"3 video streams \(16×16, 64×16, 32×16 px\); number 2"):
            _, info = read_clip(path)
        assert info.width == 64

    def test_no_decoder(self, write_raw: Any, grey_steps: Callable[..., Frames]) -> None:
        path = write_raw(grey_steps(3))
        path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
        with pytest.raises(InputError, match="no video stream of a codec that FFmpeg decodes"):
            open_clip(path)

    def test_a_title_that_is_no_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "old.avi"
        with av.open(str(path), "w") as container:
            container.metadata["title"] = "Paris, e"
            stream = container.add_stream("mjpeg", rate=30)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuvj420p")))
            container.mux(stream.encode(None))
        path.write_bytes(path.read_bytes().replace(b"Paris, e", b"Paris, \xe9"))
        with open_clip(path) as clip:
            assert clip.info.tags["title"].startswith("Paris")

    @pytest.mark.parametrize(("flag", "order"), [("tff=1", "tff"), ("bff=1", "bff")])
    def test_interlaced_frames_are_named(
        self, write_raw: Any, grey_steps: Callable[..., Frames], flag: str, order: str
    ) -> None:
        path = write_raw(grey_steps(3), options={"x264-params": flag})
        with pytest.warns(ClipWarning, match="interlaced .*bwdif"), open_clip(path) as clip:
            assert clip.info.field_order == order

    def test_alpha_is_named(self, write_raw: Any) -> None:
        planes = [np.full((16, 16), 200, np.uint8)] * 4
        path = write_raw([planes], "a.mkv", codec="ffv1", pixel_format="yuva444p")
        with open_clip(path) as clip:
            assert "alpha" in clip.info.left_out[0]

    # EXIF's orientations, and where the stored upper left corner is then.
    @pytest.mark.parametrize(
        ("orientation", "corner"),
        [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (5, (0, 0)), (6, (0, -1)), (8, (-1, 0))],
    )
    def test_exif_in_motion_jpeg(self, tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
        pixels = np.zeros((32, 48, 3), np.uint8)
        pixels[:16, :16] = 255
        exif = Image.Exif()
        exif[0x0112] = orientation
        coded = io.BytesIO()
        Image.fromarray(pixels).save(coded, "JPEG", exif=exif.tobytes())
        path = tmp_path / "camera.avi"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=30)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
            packet = av.Packet(coded.getvalue())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
            container.mux(packet)
        frames, info = read_clip(path)
        turned = orientation >= 5
        assert (info.width, info.height) == ((32, 48) if turned else (48, 32))
        assert frames[0, 0, corner[0], corner[1]] > 0.9
        assert frames[0, 0].mean() == pytest.approx(1 / 6, abs=0.02)

    @pytest.mark.parametrize("pixel_format", ["rgb555le", "rgb565le", "rgb444le", "rgb8"])
    def test_white_is_white_in_few_bits(self, write_raw: Any, pixel_format: str) -> None:
        width = av.VideoFormat(pixel_format).bits_per_pixel > 8
        planes = [np.full((16, 16), 0xFFFF if width else 0xFF, np.uint16 if width else np.uint8)]
        path = write_raw([planes], "few.nut", codec="rawvideo", pixel_format=pixel_format)
        assert float(read_clip(path)[0].min()) == 1


class TestImages:
    @staticmethod
    def pages(count: int, kind: Any = np.uint8) -> list[np.ndarray]:
        generator = np.random.default_rng(0)
        return [generator.integers(0, np.iinfo(kind).max, (10, 12)).astype(kind) for _ in range(count)]

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    @pytest.mark.parametrize("within", [False, True])
    def test_all_pages_of_a_stack(self, tmp_path: Path, kind: Any, within: bool) -> None:
        pages = self.pages(11, kind)
        # By another library than the one that reads.
        first, *rest = [Image.fromarray(page) for page in pages]
        first.save(tmp_path / "stack.tif", save_all=True, append_images=rest)
        frames, info = read_clip(tmp_path if within else tmp_path / "stack.tif")
        assert (info.frames, info.is_folder, info.grey) == (11, True, True)
        expected = torch.from_numpy(np.stack(pages).astype(np.float32) / np.iinfo(kind).max)
        torch.testing.assert_close(frames[:, 1], expected)

    @pytest.mark.parametrize("suffix", [".bmp", ".pgm", ".webp"])
    def test_other_kinds_of_image(self, tmp_path: Path, suffix: str) -> None:
        pixels = self.pages(1)[0]
        cv2.imwrite(str(tmp_path / f"0{suffix}"), pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
        frames, _ = read_clip(tmp_path)
        assert np.abs(frames[0, 0].numpy() * 255 - pixels).max() < 0.01

    @pytest.mark.parametrize(
        ("numbers", "gap"),
        [((0, 1, 2, 4, 5, 8), "f2.png to f4.png (2 gaps in all)"), ((0, 2, 4, 6), None), ((7,), None)],
    )
    def test_gaps_in_the_numbers_are_named(
        self, tmp_path: Path, numbers: tuple[int, ...], gap: str | None
    ) -> None:
        for number in numbers:
            cv2.imwrite(str(tmp_path / f"f{number}.png"), self.pages(1)[0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read_clip(tmp_path)
        assert [gap] == [re.search(r"f2.*all\)", str(w.message))[0] for w in caught] if gap else not caught

    def test_twelve_bits_in_sixteen(self, tmp_path: Path) -> None:
        pixels = np.array([[0, 1000], [2000, 4095]], np.uint16)
        cv2.imwrite(str(tmp_path / "0.tif"), pixels)
        with pytest.warns(ClipWarning, match="1/16 of its 16 bits.*--depth 12"):
            read_clip(tmp_path)
        with open_clip(tmp_path, depth=12) as clip:
            torch.testing.assert_close(
                next(clip.chunks()).frames[0, 0], torch.from_numpy(pixels.astype(np.float32)) / 4095
            )
            assert clip.info.bit_depth == 12
        with open_clip(tmp_path, depth=10) as clip, pytest.raises(InputError, match="4095, above the 1023"):
            next(clip.chunks())
        with pytest.raises(InputError, match="depth must be from 8 to 16 bits"):
            open_clip(tmp_path, depth=17)

    def test_alpha_of_images_is_named(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 8, 4), np.uint8))
        with open_clip(tmp_path) as clip:
            assert "alpha" in clip.info.left_out[0]
