"""The progress bar of a clip: frames, frames a second, time left."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Counter:
    """Counts the frames of a clip, and shows how far it is where a bar is wanted.

    A frame is half done when the method has taken it and done when it is written, so that the bar also moves
    while a filter that looks ahead takes frames in.

    Args:
        total: frames of the clip; None if not known.
        name: of the clip.
        show: whether to show the bar.
    """

    def __init__(self, total: int | None, name: str, show: bool) -> None:
        self.frames = 0
        """Frames that are written."""
        self._taken = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[frames]} frames, {task.fields[speed]:.2g} a second"),
            TimeRemainingColumn(),
            disable=not show,
        )
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
        seconds = max(1e-9, time.perf_counter() - self._begun)
        self._bar.update(self._task, completed=completed, frames=self.frames, speed=completed / 2 / seconds)
