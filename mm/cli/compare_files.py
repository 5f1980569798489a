"""What ``mm compare`` writes: pictures of the slices, the page, and the settings to make it again."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mm._version import __version__
from mm.methods.parameters import as_text

if TYPE_CHECKING:
    import torch

    from mm.cli.compare_setup import Setup
    from mm.reports.page import Method
    from mm.reports.side_by_side import Panel
    from mm.reports.views import Views
    from mm.temporal import Band

INPUT = "input"
VIDEO, PAGE, SETTINGS = "compare.mp4", "compare.html", "compare.json"
SLICES = {"x": "slice_x.png", "y": "slice_y.png"}
# Of a clip with more cuts than this, not every one is named.
_CUTS = 10


def write(
    setup: Setup,
    panels: Sequence[Panel],
    views: Views,
    table: Sequence[Method],
    chosen: str,
    video_size: tuple[int, int],
    cuts: Sequence[int],
    said: Sequence[str],
) -> list[str]:
    """Write the slices, the page and the settings beside the video.

    Args:
        setup: what was asked for.
        panels: of the video.
        views: what was taken from it.
        table: the methods.
        chosen: how the line was chosen.
        video_size: (height, width) px.
        cuts: the frames that begin a new shot.
        said: what there was to say of the clip itself.

    Returns:
        The names of all files.
    """
    from mm.cli.slice import captured, draw
    from mm.reports.page import Page, page

    args, out = setup.args, setup.args.out
    labels = [panel.name if not panel.more else f"{panel.name} {panel.more}" for panel in panels]
    slices = {along: views.slices(along) for along in SLICES}
    span = "" if views.span is None else f"frames {views.span[0]} to {views.span[1]} of {views.frames}"
    captions = [label + (f", {span}" if span else "") for label in labels]
    for along, name in SLICES.items():
        if args.fps is None:
            draw(slices[along], captions, out / name)
        else:
            timed = [captured(each, float(setup.info.rate), args.fps) for each in slices[along]]
            draw(timed, captions, out / name, "capture")
    files = [PAGE, VIDEO, *(method.path for method in table if method.worked), *SLICES.values(), SETTINGS]
    parameters = _parameters(setup, views.frames, cuts)
    if said:
        parameters["Noticed"] = "; ".join(said)
    parameters["Files"] = ", ".join(files)
    assert views.still is not None
    content = Page(
        title=f"{args.input.name}: motion × {setup.settings.factor:g}",
        lead=f"{', '.join(panel.name for panel in panels[1:])}, beside the input. {chosen}",
        command=_command(setup),
        parameters=parameters,
        methods=table,
        video=out / VIDEO,
        video_size=video_size,
        labels=labels,
        still=views.still,
        crops=views.crops,
        crop=views.place.crop(setup.size),
        moment=(views.seconds, views.place.frame),
        rows=slices["x"],
        columns=slices["y"],
        focus=views.place.focus,
        chosen=chosen,
        version=__version__,
        span=f"{span}, those around the moment of most motion" if span else "",
    )
    (out / PAGE).write_text(page(content), encoding="utf-8")
    settings = {
        "version": __version__,
        "command": content.command,
        "parameters": parameters,
        "methods": [asdict(method) for method in table],
        "line": {"row": views.place.row, "column": views.place.column, "chosen": chosen},
        "slices": {"frames": list(views.span or (0, views.frames - 1))},
        "cuts": list(cuts),
        "moment": {"frame": views.place.frame, "seconds": views.seconds, "point": list(views.place.point)},
    }
    (out / SETTINGS).write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return files


def _parameters(setup: Setup, frames: int, cuts: Sequence[int]) -> dict[str, str]:
    args, settings, info, (height, width) = setup.args, setup.settings, setup.info, setup.size
    shown = "" if (width, height) == (info.width, info.height) else f", worked on at {width}×{height} px"
    span = "all of it"
    if args.start is not None or args.end is not None:
        span = f"{args.start or 0:g} s to " + ("the end" if args.end is None else f"{args.end:g} s")
    capture = float(info.rate) if args.fps is None else args.fps
    found = {
        "Clip": f"{args.input.name}, {info.width}×{info.height} px{shown}",
        "Frames": f"{frames} ({span})",
        "Frames a second": f"{capture:.4g} captured, {float(info.rate):.4g} played",
        "Cuts": "not looked for" if args.ignore_cuts else _cuts(cuts),
    }
    if args.preset is not None:
        found["Preset"] = args.preset
        own = _of_preset(setup)
        if own:
            found["The preset's options"] = own
    found |= {
        "Factor": f"{settings.factor:g} (total gain of the displacement)",
        "Mode": setup.mode,
        "Band": "none" if setup.band is None else _band(setup.band),
    }
    if args.option:
        found["Options"] = ", ".join(args.option)
    return found | {
        "Region": "the whole frame"
        if args.roi is None
        else f"{args.roi} (x,y,width,height in px of the input)",
        "Device": _device(setup.device) + (", bf16" if args.precision == "bf16" else ""),
    }


def _of_preset(setup: Setup) -> str:
    """The preset's own options, of the compared methods that take them, as they would be typed."""
    settings = setup.settings
    return ", ".join(
        f"{each.name}.{name}={as_text(value)}"
        for each in setup.contenders
        if each.method == settings.method
        for name, value in settings.options.items()
        if name not in each.options
    )


def _cuts(cuts: Sequence[int]) -> str:
    if not cuts:
        return "none found"
    told = ", ".join(map(str, cuts[:_CUTS])) + (f" and {len(cuts) - _CUTS} more" if len(cuts) > _CUTS else "")
    return f"before frame{'s' * (len(cuts) > 1)} {told}; each part is looked at and magnified by itself"


def _band(band: Band) -> str:
    more = "".join(
        f", {name} {value}" for name, value in (("order", band.order), ("taps", band.taps)) if value
    )
    return f"{band.low:g}–{band.high:g} Hz, {band.filter} filter{more}"


def _device(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


def _command(setup: Setup) -> str:
    """The line that does the same again, with what differs from the defaults, and the line that was found."""
    args = setup.args
    words = ["mm", "compare", str(args.input), "--methods", args.methods]
    if args.preset is not None:
        words += ["--preset", args.preset]
    words += ["--factor", f"{setup.settings.factor:.12g}", "--mode", setup.mode]
    given = ("low", "high", "filter", "order", "taps", "fps", "start", "end", "roi", "line", "row", "column")
    for option in given:
        value = getattr(args, option)
        if value is not None:
            words += [f"--{option}", f"{value:.12g}" if isinstance(value, float) else str(value)]
    for option, default in (("scale", 1.0), ("device", "auto"), ("precision", "32")):
        value = getattr(args, option)
        if value != default:
            words += [f"--{option}", f"{value:.12g}" if isinstance(value, float) else str(value)]
    for text in args.option:
        words += ["--option", text]
    if args.ignore_cuts:
        words.append("--ignore-cuts")
    if args.plugins:
        words += ["--plugins", *(str(each) for each in args.plugins)]
    return shlex.join([*words, "--out", str(args.out)])
