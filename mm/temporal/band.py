"""A band of temporal frequencies at a capture rate, checked once, with the numbers in the errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mm.errors import InputError

MOST_FRAMES = 100_000  # of a filter: longer ones take gigabytes before the first frame


@dataclass(frozen=True)
class Band:
    """The frequencies to keep and how to keep them.

    Args:
        low: lower edge in Hz, above 0 (a filter that passes 0 Hz passes the scene itself).
        high: upper edge in Hz, above ``low`` and below half of ``fps``.
        fps: capture rate in frames a second; a high-speed clip's container does not know it.
        filter: a name in :data:`mm.temporal.FILTERS`.
        order: of ``butter`` and ``butter-causal`` only, see :func:`mm.temporal.make_filter`.
        taps: of ``fir`` only, see :func:`mm.temporal.make_filter`.

    Raises:
        InputError: if the edges or the rate are not finite numbers within these limits.
    """

    low: float
    high: float
    fps: float
    filter: str = "butter"
    order: int | None = None
    taps: int | None = None

    def __post_init__(self) -> None:
        for name, value, unit in (
            ("frame rate", self.fps, "frames a second"),
            ("low edge of the band", self.low, "Hz"),
            ("high edge of the band", self.high, "Hz"),
        ):
            if not math.isfinite(value) or value <= 0:
                raise InputError(f"the {name} must be a number above 0 {unit}, got {value:g}")
        if self.low >= self.high:
            raise InputError(
                f"the band's low edge must be below its high edge, got {self.low:g} Hz to {self.high:g} Hz; "
                "exchange or change them"
            )
        slow = min(self.low, self.high - self.low)
        if self.fps > MOST_FRAMES * slow:
            raise InputError(
                f"a period of {slow:g} Hz, the band's low edge or its width, has more than {MOST_FRAMES} "
                f"frames at {self.fps:g} a second; raise the edge, widen the band, or give the rate by --fps"
            )
        if self.high >= self.fps / 2:
            raise InputError(
                f"the band reaches {self.high:g} Hz, but {self.fps:g} frames a second hold only frequencies "
                f"below {self.fps / 2:g} Hz; lower the high edge, or give the true capture rate with --fps"
            )

    @property
    def min_frames(self) -> int:
        """Frames that a clip must have at least: one period of the low edge."""
        return frames_in(1 / self.low, self.fps)

    def check_length(self, frames: int, needed: int | None = None) -> None:
        """Refuse a clip that is shorter than ``needed`` frames (:attr:`min_frames` if not given).

        Raises:
            InputError: with the clip's length and what would fit.
        """
        needed = self.min_frames if needed is None else needed
        if frames < needed:
            way_out = "give a longer clip"
            lowest = self.fps / frames if frames > 0 else math.inf
            if self.low < lowest < self.high:
                way_out += f" or raise the low edge to {math.ceil(lowest * 1000) / 1000:g} Hz or more"
            if frames < 2:
                pass  # One frame has no motion, whatever the filter.
            elif self.filter == "ideal" and frames >= self.min_frames:
                way_out += ", or take --filter butter, which this clip is long enough for"
            elif 4 * frames >= self.min_frames:
                # Of less than a quarter of a period nothing could be seen, whatever the filter.
                causal = "iir-causal" if self.filter == "iir" else "butter-causal"
                way_out += f", or take --filter {causal}: it needs no look ahead, but lags or leads"
            raise InputError(
                f"the clip has {frames} frame{'s' * (frames != 1)} at {self.fps:g} a second, but the "
                f"{self.filter} filter for {self.low:g} Hz to {self.high:g} Hz needs at least {needed}; "
                f"{way_out}"
            )


def frames_in(seconds: float, fps: float) -> int:
    """The number of frames that span ``seconds``, rounded up, at least 2."""
    # The small number keeps a whole count, which division may put a hair above itself, from being rounded up.
    return max(2, math.ceil(seconds * fps - 1e-9))
