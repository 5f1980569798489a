"""Writing clips a few frames at a time: video files through FFmpeg, folders of PNG images.

What is written has a temporary name beside the output until it is complete. The output's own name holds
either what it held before or the whole new clip, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import torch.nn.functional as F
from av import VideoFrame
from torch import Tensor

from mm.errors import ClipWarning, InputError
from mm.files import Draft, writing
from mm.video.audio import AudioCopy
from mm.video.colour import BT709, RGB, SRGB_TRANSFER, Colour
from mm.video.containers import X264_PRESETS, Palette, container_of, encoder_options, holds
from mm.video.info import ClipInfo
from mm.video.pixels import marked, rgb_to_frames

# Constant rate factor of H.264. 18 is called visually transparent; magnified motion is looked at closely.
DEFAULT_CRF = 14
# At one CRF x264's "veryfast" takes a third of the time of its default, "medium". On three real clips and a
# rendered one: files of about the same size, 0 to 1 dB of PSNR less, 0 to 0.5 dB for changes in time.
DEFAULT_PRESET = "veryfast"
DEFAULT_COLOUR = Colour(BT709, full_range=False, primaries=BT709, transfer=SRGB_TRANSFER)


class VideoWriter:
    """A video file that ordinary players open: H.264, 4:2:0, constant quality; or lossless FFV1.

    A .webm file has VP9, a .gif 256 colours a frame. 4:2:0 has chroma for two by two pixels, so an odd width
    or height is brought to an even one by repeating the last column or row. Lossless files keep odd sizes.

    Args:
        path: the file; its suffix, one of :data:`mm.video.containers.CONTAINERS`, chooses the container
            (lossless: .mkv only).
        size: (height, width) of the frames.
        rate: playback frames per second, which the container shows as its average.
            A rate that the container cannot hold is slowed by a whole number, with a warning.
        time_base: seconds of one tick of the timestamps; 1/rate if None. Matroska rounds times to 1 ms, GIF
            to 10 ms; AVI holds even times alone.
        bit_depth: bits of a sample; above 8 the file is written with 10 (H.264 High 10), or losslessly with
            10, 12, 14 or 16.
        colour: matrix, range and tags of the file.
        crf: H.264's constant rate factor, 0 to 51; lower is better.
        lossless: keep every frame exactly, to within the rounding to ``bit_depth``, as FFV1 in RGB.
        sample_aspect: width of a pixel over its height.
        audio: audio and subtitles to copy into the file; closed with the writer.
        x264_preset: x264's speed, one of :data:`mm.video.containers.X264_PRESETS`; slower ones make smaller
            files.
        field_order: "tff" or "bff" to mark H.264 frames as interlaced.
        tags: title, artist and the like.

    Raises:
        InputError: if the suffix or preset is not known, the encoder does not take the size, the folder
            cannot be written to, or the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        *,
        rate: Fraction | float = Fraction(30),
        time_base: Fraction | None = None,
        bit_depth: int = 8,
        colour: Colour = DEFAULT_COLOUR,
        crf: float = DEFAULT_CRF,
        lossless: bool = False,
        sample_aspect: Fraction = Fraction(1),
        audio: AudioCopy | None = None,
        x264_preset: str = DEFAULT_PRESET,
        field_order: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = size
        if x264_preset not in X264_PRESETS:
            raise InputError(f"x264_preset must be one of {', '.join(X264_PRESETS)}, got {x264_preset!r}")
        self._kind = container_of(self.path, lossless)
        self._rate = Fraction(rate).limit_denominator(1_000_000)
        self._time_base = time_base or 1 / self._rate
        slowed = 1 if self._kind.fastest is None else math.ceil(self._rate / self._kind.fastest)
        if slowed > 1:
            warnings.warn(
                f"{self.path}: {self.path.suffix} holds {self._kind.fastest} frames a second at most, and "
                f"the clip has {float(self._rate):.6g}: it plays {slowed} times slower"
                + (", without sound" if audio else "")
                + f"; give --fps {float(self._rate):.6g} wherever its frequencies matter",
                ClipWarning,
                stacklevel=2,
            )
            self._rate, self._time_base = self._rate / slowed, self._time_base * slowed
            if audio is not None:
                audio.close()
                audio = None
        self._colour = colour.for_output
        self._audio = audio
        self._first_pts: int | None = None
        self._last_pts, self._last_number = 0, -1
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        codec = "ffv1" if lossless else self._kind.codec
        self._pixel_format, self.padding = _plan(codec, size, bit_depth)
        height, width = size[0] + self.padding[0], size[1] + self.padding[1]
        self._palette = Palette(width, height) if codec == "gif" else None
        self._draft = _draft(self.path)
        self._container: Any = None
        try:
            with writing(self.path), _encoding(self.path, f"{width}×{height} px"):
                options = {}
                if self._kind.muxer in ("mp4", "mov"):
                    # The length of a few frames at thousands a second is no whole number of its usual ms.
                    ticks = max(1000, math.ceil(10 * self._rate))
                    options = {"movflags": "+faststart", "movie_timescale": str(ticks)}
                name = str(self._draft.path.absolute())
                self._container = av.open(name, "w", format=self._kind.muxer, options=options)
                self._container.metadata.update(tags or {})
                settings = encoder_options(self._kind, codec, crf, x264_preset, field_order)
                stream = self._container.add_stream(codec, rate=self._rate, options=settings)
                stream.width, stream.height = width, height
                stream.pix_fmt = "pal8" if self._palette else self._pixel_format
                context = stream.codec_context
                context.time_base = 1 / self._rate if self._kind.numbers_frames else self._time_base
                context.sample_aspect_ratio = sample_aspect
                context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
                # Lossless files and GIFs are RGB, which has no matrix and the whole range.
                is_rgb = lossless or self._palette is not None
                context.colorspace = RGB if is_rgb else self._colour.matrix
                context.color_range = 2 if is_rgb or self._colour.full_range else 1
                self._stream = stream
                self._audio_streams = self._add_audio()
                self._container.start_encoding()
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        else:
            self.discard()

    def write(self, frames: Tensor, pts: tuple[int, ...] | None = None) -> None:
        """Append frames.

        Args:
            frames: (n, 3, H, W) R'G'B' in [0, 1], on any device.
            pts: ``n`` increasing timestamps in ticks of the time base; the first frame of all becomes time 0.
                Evenly spaced if None.

        Raises:
            InputError: if the disk is full or the file cannot be written to, or for uneven times in
                a container that has none.
        """
        if pts is None:
            begin = 0 if self._first_pts is None else self._last_pts + self._step
            pts = tuple(begin + self._step * number for number in range(len(frames)))
        self.encode(self.codes(frames), pts)

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the format that the encoder takes."""
        return self._pixel_format

    def marked(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame in :attr:`pixel_format` with the tags of this file's colours."""
        return marked(frame, self._colour)

    def codes(self, frames: Tensor) -> list[VideoFrame]:
        """Return (n, 3, H, W) R'G'B' in [0, 1] as the encoder takes them."""
        bottom, right = self.padding
        rgb = frames.detach().float()
        if bottom or right:
            rgb = F.pad(rgb, (0, right, 0, bottom), mode="replicate")
        return rgb_to_frames(rgb, self._pixel_format, self._colour)

    def encode(self, codes: list[VideoFrame], pts: tuple[int, ...]) -> None:
        """Append frames of :meth:`codes`; see :meth:`write`."""
        with writing(self.path), _encoding(self.path, f"{self.size[1]}×{self.size[0]} px"):
            for frame, tick in zip(codes, pts, strict=True):
                if self._first_pts is None:
                    self._first_pts = tick
                self._last_pts = tick
                frame.pts, frame.time_base = self._stamp(tick - self._first_pts)
                if self._palette is not None:
                    frame = self._palette.apply(frame)
                self._container.mux(self._stream.encode(frame))
            if self._first_pts is not None:
                self._copy_audio(float((self._last_pts - self._first_pts + self._step) * self._time_base))

    def _stamp(self, ticks: int) -> tuple[int, Fraction]:
        """Return a frame's time stamp and its unit; ``ticks`` are those since the first frame."""
        if not self._kind.numbers_frames:
            return ticks, self._time_base
        number = round(ticks * self._time_base * self._rate)
        if number != self._last_number + 1:
            raise InputError(
                f"{self.path.suffix} holds {float(self._rate):.6g} even frames a second, and a frame of the "
                f"clip at {float(ticks * self._time_base):.2f} s is not a step from the one before; "
                "name the output .mp4 or .mkv"
            )
        self._last_number = number
        return number, 1 / self._rate

    def _add_audio(self) -> list[Any]:
        if self._audio is None:
            return []
        streams: list[Any] = []
        for source in self._audio.streams:
            if holds(self._kind, source):
                streams.append(self._container.add_stream_from_template(source))
            else:
                kind = "subtitles" if source.type == "subtitle" else source.type
                warnings.warn(
                    f"{source.codec_context.name} {kind} cannot be copied into {self.path.suffix}; left out "
                    "(an .mkv output keeps most)",
                    stacklevel=3,
                )
                streams.append(None)
        return streams

    def _copy_audio(self, seconds: float) -> None:
        if self._audio is None:
            return
        for index, packet in self._audio.until(seconds):
            # Of the containers only these hold what a codec needs to run in, before the picture's beginning.
            early = packet.pts is not None and packet.pts < 0 and self._kind.muxer not in ("mp4", "mov")
            if self._audio_streams[index] is not None and not early:
                packet.stream = self._audio_streams[index]
                self._container.mux_one(packet)

    def _complete(self) -> None:
        try:
            with writing(self.path), _encoding(self.path, "these frames"):
                if self._first_pts is None:
                    raise InputError(f"no frame was written to {self.path}; nothing is left there")
                if self._audio is not None and not self._audio.cut_end:
                    self._copy_audio(math.inf)
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._draft.keep()
        except BaseException:
            self.discard()
            raise
        if self._audio is not None:
            self._audio.close()

    def discard(self) -> None:
        """Remove what was written, unless it is complete."""
        if self._audio is not None:
            self._audio.close()
        # Closing may fail for the reason that brought us here; the file goes away in any case.
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            if self._container is not None:
                self._container.close()
        self._draft.discard()


