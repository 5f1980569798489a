"""Reading clips a few frames at a time: video files through FFmpeg, folders of images through OpenCV."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av
import cv2
import torch
from av import VideoFrame
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from torch import Tensor

from mm.errors import ClipWarning, InputError
from mm.video.audio import AudioCopy
from mm.video.colour import RGB, UNSPECIFIED, Colour, guess_matrix
from mm.video.info import ClipInfo
from mm.video.orientation import Orientation, orientation_of
from mm.video.pixels import PixelFormat, describe, frame_to_rgb

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
DEFAULT_FOLDER_RATE = Fraction(30)
# H.264, H.265 and AV1 say that a stream which does not name its range has the limited one.
_LIMITED_BY_DEFAULT = ("h264", "hevc", "av1")


class Chunk(NamedTuple):
    """Consecutive frames and when they are shown.

    Attributes:
        frames: (n, 3, H, W) float32 R'G'B' in [0, 1].
        pts: ``n`` strictly increasing timestamps, in ticks of the clip's ``time_base``.
    """

    frames: Tensor
    pts: tuple[int, ...]


class _Timed(NamedTuple):
    frame: VideoFrame
    pts: int


class VideoClip:
    """A video file, read as a stream: nothing is held but the frames of one chunk.

    Opening decodes the first frame, which alone knows the pixel format and the orientation for certain.

    Args:
        path: the file.
        start: seconds of playback at which to begin.
        end: seconds of playback before which to stop.

    Raises:
        InputError: if the file is missing, no video, has no frame between ``start`` and ``end``, or has
            colours that cannot be read.
    """

    def __init__(self, path: str | Path, start: float | None = None, end: float | None = None) -> None:
        self.path = Path(path)
        self._start, self._end = _checked_span(start, end)
        if not self.path.is_file():
            raise InputError(f"there is no file {self.path}; check the path")
        self._container, self._stream = _open(self.path)
        try:
            self._sought = bool(self._start)
            if self._sought:
                _seek(self._container, self._stream, self._start)
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if self._sought and (first is None or self._seconds(first.pts) > self._start):
                # The index was wrong or there is none: decode from the beginning.
                self._container.close()
                self._container, self._stream = _open(self.path)
                self._sought = False
                self._decoded = self._decode()
                first = next(self._decoded, None)
            self._kept = self._within(first)
            self._first = next(self._kept, None)
            self.info, self._layout, self._orientation = self._describe(first)
            if self._first is None:
                raise self._nothing_in_span()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def first_time(self) -> Fraction:
        """When the first frame that is handed out is shown, in seconds of the container's own clock."""
        assert self._first is not None
        return self._first.pts * self.info.time_base

    def audio(self) -> AudioCopy | None:
        """The audio beside the frames handed out, for a writer to copy; None if the clip has none."""
        if not self.info.audio:
            return None
        return AudioCopy(self.path, self.first_time, cut_start=self._start > 0, cut_end=self._end is not None)

    def chunks(self, size: int = 8) -> Iterator[Chunk]:
        """Hand out the frames once, ``size`` at a time (fewer at the end).

        What cannot be decoded is left out, and a clip that ends early ends early: both are said in a warning
        when the end is reached.

        Raises:
            InputError: if the frames change their size.
        """
        frames: list[Tensor] = []
        pts: list[int] = []
        number, size_at_first = 0, None
        timed = self._first
        while timed is not None:
            frame = timed.frame
            shape = f"{frame.width}×{frame.height}"
            size_at_first = size_at_first or shape
            if shape != size_at_first:
                raise InputError(
                    f"{self.path} changes its frame size from {size_at_first} to {shape} at frame {number} "
                    f"({self._seconds(timed.pts):.2f} s); stop before it (--end) or scale it to one size"
                )
            frames.append(self._convert(frame))
            pts.append(timed.pts)
            number += 1
            if len(frames) == size:
                yield Chunk(torch.cat(frames), tuple(pts))
                frames, pts = [], []
            timed = next(self._kept, None)
        if frames:
            yield Chunk(torch.cat(frames), tuple(pts))

    def _convert(self, frame: VideoFrame) -> Tensor:
        layout = self._layout if frame.format.name == self._layout.name else describe(frame.format.name)
        rgb = frame_to_rgb(frame, layout, self.info.colour, centred_chroma=self.info.codec == "mjpeg")
        return self._orientation.apply(rgb)

    def _seconds(self, pts: int) -> float:
        """Seconds of playback since the clip's beginning."""
        return float((pts - (self._stream.start_time or 0)) * _tick(self._stream))

    def _within(self, first: _Timed | None) -> Iterator[_Timed]:
        """The frames from ``start`` on and before ``end``."""
        timed = first
        while timed is not None:
            seconds = self._seconds(timed.pts)
            if self._end is not None and seconds >= self._end:
                return
            if seconds >= self._start:
                yield timed
            timed = next(self._decoded, None)

    def _decode(self) -> Iterator[_Timed]:
        """All frames, in the order of their showing, with timestamps that exist and increase."""
        stream, damaged, packets, ended_by = self._stream, 0, 0, ""
        step = max(1, round(1 / (_rate(stream) * _tick(stream))))
        last: int | None = None
        demuxed = self._container.demux(stream)
        while True:
            try:
                packet = next(demuxed, None)
            except av.FFmpegError as error:
                ended_by, packet = str(error.strerror), None
            if packet is not None and packet.size:
                packets += 1
            try:
                # No packet: what the decoder still holds, after a demuxer that broke off. The demuxer's own
                # last packet is empty and does the same, so nothing is lost that arrives late.
                frames = stream.codec_context.decode(None) if packet is None else stream.decode(packet)
            except EOFError:
                frames = []
            except av.FFmpegError:
                damaged, frames = damaged + 1, []
            for frame in frames:
                pts = frame.pts
                if pts is None:
                    pts = 0 if last is None else last + step
                elif last is not None:
                    pts = max(pts, last + 1)
                last = pts
                yield _Timed(frame, pts)
            if packet is None:
                break
        self._tell_losses(packets, damaged, ended_by, last)

    def _tell_losses(self, packets: int, damaged: int, ended_by: str, last: int | None) -> None:
        """Warn of what the file announces and does not hold, or holds and cannot be decoded."""
        if last is None:
            return  # Nothing at all was decoded, which is an error and said as one.
        announced = 0 if self._sought else self._stream.frames
        if damaged:
            warnings.warn(
                f"{self.path}: {damaged} of {packets} packets are damaged and could not be decoded; "
                "the frames that could be are kept",
                ClipWarning,
                stacklevel=2,
            )
        if packets < announced:
            warnings.warn(
                f"{self.path} is truncated: it announces {announced} frames and holds {packets}; "
                "what could be decoded is kept",
                ClipWarning,
                stacklevel=2,
            )
        elif ended_by:
            warnings.warn(
                f"{self.path} breaks off after {self._seconds(last):.2f} s ({ended_by}); "
                "what could be decoded is kept",
                ClipWarning,
                stacklevel=2,
            )
        elif not announced and not self._container.streams.audio and self._container.duration:
            # Matroska has no count of frames. Its length, where there is no longer audio, says the same.
            length = self._container.duration / av.time_base
            missing = length - self._seconds(last)
            if missing > 0.5 and missing * _rate(self._stream) > 3:
                warnings.warn(
                    f"{self.path} is truncated: it announces {length:.2f} s and ends {missing:.2f} s before; "
                    "what could be decoded is kept",
                    ClipWarning,
                    stacklevel=2,
                )

    def _describe(self, first: _Timed | None) -> tuple[ClipInfo, PixelFormat, Orientation]:
        if first is None:
            raise InputError(f"{self.path} has no frame that could be decoded; check that it plays")
        frame, stream, rate = first.frame, self._stream, _rate(self._stream)
        layout, orientation = describe(frame.format.name), orientation_of(frame)
        width, height = frame.width, frame.height
        if orientation.transpose:
            width, height = height, width
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        duration = float(stream.duration * _tick(stream)) if stream.duration else None
        if duration is None and self._container.duration:
            duration = self._container.duration / av.time_base
        frames = stream.frames or (round(duration * rate) if duration else None)
        info = ClipInfo(
            path=self.path,
            width=width,
            height=height,
            rate=rate,
            time_base=_tick(stream),
            frames=frames,
            duration=duration,
            pixel_format=frame.format.name,
            bit_depth=layout.bit_depth,
            colour=_colour_of(frame, layout, stream.codec_context.name),
            grey=layout.kind == "grey",
            rotation=orientation.degrees,
            sample_aspect=1 / aspect if orientation.transpose else aspect,
            codec=stream.codec_context.name,
            audio=tuple(audio.codec_context.name for audio in self._container.streams.audio),
        )
        return info, layout, orientation

    def _nothing_in_span(self) -> InputError:
        length = f"the clip lasts {self.info.duration:.2f} s" if self.info.duration else "the clip is shorter"
        until = "its end" if self._end is None else f"{self._end:g} s"
        return InputError(
            f"{self.path} has no frame between {self._start:g} s and {until}: {length}; give other times"
        )


