"""The measurements as pictures: panels as in the paper's Figures 8, 9 and 10, and gains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.evaluation.candidates import BASELINE
from mm.evaluation.protocol import NOISE_CASES
from mm.evaluation.tables import Row, Spread
from mm.motion import BANDS
from mm.runtime import new_figure

if TYPE_CHECKING:
    from mm.evaluation.clip import ClipLevel
    from mm.evaluation.clip_scores import ClipScore
    from mm.evaluation.frequency import Response
    from mm.evaluation.kernels import Kernels, Part
    from mm.evaluation.physical import Recovered
    from mm.evaluation.runner import Place

TOLERANCE = {"picture": 0.05, "pattern": 0.1}  # of the gain, drawn as a band
_ZERO = 3.0  # a level of 0 is drawn at the least other level over this, since the axis is logarithmic
_PANEL = (4.2, 3.3)  # inches
_LETTERS = dict(zip(NOISE_CASES, "bc", strict=True))  # of the panels of noise in the paper's Figure 8


def draw_figure8(path: Path, rows: Sequence[Row]) -> None:
    """Draw SSIM against the level: (a) sub-pixel, (b) and (c) the two cases of noise; or static.

    Args:
        path: a PNG.
        rows: of "subpixel", "noise" and "static", those that there are; one row of panels for each renderer.
    """
    panels = []
    for row in rows:
        case = (row.motion, row.factor) if row.measurement == "noise" else ()
        if (row.measurement, case) not in panels:
            panels.append((row.measurement, case))
    # As the paper has them, whatever the order of the runs: the smaller motion is b.
    order = ("subpixel", "noise", "static")
    panels.sort(key=lambda panel: (order.index(panel[0]), panel[1]))
    renderers = list(dict.fromkeys(row.renderer for row in rows))
    # A method has its colour in all panels, also in those that lack another one.
    names = [name for name in dict.fromkeys(row.method for row in rows) if name != BASELINE]
    colours = {name: f"C{place % 10}" for place, name in enumerate(names)} | {BASELINE: "0.4"}
    figure = _figure(len(renderers), len(panels))
    axes = figure.subplots(len(renderers), len(panels), squeeze=False, sharey=True)
    for line, renderer in zip(axes, renderers, strict=True):
        for axis, (measurement, case) in zip(line, panels, strict=True):
            shown = [
                row
                for row in rows
                if row.measurement == measurement
                and row.renderer == renderer
                and (not case or (row.motion, row.factor) == case)
            ]
            _draw_ssim(axis, shown, "motion" if measurement == "subpixel" else "noise", colours)
            title = {
                "subpixel": "(a) sub-pixel",
                "noise": _noise_title(*case) if case else "",
                "static": "static",
            }[measurement]
            axis.set_title(f"{title}: {renderer} renderer", fontsize=10)
        line[0].set_ylabel("SSIM with the truth")
    if any(row.measurement != "static" for row in rows):
        axes[0][0].set_ylim(0, 1)
    curves = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
    told = [name for name in (BASELINE, *names) if name in curves]
    axes[0][0].legend([curves[name] for name in told], told, fontsize=8)
    figure.savefig(path)


def _noise_title(motion: float, factor: float) -> str:
    letter = _LETTERS.get((motion, factor))
    return (f"({letter}) " if letter else "") + f"noise, {motion:g} px × {factor:g}"


def draw_gain(path: Path, rows: Sequence[Row]) -> None:
    """Draw the gain against the output motion, one curve a factor, the methods side by side.

    Args:
        path: a PNG.
        rows: of "gain"; one row of panels for each content and renderer.
    """
    methods = [name for name in dict.fromkeys(row.method for row in rows) if name != BASELINE]
    lines = list(dict.fromkeys((row.content, row.renderer) for row in rows))
    factors = sorted({row.factor for row in rows})
    figure = _figure(len(lines), len(methods))
    axes = figure.subplots(len(lines), len(methods), squeeze=False, sharex=True, sharey=True)
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    for axis_row, (content, renderer) in zip(axes, lines, strict=True):
        for axis, method in zip(axis_row, methods, strict=True):
            for place, factor in enumerate(factors):
                shown = [
                    row
                    for row in rows
                    if (row.content, row.renderer, row.method, row.factor)
                    == (content, renderer, method, factor)
                ]
                shown.sort(key=lambda row: row.motion)
                _draw_curve(
                    axis,
                    [row.motion * row.factor for row in shown],
                    [row.gain for row in shown],
                    [row.gain_std for row in shown],
                    label=f"× {factor:g}",
                    color=colours(0.9 * place / max(len(factors) - 1, 1)),
                )
            tolerance = TOLERANCE.get(content, 0.05)
            axis.axhspan(1 - tolerance, 1 + tolerance, color="0.5", alpha=0.15, lw=0)
            axis.axhline(1, color="0.5", lw=0.8)
            axis.set_xscale("log")
            axis.grid(alpha=0.3)
            axis.set_title(f"{method}: {content}, {renderer} renderer", fontsize=10)
        axis_row[0].set_ylabel("output motion, measured over true")
    # Wider where a gain is outside: a network at the beginning of its training may have any.
    found = [row.gain for row in rows if not math.isnan(row.gain)]
    axes[0][0].set_ylim(min(0.0, 1.1 * min(found, default=0.0)), max(1.5, 1.1 * max(found, default=0.0)))
    for axis in axes[-1]:
        axis.set_xlabel("true output motion / px")
    axes[0][0].legend(fontsize=8, ncols=2)
    figure.savefig(path)


def draw_frequency(path: Path, responses: Sequence[Response]) -> None:
    """Draw the gain against the spatial frequency, a curve a method.

    Args:
        path: a PNG.
        responses: one row of panels for each renderer, one column for each level.
    """
    renderers = list(dict.fromkeys(each.renderer for each in responses))
    levels = list(dict.fromkeys(each.level for each in responses))
    middles = [(low + high) / 2 for low, high in pairwise(BANDS)]
    figure = _figure(len(renderers), len(levels))
    axes = figure.subplots(len(renderers), len(levels), squeeze=False, sharex=True, sharey=True)
    for axis_row, renderer in zip(axes, renderers, strict=True):
        for axis, level in zip(axis_row, levels, strict=True):
            for each in responses:
                if (each.renderer, each.level) == (renderer, level):
                    style = {"color": "0.4", "linestyle": "--"} if each.method == BASELINE else {}
                    mean, deviation = [g.mean for g in each.gains], [g.deviation for g in each.gains]
                    _draw_curve(axis, middles, mean, deviation, label=each.method, **style)
            axis.axhline(1, color="0.5", lw=0.8)
            axis.grid(alpha=0.3)
            axis.set_title(f"{level.motion:g} px × {level.factor:g}, {renderer} renderer", fontsize=10)
        axis_row[0].set_ylabel("change shown over true change")
    for axis in axes[-1]:
        axis.set_xlabel("spatial frequency / cycles per px")
    axes[0][0].legend(fontsize=8)
    figure.savefig(path)


def draw_kernels(path: Path, found: Mapping[str, Mapping[Part, Kernels]], shown: int = 8) -> None:
    """Draw the kernels that describe their channels best, with the share of variance that they explain.

    Args:
        path: a PNG.
        found: method -> part of its encoder -> kernels.
        shown: how many of each.
    """
    lines = [(name, kernels) for name, parts in found.items() for kernels in reversed(list(parts.values()))]
    figure = _figure(len(lines), shown, panel=(1.3, 1.6))
    axes = figure.subplots(len(lines), shown, squeeze=False)
    for axis_row, (name, kernels) in zip(axes, lines, strict=True):
        for axis in axis_row:
            axis.set_axis_off()
        for axis, channel in zip(axis_row, kernels.best(shown), strict=False):
            weights = kernels.weights[channel].numpy()
            peak = float(abs(weights).max()) or 1.0
            axis.imshow(weights, cmap="RdBu_r", vmin=-peak, vmax=peak, interpolation="nearest")
            axis.set_title(f"{channel}: {100 * float(kernels.explained[channel]):.0f} %", fontsize=8)
        axis_row[0].text(
            *(-0.12, 0.5, f"{name}\n{kernels.part}"),
            transform=axis_row[0].transAxes,
            rotation=90,
            ha="right",
            va="center",
            fontsize=9,
        )
    figure.savefig(path)


def draw_physical(path: Path, found: Mapping[Place, Sequence[Recovered]], fps: float) -> None:
    """Draw the true signal of the first scene and each method's, one row for each renderer.

    Args:
        path: a PNG.
        found: of the measurement.
        fps: frames a second.
    """
    renderers = list(dict.fromkeys(place.renderer for place in found))
    figure = _figure(len(renderers), 1, panel=(9.0, 3.0))
    axes = figure.subplots(len(renderers), 1, squeeze=False, sharex=True)[:, 0]
    for axis, renderer in zip(axes, renderers, strict=True):
        shown = {place.method: scores[0] for place, scores in found.items() if place.renderer == renderer}
        true = next(iter(shown.values())).true.tolist()
        time = [frame / fps for frame in range(len(true))]
        axis.plot(time, true, color="black", lw=2.4, alpha=0.35, label="true")
        for method, each in shown.items():
            style = {"color": "0.4", "linestyle": "--"} if method == BASELINE else {}
            label = f"{method}: r = {each.correlation:.3f}, {100 * each.amplitude_error:+.1f} %"
            if each.unmeasured:
                label += f" ({each.unmeasured} of {len(each.measured)} frames not measured)"
            axis.plot(time, each.measured.tolist(), lw=1.2, label=label, **style)
        axis.set_title(f"{renderer} renderer", fontsize=10)
        axis.set_ylabel("displacement / px")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper left")
    axes[-1].set_xlabel("time / s")
    figure.savefig(path)


def draw_levels(path: Path, rows: Sequence[Row], score: str = "ssim") -> None:
    """Draw a score at each level, a curve a method.

    Args:
        path: a PNG.
        rows: one column of panels for each content, one row for each renderer.
        score: "ssim" or "psnr".
    """
    contents, renderers = (
        list(dict.fromkeys(getattr(row, n) for row in rows)) for n in ("content", "renderer")
    )
    figure = _figure(len(renderers), len(contents))
    axes = figure.subplots(len(renderers), len(contents), squeeze=False, sharey=True)
    for line, renderer in zip(axes, renderers, strict=True):
        for axis, content in zip(line, contents, strict=True):
            shown = [row for row in rows if (row.content, row.renderer) == (content, renderer)]
            levels = list(dict.fromkeys(row.level for row in shown))
            for method in dict.fromkeys(row.method for row in shown):
                style = {"color": "0.4", "linestyle": "--"} if method == BASELINE else {}
                spreads = [row.spread(score) for row in shown if row.method == method]
                mean, deviation = [each.mean for each in spreads], [each.deviation for each in spreads]
                _draw_curve(axis, range(len(levels)), mean, deviation, label=method, **style)
            names = [f"{m:g} × {f:g}" + f"\nnoise {n:g}" * bool(n) for m, f, n in levels]
            axis.set_xticks(range(len(levels)), names, fontsize=7)
            axis.grid(alpha=0.3)
            axis.set_title(f"{content}, {renderer} renderer", fontsize=10)
        line[0].set_ylabel({"ssim": "SSIM with the truth", "psnr": "PSNR / dB"}[score])
    axes[0][0].legend(fontsize=8)
    figure.savefig(path)


def draw_clip(path: Path, levels: Sequence[ClipLevel], found: Mapping[Place, Sequence[ClipScore]]) -> None:
    """Draw SSIM, gain in the band and flicker against each axis that varies, a curve a method.

    Args:
        path: a PNG.
        levels: of the measurement.
        found: of it; scenes of both renderers are drawn together.
    """
    panels = _clip_panels(levels)
    shown = {"ssim": "SSIM with the truth", "gain": "gain in the band", "flicker": "flicker / grey levels"}
    figure = _figure(len(shown), len(panels), panel=(3.2, 2.6))
    axes = figure.subplots(len(shown), len(panels), squeeze=False, sharey="row")
    methods = list(dict.fromkeys(place.method for place in found))
    for column, (title, name, along) in enumerate(panels):
        values = [getattr(level, name) for level in along]
        ticks = ["none" if value is None else f"{value:g}" for value in values]
        for row, (score, label) in enumerate(shown.items()):
            axis = axes[row][column]
            for number, method in enumerate(methods):
                spreads = [
                    Spread.of_measured(
                        getattr(each, score)
                        for place, scores in found.items()
                        if place.method == method and place.level == level
                        for each in scores
                    )
                    for level in along
                ]
                style = {"color": f"C{(number - 2) % 10}"}
                if number < 2:
                    style = {"color": "0.4" if method == BASELINE else "black", "linestyle": "--"}
                mean, deviation = [each.mean for each in spreads], [each.deviation for each in spreads]
                _draw_curve(axis, range(len(along)), mean, deviation, label=method, **style)
            axis.set_xticks(range(len(along)), ticks)
            axis.grid(alpha=0.3)
            if column == 0:
                axis.set_ylabel(label, fontsize=9)
        axes[0][column].set_title(title, fontsize=9)
        axes[-1][column].set_xlabel(name)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path)


def _clip_panels(levels: Sequence[ClipLevel]) -> list[tuple[str, str, list[ClipLevel]]]:
    """Return the title, the axis and the levels of each panel: those that differ along one axis alone."""
    panels = []
    for field in fields(levels[0]):
        base: dict[str, Any] = {field.name: field.default}
        groups: dict[ClipLevel, list[ClipLevel]] = {}
        for level in levels:
            groups.setdefault(replace(level, **base), []).append(level)
        for common, group in groups.items():
            if len(group) > 1:
                group.sort(key=lambda level: getattr(level, field.name) or 0.0)
                panels.append((str(common), field.name, group))
    return panels or [(str(levels[0]), "factor", list(levels[:1]))]


def _draw_ssim(axis: Any, rows: Sequence[Row], varies: str, colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import NullFormatter

    least = min((getattr(row, varies) for row in rows if getattr(row, varies) > 0), default=1.0)
    zero = least / _ZERO
    for name in dict.fromkeys(row.method for row in rows):
        shown = sorted((row for row in rows if row.method == name), key=lambda row: getattr(row, varies))
        _draw_curve(
            axis,
            [getattr(row, varies) or zero for row in shown],
            [row.ssim for row in shown],
            [row.ssim_std for row in shown],
            label=name,
            color=colours[name],
            linestyle="--" if name == BASELINE else "-",
        )
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())
    if any(getattr(row, varies) == 0 for row in rows):
        axis.axvline(zero, color="0.7", lw=0.8)
        axis.annotate("0", (zero, 0.02), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    axis.grid(alpha=0.3)
    axis.set_xlabel("input motion / px" if varies == "motion" else "noise factor")


def _draw_curve(
    axis: Any, x: Sequence[float], mean: Sequence[float], deviation: Sequence[float], **style: Any
) -> None:
    (line,) = axis.plot(x, mean, marker="o", markersize=3, lw=1.4, **style)
    spread = [0.0 if math.isnan(value) else value for value in deviation]
    low = [m - s for m, s in zip(mean, spread, strict=True)]
    high = [m + s for m, s in zip(mean, spread, strict=True)]
    axis.fill_between(x, low, high, color=line.get_color(), alpha=0.15, lw=0)


def _figure(rows: int, columns: int, panel: tuple[float, float] = _PANEL) -> Any:
    return new_figure(panel[0] * columns, panel[1] * rows)
