"""Settings of a magnification: the values that a user and a preset settle on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mm.errors import InputError
from mm.methods.parameters import as_text
from mm.temporal import Band, from_band


@dataclass(frozen=True)
class Settings:
    """The settings that a user can choose and a preset can hold.

    Attributes:
        method: a name in :data:`mm.registry.methods`.
        mode: "static", "dynamic" or "temporal".
        factor: total gain of the displacement (or of the change of colour).
        low, high: edges of the band, Hz.
        top: instead of ``high``, the upper edge as a part of the capture rate, below 0.5.
        filter: a name in :data:`mm.temporal.FILTERS`.
        order, taps: of the filter, see :func:`mm.temporal.make_filter`.
        options: the method's own, see :mod:`mm.methods.parameters`.
        preset: the name of the preset that they began from.
        given: the names of those that the user gave.
    """

    method: str = "learned"
    mode: str = "static"
    factor: float = 10.0
    low: float | None = None
    high: float | None = None
    top: float | None = None
    filter: str = "butter"
    order: int | None = None
    taps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    given: frozenset[str] = frozenset()

    def at(self, fps: float, source: str | Path) -> Settings:
        """The same for a clip of this capture rate: with an upper edge in Hz, that the rate can hold.

        Raises:
            InputError: if a preset's band is too high for the rate.
        """
        if self.high is not None or self.top is None:
            settled, needed = self, 2 * (self.high or 0.0)
        else:
            settled, needed = replace(self, high=self.top * fps), (self.low or 0.0) / self.top
        if self.preset is not None and "high" not in self.given and 0 < fps <= needed:
            reaches = f"{self.low:g} Hz to " + ("what the rate holds" if self.top else f"{self.high:g} Hz")
            raise InputError(
                f"preset {self.preset} looks at {reaches}, which takes more than {needed:g} frames a second, "
                f"but {source} has {fps:g}; give the rate of capture with --fps if it was higher, or another "
                "band with --low and --high"
            )
        return settled

    def band(self, fps: float) -> Band | None:
        """The band that they ask for, None for all frequencies.

        Raises:
            InputError: for a band with one edge, one that the rate cannot hold, or a filter's parameter
                without a band.
        """
        if self.low is None and self.high is None:
            for name in ("order", "taps", "filter"):
                value: int | str | None = getattr(self, name)
                if value is not None and (name != "filter" or name in self.given):
                    raise InputError(
                        f"--{name} {value} is the temporal filter's, but there is no band to filter; give "
                        "--low and --high with --mode temporal, or leave it out"
                    )
            return None
        if self.low is None or self.high is None:
            known, edge, other = (
                ("low", self.low, "high") if self.high is None else ("high", self.high, "low")
            )
            raise InputError(f"a band needs two edges: --{known} {edge:g} Hz is given, --{other} is missing")
        return Band(self.low, self.high, fps, self.filter, self.order, self.taps)

    @property
    def least_seconds(self) -> float | None:
        """Seconds of capture that the filter needs at least, whatever the rate; None without a band."""
        if self.low is None:
            return None
        # A rate at which the filter's whole number of frames is the time, to a thousandth.
        fps = 1000 * max(1.0, self.low)
        band = self.at(fps, "").band(fps)
        assert band is not None
        return from_band(band).min_frames / fps

    def check_length(self, frames: int, needed: int, fps: float, source: str | Path) -> None:
        """Refuse a clip that is too short for the band, before any work.

        Args:
            frames: of the clip.
            needed: how many the method's filter needs.
            fps: of capture.
            source: the clip, as the message calls it.

        Raises:
            InputError: with the lengths, and what would do.
        """
        if self.low is None or frames >= needed:
            return
        ways = ["give a longer clip"]
        lowest = math.ceil(fps / max(frames, 1) * 100) / 100
        # Half of the upper edge leaves a band of one octave.
        if self.low < lowest <= (self.high or 0) / 2:
            ways.append(f"leave out what is slower with --low {lowest:g}")
        if frames > 1:
            ways.append("magnify all that moves with --mode static")
        looks = f"preset {self.preset} looks at" if self.preset else "the band has"
        raise InputError(
            f"{looks} {self.low:g} Hz and more, which takes a clip of "
            f"{needed / fps:.3g} s ({needed} frames at {fps:g} a second), but {source} has "
            f"{frames / fps:.2g} s to look at ({frames} frame{'s' * (frames != 1)}); {', or '.join(ways)}"
        )

    def lines(self) -> list[str]:
        """A line for each value, and whether the user gave it."""
        rows: list[tuple[str, str, bool]] = [
            (name, as_text(getattr(self, name)), name in self.given) for name in ("method", "mode", "factor")
        ]
        if self.low is not None or self.high is not None or self.top is not None:
            low = "?" if self.low is None else f"{self.low:g}"
            high = f"{self.high:g} Hz" if self.high is not None else f"{self.top:g} of the capture rate"
            rows.append(("band", f"{low} Hz to {high}", bool({"low", "high"} & self.given)))
            rows.append(("filter", self.filter, "filter" in self.given))
            for name in ("order", "taps"):
                if getattr(self, name) is not None:
                    rows.append((name, as_text(getattr(self, name)), name in self.given))
        for name, value in self.options.items():
            rows.append((f"option {name}", as_text(value), f"option {name}" in self.given))
        width = max(len(name) for name, _, _ in rows)
        return [f"{name:<{width}}  {text}" + ("  (given)" if own else "") for name, text, own in rows]
