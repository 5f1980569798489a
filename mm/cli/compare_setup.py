"""What ``mm compare`` is asked for: its arguments, checked before any work."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.cli.compare_files import INPUT, SLICES, VIDEO
from mm.cli.console import refusals_as_lines
from mm.errors import InputError, did_you_mean
from mm.magnify.framing import Framing
from mm.magnify.presets import settle
from mm.magnify.settings import Settings
from mm.methods.parameters import convert, options_of, split
from mm.registry import methods
from mm.temporal import Band, from_band
from mm.video.grid import Region

if TYPE_CHECKING:
    import torch

    from mm.video import ClipInfo

LEARNED = "learned"


@dataclass(frozen=True)
class Contender:
    """One of the methods.

    Attributes:
        name: what the user called it.
        method: the registered name.
        weights: of the network; None for the shipped ones.
        file: the name of its clip.
        options: of the method's own, as they were typed.
    """

    name: str
    method: str
    weights: str | None
    file: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """The arguments, checked, and what they name.

    Attributes:
        args: as they were typed.
        settings: what they and the preset settle on, for all methods alike.
        mode: of all methods.
        band: the frequencies to magnify, None for all.
        region: (x, y, width, height) px of the input.
        row, column: of the slices, px of the input; None to be found.
        contenders: the methods.
        info: the clip.
        size: (height, width) px of the clips that are made.
        device: where the methods work.
    """

    args: argparse.Namespace
    settings: Settings
    mode: Any
    band: Band | None
    region: Region | None
    row: int | None
    column: int | None
    contenders: list[Contender]
    info: ClipInfo
    size: tuple[int, int]
    device: torch.device


def checked(args: argparse.Namespace) -> Setup:
    """Check what was typed, and make the folder to write to.

    Raises:
        InputError: for arguments that cannot be used.
    """
    from mm.networks.base import check_factor
    from mm.networks.weights import load
    from mm.runtime import choose_device
    from mm.video import open_clip

    settings = settle(
        args.preset,
        mode=args.mode,
        factor=args.factor,
        low=args.low,
        high=args.high,
        filter=args.filter,
        order=args.order,
        taps=args.taps,
    )
    contenders = _with_options(_contenders(args.methods), args.option)
    check_factor(settings.factor, 1)
    device = choose_device(args.device)
    row, column = _line(args)
    with open_clip(args.input, start=args.start, end=args.end, folder_rate=args.fps) as opened:
        info = opened.info
    region = None if args.roi is None else _whole_numbers("--roi", args.roi, ("x", "y", "width", "height"))
    framing = Framing.of(info, args.scale, region, False)
    for name, option, position, limit in (
        ("row", "--row", row, info.height),
        ("column", "--column", column, info.width),
    ):
        if position is not None and not 0 <= position < limit:
            raise InputError(
                f"{name} {position} lies outside {args.input}, which has {name}s 0 to {limit - 1}; "
                f"change {option}{'' if args.line is None else ' (in --line)'}"
            )
    if info.is_folder and args.fps is None and (settings.low, settings.high) != (None, None):
        raise InputError(f"{args.input} is a folder of images, which has no frame rate; give it with --fps")
    rate = float(info.rate) if args.fps is None else args.fps
    settings = settings.at(rate, args.input)
    band = settings.band(rate)
    if band is not None:
        from_band(band)  # Only to know now that its filter can be made.
    elif settings.mode == "temporal":
        raise InputError("temporal mode needs a band of frequencies; give --low and --high in Hz")
    for contender in contenders:
        if contender.weights is not None:
            # Only to know now that they can be loaded.
            load(contender.weights, "cpu")
    _prepare(args, contenders)
    return Setup(
        args, settings, settings.mode, band, region, row, column, contenders, info, framing.size, device
    )


def _contenders(text: str) -> list[Contender]:
    found: list[Contender] = []
    taken = {Path(name).stem.lower() for name in (VIDEO, *SLICES.values())}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, is_weights, source = (piece.strip() for piece in part.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {part!r}")
        if name == INPUT:
            raise InputError(f"the {INPUT} is always shown; leave it out of --methods")
        if name in {each.name for each in found}:
            raise InputError(f"the method {name!r} is given twice; give each clip a name of its own")
        if not is_weights:
            methods.get(name)
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "method"
        number, base = 1, stem
        while stem.lower() in taken:
            number += 1
            stem = f"{base}-{number}"
        taken.add(stem.lower())
        found.append(
            Contender(name, LEARNED if is_weights else name, source if is_weights else None, f"{stem}.mp4")
        )
    if not found:
        raise InputError("no method is given; name at least one with --methods, such as learned")
    return found


def _with_options(contenders: list[Contender], texts: Sequence[str]) -> list[Contender]:
    """The contenders with the options that are theirs: METHOD.NAME=VALUE, or NAME=VALUE of all that have it.

    What is given for one method goes before what is given for all.
    """
    names = [each.name for each in contenders]
    given: dict[str | None, list[str]] = {}
    for text in texts:
        before, equals, value = text.partition("=")
        owner, dot, option = (part.strip() for part in before.rpartition("."))
        if dot and owner not in names:
            raise InputError(
                f"--option {text}: no method called {owner!r} is compared (compared: {', '.join(names)})"
            )
        given.setdefault(owner if dot else None, []).append(f"{option}{equals}{value}")
    own = {owner: split(each) for owner, each in given.items()}
    for_all, has = own.get(None, {}), {each.name: options_of(each.method) for each in contenders}
    for option in for_all:
        if not any(option in known for known in has.values()):
            known = sorted({name for each in has.values() for name in each})
            hint = did_you_mean(option, known)
            raise InputError(
                f"none of the compared methods has an option {option!r}{hint} "
                f"(they have {', '.join(known) or 'none'})"
            )
    made = []
    for each in contenders:
        shared = {option: value for option, value in for_all.items() if option in has[each.name]}
        options = {**shared, **own.get(each.name, {})}
        if options:
            try:
                convert(each.method, options)  # Only to know now that they can be used.
            except InputError as error:
                raise InputError(as_typed(str(error), each.name)) from None
        made.append(replace(each, options=options))
    return made


def as_typed(advice: str, name: str) -> str:
    """What a method advises for ``mm magnify``, as it is typed here: with its name before its options."""
    return re.sub(r"--option (?=\w+=)", f"-o {name}.", advice)


def _line(args: argparse.Namespace) -> tuple[int | None, int | None]:
    """The row and the column that are given."""
    if args.line is None:
        return args.row, args.column
    if args.row is not None or args.column is not None:
        raise InputError("--line gives both the row and the column; leave out --row and --column")
    x, y = _whole_numbers("--line", args.line, ("x", "y"))
    return y, x


def _whole_numbers(option: str, text: str, names: Sequence[str]) -> Any:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names):
        raise InputError(f"{option} must be {len(names)} whole numbers {','.join(names)} in px, got {text!r}")
    return numbers


def _prepare(args: argparse.Namespace, contenders: Sequence[Contender]) -> None:
    """Make the folder, once nothing would be written over the input."""
    out: Path = args.out
    for name in (VIDEO, *(each.file for each in contenders)):
        if (out / name).exists() and (out / name).samefile(args.input):
            raise InputError(f"{out / name} would be written over, and is the input; name another --out")
    with refusals_as_lines(out):
        out.mkdir(parents=True, exist_ok=True)
