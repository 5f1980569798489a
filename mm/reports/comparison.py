"""Several methods on one clip: a clip of each, all side by side in a video, slices, and a page."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mm._version import __version__
from mm.errors import ClipWarning, InputError, did_you_mean
from mm.magnify import clip
from mm.magnify.presets import settle
from mm.magnify.shots import CutWarning
from mm.methods.parameters import convert, options_of, split
from mm.registry import methods
from mm.reports.motion_line import find_place
from mm.reports.page import Views, render
from mm.reports.side_by_side import INPUT, compose
from mm.reports.slice_figure import draw
from mm.video import ClipInfo, open_clip
from mm.video.grid import scaled_size

LEARNED = "learned"
VIDEO, PAGE, RECORD = "compare.mp4", "compare.html", "compare.json"
SLICES = {"x": "slice_x.png", "y": "slice_y.png"}


@dataclass(frozen=True)
class Candidate:
    """A method that is compared.

    Attributes:
        name: as the user calls it.
        method: the registered name.
        weights: of the network; None for the shipped ones.
        file: the name of its clip.
        options: the method's own, as they were typed.
    """

    name: str
    method: str
    weights: str | None
    file: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A method's line in the table.

    Attributes:
        name: as the user calls it.
        says: the method's own line, or the reason why it did not work.
        worked: whether there is a clip of it.
        path: of the clip, relative to the page; "" if there is none.
        frames: of the clip.
        seconds: wall time, reading and writing included.
        speed: frames a second of that time.
        notes: its warnings.
    """

    name: str
    says: str
    worked: bool = True
    path: str = ""
    frames: int = 0
    seconds: float = 0.0
    speed: float = 0.0
    notes: tuple[str, ...] = ()