class FolderWriter:
    """A new folder of PNG images, 000000.png and on.

    Args:
        path: the folder; it must not exist yet, or be empty.
        size: (height, width) of the frames.
        bit_depth: bits of a sample; above 8 the images have 16.

    Raises:
        InputError: if the folder is there and not empty, or cannot be made.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], *, bit_depth: int = 8) -> None:
        self.path = Path(path)
        self.size = size
        self.padding = (0, 0)
        self._top, self._kind = (255, "uint8") if bit_depth == 8 else (65535, "uint16")
        self._count = 0
        if self.path.exists() and not self.path.is_dir():
            raise InputError(
                f"{self.path} is a file; name a new folder, or a video with a suffix such as .mp4"
            )
        with writing(self.path):
            if self.path.exists() and any(self.path.iterdir()):
                raise InputError(f"the folder {self.path} is not empty; name a new one, or remove it first")
            self._draft = _draft(self.path, folder=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with writing(self.path):
                    if not self._count:
                        raise InputError(f"no frame was written to {self.path}; nothing is left there")
                    self._draft.keep()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, unless it is complete."""
        self._draft.discard()

    def write(self, frames: Tensor, pts: tuple[int, ...] | None = None) -> None:
        """Append (n, 3, H, W) R'G'B' frames in [0, 1]; a folder has no times, so ``pts`` is not used.

        Raises:
            InputError: if the disk is full or the folder cannot be written to.
        """
        codes = (
            frames.detach()
            .cpu()
            .double()
            .mul(self._top)
            .round()
            .clamp(0, self._top)
            .permute(0, 2, 3, 1)
            .flip(-1)
        )
        with writing(self.path):
            for pixels in codes.numpy().astype(self._kind):
                coded, data = cv2.imencode(".png", pixels)
                assert coded
                (self._draft.path / f"{self._count:06d}.png").write_bytes(data.tobytes())
                self._count += 1


