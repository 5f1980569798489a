"""Copying a clip's audio and subtitles, packet by packet and undecoded, beside new frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

from mm.video.timing import Timeline


def companions(container: InputContainer) -> tuple[Any, ...]:
    """Return a file's audio and subtitle streams of known codecs."""
    streams = (*container.streams.audio, *container.streams.subtitles)
    return tuple(stream for stream in streams if stream.codec_context is not None)


class AudioCopy:
    """The audio and subtitle packets of a file, handed out as far as the frames have come.

    The file is opened a second time, so that audio is read when it is needed rather than held.

    Args:
        path: a file with audio or subtitles.
        first_time: when the first kept frame is shown, in seconds of the file's clock; audio is shifted with
            it.
        cut_start: True if frames were left out at the start; packets that lie before the first frame are then
            dropped. A packet (21 to 26 ms) is kept or dropped as a whole. An uncut clip keeps what precedes
            its first frame, since codecs put their run-in there.
        cut_end: True if frames were left out at the end; audio after the last frame is then dropped.
    """

    def __init__(
        self, path: Path, first_time: Fraction, *, cut_start: bool = False, cut_end: bool = False
    ) -> None:
        self._container = av.open(str(path.absolute()), metadata_errors="replace")
        self.streams = companions(self._container)
        self._ticks = [stream.time_base or Fraction(1, av.time_base) for stream in self.streams]
        self._first_time = first_time
        self._cut_start = cut_start
        self.cut_end = cut_end
        self._packets = self._shifted()
        self._waiting = next(self._packets, None)

    def until(self, seconds: float) -> Iterator[tuple[int, Packet]]:
        """Yield (index among ``streams``, packet) of what begins within ``seconds`` of the first frame."""
        while self._waiting is not None:
            index, packet = self._waiting
            if (packet.dts or 0) * self._ticks[index] >= seconds:
                return
            self._waiting = next(self._packets, None)
            yield index, packet

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _shifted(self) -> Iterator[tuple[int, Packet]]:
        if not self.streams:
            return
        index_of = {stream.index: number for number, stream in enumerate(self.streams)}
        timelines: dict[int, Timeline] = {}
        shifts = [round(self._first_time / tick) for tick in self._ticks]
        demuxed = self._container.demux(self.streams)
        while True:
            try:
                packet = next(demuxed, None)
            except av.FFmpegError:
                return  # A truncated file: the reader of its frames says so.
            if packet is None:
                return
            if packet.dts is None:
                continue  # The empty packet that flushes a decoder.
            number = index_of[packet.stream.index]
            # The stamps of joined files start again; muxers take only those that increase.
            timeline = timelines.setdefault(number, Timeline(max(1, packet.duration or 1)))
            shift = timeline.mend(packet.dts) - packet.dts - shifts[number]
            packet.pts = (packet.dts if packet.pts is None else packet.pts) + shift
            packet.dts += shift
            if self._cut_start and packet.dts + (packet.duration or 0) / 2 < 0:
                continue
            yield number, packet
