"""Frame times: mended where a file's own do not increase, and looked at for an even rate."""

from __future__ import annotations

import warnings

from mm.errors import ClipWarning
from mm.video.info import ClipInfo

# A time stamp that falls back by more than so many steps begins a file that was joined to the one before.
_RESTART = 8
# Frames whose spacing strays from the average by more than this part of it make a varying rate.
_UNEVEN = 0.5


class Timeline:
    """Time stamps of one stream that exist and increase.

    Files that were joined begin their time again: what follows goes on one step after what came before.

    Args:
        step: ticks from one frame or packet to the next.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self.offset = 0
        """Ticks that the file's own time stamps are late by."""
        self.last: int | None = None
        """The latest time stamp."""
        self.restarts: list[int] = []
        """Time stamps of the first frames after a join, mended."""

    def mend(self, stamp: int | None) -> int:
        """Return the next time stamp: the file's own where it can be."""
        if self.last is None:
            self.last = stamp or 0
            return self.last
        mended = self.last + self._step if stamp is None else stamp + self.offset
        if mended < self.last - _RESTART * self._step:
            self.offset += self.last + self._step - mended
            mended = self.last + self._step
            self.restarts.append(mended)
        self.last = max(mended, self.last + 1)
        return self.last


def at_seconds(times: list[float]) -> str:
    """Return the first few of some times in words, such as "0.20 s, 0.23 s and 4 more"."""
    told = ", ".join(f"{time:.2f} s" for time in times[:5])
    return told + (f" and {len(times) - 5} more" if len(times) > 5 else "")


class EvenSpacing:
    """Tells once that a filter takes unevenly spaced frames for even ones."""

    def __init__(self, info: ClipInfo) -> None:
        self._info = info
        self._step = 1 / (info.rate * info.time_base)
        self._last: int | None = None
        self._told = False

    def check(self, pts: tuple[int, ...]) -> None:
        """Look at the times of the next frames."""
        for tick in pts:
            if self._last is not None and not self._told:
                gap = tick - self._last
                if abs(gap - self._step) > _UNEVEN * self._step:
                    self._told = True
                    warnings.warn(
                        f"{self._info.path} has a varying frame rate: two frames are "
                        f"{float(gap * self._info.time_base):.3g} s apart, the average is "
                        f"{float(1 / self._info.rate):.3g} s; frequencies are approximate",
                        ClipWarning,
                        stacklevel=3,
                    )
            self._last = tick
