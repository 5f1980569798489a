"""Reading clips a few frames at a time: video files through FFmpeg."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import av
import torch
from av import VideoFrame
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.stream import VideoStream
from torch import Tensor

from mm.errors import ClipWarning, InputError
from mm.video.audio import AudioCopy, companions
from mm.video.colour import RGB, UNSPECIFIED, Colour, guess_matrix
from mm.video.images import DEFAULT_FOLDER_RATE, ImageFolder, has_no_rate
from mm.video.info import Chunk, ClipInfo, checked_span
from mm.video.orientation import Orientation, orientation_of
from mm.video.pixels import PixelFormat, describe, frames_to_rgb
from mm.video.timing import Timeline, at_seconds

# H.264, H.265 and AV1 say that a stream which does not name its range has the limited one.
_LIMITED_BY_DEFAULT = ("h264", "hevc", "av1")
# AVFMT_TS_DISCONT: MPEG transport and program streams.
_TIME_MAY_RESTART = 0x200
# Tags that a muxer writes of itself.
_MUXERS_TAGS = ("encoder", "software", "major_brand", "minor_version", "compatible_brands", "duration")
_HDR = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL, Type.DYNAMIC_HDR_PLUS, Type.DOVI_METADATA)


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
        quiet: whether to leave out warnings, of a file that was read before.

    Raises:
        InputError: if the file is missing, no video, has no frame between ``start`` and ``end``, or has
            colours that cannot be read.
    """

    def __init__(
        self, path: str | Path, start: float | None = None, end: float | None = None, *, quiet: bool = False
    ) -> None:
        self.path, self._quiet = Path(path), quiet
        self._start, self._end = checked_span(start, end)
        if not self.path.is_file():
            raise InputError(f"there is no file {self.path}; check the path")
        self._container, self._stream = _open(self.path)
        try:
            self._decoded, self._sought = self._decode(), False
            first = next(self._decoded, None)
            self.info, self._layout, self._orientation = self._describe(first)
            assert first is not None
            # The clip's time begins here, whatever the container says: Matroska's start is late at low rates.
            self._zero = first.pts
            self._warn_of_choices()
            if self._start and first.frame.pts is not None and not self._is_joined():
                first = self._seek(first)
            self._kept = self._within(first)
            self._first = next(self._kept, None)
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

    def again(self, start: float) -> VideoClip:
        """Open the file once more from another time on, in seconds, without its warnings."""
        return VideoClip(self.path, start, self._end, quiet=True)

    @property
    def start(self) -> float:
        """Seconds of playback at which the clip was asked to begin."""
        return self._start

    @property
    def first_time(self) -> Fraction:
        """The display time of the first frame that is handed out, in seconds of the container's own clock."""
        assert self._first is not None
        return self._first.pts * self.info.time_base

    def audio(self) -> AudioCopy | None:
        """The audio and subtitles beside the frames handed out, for a writer to copy; None without any."""
        if not self.info.companions:
            return None
        return AudioCopy(self.path, self.first_time, cut_start=self._start > 0, cut_end=self._end is not None)

    def chunks(self, size: int = 8, device: torch.device | str = "cpu") -> Iterator[Chunk]:
        """Hand out the frames once, ``size`` at a time (fewer at the end), on ``device``.

        What cannot be decoded is left out, and a clip that ends early ends early: both are said in a warning
        when the end is reached.

        Raises:
            InputError: if the frames change their size.
        """
        frames: list[VideoFrame] = []
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
            frames.append(frame)
            pts.append(timed.pts)
            number += 1
            if len(frames) == size:
                yield Chunk(self._convert(frames, device), tuple(pts))
                frames, pts = [], []
            timed = next(self._kept, None)
        if frames:
            yield Chunk(self._convert(frames, device), tuple(pts))

    def _convert(self, frames: list[VideoFrame], device: torch.device | str) -> Tensor:
        parts = []
        # A stream may change its pixel format.
        for name, group in groupby(frames, lambda frame: frame.format.name):
            layout = self._layout if name == self._layout.name else describe(name)
            centred = self.info.codec == "mjpeg"
            parts.append(
                frames_to_rgb(list(group), layout, self.info.colour, centred_chroma=centred, device=device)
            )
        return self._orientation.apply(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _seconds(self, pts: int) -> float:
        """Seconds of playback since the clip's beginning."""
        return float((pts - self._zero) * _tick(self._stream))

    def _seek(self, first: _Timed) -> _Timed | None:
        """Return the frame to decode from on: at the key frame before ``start``, or the first one."""
        target = self._zero + math.floor(self._start / _tick(self._stream))
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(target, stream=self._stream, backward=True)
            self._decoded, self._sought = self._decode(), True
            found = next(self._decoded, None)
            if found is not None and self._seconds(found.pts) <= self._start:
                return found
        # The index was wrong or there is none.
        self._container.close()
        self._container, self._stream = _open(self.path)
        self._decoded, self._sought = self._decode(), False
        return next(self._decoded, None)

    def times(self) -> list[float]:
        """Return when the frames within the span are shown, seconds of playback; nothing is decoded."""
        stamps, _ = self._stamps()
        seconds = [self._seconds(stamp) for stamp in stamps]
        return [each for each in seconds if each >= self._start and (self._end is None or each < self._end)]

    def _stamps(self) -> tuple[list[int], Timeline]:
        """Return the packets' time stamps, in the order of their showing, and the timeline of decoding."""
        container, stream = _open(self.path)
        timeline, stamps = Timeline(_step(stream)), []
        with container, contextlib.suppress(av.FFmpegError):
            for packet in container.demux(stream):
                if packet.dts is not None:
                    timeline.mend(packet.dts)
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.size and not packet.is_discard:
                    stamps.append(stamp + timeline.offset)
        return sorted(set(stamps)), timeline

    def _is_joined(self) -> bool:
        """True if time begins again within the file, so that no time can be sought in it."""
        may_be = self._container.format.flags & _TIME_MAY_RESTART
        return bool(may_be and self._stamps()[1].restarts)

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
        stream, packets, ended_by = self._stream, 0, ""
        lost: list[int | None] = []
        damaged: list[int] = []
        timeline, widest = Timeline(_step(stream)), 0
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
                lost.append(packet.pts if packet is not None else None)
                frames = []
            for frame in frames:
                before, pts = timeline.last, timeline.mend(frame.pts)
                widest = max(widest, pts - (pts if before is None else before))
                if frame.is_corrupt:
                    damaged.append(pts)
                yield _Timed(frame, pts)
            if packet is None:
                break
        if timeline.last is None:
            return  # Nothing at all was decoded, which is an error and said as one.
        if lost:
            self._warn(
                f"{len(lost)} of {packets} packets are damaged and could not be decoded{self._when(lost)}; "
                "the frames that could be are kept"
            )
        if damaged:
            self._warn(
                f"{len(damaged)} frames are damaged{self._when(damaged)}; they are kept as they were decoded"
            )
        if timeline.restarts:
            self._warn(
                f"the time stamps start again{self._when(timeline.restarts)}, as in joined files; "
                "the frames go on one frame later"
            )
        self._warn_of_an_early_end(packets, ended_by, timeline.last, widest)

    def _warn_of_an_early_end(self, packets: int, ended_by: str, last: int, widest: int) -> None:
        """Warn of frames that the file announces and does not hold; ``widest``: ticks of the longest gap."""
        announced = 0 if self._sought else self._stream.frames
        if packets < announced:
            self._warn(
                f"truncated: it announces {announced} frames and holds {packets}; "
                "what could be decoded is kept"
            )
        elif ended_by:
            self._warn(
                f"breaks off after {self._seconds(last):.2f} s ({ended_by}); what could be decoded is kept"
            )
        elif not announced and (length := _length(self._container, self._stream)) is not None:
            # Matroska has no count of frames. Its length counts from the container's own zero.
            shown = max(widest, _step(self._stream)) * _tick(self._stream)
            missing = length - float(last * _tick(self._stream))
            if missing > 1.75 * shown + 0.002:
                self._warn(
                    f"truncated: it announces {length:.2f} s and ends {missing - float(shown):.2f} s before; "
                    "what could be decoded is kept"
                )

    def _warn_of_choices(self) -> None:
        """Warn of what was taken of several things that the file holds, or cannot be taken as it is."""
        streams = _video_streams(self._container)
        if len(streams) > 1:
            sizes = ", ".join(f"{s.codec_context.width}×{s.codec_context.height}" for s in streams)
            self._warn(
                f"it has {len(streams)} video streams ({sizes} px); number {streams.index(self._stream) + 1} "
                "is read, the default or largest one; for another one copy that alone into a file, "
                "for example with `ffmpeg -i IN -map 0:v:0 -c copy OUT`"
            )
        if self.info.field_order:
            self._warn(
                f"it is interlaced ({'top' if self.info.field_order == 'tff' else 'bottom'} field first): "
                "the two fields of a frame show two moments, and their difference is taken for motion; "
                "deinterlace it first, for example with `ffmpeg -i IN -vf bwdif OUT`"
            )

    def _warn(self, message: str) -> None:
        if not self._quiet:
            warnings.warn(f"{self.path}: {message}", ClipWarning, stacklevel=3)

    def _when(self, stamps: Sequence[int | None]) -> str:
        times = [self._seconds(stamp) for stamp in stamps if stamp is not None]
        return f" (at {at_seconds(times)})" if times else ""

    def _describe(self, first: _Timed | None) -> tuple[ClipInfo, PixelFormat, Orientation]:
        if first is None:
            raise InputError(f"{self.path} has no frame that could be decoded; check that it plays")
        frame, stream, rate = first.frame, self._stream, _rate(self._stream)
        layout, orientation = describe(frame.format.name), orientation_of(frame)
        if orientation is None:
            orientation = Orientation()
            self._warn(
                "it asks to be shown at an angle that is not a multiple of 90°; "
                "its frames are left as they are stored"
            )
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
            companions=tuple(other.codec_context.name for other in companions(self._container)),
            field_order=_field_order(frame, stream),
            tags={key: text for key, text in self._container.metadata.items() if key not in _MUXERS_TAGS},
            left_out=_left_out(frame),
        )
        return info, layout, orientation

    def _nothing_in_span(self) -> InputError:
        length = f"the clip lasts {self.info.duration:.2f} s" if self.info.duration else "the clip is shorter"
        until = "its end" if self._end is None else f"{self._end:g} s"
        return InputError(
            f"{self.path} has no frame between {self._start:g} s and {until}: {length}; give other times"
        )


