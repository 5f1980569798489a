"""A comparison as one HTML page that needs nothing but itself, opened from a disk or sent to someone.

The methods' own clips, and the video where only a reduced copy of it fits in, are named as files beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
from torch import Tensor

from mm.reports.embedding import EMBEDDED, embeddable
from mm.video.slices import Slice

# px: longest side of the still picture, and the part of a line that a slice on the page shows.
_STILL, _LINE = 720, 128
# px on the screen: how tall a slice is shown.
_TALL = (140, 320)


@dataclass(frozen=True)
class Method:
    """One line of the table.

    Attributes:
        name: what the user called it.
        says: the method's own line, or the reason why it did not work.
        worked: whether there is a clip of it.
        path: the clip, relative to the page; "" if there is none.
        seconds: wall time, reading and writing included.
        speed: frames a second of that time.
        notes: what it warned of.
    """

    name: str
    says: str
    worked: bool = True
    path: str = ""
    seconds: float = 0.0
    speed: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """What the page holds; every text is plain, it is escaped here.

    Attributes:
        title: the page's headline.
        lead: a sentence or two below it.
        command: the line that makes the page again.
        parameters: name and value of each.
        methods: the table.
        video: the side-by-side clip.
        video_size: its (height, width), px.
        labels: one for each picture of a kind: the input, and the methods that worked.
        still: (3, H, W) uint8, the input at the moment of most motion.
        crops: (3, h, w) uint8 each, at that moment.
        crop: (x, y, width, height) of them in the still picture, px.
        moment: seconds from the first frame, and the frame's number.
        rows: x–t slices.
        columns: y–t slices.
        focus: the x on the row and the y on the column, px, around which slices of long lines are shown.
        chosen: how the line was chosen.
        version: of this package.
        span: what part of the clips the slices show, "" if all.
    """

    title: str
    lead: str
    command: str
    parameters: Mapping[str, str]
    methods: Sequence[Method]
    video: Path
    video_size: tuple[int, int]
    labels: Sequence[str]
    still: Tensor
    crops: Sequence[Tensor]
    crop: tuple[int, int, int, int]
    moment: tuple[float, int]
    rows: Sequence[Slice]
    columns: Sequence[Slice]
    focus: tuple[int, int]
    chosen: str
    version: str = ""
    span: str = ""


def page(content: Page, embedded: int = EMBEDDED) -> str:
    """Return the page.

    Args:
        content: what is on it.
        embedded: bytes up to which the video is put into the page as it is; of a larger one the page holds a
            reduced copy, says so, and names the file beside it.

    Raises:
        InputError: if the video cannot be read.
        OSError: likewise.
    """
    parts = [
        f"<header><h1>{escape(content.title)}</h1><p>{escape(content.lead)}</p></header>",
        _section("Side by side", _video(content, embedded)),
        _section("Methods", _table(content.methods)),
        _section("The moment of most motion", _moment(content)),
        _slices("x–t slices", content.rows, content),
        _slices("y–t slices", content.columns, content),
        _section("Parameters", _parameters(content)),
        f"<footer>Made by mm {escape(content.version)}.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def png(pixels: Tensor) -> bytes:
    """Return (3, H, W) uint8 RGB as the bytes of a PNG."""
    coded, data = cv2.imencode(".png", pixels.permute(1, 2, 0).flip(-1).contiguous().cpu().numpy())
    assert coded
    return bytes(data.tobytes())


# --- parts ------------------------------------------------------------------------------------------------


def _section(title: str, inside: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>"


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _image(pixels: Tensor, text: str, style: str = "") -> str:
    height, width = pixels.shape[-2:]
    styled = f' style="{style}"' if style else ""
    return (
        f'<img src="{_uri(png(pixels), "image/png")}" width="{width}" height="{height}" '
        f'alt="{escape(text)}"{styled}>'
    )


def _video(content: Page, embedded: int) -> str:
    height, width = content.video_size
    shown = embeddable(content.video, embedded)
    name = escape(content.video.name)
    where = (
        f" The copy in this page is {escape(shown.says)}, so that it fits; all of it is "
        f'<a href="{name}">{name}</a>, a file beside this page.'
        if shown.reduced
        else ""
    )
    return (
        f'<video controls loop muted playsinline preload="metadata" width="{width}" height="{height}" '
        f'src="{_uri(shown.data, "video/mp4")}"></video>\n'
        f'<p class="note">{escape(", ".join(content.labels))}; row by row.{where}</p>'
    )


def _table(methods: Sequence[Method]) -> str:
    lines = []
    for method in methods:
        name = escape(method.name)
        if method.path:
            name = f'<a href="{escape(method.path)}">{name}</a>'
        numbers = (
            f'<td class="number">{method.seconds:.1f}</td><td class="number">{method.speed:.3g}</td>'
            if method.worked
            else '<td class="number">–</td><td class="number">–</td>'
        )
        says = escape(method.says) if method.worked else f"did not work: {escape(method.says)}"
        notes = "".join(f'<p class="warning">{escape(note)}</p>' for note in method.notes)
        kind = "" if method.worked else ' class="failed"'
        lines.append(f'<tr{kind}><th scope="row">{name}</th>{numbers}<td>{says}{notes}</td></tr>')
    return (
        '<div class="scroll"><table>\n<thead><tr><th scope="col">method</th>'
        '<th scope="col" class="number">seconds</th><th scope="col" class="number">frames / s</th>'
        '<th scope="col">what it did</th></tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table></div>\n"
        '<p class="note">Wall time of one run, reading and writing included.</p>'
    )


def _moment(content: Page) -> str:
    seconds, number = content.moment
    still = _reduced(content.still)
    pictures = "\n".join(
        f"<figure>{_image(pixels, f'{label}, crop')}<figcaption>{escape(label)}</figcaption></figure>"
        for label, pixels in zip(content.labels, content.crops, strict=True)
    )
    x, y, width, height = content.crop
    return (
        f'<div class="moment">\n<figure class="still">{_image(still, "the input")}{_overlay(content)}'
        "<figcaption>The input, with the row, the column and the crop.</figcaption></figure>\n"
        f'<div class="crops">{pictures}</div>\n</div>\n'
        f'<p class="note">Frame {number}, {seconds:.2f} s after the first; the crop is {width}×{height} px '
        f"at {x}, {y}. {escape(content.chosen)}</p>"
    )


def _overlay(content: Page) -> str:
    """The lines and the crop over the still picture, as drawing, sharp at every size."""
    height, width = content.still.shape[-2:]
    row, column = content.rows[0].position + 0.5, content.columns[0].position + 0.5
    x, y, wide, tall = content.crop
    return (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<g class="under"><path d="M0 {row}H{width}M{column} 0V{height}"/>'
        f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}"/></g>'
        f'<g class="over"><path d="M0 {row}H{width}M{column} 0V{height}"/>'
        f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}"/></g></svg>'
    )


def _slices(title: str, slices: Sequence[Slice], content: Page) -> str:
    first = slices[0]
    across = first.along == "x"
    length = first.lines.shape[2]
    shown = _window(length, content.focus[0 if across else 1])
    tall = max(_TALL[0], min(_TALL[1], 3 * (shown.stop - shown.start)))
    begin, end = float(first.times[0]), float(first.times[-1])
    figures = []
    for label, each in zip(content.labels, slices, strict=True):
        # Time to the right, the line's pixels downwards.
        pixels = each.lines[:, :, shown].permute(1, 2, 0).mul(255).round().byte()
        image = _image(pixels, f"{label}, {title[:3]} slice", f"height:{tall}px")
        figures.append(f"<figure><figcaption>{escape(label)}</figcaption>{image}</figure>")
    line = f"{'Row' if across else 'Column'} {first.position}"
    axis = "x" if across else "y"
    part = f"{axis} {shown.start} to {shown.stop - 1} px" + (
        "" if shown.stop - shown.start < length else ", all of it"
    )
    scale = f'<div class="axis"><span>{begin:.2f} s</span><span>time →</span><span>{end:.2f} s</span></div>'
    only = f" Not the whole clip: {escape(content.span)}." if content.span else ""
    return _section(
        title,
        f'<div class="slices">\n{"".join(figures)}\n{scale}</div>\n'
        f'<p class="note">{line}: time of playback to the right, {axis} downwards ({part}). '
        f"What moves along the line is a wavy edge.{only}</p>",
    )


def _window(length: int, focus: int) -> slice:
    """The part of a line that is shown."""
    if length <= _LINE:
        return slice(0, length)
    begin = max(0, min(length - _LINE, focus - _LINE // 2))
    return slice(begin, begin + _LINE)


def _parameters(content: Page) -> str:
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in content.parameters.items()
    )
    return (
        f'<div class="scroll"><table class="plain"><tbody>\n{lines}\n</tbody></table></div>\n'
        f"<p>To make this page again:</p>\n<pre>{escape(content.command)}</pre>"
    )


def _reduced(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    ratio = _STILL / max(height, width)
    if ratio >= 1:
        return pixels
    import torch

    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = cv2.resize(pixels.permute(1, 2, 0).contiguous().numpy(), size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1)


_STYLE = """
:root { color-scheme: light dark; --ground: #f7f7f5; --card: #ffffff; --ink: #1d1f23; --soft: #62666e;
  --line: #dcdcd8; --mark: #b3261e; --link: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ground: #141517; --card: #1d1f22; --ink: #e7e7e4;
  --soft: #9a9ea6; --line: #33363b; --mark: #ff8a80; --link: #8ab8f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.55 system-ui, -apple-system,
  "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 56px; }
header p { color: var(--soft); margin: 4px 0 0; }
h1 { font-size: 26px; line-height: 1.25; font-weight: 650; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; font-weight: 650; margin: 0 0 12px; }
section { margin-top: 24px; padding: 20px 22px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
a { color: var(--link); }
video { display: block; width: 100%; height: auto; background: #0e0f11; border-radius: 6px; }
.note, figcaption, footer { color: var(--soft); font-size: 13px; }
.note { margin: 10px 0 0; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 8px 16px 8px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; padding-top: 0; color: var(--soft); font-size: 13px; font-weight: 500;
  white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; }
.plain th { width: 12em; color: var(--soft); font-weight: 500; }
tbody tr:first-child > * { border-top: 0; }
thead + tbody tr:first-child > * { border-top: 1px solid var(--line); }
.number { text-align: right; white-space: nowrap; padding-right: 24px; }
.failed td, .warning { color: var(--mark); }
.warning { margin: 2px 0 0; font-size: 13px; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; }
.moment { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 18px;
  align-items: start; }
@media (max-width: 760px) { .moment { grid-template-columns: minmax(0, 1fr); } }
.still { position: relative; }
.still svg { position: absolute; left: 0; top: 0; width: 100%; height: calc(100% - 26px); }
.still figcaption { height: 26px; padding-top: 6px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
svg path, svg rect { fill: none; vector-effect: non-scaling-stroke; }
.under { stroke: #000; stroke-opacity: 0.55; stroke-width: 3; }
.over { stroke: #ffd54a; stroke-width: 1.2; }
.crops { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; }
.crops img, .slices img { image-rendering: pixelated; }
.crops figcaption { padding-top: 6px; }
.slices figure { display: grid; grid-template-columns: 9em minmax(0, 1fr); gap: 12px; align-items: center;
  margin-bottom: 8px; }
.slices figcaption { overflow-wrap: anywhere; color: var(--ink); font-weight: 600; font-size: 14px; }
.axis { display: flex; justify-content: space-between; margin-left: calc(9em + 12px); color: var(--soft);
  font-size: 13px; }
@media (max-width: 620px) { .slices figure { grid-template-columns: minmax(0, 1fr); gap: 2px; }
  .axis { margin-left: 0; } }
pre { margin: 8px 0 0; padding: 12px 14px; overflow-x: auto; background: var(--ground);
  border: 1px solid var(--line); border-radius: 6px; font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  monospace; }
footer { margin-top: 24px; }
"""