def candidates(names: str, options: Sequence[str] = ()) -> list[Candidate]:
    """Read the methods of a comparison.

    Args:
        names: ``NAME`` or ``NAME=WEIGHTS``, separated by commas.
        options: ``METHOD.NAME=VALUE``, or ``NAME=VALUE`` for every method that has it; the former wins.

    Raises:
        InputError: for a method, an option or a value that does not exist, or a name given twice.
    """
    found: list[Candidate] = []
    taken = {Path(name).stem for name in (VIDEO, *SLICES.values())}
    for part in filter(None, (part.strip() for part in names.split(","))):
        name, is_weights, source = (piece.strip() for piece in part.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {part!r}")
        if name == INPUT:
            raise InputError(f"the {INPUT} is always shown; leave it out of --methods")
        if name in (each.name for each in found):
            raise InputError(f"the method {name!r} is given twice; give each clip another name")
        if not is_weights:
            methods.get(name)
        base = stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "method"
        while stem.lower() in taken:
            stem = f"{base}-{len(taken)}"
        taken.add(stem.lower())
        method = LEARNED if is_weights else name
        found.append(Candidate(name, method, source or None, f"{stem}.mp4"))
    if not found:
        raise InputError("no method is given; name at least one with --methods, such as learned")
    return _with_options(found, options)


def _with_options(found: list[Candidate], texts: Sequence[str]) -> list[Candidate]:
    names = [each.name for each in found]
    given: dict[str, list[str]] = {name: [] for name in ("", *names)}
    for text in texts:
        before, equals, value = text.partition("=")
        owner, _, option = before.strip().rpartition(".")
        if owner not in given:
            raise InputError(f"--option {text}: {owner!r} is not compared (compared: {', '.join(names)})")
        given[owner].append(f"{option}{equals}{value}")
    shared = split(given[""])
    known = {each.name: options_of(each.method) for each in found}
    for option in shared:
        every = sorted({name for own in known.values() for name in own})
        if option not in every:
            raise InputError(
                f"no compared method has an option {option!r}{did_you_mean(option, every)} "
                f"(options: {', '.join(every)})"
            )
    made = []
    for each in found:
        options = {option: value for option, value in shared.items() if option in known[each.name]}
        options |= split(given[each.name])
        try:
            if options:
                convert(each.method, options)
        except InputError as error:
            raise InputError(_as_typed(error, each)) from None
        made.append(replace(each, options=options))
    return made


def _as_typed(error: InputError, candidate: Candidate) -> str:
    """Return advice for ``mm magnify`` as it is typed here: with the method's name before its option."""
    return re.sub(r"--option (?=\w+=)", f"-o {candidate.name}.", str(error))


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes:
        outcomes: a line for each method.
        chosen: how the lines of the slices were chosen.
        files: the names of what was written.
    """

    outcomes: list[Outcome]
    chosen: str
    files: list[str]


def compare(
    source: Path,
    out: Path,
    compared: Sequence[Candidate],
    *,
    row: int | None = None,
    column: int | None = None,
    command: str = "",
    done: Callable[[Outcome], None] = lambda outcome: None,
    **shared: Any,
) -> Comparison:
    """Magnify a clip with every method, and write the video, the slices, the page and a record.

    A method that cannot work on this clip is named with its reason; the others are compared.

    Args:
        source: the clip.
        out: the folder to write; made if it does not exist.
        compared: the methods, from :func:`candidates`.
        row, column: of the slices, px of the clip; None takes the line of most motion.
        command: the line that makes the comparison again, for the page.
        done: called with each method's outcome.
        shared: keyword arguments of :func:`mm.magnify.clip.magnify` for all methods.

    Raises:
        InputError: for arguments that cannot be used, or if no method worked.
        OSError: if the folder cannot be written.
    """
    part: dict[str, Any] = {name: shared.get(name) for name in ("start", "end")}
    fps, scale = shared.get("fps"), shared.get("scale", 1.0)
    given = {name: shared.get(name) for name in ("mode", "low", "high")}
    shared["mode"] = settle(shared.get("preset"), **given).mode
    with open_clip(source, folder_rate=fps, **part) as opened:
        info = opened.info
    size = scaled_size(info, scale)
    for name, line, limit in (("row", row, info.height), ("column", column, info.width)):
        if line is not None and not 0 <= line < limit:
            raise InputError(f"{name} {line} lies outside {source}, which has {name}s 0 to {limit - 1}")
    for path in (out, out / VIDEO, *(out / each.file for each in compared)):
        if path.exists() and path.samefile(source):
            raise InputError(f"{path} is the input, and would be written over; name another folder")
    out.mkdir(parents=True, exist_ok=True)

    noticed: dict[str, type[Warning]] = {}
    outcomes, reports = [], []
    for each in compared:
        outcome, report = _magnified(source, out, each, noticed, shared)
        outcomes.append(outcome)
        reports += [] if report is None else [report]
        done(outcome)
    if not reports:
        reasons = list(dict.fromkeys(each.says for each in outcomes))
        text = "; ".join(f"{each.name}: {each.says}" for each in outcomes)
        raise InputError(reasons[0] if len(reasons) == 1 else f"no method worked: {text}")

    report = reports[0]
    lines: dict[str, Any] = {"row": row, "column": column, "region": shared.get("roi"), "cuts": report.cuts}
    place = find_place(source, mode=report.settings.mode, band=report.band, folder_rate=fps, **lines, **part)
    elsewhere = "through the place of most motion" if any(place.found) else "the middle; nothing moves"
    why = [
        "given" if line is not None else f"most motion along {axis}" if found else elsewhere
        for line, axis, found in zip((row, column), "xy", place.found, strict=True)
    ]
    chosen = f"Slices through row {place.row} ({why[0]}) and column {place.column} ({why[1]}) of the input."
    views = Views(place.scaled(info, size), size, report.frames)
    gain = f"× {report.settings.factor:g}"
    made = {f"{each.name} {gain}": out / each.path for each in outcomes if each.worked}
    with warnings.catch_warnings():
        # The methods have said what there is to say of the clip.
        warnings.simplefilter("ignore", UserWarning)
        compose(source, made, out / VIDEO, scale=scale, folder_rate=fps, watch=views, **part)
    labels = [INPUT, *made]
    pace = 1.0 if fps is None else float(info.rate) / fps
    for along, name in SLICES.items():
        captions = [f"{label}, {views.span}" if views.span else label for label in labels]
        draw(views.slices(along, pace), captions, out / name, "playback" if fps is None else "capture")
    files = [PAGE, VIDEO, *(path.name for path in made.values()), *SLICES.values(), RECORD]
    parameters = _parameters(source, info, size, report, shared)
    parameters["Options"] = ", ".join(f"{c.name}.{k}={v}" for c in compared for k, v in c.options.items())
    notes = [text for text, kind in noticed.items() if not issubclass(kind, CutWarning)]
    parameters |= {"Noticed": "; ".join(notes), "Files": ", ".join(files)}
    texts = {
        "title": f"{source.name}: motion {gain}",
        "version": __version__,
        "command": command,
        "parameters": {name: text for name, text in parameters.items() if text},
        "methods": [asdict(each) for each in outcomes],
        "chosen": chosen,
    }
    (out / PAGE).write_text(render(out / VIDEO, labels, views, **texts), encoding="utf-8")
    where, first, last = views.place, views.kept[0], views.kept[-1]
    record = texts | {
        "line": {"row": where.row, "column": where.column},
        "slices": {"frames": [first, last]},
        "cuts": report.cuts,
        "moment": {"frame": where.frame, "seconds": views.seconds, "point": where.point},
    }
    (out / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Comparison(outcomes, chosen, files)


def _magnified(
    source: Path, out: Path, each: Candidate, noticed: dict[str, type[Warning]], shared: Mapping[str, Any]
) -> tuple[Outcome, clip.ClipReport | None]:
    """Make one method's clip; warnings of the clip itself are given once for all, by ``noticed``."""
    report, refusal, notes = None, "", []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            report = clip.magnify(
                source,
                out / each.file,
                method=each.method,
                weights=each.weights,
                options=each.options,
                **shared,
            )
        except InputError as error:
            refusal = _as_typed(error, each)
    for warning in caught:
        text = str(warning.message)
        if not issubclass(warning.category, ClipWarning):
            notes.append(text)
            text = f"{each.name}: {text}"
        if text not in noticed:
            warnings.warn(text, warning.category, stacklevel=2)
        if issubclass(warning.category, ClipWarning):
            noticed[text] = warning.category
    if report is None:
        return Outcome(each.name, refusal, worked=False, notes=tuple(notes)), None
    numbers = report.frames, report.seconds, report.speed
    return Outcome(each.name, report.method, True, each.file, *numbers, notes=tuple(notes)), report


def _parameters(
    source: Path, info: ClipInfo, size: tuple[int, int], report: clip.ClipReport, shared: Mapping[str, Any]
) -> dict[str, str]:
    settings, band, rate = report.settings, report.band, float(info.rate)
    shown = "" if size == (info.height, info.width) else f", worked on at {size[1]}×{size[0]} px"
    found = {
        "Clip": f"{source.name}, {info.width}×{info.height} px{shown}",
        "Frames": f"{report.frames}; {shared.get('fps') or rate:.6g} a second captured, {rate:.6g} played",
        "Preset": settings.preset or "",
        "Factor": f"{settings.factor:g} (total gain of the displacement)",
        "Mode": settings.mode,
    }
    if band is not None:
        shape = [f"{name} {getattr(band, name)}" for name in ("order", "taps") if getattr(band, name)]
        found["Band"] = ", ".join([f"{band.low:g}–{band.high:g} Hz", f"{band.filter} filter", *shape])
    if shared.get("roi") is not None:
        found["Region"] = f"{shared['roi']} (x, y, width, height; px of the input)"
    if report.cuts:
        found["Cuts"] = f"before frames {', '.join(map(str, report.cuts))}; each part is magnified by itself"
    return found
