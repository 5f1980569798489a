"""A clip's frames on their way through a method, each put back in its place and at its time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.cuts import CutDetector, at_cuts
from mm.magnify.framing import Framing
from mm.magnify.monitor import MotionMonitor
from mm.magnify.progress import Counter
from mm.magnify.shots import Shots
from mm.magnify.steady import SteadyClip
from mm.methods.base import Magnifier
from mm.methods.codes import from_int16, to_int16
from mm.temporal.uneven import Grid
from mm.video.info import Chunk
from mm.video.reader import Clip
from mm.video.threads import ahead
from mm.video.timing import EvenSpacing

_Finished = tuple[Tensor, tuple[int, ...]]


class _Refusal(Exception):
    """The method refuses frames, or the shot that ends."""


class Pipeline:
    """Iterates once over a clip's finished frames (n, 3, H, W) and their times, as they come.

    Args:
        clip: the frames.
        magnifier: the method, told of ``framing`` and ``watch``.
        framing: the part of a frame that the method sees, and the way back.
        batch: frames that are read, and pushed, at once.
        evenly: whether to warn of frames that are lost, which a temporal filter does not see.
        grid: of frames at uneven times, whose places are noted in it as they come; None for even ones.
        watch: sees what the method multiplies; None for a method without a limit.
        shots: counts shots; None takes the whole clip for one.
        done: counts frames.
        ready: how many of the first frames are known already, so that the method may leave them out.

    Raises:
        InputError: while iterating, for the method's refusal of the clip's first shot, or of all; for frames
            that it returns that are not the clip's, or not numbers. A later shot that it refuses is passed
            as it is, with a warning.
    """

    def __init__(
        self,
        clip: Clip | SteadyClip,
        magnifier: Magnifier,
        framing: Framing,
        batch: int,
        *,
        evenly: bool,
        grid: Grid | None,
        watch: MotionMonitor | None,
        shots: Shots | None,
        done: Counter,
        ready: int = 0,
    ) -> None:
        self._clip, self._magnifier, self._framing, self._batch = clip, magnifier, framing, batch
        self._watch, self._shots, self._done = watch, shots, done
        self._even = EvenSpacing(clip.info) if evenly and grid is None else None
        self._grid = grid
        self._waiting = _Waiting(keep_frames=framing.needs_input)
        self._refused = False
        self._left_out = ready

    def __iter__(self) -> Generator[_Finished]:
        # Closed before the clip is, whatever happens: another thread reads from it.
        with contextlib.closing(ahead(self._clip.chunks(self._batch))) as chunks:
            yield from self._through(chunks)

    def _through(self, chunks: Iterator[Chunk]) -> Iterator[_Finished]:
        shots = self._shots
        parts = ((*chunk, False) for chunk in chunks) if shots is None else at_cuts(chunks, CutDetector())
        try:
            for frames, pts, begins in parts:
                if self._even is not None:
                    self._even.check(pts)
                if shots is not None:
                    if begins:
                        yield from self._end_shot(shots)
                    shots.push(pts, begins, self._clip.info)
                if self._grid is not None:
                    self._grid.note(pts, self._clip.info.time_base, begins)
                yield from self._pushed(frames, pts)
            if shots is None or not shots.cuts:
                yield from self._flushed()
            else:
                yield from self._end_shot(shots)
                shots.check_any_magnified()
        except _Refusal as refusal:
            raise InputError(str(refusal)) from refusal

    def _pushed(self, frames: Tensor, pts: tuple[int, ...]) -> Iterator[_Finished]:
        scaled = self._framing.resize(frames)
        output = seen = self._framing.cut(scaled)
        self._waiting.put(scaled, pts)
        if not self._refused:
            self._magnifier.unneeded = self._left_out
            try:
                output = self._magnifier.push(seen)
            except InputError as error:
                yield from self._as_it_is(_Refusal(str(error)))
                self._refused, output = True, seen[:0]
        self._done.pushed(len(pts))
        yield from self._finished(output)

    def _flushed(self) -> Iterator[_Finished]:
        """End the method's clip.

        Raises:
            _Refusal: if the method refuses it.
        """
        for part in self._rest():
            yield from self._finished(part)
        if missing := len(self._waiting.pts):
            raise InputError(f"{self._named} returned {missing} frames fewer than it was given; mend it")
        self._end_watch()

    def _rest(self) -> Iterator[Tensor]:
        self._magnifier.unneeded = self._left_out
        try:
            yield from self._magnifier.flush_parts()
        except InputError as error:
            raise _Refusal(str(error)) from error

    def _end_watch(self) -> None:
        if self._watch is not None:
            # It may find too short what the method does not.
            with contextlib.suppress(InputError):
                self._watch.flush()

    def _end_shot(self, shots: Shots) -> Iterator[_Finished]:
        if self._refused:
            self._refused = False
        elif shots.too_short:
            # A method may take so short a shot; most refuse it, and must be made to forget it.
            with contextlib.suppress(_Refusal):
                yield from self._flushed()
            self._end_watch()
            if self._waiting.pts:
                shots.tell_unchanged(len(self._waiting.pts))
                yield from self._unchanged(shots)
        else:
            try:
                yield from self._flushed()
            except _Refusal as refusal:
                yield from self._as_it_is(refusal)

    def _as_it_is(self, refusal: _Refusal) -> Iterator[_Finished]:
        """Pass the waiting frames of a refused shot; the first shot's refusal is the clip's."""
        if self._shots is None or not self._shots.cuts:
            raise refusal
        self._shots.tell_refused(len(self._waiting.pts), str(refusal))
        with contextlib.suppress(_Refusal):
            for _ in self._rest():
                pass  # The method forgets the shot.
        self._end_watch()
        yield from self._unchanged(self._shots)

    def _unchanged(self, shots: Shots) -> Iterator[_Finished]:
        if self._waiting.pts:
            for frames in shots.read_again(tuple(self._waiting.pts), self._batch):
                yield from self._finished(self._framing.cut(self._framing.resize(frames)))

    def _finished(self, output: Tensor) -> Iterator[_Finished]:
        """Put frames that the method returned in their place, a batch at a time."""
        self._check(output)
        for part in output.split(self._batch) if len(output) else ():
            originals, pts = self._waiting.take(len(part))
            self._left_out = max(0, self._left_out - len(part))
            part = part.detach().to("cpu", torch.float32)
            if self._clip.info.grey:
                part = part.mean(1, keepdim=True).expand(-1, 3, -1, -1)
            yield self._framing.compose(part, originals), pts

    def _check(self, output: Tensor) -> None:
        """Hold a method to its contract; every method's frames pass here, a plug-in's too."""
        height, width = self._framing.seen
        if not isinstance(output, Tensor):
            raise InputError(f"{self._named} returned a {type(output).__name__}; it must return a tensor")
        if not len(output):
            return
        if output.shape[1:] != (3, height, width) or not output.is_floating_point():
            raise InputError(
                f"{self._named} returned {output.dtype} of shape {tuple(output.shape)}; frames must be "
                f"floating point of shape (n, 3, {height}, {width})"
            )
        if len(output) > len(self._waiting.pts):
            raise InputError(f"{self._named} returned more frames than it was given; mend it")
        if not bool(output.isfinite().all()):
            raise InputError(
                f"{self._named} returned values that are NaN or infinite; a smaller --factor or other "
                "weights may help"
            )

    @property
    def _named(self) -> str:
        return f"the method {type(self._magnifier).__name__}"


class _Waiting:
    """Times of the frames that a method still holds and, where needed, the frames.

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