class ImageFolder:
    """A folder of PNG, TIFF or JPEG images in natural order ("2" before "10"), read as a stream.

    Args:
        path: the folder.
        rate: frames per second, which a folder does not know.
        start: seconds at which to begin.
        end: seconds before which to stop.

    Raises:
        InputError: if the folder is missing or holds no image, or none between ``start`` and ``end``.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction = DEFAULT_FOLDER_RATE,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        self.path = Path(path)
        begin, until = _checked_span(start, end)
        found = list_images(self.path)
        time_base = 1 / rate
        self._numbered = [
            (number, name)
            for number, name in enumerate(found)
            if begin <= float(number * time_base) and (until is None or float(number * time_base) < until)
        ]
        if not self._numbered:
            raise InputError(
                f"{self.path} has no frame between {begin:g} s and "
                f"{'its end' if until is None else f'{until:g} s'}: its {len(found)} images last "
                f"{float(len(found) * time_base):.2f} s at {float(rate):g} frames a second; give other times"
            )
        first = _read_image(self._numbered[0][1])
        depth = 16 if first.dtype == "uint16" else 8
        grey = first.ndim == 2
        self.info = ClipInfo(
            path=self.path,
            width=first.shape[1],
            height=first.shape[0],
            rate=rate,
            time_base=time_base,
            frames=len(found),
            duration=float(len(found) * time_base),
            pixel_format=("gray" if grey else "rgb24" if depth == 8 else "rgb48le")
            + ("16le" if grey and depth > 8 else ""),
            bit_depth=depth,
            colour=Colour(RGB, full_range=True),
            grey=grey,
            codec=self._numbered[0][1].suffix.lower().lstrip("."),
            is_folder=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def first_time(self) -> Fraction:
        """When the first frame that is handed out is shown, in seconds."""
        return self._numbered[0][0] * self.info.time_base

    def audio(self) -> AudioCopy | None:
        """None: images make no sound."""
        return None

    def chunks(self, size: int = 8) -> Iterator[Chunk]:
        """Hand out the frames, ``size`` at a time (fewer at the end).

        Raises:
            InputError: if an image cannot be read, or has another size than the first.
        """
        for begin in range(0, len(self._numbered), size):
            part = self._numbered[begin : begin + size]
            yield Chunk(
                torch.cat([self._load(name) for _, name in part]), tuple(number for number, _ in part)
            )

    def _load(self, name: Path) -> Tensor:
        pixels = _read_image(name)
        if pixels.shape[:2] != (self.info.height, self.info.width):
            raise InputError(
                f"{name} changes the frame size from {self.info.width}×{self.info.height} to "
                f"{pixels.shape[1]}×{pixels.shape[0]}; all images of a folder must have one size"
            )
        top = 65535 if pixels.dtype == "uint16" else 255
        frame = torch.from_numpy(pixels.astype("float32")).div_(top)
        if frame.ndim == 2:
            return frame.expand(1, 3, -1, -1).contiguous()
        return frame.flip(-1).permute(2, 0, 1).unsqueeze(0).contiguous()


Clip = VideoClip | ImageFolder


def open_clip(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    folder_rate: Fraction | float | None = None,
) -> Clip:
    """Open a video file or a folder of images; use it in a ``with`` statement.

    Args:
        path: the file or folder.
        start: seconds of playback at which to begin; the beginning if None.
        end: seconds of playback before which to stop; the end if None.
        folder_rate: frames per second of a folder of images (30 if None); a file has its own.

    Raises:
        InputError: if there is nothing there that can be read, or no frame in the span.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file or folder {path}; check the path")
    if path.is_dir():
        if folder_rate is None:
            folder_rate = DEFAULT_FOLDER_RATE
        rate = Fraction(folder_rate).limit_denominator(1001) if math.isfinite(folder_rate) else Fraction(0)
        if rate <= 0:
            raise InputError(f"frames a second must be a number above 0, got {float(folder_rate):g}")
        return ImageFolder(path, rate, start, end)
    return VideoClip(path, start, end)


