"""The page of ``mm studio``, on NiceGUI, served to this machine alone. Each window has a state of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from nicegui import app, events, run, ui
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mm.errors import InputError
from mm.magnify.presets import PRESETS
from mm.registry import methods
from mm.studio import work
from mm.studio.work import Folder, How, Job, Preview, Queue
from mm.video.grid import Region

Made = TypeVar("Made")

LEAST_REGION = 16
"""px of a side that is dragged; less is a click."""

_COMPARE = """
<div class="mm-compare" style="position:relative; line-height:0">
  <video src="{before}" muted loop autoplay playsinline style="width:100%"></video>
  <video src="{after}" muted loop autoplay playsinline
         style="position:absolute; left:0; top:0; width:100%; clip-path:inset(0 0 0 50%)"></video>
</div>
"""
# The slider moves the border between the videos, and brings the second to the first one's time.
_SLIDE = """(value) => {
  const videos = document.querySelectorAll('.mm-compare video');
  if (videos.length < 2) return;
  videos[1].style.clipPath = `inset(0 0 0 ${value}%)`;
  if (Math.abs(videos[0].currentTime - videos[1].currentTime) > 0.04)
    videos[1].currentTime = videos[0].currentTime;
}"""


def serve(root: Path, port: int, *, show: bool, most_bytes: int) -> None:
    """Serve the page on the loopback address until the process is interrupted.

    Args:
        root: folder of the clips.
        port: of 127.0.0.1.
        show: whether to open it in the browser.
        most_bytes: of an upload.
    """
    scratch = Path(tempfile.mkdtemp(prefix="mm-studio-"))
    folder, queue = Folder(root, scratch / "uploads"), Queue()
    folder.uploads.mkdir()
    # A page of another origin that reaches this one by a name of its own is turned away.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @ui.page("/", title="mm studio")
    def page() -> None:
        window = Window(folder, queue, Path(tempfile.mkdtemp(dir=scratch)), most_bytes)
        window.build()

    try:
        # A window whose connection is lost for a while, as on a busy machine, goes on where it was.
        ui.run(
            host="127.0.0.1",
            port=port,
            show=show,
            reload=False,
            show_welcome_message=False,
            reconnect_timeout=60,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class Window:
    """The state of one browser window.

    Args:
        folder: of the clips.
        queue: of renders, shared by all windows.
        scratch: a folder of this window's own.
        most_bytes: of an upload.
    """

    def __init__(self, folder: Folder, queue: Queue, scratch: Path, most_bytes: int) -> None:
        self.folder, self.queue, self.scratch, self.most_bytes = folder, queue, scratch, most_bytes
        self.clip: Path | None = None
        self.region: Region | None = None
        self.line: tuple[str, int] | None = None
        self.point: tuple[float, float] | None = None
        self.options: dict[str, Any] = {}
        self.preview: Preview | None = None
        self.size = (0, 0)
        self._pressed: tuple[float, float] | None = None
        self._peaks: list[tuple[float, float]] = []
        self._looks = 0

    # -- the controls ---------------------------------------------------------------------------------------

    def build(self) -> None:
        """Lay the page out."""
        with ui.row().classes("w-full no-wrap items-start"):
            with ui.column().classes("w-72 shrink-0"):
                self._build_controls()
            with ui.column().classes("grow"):
                self._build_pictures()
        ui.timer(0.5, self._show_jobs)

    def _build_controls(self) -> None:
        ui.label("mm studio").classes("text-h6")
        self.chooser = ui.select(self.folder.clips(), label="Clip", with_input=True, on_change=self._chosen)
        self.chooser.classes("w-full").mark("clip")
        ui.upload(
            label=f"or upload one (up to {self.most_bytes / 1e6:.0f} MB)",
            auto_upload=True,
            max_file_size=self.most_bytes,
            on_upload=self._uploaded,
            on_rejected=lambda: ui.notify("the file is too large", type="negative"),
        ).classes("w-full")
        presets: dict[str | None, str] = {None: "none", **{name: name for name in PRESETS}}
        self.preset = ui.select(presets, value=None, label="Preset").classes("w-full")
        self.preset.on_value_change(self._take_preset)
        self.method = ui.select(sorted(methods), value="learned", label="Method").classes("w-full")
        self.factor = ui.number("Factor", value=10, min=0, step=1).classes("w-full")
        self.mode = ui.select(
            {None: "by the band", "static": "static", "dynamic": "dynamic", "temporal": "temporal"},
            value=None,
            label="Mode",
        ).classes("w-full")
        with ui.row().classes("w-full no-wrap"):
            self.low = ui.number("From, Hz", min=0).classes("grow")
            self.high = ui.number("to, Hz", min=0).classes("grow")
        self.fps = ui.number("Capture rate, if not the file's", min=0).classes("w-full")
        self.direction = ui.number("Direction, ° (0 right, 90 down)").classes("w-full")
        self.start = ui.number("Preview from, s", value=0, min=0).classes("w-full")
        with ui.row():
            ui.button("Preview", on_click=self._try).mark("preview")
            ui.button("Render", on_click=self._render).mark("render")
        for control in (self.method, self.factor, self.mode, self.low, self.high, self.fps, self.direction):
            control.on_value_change(self._show_command)
        ui.label("The same on the command line:").classes("text-caption")
        self.command = ui.code("", language="bash").classes("w-full mm-command")
        self.queue_column = ui.column().classes("w-full mm-queue")
        self._rows: list[tuple[Job, Any, Any, Any]] = []

    def _build_pictures(self) -> None:
        self.tool = ui.toggle(
            {"region": "drag a region", "line": "drag a line", "point": "click a point"}, value="region"
        )
        self.picture = (
            ui.interactive_image(
                on_mouse=self._mouse, events=["mousedown", "mousemove", "mouseup"], cross=False
            )
            .classes("mm-picture")
            .style("max-width: 720px")
        )
        self.about = ui.label("Choose a clip, or upload one.").classes("text-caption mm-about")
        self.spectrum = ui.echart(_spectrum_chart(None), on_point_click=self._peak_clicked)
        self.spectrum.classes("w-full h-52 mm-spectrum")
        self.peaks = ui.row().classes("mm-peaks")
        self.compare = ui.html("", sanitize=False).style("width: 720px; max-width: 100%")
        self.slider = ui.slider(min=0, max=100, value=50).style("width: 720px; max-width: 100%")
        self.slider.classes("mm-slider").on("update:model-value", js_handler=_SLIDE)
        self.preview_says = ui.label("").classes("text-caption mm-preview")
        self.slices = ui.row().classes("mm-slices")
        self.wave = ui.echart(_wave_chart(None)).classes("w-full h-52")
        self.wave_says = ui.label("").classes("text-caption mm-wave")

    # -- a clip ---------------------------------------------------------------------------------------------

    async def _chosen(self, event: events.ValueChangeEventArguments) -> None:
        if event.value:
            await self._load(event.value)

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        name = Path(event.file.name).name
        if event.file.size() > self.most_bytes:
            ui.notify(f"{name} is larger than {self.most_bytes / 1e6:.0f} MB", type="negative")
            return
        target = self.folder.uploads / self.scratch.name / name
        await event.file.save(target)
        if not await self._load(str(target)):
            target.unlink(missing_ok=True)

    async def _load(self, name: str) -> bool:
        found = await self._busy(lambda: (path := self.folder.path(name), work.first_frame(path)))
        if found is None:
            return False
        self.clip, (pixels, facts) = found
        self.region = self.line = self.point = self.preview = None
        self.size = (pixels.shape[1], pixels.shape[0])
        self.picture.set_source(Image.fromarray(pixels))
        seconds = "" if facts["seconds"] is None else f", {facts['seconds']:.3g} s"
        size = f"{self.size[0]}×{self.size[1]} px"
        self.about.text = f"{self.clip.name}: {size}, {facts['rate']:.5g} frames a second{seconds}"
        self._draw()
        self._show_command()
        await self._look()
        return True

    async def _look(self) -> None:
        """Show the spectrum of the clip, or of its region."""
        clip, self._looks = self.clip, self._looks + 1
        look = self._looks
        if clip is None:
            return
        self.peaks.clear()
        with self.peaks:
            ui.label("looking at what moves …").classes("text-caption")
        found = await self._busy(lambda: work.spectrum(clip, self.region, self.fps.value))
        # A later clip or region may have been faster.
        if look != self._looks:
            return
        self.peaks.clear()
        if found is None:
            return
        self.spectrum.options.clear()
        self.spectrum.options.update(_spectrum_chart(found))
        self.spectrum.update()
        shown = [(peak, peak.band) for peak in found.peaks if peak.band is not None]
        self._peaks = [band for _, band in shown]
        with self.peaks:
            if not shown:
                ui.label("nothing moves at a frequency that the clip is long enough to tell")
            for peak, band in shown:
                text = f"{peak.frequency:.3g} Hz, {peak.amplitude:.2g} px"
                ui.chip(text, on_click=lambda band=band: self._set_band(band)).props("clickable")

    def _peak_clicked(self, event: events.EChartPointClickEventArguments) -> None:
        if event.series_name == "peaks" and event.data_index < len(self._peaks):
            self._set_band(self._peaks[event.data_index])

    def _set_band(self, band: tuple[float, float]) -> None:
        self.low.value, self.high.value = (float(f"{edge:.4g}") for edge in band)

    def _take_preset(self, event: events.ValueChangeEventArguments) -> None:
        if event.value is None:
            self.options = {}
            return
        settings = PRESETS[event.value].settings
        self.options = dict(settings.options)
        self.method.value, self.factor.value, self.mode.value = (
            settings.method,
            settings.factor,
            settings.mode,
        )
        self.low.value, self.high.value = settings.low, settings.high
        if settings.top is not None:
            ui.notify("this preset's upper edge follows the capture rate; give one", type="info")

    # -- the picture ----------------------------------------------------------------------------------------

    async def _mouse(self, event: events.MouseEventArguments) -> None:
        if self.clip is None:
            return
        x, y = (
            min(max(value, 0.0), side - 1.0)
            for value, side in zip((event.image_x, event.image_y), self.size, strict=True)
        )
        if event.type == "mousedown":
            self._pressed = (x, y)
        elif event.type == "mousemove" and self._pressed is not None and event.buttons:
            self._draw(self._pressed, (x, y))
        elif event.type == "mouseup" and self._pressed is not None:
            begin, self._pressed = self._pressed, None
            await self._dragged(begin, (x, y))

    async def _dragged(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        across, down = (abs(one - other) for one, other in zip(begin, end, strict=True))
        if self.tool.value == "point":
            self.point = end
            self._draw()
            await self._measure()
        elif self.tool.value == "line":
            self.line = ("row", round(end[1])) if across >= down else ("column", round(end[0]))
            self._draw()
            await self._slice()
        else:
            # A click takes the region away.
            self.region = _box(begin, end) if min(across, down) >= LEAST_REGION else None
            self._draw()
            self._show_command()
            await self._look()

    def _draw(self, begin: tuple[float, float] | None = None, end: tuple[float, float] | None = None) -> None:
        parts = []
        box = self.region
        if begin is not None and end is not None:
            if self.tool.value == "region":
                box = _box(begin, end)
            elif self.tool.value == "line":
                parts.append(_line(*begin, *end))
        if box is not None:
            x, y, width, height = box
            parts.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="#ff9800" '
                'stroke-width="2" vector-effect="non-scaling-stroke"/>'
            )
        if self.line is not None:
            kind, place = self.line
            ends = (0, place, self.size[0], place) if kind == "row" else (place, 0, place, self.size[1])
            parts.append(_line(*ends))
        if self.point is not None:
            across, down = self.point
            parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="#e91e63"/>')
        self.picture.set_content("".join(parts))

    async def _measure(self) -> None:
        clip, point = self.clip, self.point
        if clip is None or point is None:
            return
        found = await self._busy(lambda: work.waveform(clip, point, self.fps.value))
        if found is None or clip != self.clip:
            return
        self.wave.options.clear()
        self.wave.options.update(_wave_chart(found))
        self.wave.update()
        lines = [
            found.verdict,
            *(
                f"{each.frequency_hz:.4g} Hz: {each.amplitude_px:.3g} ± {each.amplitude_px_u:.1g} px"
                for each in found.sinusoids[:3]
            ),
        ]
        self.wave_says.text = f"x {point[0]:.0f}, y {point[1]:.0f}: " + "; ".join(lines)

    # -- trying and rendering -------------------------------------------------------------------------------

    def _how(self) -> How:
        return How(
            self.method.value,
            10.0 if self.factor.value is None else float(self.factor.value),
            self.mode.value,
            self.low.value,
            self.high.value,
            self.fps.value or None,
            self.direction.value,
            self.region,
            self.options,
        )

    def _show_command(self) -> None:
        if self.clip is not None:
            how = self._how()
            target = Path("magnified") / f"{self.clip.stem}_x{how.factor:g}.mp4"
            source = self.clip
            if source.is_relative_to(self.folder.root):
                source = source.relative_to(self.folder.root)
            self.command.set_content(how.command(source, target))

    async def _try(self) -> None:
        clip, how, start = self.clip, self._how(), self.start.value or 0.0
        if clip is None:
            ui.notify("choose a clip first")
            return
        # The fast method at once, then the chosen one.
        for each in (how,) if how.method == work.FAST else (how.quick(), how):
            self.preview_says.text = f"{each.method} is at work …"
            shown = await self._busy(partial(work.preview, clip, each, start, self.scratch))
            if shown is None or clip != self.clip:
                self.preview_says.text = ""
                return
            self.preview = shown
            urls = [app.add_media_file(local_file=path) for path in (shown.before, shown.after)]
            self.compare.set_content(_COMPARE.format(before=urls[0], after=urls[1]))
            self.slider.value = 50
            self.preview_says.text = (
                f"left before, right after: {shown.method}, made in {shown.seconds:.1f} s"
            )
            await self._slice()

    async def _slice(self) -> None:
        shown, line = self.preview, self.line
        if shown is None or line is None:
            return
        pictures = await self._busy(lambda: work.slices(shown, line))
        if pictures is None:
            return
        self.slices.clear()
        with self.slices:
            for name, pixels in zip(("before", "after"), pictures, strict=True):
                with ui.column():
                    ui.label(f"{line[0]} {line[1]} over time, {name}").classes("text-caption")
                    ui.image(Image.fromarray(pixels)).style("width: 340px")

    def _render(self) -> None:
        if self.clip is None:
            ui.notify("choose a clip first")
            return
        how = self._how()
        target = self.folder.free(self.clip, how.factor)
        job = self.queue.add(Job(self.clip, target, how))
        with self.queue_column, ui.row().classes("w-full items-center no-wrap"):
            label = ui.label(target.name).classes("grow text-caption")
            cancel = ui.button(icon="close", on_click=job.cancel).props("flat dense")
            fetch = ui.button(icon="download", on_click=lambda: ui.download.file(job.target))
            fetch.props("flat dense").classes("mm-download")
        self._rows.append((job, label, cancel, fetch))
        self._show_jobs()

    def _show_jobs(self) -> None:
        for job, label, cancel, fetch in self._rows:
            left = job.seconds_left
            says = job.state if job.state != "running" else f"{100 * job.part:.0f} %"
            if left is not None:
                says += f", {left:.0f} s left"
            label.text = f"{job.target.name}: {says}" + (f": {job.says}" if job.says else "")
            cancel.set_visibility(job.state in ("waiting", "running"))
            fetch.set_visibility(job.state == "done")

    async def _busy(self, make: Callable[[], Made]) -> Made | None:
        """Do work in a thread beside the page; an error is shown, and None returned."""
        try:
            return await run.io_bound(make)
        except InputError as error:
            ui.notify(str(error), type="negative", multi_line=True, timeout=10_000)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # The page must live on; a decoder may raise anything.
            ui.notify(f"{type(error).__name__}: {error}", type="negative", multi_line=True, timeout=10_000)
        return None


def _box(begin: tuple[float, float], end: tuple[float, float]) -> Region:
    (x0, x1), (y0, y1) = (sorted((round(one), round(other))) for one, other in zip(begin, end, strict=True))
    return x0, y0, x1 - x0, y1 - y0


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return (
        f'<line x1="{x0:.0f}" y1="{y0:.0f}" x2="{x1:.0f}" y2="{y1:.0f}" stroke="#03a9f4" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _spectrum_chart(found: Any) -> dict[str, Any]:
    """Return the chart of a spectrum: a line, and a point to click at each peak."""
    curve: list[list[float]] = []
    points: list[list[float]] = []
    if found is not None:
        curve = [[float(f), float(a)] for f, a in zip(found.frequencies, found.amplitude, strict=True)]
        points = [
            [peak.frequency, float(np.interp(peak.frequency, found.frequencies, found.amplitude))]
            for peak in found.peaks
            if peak.band is not None
        ]
    return {
        "animation": False,
        "grid": {"left": 60, "right": 20, "top": 20, "bottom": 40},
        "xAxis": {"type": "value", "name": "Hz", "nameLocation": "middle", "nameGap": 25},
        "yAxis": {"type": "value", "name": "px"},
        "series": [
            {"name": "motion", "type": "line", "showSymbol": False, "silent": True, "data": curve},
            {"name": "peaks", "type": "scatter", "symbolSize": 14, "data": points},
        ],
    }


def _wave_chart(found: Any) -> dict[str, Any]:
    """Return the chart of a point's displacement over time, along the direction in which it moves most."""
    curve: list[list[float]] = []
    if found is not None:
        moved = found.waveforms["displacement"][0][:, 2]
        curve = [[number / found.rate_hz, float(value)] for number, value in enumerate(moved)]
    return {
        "animation": False,
        "grid": {"left": 60, "right": 20, "top": 20, "bottom": 40},
        "xAxis": {"type": "value", "name": "s", "nameLocation": "middle", "nameGap": 25},
        "yAxis": {"type": "value", "name": "px"},
        "series": [{"type": "line", "showSymbol": False, "data": curve}],
    }