Clip = VideoClip | ImageFolder


def open_clip(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    folder_rate: Fraction | float | None = None,
    depth: int | None = None,
) -> Clip:
    """Open a video file, a folder of images or a TIFF stack; use it in a ``with`` statement.

    Args:
        path: the file or folder.
        start: seconds of playback at which to begin; the beginning if None.
        end: seconds of playback before which to stop; the end if None.
        folder_rate: frames per second of images (30 if None); a video has its own.
        depth: bits of a sample of images, see :class:`ImageFolder`; a video has its own.

    Raises:
        InputError: if there is nothing there that can be read, or no frame in the span.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file or folder {path}; check the path")
    if has_no_rate(path):
        if folder_rate is None:
            folder_rate = DEFAULT_FOLDER_RATE
        rate = Fraction(folder_rate).limit_denominator(1001) if math.isfinite(folder_rate) else Fraction(0)
        if rate <= 0:
            raise InputError(f"frames a second must be a number above 0, got {float(folder_rate):g}")
        return ImageFolder(path, rate, start, end, depth)
    if depth is not None:
        raise InputError(f"depth is for images, and {path} is a video, which has its own; leave it out")
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


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file, and choose of its video streams the default one, then the largest, then the longest.

    Raises:
        InputError: if it is none, or has no stream that can be decoded.
    """
    try:
        # Old files have titles that are no UTF-8.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(
            f"{path} cannot be read as a video ({error.strerror}); check that it plays, or name another file"
        ) from error
    streams = _video_streams(container)
    if not streams:
        unknown = bool(container.streams.video)
        container.close()
        raise InputError(
            f"{path} has no video stream"
            + (
                " of a codec that FFmpeg decodes; convert it to H.264"
                if unknown
                else ": it holds only other things, or was cut short"
            )
            + ", or name another file"
        )
    best = max(
        streams,
        key=lambda s: (
            bool(s.disposition & Disposition.default),
            s.codec_context.width * s.codec_context.height,
            _length(container, s) or 0.0,
        ),
    )
    best.thread_type = "AUTO"
    return container, best


