"""Phase shifts: the channels that are moved, and the largest shift of a wave."""

from __future__ import annotations

from typing import Literal, get_args

from mm.errors import InputError

Channels = Literal["luminance", "rgb"]


def check_phase_shift(limit: float | None, channels: str) -> None:
    """Raise InputError unless ``limit`` (radians; None: no limit) is above 0 and ``channels`` are known."""
    if limit is not None and not limit > 0:
        raise InputError(f"the limit of the turn must be above 0 radians, got {limit:g}")
    if channels not in get_args(Channels):
        raise InputError(f"channels must be {' or '.join(get_args(Channels))}, got {channels!r}")
