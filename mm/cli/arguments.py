"""Options that several commands have in common, and what they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mm.errors import InputError
from mm.magnify.presets import PRESETS
from mm.temporal import FILTERS

_MODES = ("static", "dynamic", "temporal")


def add_settings(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the clip, or ``several``, and what of it is magnified, for a command that magnifies."""
    count: dict[str, Any] = {"nargs": "+"} if several else {}
    parser.add_argument(
        "input", type=Path, metavar="IN", help="a video, a folder of images, or a TIFF stack", **count
    )
    what = parser.add_argument_group("what is magnified")
    # No defaults where a preset may have a value: what is None was not given.
    what.add_argument(
        "--preset",
        metavar="NAME",
        help=f"begin from a named set of parameters: {', '.join(PRESETS)}; `mm presets` explains them",
    )
    what.add_argument(
        "--factor",
        type=float,
        help="gain of the displacement; 1 leaves motion as it is, 0 takes it away (default: 10)",
    )
    what.add_argument(
        "--mode",
        choices=_MODES,
        help="motion against the first frame, against the frame before, or within a band of frequencies "
        "(default: temporal if a band is given, else what the method does by itself, static for most)",
    )
    what.add_argument("--low", type=float, metavar="HZ", help="lower edge of the band")
    what.add_argument("--high", type=float, metavar="HZ", help="upper edge of the band")
    what.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it",
    )
    what.add_argument("--filter", choices=tuple(FILTERS), help="the temporal filter (default: butter)")
    what.add_argument(
        "--order", type=int, metavar="N", help="of the Butterworth filters: 2, 4, 6 or 8; higher is steeper"
    )
    what.add_argument(
        "--taps",
        type=int,
        metavar="N",
        help="length of the fir filter in frames; if not given, the band decides",
    )
    what.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    what.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    what.add_argument(
        "--roi", metavar="X,Y,W,H", help="magnify only this region, px of the input; the rest is kept"
    )
    what.add_argument("--scale", type=float, default=1.0, help="resize the frames first")
    what.add_argument(
        "--ignore-cuts", action="store_true", help="take the whole clip for one shot, cuts or not"
    )


def add_work(parser: argparse._ArgumentGroup) -> None:
    """Add where and how a method works."""
    parser.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32", help="bf16 is faster on a GPU")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of :func:`mm.magnify.clip.magnify` that these options come to.

    Raises:
        InputError: for a region that is not four whole numbers.
    """
    names = ("preset", "factor", "mode", "low", "high", "fps", "filter", "order", "taps", "start", "end")
    found = {name: getattr(args, name) for name in (*names, "scale", "device", "precision")}
    found["roi"] = None if args.roi is None else whole_numbers("--roi", args.roi, 4, "x,y,width,height")
    return found | {"cuts": not args.ignore_cuts}


def whole_numbers(option: str, text: str, count: int, form: str) -> tuple[int, ...]:
    """Return the numbers of a text such as "3,4".

    Raises:
        InputError: for another count, or what is no whole number.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{option} must be {count} whole numbers {form} in px, got {text!r}")
    return numbers


def numbers(name: str, parts: str, kind: type = float) -> Callable[[str], tuple[float, ...]]:
    """Return a reader of numbers with commas between them, for ``add_argument``.

    Args:
        name: of the option, for the message.
        parts: what the numbers are, with commas between them, such as "x,y".
        kind: float, or int for whole numbers.
    """
    count = parts.count(",") + 1

    def read(text: str) -> tuple[float, ...]:
        try:
            found = tuple(kind(part) for part in text.split(","))
        except ValueError:
            found = ()
        if len(found) != count:
            whole = "whole numbers" if kind is int else "numbers"
            raise InputError(f"{name} must be {count} {whole} {parts}, got {text!r}")
        return found

    return read


def add_stabilize(parser: argparse.ArgumentParser) -> None:
    """Describe the two arguments of stabilisation."""
    group = parser.add_argument_group("camera")
    group.add_argument(
        "--stabilize",
        choices=("translation", "similarity", "affine"),
        help="take out the camera's own motion of this kind, against the first frame",
    )
    group.add_argument(
        "--still",
        type=numbers("--still", "x,y,width,height", int),
        metavar="X,Y,W,H",
        help="region that should stand still, px of the input; the whole frame if not given",
    )
