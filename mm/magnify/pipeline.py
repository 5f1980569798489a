"""A clip's frames on their way through a method, each put back in its place and at its time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.cuts import CutDetector, at_cuts
from mm.magnify.framing import Framing
from mm.magnify.monitor import MotionMonitor
from mm.magnify.progress import Counter
from mm.magnify.shots import Shots
from mm.methods.base import Magnifier
from mm.methods.codes import from_int16, to_int16
from mm.methods.layered import LayeredMagnifier
from mm.temporal import Band
from mm.video.reader import Clip
from mm.video.timing import EvenSpacing

_Finished = tuple[Tensor, tuple[int, ...]]


class Pipeline:
    """Iterates once over a clip's finished frames (n, 3, H, W) and their times, as they come.

    Args:
        clip: what is magnified.
        magnifier: the method.
        framing: what of a frame the method sees, and where it is put back.
        batch: frames that are read, and pushed, at once.
        band: the frequencies that are magnified, None for all.
        watch: shown what the method magnifies, if there is one.
        shots: counts shots; None takes the whole clip for one.
        done: counts frames.

    Raises:
        InputError: while iterating, for what the method refuses in the clip's first shot. A later shot that
            it refuses is passed as it is, with a warning, unless nothing was magnified at all.
    """

    def __init__(
        self,
        clip: Clip,
        magnifier: Magnifier,
        framing: Framing,
        batch: int,
        band: Band | None,
        *,
        watch: MotionMonitor | None,
        shots: Shots | None,
        done: Counter,
    ) -> None:
        self._clip, self._magnifier, self._layout, self._batch = clip, magnifier, framing, batch
        self._watch, self._shots, self._done = watch, shots, done
        self._even = EvenSpacing(clip.info) if band is not None else None
        self._waiting = _Waiting(keep_frames=framing.needs_input)
        self._refused = False
        self._watches_input = watch is not None
        if watch is not None and isinstance(magnifier, LayeredMagnifier):
            # The region's own large motion is taken out; what is left is multiplied.
            magnifier.on_inner, self._watches_input = watch.push, False

    def __iter__(self) -> Iterator[_Finished]:
        chunks, shots = self._clip.chunks(self._batch), self._shots
        parts = ((*chunk, False) for chunk in chunks) if shots is None else at_cuts(chunks, CutDetector())
        for frames, pts, begins in parts:
            if self._even is not None:
                self._even.check(pts)
            if shots is not None:
                if begins:
                    yield from self._end_shot(shots)
                shots.push(pts, begins, self._clip.info)
            yield from self._pushed(frames, pts)
        if shots is None or not shots.cuts:
            yield from self._flushed()
        else:
            yield from self._end_shot(shots)
            shots.check_any_magnified()

    def _pushed(self, frames: Tensor, pts: tuple[int, ...]) -> Iterator[_Finished]:
        scaled = self._layout.resize(frames)
        region = self._layout.cut(scaled)
        self._waiting.put(scaled, pts)
        if self._refused:
            output = region
        else:
            if self._watch is not None and self._watches_input:
                self._watch.push(region)
            try:
                output = self._magnifier.push(region)
            except InputError as error:
                yield from self._as_it_is(error)
                self._refused, output = True, region[:0]
        self._done.pushed(len(pts))
        if len(output):
            yield self._finish(output)

    def _flushed(self) -> Iterator[_Finished]:
        for part in self._rest():
            if len(part):
                yield self._finish(part)
        self._end_watch()

    def _rest(self) -> Iterator[Tensor]:
        in_parts = getattr(self._magnifier, "flush_parts", None)
        yield from in_parts() if in_parts is not None else self._magnifier.flush().split(self._batch)

    def _end_watch(self) -> None:
        if self._watch is not None:
            # It may find too short what the method does not.
            with contextlib.suppress(InputError):
                self._watch.flush()

    def _end_shot(self, shots: Shots) -> Iterator[_Finished]:
        if self._refused:
            self._refused = False
        elif shots.too_short:
            # What a method gives of so short a shot is taken; most refuse it, and must be made to forget it.
            with contextlib.suppress(InputError):
                yield from self._flushed()
            self._end_watch()
            if self._waiting.pts:
                shots.tell_unchanged(len(self._waiting.pts))
                yield from self._unchanged(shots)
        else:
            try:
                yield from self._flushed()
            except InputError as error:
                yield from self._as_it_is(error)

    def _as_it_is(self, error: InputError) -> Iterator[_Finished]:
        """Pass what waits of a shot that the method refuses; the first shot's refusal is the clip's."""
        if self._shots is None or not self._shots.cuts:
            raise error
        self._shots.tell_refused(len(self._waiting.pts), error)
        with contextlib.suppress(InputError):
            for _ in self._rest():
                pass  # The method forgets the shot.
        self._end_watch()
        yield from self._unchanged(self._shots)

    def _unchanged(self, shots: Shots) -> Iterator[_Finished]:
        if self._waiting.pts:
            for frames in shots.read_again(tuple(self._waiting.pts), self._batch):
                yield self._finish(self._layout.cut(self._layout.resize(frames)))

    def _finish(self, output: Tensor) -> _Finished:
        originals, pts = self._waiting.take(len(output))
        if self._clip.info.grey:
            output = output.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return self._layout.compose(output, originals), pts


class _Waiting:
    """What belongs to the frames that a method still holds: their times, and where needed the frames.

    They wait as 16-bit codes, which takes half the memory and changes no frame of up to 14 bits.
    """

    def __init__(self, keep_frames: bool) -> None:
        self._keep = keep_frames
        self._frames: deque[Tensor] = deque()
        self.pts: deque[int] = deque()

    def put(self, frames: Tensor, pts: tuple[int, ...]) -> None:
        self.pts.extend(pts)
        if self._keep:
            self._frames.extend(to_int16(frames))

    def take(self, count: int) -> tuple[Tensor | None, tuple[int, ...]]:
        pts = tuple(self.pts.popleft() for _ in range(count))
        if not self._keep:
            return None, pts
        return from_int16(torch.stack([self._frames.popleft() for _ in range(count)])), pts
