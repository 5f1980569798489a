"""Reading: every frame, in order, at its time, the right way up and in the right colours."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from mm.errors import ClipWarning, InputError
from mm.video import open_clip, read_clip
from mm.video.colour import BT601, BT709

Frames = list[list[np.ndarray]]
# Exact planes: H.264 that loses nothing.
LOSSLESS = {"qp": "0"}


def brightness(frames: torch.Tensor) -> list[int]:
    """Luma codes of even grey frames in limited range."""
    return [round(float(frame.mean()) * 219 + 16) for frame in frames]


@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_every_frame_in_order_whatever_the_chunk(
    write_raw: Any, grey_steps: Callable[..., Frames], chunk: int
) -> None:
    # B-frames and a look-ahead keep frames in the decoder until it is flushed.
    path = write_raw(grey_steps(12), options={**LOSSLESS, "bf": "3", "preset": "slow"})
    with open_clip(path) as clip:
        chunks = list(clip.chunks(chunk))
        assert clip.info.frames == 12
    assert [len(part.pts) for part in chunks[:-1]] == [chunk] * (len(chunks) - 1)
    assert brightness(torch.cat([part.frames for part in chunks])) == [20 + 5 * i for i in range(12)]
    first = chunks[0].frames
    assert first.dtype == torch.float32
    assert first.shape[1:] == (3, 32, 48)


def test_varying_times_are_kept(write_raw: Any, grey_steps: Callable[..., Frames]) -> None:
    pts = [0, 3000, 7000, 9000, 9100, 20000]
    path = write_raw(grey_steps(6), pts=pts, time_base=Fraction(1, 90000))
    with open_clip(path) as clip:
        assert clip.info.time_base == Fraction(1, 90000)
        assert [tick for chunk in clip.chunks(4) for tick in chunk.pts] == pts


def test_only_one_chunk_is_held(write_raw: Any, grey_steps: Callable[..., Frames]) -> None:
    path = write_raw(grey_steps(40))
    alive: list[weakref.ref[torch.Tensor]] = []
    with open_clip(path) as clip:
        for chunk in clip.chunks(4):
            alive.append(weakref.ref(chunk.frames))
            del chunk
            assert sum(reference() is not None for reference in alive) <= 1
    assert len(alive) == 10


@pytest.mark.parametrize(
    ("matrix", "expected", "degrees"),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]], 0),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]], 90),  # a phone held upright
        ((-1, 0, 0, -1), [[5, 4, 3], [2, 1, 0]], 180),
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]], 270),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]], 0),  # mirrored
    ],
)
def test_rotation_is_done(
    write_raw: Any, set_display_matrix: Any, matrix: tuple[int, int, int, int], expected: Any, degrees: int
) -> None:
    # Six squares of known brightness, 2 rows of 3.
    codes = np.kron(np.arange(6).reshape(2, 3) * 30 + 30, np.ones((16, 16))).astype(np.uint8)
    neutral = np.full((16, 24), 128, np.uint8)
    path = write_raw([[codes, neutral, neutral]] * 3, options=LOSSLESS)
    set_display_matrix(path, matrix)
    frames, info = read_clip(path)
    wanted = np.array(expected)
    assert (info.height, info.width) == (16 * wanted.shape[0], 16 * wanted.shape[1])
    assert info.rotation == degrees
    centres = frames[1, 0, 8::16, 8::16]
    assert ((centres * 219 + 16 - 30) / 30).round().int().tolist() == expected


def test_a_rotation_by_an_odd_angle_is_left_alone_and_told(
    write_raw: Any, grey_steps: Callable[..., Frames], set_display_matrix: Any
) -> None:
    path = write_raw(grey_steps(2))
    set_display_matrix(path, (1, 1, -1, 1))
    with pytest.warns(ClipWarning, match="multiple of 90"):
        _, info = read_clip(path)
    assert (info.width, info.height) == (48, 32)


@pytest.mark.parametrize(
    ("colorspace", "color_range", "codes", "red"),
    [
        (BT709, 1, (63, 102, 240), True),
        (BT601, 1, (81, 90, 240), True),
        (BT601, 2, (76, 85, 255), True),
        (2, 0, (81, 90, 240), True),  # untagged and small: BT.601, limited
        (BT709, 1, (81, 90, 240), False),  # the wrong matrix's codes are not red
    ],
)
def test_the_stream_s_matrix_and_range_are_used(
    write_raw: Any, colorspace: int, color_range: int, codes: tuple[int, int, int], red: bool
) -> None:
    planes = [np.full((32, 32) if i == 0 else (16, 16), code, np.uint8) for i, code in enumerate(codes)]
    path = write_raw([planes] * 2, options=LOSSLESS, colorspace=colorspace, color_range=color_range)
    frames, info = read_clip(path)
    assert info.colour.full_range == (color_range == 2)
    error = (frames - torch.tensor([1.0, 0, 0]).view(3, 1, 1)).abs().max()
    assert (error < 0.02) == red


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_ten_bits_keep_their_steps(write_raw: Any, codec: str) -> None:
    ramp = np.tile(np.arange(400, 464, dtype=np.uint16), (32, 1))
    neutral = np.full((16, 32), 512, np.uint16)
    path = write_raw(
        [[ramp, neutral, neutral]],
        "ten.mkv",
        codec=codec,
        pixel_format="yuv420p10le",
        options=LOSSLESS if codec == "libx264" else {},
        color_range=1,
    )
    frames, info = read_clip(path)
    assert (info.bit_depth, info.pixel_format) == (10, "yuv420p10le")
    expected = (torch.arange(400, 464) - 64) / 876
    torch.testing.assert_close(frames[0, 1, 5], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("codec", "color_range", "span"),
    [("ffv1", 0, (0, 255)), ("ffv1", 1, (16, 219)), ("libx264", 1, (16, 219)), ("libx264", 2, (0, 255))],
)
def test_grey(write_raw: Any, codec: str, color_range: int, span: tuple[int, int]) -> None:
    ramp = np.tile(np.arange(50, 98, dtype=np.uint8), (32, 1))
    path = write_raw(
        [[ramp]] * 2,
        "grey.mkv",
        codec=codec,
        pixel_format="gray",
        options=LOSSLESS if codec == "libx264" else {},
        color_range=color_range,
    )
    frames, info = read_clip(path)
    # FFmpeg decodes H.264 without chroma into frames with neutral chroma.
    assert info.grey == (codec == "ffv1")
    expected = (torch.arange(50, 98) - span[0]) / span[1]
    torch.testing.assert_close(frames[1, :, 3], expected.expand(3, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p12le", "yuv444p16le"]
)
def test_layouts_and_odd_sizes(write_raw: Any, pixel_format: str) -> None:
    layout = av.VideoFormat(pixel_format, 33, 21)
    depth = layout.components[0].bits
    kind = np.uint8 if depth == 8 else np.uint16
    step = 2 ** (depth - 8)
    sizes = [(21, 33)] + [(layout.chroma_height(21), layout.chroma_width(33))] * 2
    # A pale orange, the same everywhere: the way chroma is brought to full size cannot matter.
    planes = [np.full(size, code * step, kind) for size, code in zip(sizes, (150, 110, 150), strict=True)]
    path = write_raw(
        [planes], "odd.mkv", codec="ffv1", pixel_format=pixel_format, colorspace=6, color_range=1
    )
    frames, info = read_clip(path)
    assert (info.width, info.height, info.bit_depth) == (33, 21, depth)
    luma, blue, red = (150 - 16) / 219, (110 - 128) / 224, (150 - 128) / 224
    r, b = luma + 1.402 * red, luma + 1.772 * blue
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    expected = torch.tensor([r, g, b]).view(3, 1, 1).expand(3, 21, 33)
    torch.testing.assert_close(frames[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pixel_format", ["bgr0", "gbrp10le", "gbrp16le", "rgb48le"])
def test_rgb_streams_are_exact(write_raw: Any, pixel_format: str) -> None:
    generator = np.random.default_rng(0)
    depth = max(component.bits for component in av.VideoFormat(pixel_format).components)
    codes = generator.integers(0, 2**depth, (20, 30, 3)).astype(np.uint8 if depth == 8 else np.uint16)
    if pixel_format == "bgr0":
        planes = [np.concatenate([codes[..., ::-1], np.zeros_like(codes[..., :1])], -1).reshape(20, -1)]
    elif pixel_format == "rgb48le":
        planes = [codes.reshape(20, -1)]
    else:
        planes = [codes[..., 1], codes[..., 2], codes[..., 0]]
    path = write_rgb(write_raw, planes, pixel_format)
    frames, info = read_clip(path)
    assert info.bit_depth == depth
    expected = torch.from_numpy(codes.astype(np.float32) / (2**depth - 1)).permute(2, 0, 1)
    torch.testing.assert_close(frames[0], expected, atol=1e-6, rtol=0)


def write_rgb(write_raw: Any, planes: list[np.ndarray], pixel_format: str) -> Path:
    """FFV1 from one frame of 20 × 30 px, whose packed planes are wider than the frame."""
    path: Path = write_raw([], "rgb.mkv", codec="ffv1", pixel_format=pixel_format)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 30, 20, pixel_format
        frame = av.VideoFrame(30, 20, pixel_format)
        for index, values in enumerate(planes):
            plane: Any = frame.planes[index]
            rows = np.frombuffer(plane, values.dtype).reshape(20, -1)
            rows[:, : values.shape[1]] = values
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("keyframes", ["1", "250"])
@pytest.mark.parametrize("span", [(None, None), (0.5, None), (None, 0.5), (0.31, 0.62), (0.9, 5)])
def test_start_and_end(
    write_raw: Any, grey_steps: Callable[..., Frames], span: tuple[float | None, float | None], keyframes: str
) -> None:
    path = write_raw(grey_steps(40), options={**LOSSLESS, "g": keyframes, "bf": "2"})
    frames, _ = read_clip(path, start=span[0], end=span[1])
    begin, until = span[0] or 0.0, 99.0 if span[1] is None else span[1]
    expected = [20 + 5 * i for i in range(40) if begin <= i / 30 < until]
    assert brightness(frames) == expected


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((2.0, None), "no frame between 2 s and its end: the clip lasts 0.40 s"),
        ((0.2, 0.1), "start must come before end"),
        ((0.1, 0.1), "start must come before end"),
        ((-1.0, None), "start must be a time of at least 0 s"),
        ((None, float("nan")), "end must be a time"),
    ],
)
def test_spans_without_frames(
    write_raw: Any, grey_steps: Callable[..., Frames], span: tuple[float | None, float | None], message: str
) -> None:
    path = write_raw(grey_steps(12))
    with pytest.raises(InputError, match=message):
        open_clip(path, start=span[0], end=span[1])


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_truncated_clip_is_kept_as_far_as_it_goes_and_told(
    write_raw: Any, grey_steps: Callable[..., Frames], name: str
) -> None:
    noise = np.random.default_rng(0)
    frames: Frames = grey_steps(60, 64, 64)
    for planes in frames:
        planes[0][:] = noise.integers(0, 255, (64, 64), dtype=np.uint8)
    options = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    path = write_raw(frames, name, options={"qp": "10", "g": "10"}, container_options=options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(ClipWarning, match=r"could be decoded is kept") as told:
        kept, _ = read_clip(path)
    assert 20 <= len(kept) <= 40
    assert str(path) in str(told[0].message)
    torch.testing.assert_close(
        kept[3, 1].mean() * 219 + 16, torch.tensor(frames[3][0].astype(np.float32)).mean(), atol=3, rtol=0
    )


def test_a_whole_clip_is_not_called_truncated(
    write_raw: Any, grey_steps: Callable[..., Frames], sound_clip: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (write_raw(grey_steps(20)), write_raw(grey_steps(20), "whole.mkv"), sound_clip):
            read_clip(path)
            # Leaving early is not truncation either.
            with open_clip(path, end=0.2) as clip:
                next(clip.chunks(2))


def test_damaged_packets_are_counted(write_raw: Any) -> None:
    # A PNG a packet: each is whole or is none, where video codecs would hide the damage.
    generator = np.random.default_rng(0)
    frames = [[generator.integers(0, 255, (64, 64), dtype=np.uint8)] for _ in range(10)]
    path = write_raw(frames, "damaged.mov", codec="png", pixel_format="gray")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    begin, size = packets[4]
    data[begin + size // 4 : begin + size // 2] = bytes(size // 2 - size // 4)
    path.write_bytes(data)
    with pytest.warns(ClipWarning, match="1 of 10 packets are damaged"):
        kept, _ = read_clip(path)
    # The others are all there and exact.
    expected = [torch.from_numpy(planes[0]) for number, planes in enumerate(frames) if number != 4]
    assert torch.equal((kept[:, 0] * 255).round().byte(), torch.stack(expected))


def test_a_change_of_size_names_both(
    write_raw: Any, grey_steps: Callable[..., Frames], tmp_path: Path
) -> None:
    first = write_raw(grey_steps(6, 32, 48), "a.h264", format="h264").read_bytes()
    second = write_raw(grey_steps(6, 48, 64), "b.h264", format="h264").read_bytes()
    path = tmp_path / "both.h264"
    path.write_bytes(first + second)
    with pytest.raises(InputError, match=r"from 48×32 to 64×48 at frame 6"):
        read_clip(path)


def test_frames_without_times_get_even_ones(write_raw: Any, grey_steps: Callable[..., Frames]) -> None:
    path = write_raw(grey_steps(8), "raw.h264", format="h264", options=LOSSLESS)
    with open_clip(path) as clip:
        pts = [tick for chunk in clip.chunks() for tick in chunk.pts]
        seconds = np.diff(pts) * float(clip.info.time_base)
        assert len(pts) == 8
        np.testing.assert_allclose(seconds, float(1 / clip.info.rate), rtol=0.05)


class TestUnusable:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no file or folder .*gone\.mp4"):
            open_clip(tmp_path / "gone.mp4")

    def test_text(self, tmp_path: Path) -> None:
        path = tmp_path / "text.mp4"
        path.write_text("This is no video.\n" * 100)
        with pytest.raises(InputError, match=r"text\.mp4 cannot be read as a video"):
            open_clip(path)

    def test_empty(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.mp4"
        path.touch()
        with pytest.raises(InputError, match=r"empty\.mp4 cannot be read as a video"):
            open_clip(path)

    def test_without_frames(self, write_raw: Any) -> None:
        with pytest.raises(InputError, match=r"clip\.(mkv|mp4) (has no frame|cannot be read)"):
            open_clip(write_raw([], "clip.mkv", codec="ffv1"))

    def test_sound_only(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.m4a"
        with av.open(str(path), "w", format="ipod") as container:
            audio = container.add_stream("aac", rate=48000)
            audio.layout = "mono"
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        with pytest.raises(InputError, match="no video stream"):
            open_clip(path)

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        with pytest.raises(InputError, match="folder without images"):
            open_clip(tmp_path)


class TestFolder:
    @pytest.mark.filterwarnings("ignore:.*frame numbers skip")
    def test_natural_order_and_hidden_files(self, tmp_path: Path) -> None:
        for number in (10, 2, 1):
            cv2.imwrite(str(tmp_path / f"frame{number}.png"), np.full((8, 10, 3), number, np.uint8))
        cv2.imwrite(str(tmp_path / ".hidden.png"), np.zeros((8, 10, 3), np.uint8))
        (tmp_path / "notes.txt").touch()
        frames, info = read_clip(tmp_path)
        assert (frames[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 10]
        assert (info.width, info.height, info.frames, info.rate) == (10, 8, 3, 30)

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_depths_and_channels(self, tmp_path: Path, suffix: str, kind: Any, channels: int) -> None:
        generator = np.random.default_rng(0)
        top = np.iinfo(kind).max
        pixels = generator.integers(0, top, (9, 7, channels)).astype(kind)
        stored = pixels[..., 0] if channels == 1 else pixels
        cv2.imwrite(str(tmp_path / f"a{suffix}"), stored)
        frames, info = read_clip(tmp_path)
        assert info.bit_depth == kind().itemsize * 8
        assert info.grey == (channels == 1)
        # OpenCV's order is blue, green, red.
        wanted = np.repeat(pixels, 3, -1) if channels == 1 else pixels[..., 2::-1]
        expected = torch.from_numpy(wanted.astype(np.float32) / top).permute(2, 0, 1)
        torch.testing.assert_close(frames[0], expected, atol=1e-6, rtol=0)

    def test_rate_and_span(self, tmp_path: Path) -> None:
        for number in range(10):
            cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.full((8, 8, 3), 20 * number, np.uint8))
        with open_clip(tmp_path, folder_rate=5, start=0.4, end=1.0) as clip:
            chunks = list(clip.chunks(2))
            assert clip.info.rate == 5
            assert clip.first_time == Fraction(2, 5)
        assert [tick for chunk in chunks for tick in chunk.pts] == [2, 3, 4]
        assert chunks[0].frames[0].mean() * 255 == pytest.approx(40, abs=1)

    def test_sizes_must_agree(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 10, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "2.png"), np.zeros((8, 12, 3), np.uint8))
        with pytest.raises(InputError, match=r"2\.png changes the frame size from 10×8 to 12×8"):
            read_clip(tmp_path)

    def test_a_broken_image_is_named(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 10, 3), np.uint8))
        (tmp_path / "2.png").write_bytes(b"no image")
        with pytest.raises(InputError, match=r"2\.png cannot be read as an image"):
            read_clip(tmp_path)


# Counts of a public tool, from the clips' own page.
CLIPS = {"baby": 301, "guitar": 300, "face": 301, "crane_crop": 212, "gun": 86, "cat_toy": 601, "turtle": 302}


@pytest.mark.material
@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_give_all_their_frames(material: Path, name: str) -> None:
    with warnings.catch_warnings(), open_clip(material / "clips" / f"{name}.mp4") as clip:
        warnings.simplefilter("error")
        assert sum(len(chunk.pts) for chunk in clip.chunks(4)) == CLIPS[name]
