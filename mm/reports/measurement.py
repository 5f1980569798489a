"""Files of a measurement: waveform and spectrum as CSV, everything as JSON, plots, and one page."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from html import escape
from importlib.resources import files as resources
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mm._version import __version__
from mm.errors import InputError
from mm.files import replacing
from mm.motion.measure import DERIVATIVES, Measurement, PlaceMotion, Shape
from mm.runtime import new_figure

DPI = 110
AXES = ("x", "y", "along")
SHOWN = 0.03  # of the picture's longer side, what the animation makes of the largest amplitude
STILLS = 24  # frames of an animation
ARROWS = 24  # along the longer side of a deflection shape
TABLE = 6  # vibrations a place that the page lists
Picture = NDArray[np.uint8]


def write_files(found: Measurement, out: Path) -> list[Path]:
    """Write all files of a measurement into a folder.

    Args:
        found: by :func:`mm.measure`.
        out: the folder, made if it is not there.

    Returns:
        The files.

    Raises:
        InputError: if they cannot be written.
    """
    pictures: dict[str, bytes] = {"places.png": _png(draw_places(found))}
    for number, place in enumerate(found.places, 1):
        pictures[f"place_{number}.png"] = _png(draw_place(found, place))
    for shape in found.shapes:
        pictures[f"shape_{shape.frequency_hz:.4g}Hz.png"] = _png(draw_shape(shape))
        pictures[f"shape_{shape.frequency_hz:.4g}Hz.gif"] = animate(shape)
    texts = {
        "waveform.csv": _csv(_waveform(found)),
        "spectrum.csv": _csv(_spectrum(found)),
        "report.json": json.dumps(as_dict(found), indent=1, allow_nan=False) + "\n",
        "report.html": page(found, pictures),
    }
    contents = pictures | {name: text.encode() for name, text in texts.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            with replacing(out / name) as new:
                new.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; name another folder") from error
    return [out / name for name in contents]


def as_dict(found: Measurement) -> dict[str, Any]:
    """Return everything but the arrays over time, for JSON; without a scale, what is in mm is left out."""
    scale = found.mm_per_px
    first = found.places[0].sinusoids

    def peaks(place: PlaceMotion) -> Iterator[dict[str, Any]]:
        for each in place.sinusoids:
            values = {name: value for name, value in asdict(each).items() if name not in ("x_px", "y_px")}
            values |= {"period_s": 1 / each.frequency_hz, "marks": list(each.marks)}
            values |= {"orbit_minor_px": values.pop("minor_px"), "power_over_noise": values.pop("ratio")}
            if scale is not None:
                relative = math.hypot(each.amplitude_px_u / each.amplitude_px, found.mm_per_px_u / scale)
                values["amplitude_mm"] = each.amplitude_px * scale
                values["amplitude_mm_u"] = each.amplitude_px * scale * relative
            yield values

    def points() -> Iterator[dict[str, Any]]:
        for place in found.places:
            yield {
                "name": place.name,
                "x_px": place.x_px,
                "y_px": place.y_px,
                "region_px": list(place.region),
                "direction_deg": place.direction_deg,
                "verdict": place.verdict,
                "noise_px": place.noise_px,
                "codec_px": [float(value) for value in np.sqrt(place.codec_px2.diagonal())],
                "smallest_px": place.smallest_px,
                "lost": place.lost,
                "repeated_by_codec": place.repeated,
                "peaks": list(peaks(place)),
                "relative_to_first": [
                    found.relative(place, each.frequency_hz) for each in first if place is not found.places[0]
                ],
            }

    compression = found.compression
    return {
        "clip": str(found.path),
        "frames": len(found.times_s),
        "rate_hz": found.rate_hz,
        "playback_hz": found.playback_hz,
        "duration_s": found.duration_s,
        "resolution_hz": found.rate_hz / found.places[0].segment,
        "mm_per_px": scale,
        "mm_per_px_u": found.mm_per_px_u if scale is not None else None,
        "points": list(points()),
        "warnings": list(found.warnings),
        "compression": None
        if compression is None
        else {
            "codec": compression.codec,
            "pictures": compression.picture_types,
            "group_frames": compression.group,
            "bits_per_px": compression.bits_per_px,
            "quantiser": float(compression.quantiser.mean()),
            "quantiser_guessed": compression.guessed,
            "step_levels": compression.step,
            "repeated_blocks": float(compression.repeated.mean()),
            "repeated_frames": list(compression.doubled),
        },
        "conventions": {
            "amplitude": "half of peak to peak",
            "direction": "degrees from x (right) toward y (down), clockwise on the screen",
            "displacement": "from its mean over the record",
            "uncertainty": "standard, of a normal distribution",
            "spectrum": "Welch, Hann window, linear trend removed, amplitude of a sinusoid",
        },
        "versions": _versions(),
    }


def page(found: Measurement, pictures: dict[str, bytes]) -> str:
    """Return the page, with its pictures inside."""

    def image(name: str) -> str:
        kind, data = name.rsplit(".", 1)[1], base64.b64encode(pictures[name]).decode()
        return f'<p><img alt="{escape(name)}" src="data:image/{kind};base64,{data}"></p>'

    scale = found.mm_per_px
    body = [image("places.png")]
    for number, place in enumerate(found.places, 1):
        body.append(
            f"<h2>{escape(place.name)}: {escape(place.verdict)}</h2>"
            f"<p>{place.region[2]}×{place.region[3]} px about x {place.x_px:g}, y {place.y_px:g}; along "
            f"{place.direction_deg:.0f}°; noise of a frame {place.noise_px:.2g} px; a vibration of less than "
            f"{place.smallest_px:.2g} px cannot be told from none</p>"
        )
        rows = [
            (
                f"{each.frequency_hz:.6g} ± {each.frequency_hz_u:.1g}",
                f"{each.amplitude_px:.4g} ± {each.amplitude_px_u:.1g}",
                *([f"{each.amplitude_px * scale:.4g}"] if scale is not None else []),
                f"{each.direction_deg:.0f}",
                f"{each.phase_deg:.0f} ± {each.phase_deg_u:.1g}",
                f"{each.minor_px:.2g}",
                "" if each.damping_ratio is None else f"{each.damping_ratio:.3g} ({each.damping_from})",
                ", ".join(each.marks),
            )
            for each in place.sinusoids[:TABLE]
        ]
        names = ["Hz", "px", *(["mm"] if scale is not None else []), "direction / °", "phase / °"]
        if rows:
            body.append(_table([*names, "orbit's other half axis / px", "damping ratio", "perhaps"], rows))
        body.append(image(f"place_{number}.png"))
    if len(found.places) > 1 and found.places[0].sinusoids:
        first = found.places[0].sinusoids[0]
        rows = []
        for place in found.places[1:]:
            values = found.relative(place, first.frequency_hz)
            rows.append(
                (
                    place.name,
                    f"{values['amplitude_ratio']:.3g}",
                    f"{values['phase_deg']:.0f} ± {values['phase_deg_u']:.1g}",
                )
            )
        body.append(f"<h2>Against {escape(found.places[0].name)} at {first.frequency_hz:.5g} Hz</h2>")
        body.append(_table(["place", "amplitude ratio", "phase / °"], rows))
    for shape in found.shapes:
        name = f"shape_{shape.frequency_hz:.4g}Hz"
        body += [f"<h2>Deflection shape at {shape.frequency_hz:.4g} Hz</h2>", image(f"{name}.png")]
        body.append(image(f"{name}.gif"))
    lead = (
        f"{len(found.times_s)} frames at {found.rate_hz:.6g} a second, {found.duration_s:.4g} s"
        + (f"; {scale:.4g} mm a px" if scale is not None else "")
        + (f". {found.compression_line}" if found.compression_line is not None else "")
    )
    segment = found.places[0].segment
    count = max(1, 2 * len(found.times_s) // segment - 1)
    method = (
        f"Spectrum: Welch, Hann window, {count} segment{'s' * (count > 1)} of {segment} frames, "
        f"{found.rate_hz / segment:.3g} Hz apart."
    )
    template = Template(resources("mm.reports").joinpath("measurement.html").read_text("utf-8"))
    return template.substitute(
        title=escape(f"Motion of {found.path.name}"),
        lead=escape(lead),
        warnings="".join(f'<p class="note">{escape(line)}</p>' for line in found.warnings),
        body="\n".join(body),
        method=escape(method),
        versions=escape(", ".join(f"{name} {version}" for name, version in _versions().items())),
    )


def draw_places(found: Measurement) -> Figure:
    """Draw where the places are, on the first frame."""
    height, width = found.picture.shape
    figure = _figure(8, 8 * height / width)
    axis = figure.subplots()
    axis.imshow(found.picture, cmap="gray", vmin=0, vmax=1)
    for number, place in enumerate(found.places, 1):
        x, y, wide, tall = place.region
        colour = f"C{(number - 1) % 10}"
        axis.plot(
            [x, x + wide, x + wide, x, x],
            [y, y, y + tall, y + tall, y],
            color=colour,
            lw=1.5,
        )
        axis.annotate(str(number), (x, y), (2, 3), textcoords="offset points", color=colour)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="x / px", ylabel="y / px")
    return figure


def draw_place(found: Measurement, place: PlaceMotion) -> Figure:
    """Draw a place's displacement over time, its spectrum with the vibrations, and its orbit."""
    figure = _figure(10, 6)
    figure.suptitle(f"{place.name}: {place.verdict}", fontsize=10)
    grid = figure.add_gridspec(2, 3)
    scale = found.mm_per_px
    factor, unit = (1.0, "px") if scale is None else (scale, "mm")
    moved, noise = (part * factor for part in place.waveforms["displacement"])
    axis = figure.add_subplot(grid[0, :2])
    along, wide = moved[:, 2], 2 * noise[:, 2]
    axis.fill_between(found.times_s, along - wide, along + wide, alpha=0.3, lw=0)
    axis.plot(found.times_s, along, lw=0.8)
    axis.set(xlabel="time / s", ylabel=f"displacement along {place.direction_deg:.0f}° / {unit}")
    axis.margins(x=0)
    axis = figure.add_subplot(grid[1, :])
    frequencies, amplitude = place.spectrum
    for number, name in enumerate(AXES):
        axis.semilogy(frequencies[1:], amplitude[1:, number].clip(1e-6) * factor, lw=0.8, label=name)
    for each in place.sinusoids[:TABLE]:
        height = each.amplitude_px * factor
        axis.plot(each.frequency_hz, height, "o", ms=4, color="C3", mfc="none" if each.marks else "C3")
        axis.annotate(
            f"{each.frequency_hz:.4g} Hz" + ("?" if each.marks else ""),
            (each.frequency_hz, height),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axis.axhline(place.smallest_px * factor, color="0.5", lw=0.8, ls="--", label="cannot be told from none")
    axis.set(xlabel=f"frequency / Hz, at {found.rate_hz:.6g} frames a second", ylabel=f"amplitude / {unit}")
    axis.margins(x=0.01, y=0.15)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis = figure.add_subplot(grid[0, 2], aspect="equal", adjustable="datalim")
    axis.plot(moved[:, 0], moved[:, 1], lw=0.5)
    axis.invert_yaxis()
    axis.set(xlabel=f"x / {unit}", ylabel=f"y / {unit}", title="orbit")
    return figure


def draw_shape(shape: Shape) -> Figure:
    """Draw amplitude and phase of each block at one frequency, and arrows at the instant of most motion."""
    blocks = shape.blocks
    x, y, width, height = blocks.region
    figure = _figure(10, 1 + 5 * height / width)
    half = blocks.block / 2
    frame = (x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5)
    extent = (blocks.x[0] - half, blocks.x[-1] + half, blocks.y[-1] + half, blocks.y[0] - half)
    size = np.hypot(np.abs(shape.x_px), np.abs(shape.y_px))
    most = max(float(np.quantile(size, 0.995)), 1e-9)
    moment = shape.moment
    step = max(1, max(size.shape) // ARROWS)
    pictures = (
        ("amplitude / px", size, {"cmap": "inferno", "vmin": 0, "vmax": most}),
        (
            "displacement at the instant of most motion / px",
            moment[2],
            {"cmap": "RdBu_r", "vmin": -most, "vmax": most},
        ),
    )
    for axis, (title, values, colours) in zip(figure.subplots(1, 2), pictures, strict=True):
        axis.imshow(blocks.picture, cmap="gray", vmin=0, vmax=1, extent=frame)
        seen = np.where(size > 0, values, np.nan)
        drawn = axis.imshow(seen, alpha=0.6, extent=extent, interpolation="nearest", **colours)
        arrows = (part[::step, ::step] for part in moment[:2])
        # The longest arrow is as long as two of their distances.
        longest = most / (2 * step * blocks.block)
        arrow = {"angles": "xy", "scale_units": "xy", "scale": longest, "color": "c"}
        axis.quiver(blocks.x[::step], blocks.y[::step], *arrows, **arrow)
        axis.set_title(title, fontsize=9)
        figure.colorbar(drawn, ax=axis, shrink=0.7)
        axis.set(xlim=frame[:2], ylim=frame[2:])
    return figure


def animate(shape: Shape) -> bytes:
    """Return a looping GIF of the first frame, in which the magnified shape is all that moves."""
    from PIL import Image

    blocks = shape.blocks
    x, y, width, height = blocks.region
    largest = float(np.hypot(np.abs(shape.x_px), np.abs(shape.y_px)).max())
    gain = SHOWN * max(width, height) / max(largest, 1e-9)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    # Block centres → px: the blocks are a coarse picture of the displacement.
    across = ((columns + x - blocks.x[0]) / blocks.block).astype(np.float32)
    down = ((rows + y - blocks.y[0]) / blocks.block).astype(np.float32)
    fields = []
    for part in (shape.x_px, shape.y_px):
        smooth = [cv2.GaussianBlur(half.astype(np.float32), (0, 0), 1.0) for half in (part.real, part.imag)]
        fields.append([_sampled(half, across, down) for half in smooth])
    picture = (blocks.picture * 255).round().clip(0, 255).astype(np.uint8)
    stills = []
    for number in range(STILLS):
        turn = np.exp(2j * np.pi * number / STILLS)
        moved = [gain * (half[0] * turn.real - half[1] * turn.imag) for half in fields]
        stills.append(Image.fromarray(_sampled(picture, columns - moved[0], rows - moved[1])))
    data = io.BytesIO()
    stills[0].save(data, "GIF", save_all=True, append_images=stills[1:], duration=50, loop=0)
    return data.getvalue()


def _sampled(picture: NDArray[Any], across: NDArray[Any], down: NDArray[Any]) -> NDArray[Any]:
    points = (across.astype(np.float32), down.astype(np.float32))
    return cv2.remap(picture, *points, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _waveform(found: Measurement) -> Iterator[list[object]]:
    units = [(1.0, "")] if found.mm_per_px is None else [(1.0, ""), (found.mm_per_px, "mm")]
    header: list[object] = ["time_s", "place"]
    for _, unit in units:
        for name, (_, suffix) in DERIVATIVES.items():
            for axis in AXES:
                column = f"{axis}_{name}_{suffix.replace('px', unit or 'px')}"
                header += [column, f"{column}_u"]
    yield header
    for place in found.places:
        parts = []
        for factor, unit in units:
            relative = found.mm_per_px_u / factor if unit else 0.0
            for moved, noise in place.waveforms.values():
                noise = np.hypot(noise, moved * relative)
                parts.append(np.stack([moved, noise], -1).reshape(len(moved), -1) * factor)
        for time, row in zip(found.times_s, np.concatenate(parts, axis=1), strict=True):
            yield [f"{time:.9g}", place.name, *(f"{value:.6g}" for value in row)]


def _spectrum(found: Measurement) -> Iterator[list[object]]:
    yield ["frequency_hz", "place", *(f"{axis}_amplitude_px" for axis in AXES), "smallest_px"]
    for place in found.places:
        for frequency, row in zip(*place.spectrum, strict=True):
            values = [f"{value:.6g}" for value in (*row, place.smallest_px)]
            yield [f"{frequency:.9g}", place.name, *values]


def _csv(rows: Iterable[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _table(names: list[str], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _figure(width: float, height: float) -> Figure:
    figure: Figure = new_figure(width, min(height, 14), DPI)
    return figure


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _versions() -> dict[str, str]:
    import av
    import scipy

    return {
        "mm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "opencv": cv2.__version__,
        "pyav": av.__version__,
    }
