"""Progress of a clip, as a bar, as lines where nothing can be drawn, or as calls of a function."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

# Seconds between two lines, of the first and as a part of the time so far.
_LINES = 10.0, 0.1

Progressed = Callable[[float, int | None], None]
"""Called with frames that are done, half ones too, and with the clip's frames, None if not known."""


class Counter:
    """Counts the frames of a clip, and shows how far it is where that is wanted.

    A frame is half done when the method has taken it and done when it is written, so that the bar also moves
    while a filter that looks ahead takes frames in.

    Args:
        total: frames of the clip; None if not known.
        name: of the clip.
        show: whether to show a bar, or lines where the output is no terminal; or a function to call, which
            may raise an error to end the work.
    """

    def __init__(self, total: int | None, name: str, show: bool | Progressed) -> None:
        self.frames = 0
        """Frames that are written."""
        self._taken = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[frames]} frames, {task.fields[speed]:.2g} a second"),
            TimeRemainingColumn(),
        )
        console = self._bar.console
        drawn = console.is_terminal or console.is_jupyter
        self._call = show if callable(show) else self._line if show and not drawn else None
        self._bar.disable = self._call is not None or not show
        self._name = name
        self._next_line = _LINES[0]
        self._total = total
        self._begun = time.perf_counter()
        self._task = self._bar.add_task(name, total=None if total is None else 2 * total, frames=0, speed=0.0)

    def __enter__(self) -> Counter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def pushed(self, count: int) -> None:
        """The method has taken so many more frames."""
        self._taken += count
        self._show()

    def written(self, count: int) -> None:
        """So many more frames are written."""
        self.frames += count
        self._show()

    def _show(self) -> None:
        completed = self._taken + self.frames
        if self._call is not None:
            self._call(completed / 2, self._total)
            return
        seconds = max(1e-9, time.perf_counter() - self._begun)
        self._bar.update(self._task, completed=completed, frames=self.frames, speed=completed / 2 / seconds)

    def _line(self, frames: float, total: int | None) -> None:
        seconds = time.perf_counter() - self._begun
        if seconds < self._next_line:
            return
        self._next_line = seconds + max(_LINES[0], _LINES[1] * seconds)
        rate = frames / seconds
        line = f"{self._name}: {frames:.0f} frames, {rate:.2g} a second"
        if total is not None and rate > 0:
            left = max(0.0, total - frames) / rate
            line = f"{self._name}: {frames:.0f} of {total} frames, {rate:.2g} a second, {left:.0f} s left"
        print(line, flush=True)
