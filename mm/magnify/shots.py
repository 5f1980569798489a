"""The shots of a clip, between its cuts: what is said of them, and those that cannot be magnified."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from mm.errors import ClipWarning, InputError
from mm.temporal import Band
from mm.video.info import ClipInfo
from mm.video.reader import Clip

# Of a clip with more cuts than this, not every one is told.
_TOLD = 10


class CutWarning(ClipWarning):
    """There is a cut."""


class Shots:
    """Counts the frames of each shot while a clip streams by.

    Args:
        clip: the clip, open.
        needed: frames that a shot must have for the method, see :attr:`mm.methods.Magnifier.min_frames`.
        band: the frequencies to magnify, None for all.
    """

    def __init__(self, clip: Clip, needed: int, band: Band | None) -> None:
        self.cuts: list[int] = []
        """Frame numbers, from 0, of the first frames after a cut."""
        self._clip, self._source, self._band, self._start = clip, clip.path, band, clip.start
        self._needed = needed
        self._frames = self._length = self._longest = 0
        # The longest shot before this one; whether this one is refused, and how many are; the first refusal.
        self._longest_before = self._refused = 0
        self._refuses = False
        self._refusal = ""
        self._first: int | None = None
        self._info: ClipInfo | None = None

    @property
    def too_short(self) -> bool:
        """True if the temporal filter will refuse the shot that ends here."""
        return self._length < self._needed

    def push(self, pts: tuple[int, ...], begins: bool, info: ClipInfo) -> None:
        """Count the next frames of a clip, shown at ``pts``; ``begins`` if a cut lies before the first."""
        if self._first is None:
            self._first, self._info = pts[0], info
        if begins:
            self.cuts.append(self._frames)
            self._length, self._longest_before, self._refuses = 0, self._longest, False
            self._tell_cut(pts[0])
        self._frames += len(pts)
        self._length += len(pts)
        if not self._refuses:
            self._longest = max(self._longest, self._length)

    def tell_unchanged(self, count: int) -> None:
        """Warn that the last ``count`` frames are passed as they are."""
        if count == self._length:
            left = "it is left as it is" if count == 1 else "they are left as they are"
        else:
            left = f"the last {count} of them {'is' if count == 1 else 'are'} left unchanged"
        warnings.warn(
            f"{self._source}: the {_frames(self._length)} from frame {self._frames - self._length} on "
            f"{'is' if self._length == 1 else 'are'} too few between cuts for the temporal filter, which "
            f"needs {self._needed}; {left}",
            stacklevel=3,
        )

    def tell_refused(self, count: int, reason: str) -> None:
        """Warn that the method refuses this shot, of which it has not given the last ``count`` frames so far.

        They and all that follow in the shot are passed as they are; this is called once for the shot.
        """
        self._longest, self._refuses = self._longest_before, True
        self._refused += 1
        first = self._frames - self._length
        self._refusal = self._refusal or f"frame {first} on: {reason}"
        if self._refused > _TOLD:
            return
        left = "is" if count == self._length else f"is, but for its first {_frames(self._length - count)},"
        more = "; further such shots are not told" if self._refused == _TOLD else ""
        warnings.warn(
            f"{self._source}: the shot that begins with frame {first} {left} left as it is: {reason}{more}",
            stacklevel=3,
        )

    def check_any_magnified(self) -> None:
        """Refuse a clip with cuts none of whose shots was magnified.

        Raises:
            InputError: with the lengths, or why a shot was refused.
        """
        if self._band is None or self._longest >= self._needed:
            return
        if self._refusal:
            raise InputError(
                f"nothing of {self._source} was magnified: each part between cuts is too short for the "
                f"temporal filter, which needs {self._needed} frames, or refused, such as that from "
                f"{self._refusal}"
            )
        band = self._band
        raise InputError(
            f"{self._source} has {len(self.cuts)} cut{'s' * (len(self.cuts) > 1)}, and the longest part "
            f"between them has {_frames(self._longest)}, but the temporal filter for {band.low:g} Hz to "
            f"{band.high:g} Hz needs at least {self._needed}; raise --low, take --filter butter-causal, or "
            "go on across the cuts with --ignore-cuts"
        )

    def read_again(self, wanted: tuple[int, ...], size: int) -> Iterator[Tensor]:
        """The frames shown at the times ``wanted`` once more, ``size`` at a time.

        To read them again costs a short shot some time; to keep every shot's would cost every clip memory.
        """
        left = deque(wanted)
        # The right place first; from the beginning if a container's index has led astray.
        for begin in (self._shortly_before(wanted[0]), self._start):
            if left:
                with self._clip.again(begin) as clip:
                    yield from _picked(clip, left, size)
        if left:
            raise InputError(
                f"{self._source} gave other frames when it was read again for the short parts between its "
                "cuts; copy it into a file that does not change, or go on across the cuts with --ignore-cuts"
            )

    def _shortly_before(self, tick: int) -> float:
        assert self._first is not None
        assert self._info is not None
        # No earlier than this: the clip's first frame is not shown before ``start``.
        seconds = self._start + float((tick - self._first) * self._info.time_base)
        return max(self._start, seconds - 1.5 / float(self._info.rate))

    def _tell_cut(self, tick: int) -> None:
        if len(self.cuts) > _TOLD:
            return
        assert self._first is not None
        assert self._info is not None
        seconds = self._start + float((tick - self._first) * self._info.time_base)
        more = "; further cuts are not told" if len(self.cuts) == _TOLD else ""
        warnings.warn(
            f"{self._source} has a cut before frame {self.cuts[-1]} ({seconds:.2f} s): magnification starts "
            f"afresh there, --ignore-cuts goes on across it{more}",
            CutWarning,
            stacklevel=3,
        )


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def _picked(clip: Clip, left: deque[int], size: int) -> Iterator[Tensor]:
    """The frames of ``clip`` whose times are ``left``, in order; what is found is taken from ``left``."""
    found: list[Tensor] = []
    for frames, pts in clip.chunks(size):
        for frame, tick in zip(frames, pts, strict=True):
            if left and tick == left[0]:
                left.popleft()
                found.append(frame)
        if len(found) >= size or (found and not left):
            yield torch.stack(found)
            found = []
        if not left:
            return
    if found:
        yield torch.stack(found)