def read_clip(
    path: str | Path, *, start: float | None = None, end: float | None = None
) -> tuple[Tensor, ClipInfo]:
    """Read a whole clip into memory: (T, 3, H, W) float32 in [0, 1], and what is known of it.

    Raises:
        InputError: as :func:`open_clip` and the frames' iteration.
    """
    with open_clip(path, start=start, end=end) as clip:
        return torch.cat([chunk.frames for chunk in clip.chunks()]), clip.info


def list_images(folder: Path) -> list[Path]:
    """Return a folder's images in natural order, hidden files left out.

    Raises:
        InputError: if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; check the path")
    images = [
        name
        for name in folder.iterdir()
        if name.suffix.lower() in IMAGE_SUFFIXES and not name.name.startswith(".") and name.is_file()
    ]
    if not images:
        raise InputError(
            f"{folder} is a folder without images ({', '.join(IMAGE_SUFFIXES)}); "
            "name a video, or a folder with images"
        )
    return sorted(images, key=lambda name: _natural(name.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which numbers count as numbers."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name.lower())
        if part
    ]


def _read_image(name: Path) -> cv2.typing.MatLike:
    # These flags keep 16 bits and drop alpha, and turn a JPEG upright.
    pixels = cv2.imread(str(name), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise InputError(f"{name} cannot be read as an image; remove it from the folder or repair it")
    if pixels.dtype not in ("uint8", "uint16"):
        raise InputError(f"{name} has {pixels.dtype} samples; only 8 and 16 bits are read: convert it")
    return pixels


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    try:
        container = av.open(str(path.absolute()))
    except av.FFmpegError as error:
        raise InputError(
            f"{path} cannot be read as a video ({error.strerror}); check that it plays, or name another file"
        ) from error
    # A cover picture is no clip.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        container.close()
        raise InputError(
            f"{path} has no video stream: it holds only other things, or was cut short; name another file"
        )
    streams[0].thread_type = "AUTO"
    return container, streams[0]


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    """Go to the key frame before ``seconds``; where that fails, stay at the beginning."""
    target = math.floor(seconds / _tick(stream)) + (stream.start_time or 0)
    try:
        container.seek(target, stream=stream, backward=True)
    except av.FFmpegError:
        container.seek(0)


def _tick(stream: VideoStream) -> Fraction:
    """Seconds of one tick of the stream's timestamps."""
    return stream.time_base or Fraction(1, av.time_base)