def _video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams that can be decoded; a cover picture is no clip."""
    return [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]


def _length(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the seconds that a container announces for a stream, None if it announces none."""
    if stream.duration:
        return float(stream.duration * _tick(stream))
    # Matroska's own way: hours, minutes and seconds in a tag.
    parts = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if parts is not None:
        return 3600 * int(parts[1]) + 60 * int(parts[2]) + float(parts[3])
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _tick(stream: VideoStream) -> Fraction:
    """Seconds of one tick of the stream's timestamps."""
    return stream.time_base or Fraction(1, av.time_base)


def _rate(stream: VideoStream) -> Fraction:
    """Playback frames per second; 25 where the container does not say, as FFmpeg takes it."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate:
            return Fraction(rate)
    return Fraction(25)


def _step(stream: VideoStream) -> int:
    """Ticks from one frame to the next, on average."""
    return max(1, round(1 / (_rate(stream) * _tick(stream))))


def _field_order(frame: VideoFrame, stream: VideoStream) -> str:
    if not frame.interlaced_frame:
        return ""
    # FFmpeg's AV_FIELD_BB, and AV_FIELD_TB, in which the bottom field is shown first.
    return "bff" if stream.codec_context.field_order in (3, 4) else "tff"


def _left_out(frame: VideoFrame) -> tuple[str, ...]:
    """Name what of a frame no output keeps."""
    left_out = []
    if any(component.is_alpha for component in frame.format.components):
        left_out.append("its alpha channel (frames are shown opaque)")
    kinds: Any = frame.side_data
    if any(kind in kinds for kind in _HDR):
        left_out.append("its HDR mastering data (brightness of the mastering display)")
    return tuple(left_out)


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