def create_clip(
    path: str | Path,
    size: tuple[int, int],
    like: ClipInfo | None = None,
    *,
    crf: float = DEFAULT_CRF,
    lossless: bool = False,
    audio: AudioCopy | None = None,
    x264_preset: str = DEFAULT_PRESET,
) -> VideoWriter | FolderWriter:
    """Begin a clip with the timing, colours and bit depth of another one; use it in a ``with`` statement.

    Args:
        path: a video file, or (without a suffix) a folder for PNG images.
        size: (height, width) of the frames.
        like: the clip whose properties are carried over; 30 frames per second, 8 bit, BT.709 if None.
        crf: see :class:`VideoWriter`.
        lossless: see :class:`VideoWriter`; folders of PNG are lossless anyway.
        audio: see :class:`VideoWriter`.
        x264_preset: see :class:`VideoWriter`.

    Raises:
        InputError: if it cannot be written.
    """
    if like is not None:
        for loss in like.left_out:
            warnings.warn(f"{like.path}: {loss} is not written to {path}", ClipWarning, stacklevel=2)
    if is_folder_name(path):
        if audio is not None:
            audio.close()
        return FolderWriter(path, size, bit_depth=like.bit_depth if like else 8)
    if like is None:
        return VideoWriter(path, size, crf=crf, lossless=lossless, audio=audio, x264_preset=x264_preset)
    return VideoWriter(
        path,
        size,
        rate=like.rate,
        time_base=like.time_base,
        bit_depth=like.bit_depth,
        colour=like.colour,
        crf=crf,
        lossless=lossless,
        sample_aspect=like.sample_aspect,
        audio=audio,
        x264_preset=x264_preset,
        # Lines of another height belong to no field.
        field_order=like.field_order if size[0] == like.height else "",
        tags=like.tags,
    )