def _rate(stream: VideoStream) -> Fraction:
    """Playback frames per second; 25 where the container does not say, as FFmpeg takes it."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate:
            return Fraction(rate)
    return Fraction(25)


def _colour_of(frame: VideoFrame, layout: PixelFormat, codec: str) -> Colour:
    primaries, transfer = (int(code) for code in (frame.color_primaries, frame.color_trc))
    if layout.kind == "rgb":
        return Colour(RGB, True, primaries, transfer)
    tagged = int(frame.color_range)
    if layout.name.startswith("yuvj") or tagged == 2:
        full = True
    elif tagged == 1:
        full = False
    else:
        full = layout.kind == "grey" and codec not in _LIMITED_BY_DEFAULT
    matrix = int(frame.colorspace)
    # A stream of luma and chroma that claims to have no matrix is mistagged.
    if matrix in (UNSPECIFIED, RGB) or layout.kind == "grey":
        matrix = guess_matrix(frame.width, frame.height)
    return Colour(matrix, full, primaries, transfer)


def _checked_span(start: float | None, end: float | None) -> tuple[float, float | None]:
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a time of at least 0 s, got {value:g} s")
    begin = 0.0 if start is None else start
    if end is not None and begin >= end:
        raise InputError(f"start must come before end, got start {begin:g} s and end {end:g} s")
    return begin, end
