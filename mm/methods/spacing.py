"""Whether a clip's frames are evenly spaced in time, which every filter takes them to be."""

from __future__ import annotations

import warnings

from mm.errors import ClipWarning
from mm.video.info import ClipInfo

# Frames whose spacing strays from the average by more than this part of it make a varying rate.
_UNEVEN = 0.5


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