def write_clip(
    path: str | Path, frames: Tensor, *, rate: Fraction | float = 30, lossless: bool = False
) -> None:
    """Write (T, 3, H, W) R'G'B' frames in [0, 1] as a video file; as PNG images if ``path`` has no suffix.

    Raises:
        InputError: if it cannot be written.
    """
    size = (frames.shape[-2], frames.shape[-1])
    writer: VideoWriter | FolderWriter
    writer = (
        FolderWriter(path, size)
        if is_folder_name(path)
        else VideoWriter(path, size, rate=rate, lossless=lossless)
    )
    with writer:
        for part in frames.split(8):
            writer.write(part)


def is_folder_name(path: str | Path) -> bool:
    """True if an output of this name is a folder of images: it has no suffix, or there is a folder."""
    return not Path(path).suffix or Path(path).is_dir()


def check_output(path: str | Path, *, lossless: bool = False) -> None:
    """Raise the InputError that writing to ``path`` would, before the work is begun."""
    path = Path(path)
    if is_folder_name(path):
        FolderWriter(path, (1, 1)).discard()
        return
    container_of(path, lossless)
    _draft(path).discard()


def _plan(codec: str, size: tuple[int, int], bit_depth: int) -> tuple[str, tuple[int, int]]:
    """Pixel format, and rows and columns to add."""
    if codec == "gif":
        return "bgr0", (0, 0)
    if codec == "ffv1":
        depth = next(depth for depth in (8, 10, 12, 14, 16) if depth >= bit_depth)
        return "bgr0" if depth == 8 else f"gbrp{depth}le", (0, 0)
    return "yuv420p" if bit_depth == 8 else "yuv420p10le", (size[0] % 2, size[1] % 2)


@contextlib.contextmanager
def _encoding(path: Path, frames: str) -> Iterator[None]:
    """Turn FFmpeg's refusals into one line for the user; the system's are ``writing``'s."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise InputError(
            f"cannot write {path}: its encoder refuses {frames} ({error.strerror}); --scale the clip down, "
            "or name a folder for PNG images"
        ) from error


def _draft(path: Path, folder: bool = False) -> Draft:
    if not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    with writing(path):
        return Draft(path, folder=folder)
