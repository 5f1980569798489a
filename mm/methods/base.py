"""The interface of every magnification method."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from mm.video.grid import Region


@runtime_checkable
class Magnifier(Protocol):
    """A magnification method at work on a stream of frames.

    Push chunks of any length; take what comes out; flush at the end, which also makes it ready for another
    clip (or for the rest of this one, after a cut). The concatenated outputs have the length and timing of
    the inputs: output t is for input t, and where the chunks were cut makes no difference.

    Methods are entered in :data:`mm.registry.methods` under the name that a user types, as a callable that
    takes ``factor``, ``band`` (a :class:`mm.temporal.Band`), ``device`` and what is its own by keyword.
    """

    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames; return those that are finished.

        Args:
            frames: (n, 3, H, W), RGB, float in [0, 1], on any device, always of one H and W.

        Returns:
            (m, 3, H, W), float32 in [0, 1], on the device of ``frames``; m may be 0 or differ from n.

        Raises:
            InputError: for frames of another shape, size or range, NaN included.
        """
        ...

    def flush(self) -> Tensor:
        """End the clip and return the frames that were waiting, (m, 3, H, W).

        A method with many of them may also have ``flush_parts()``, which iterates over the same frames a few
        at a time; a clip is then written without all of them in memory at once.

        Raises:
            InputError: if the clip was too short for the method.
        """
        ...

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held at most between calls, for a clip of ``frames`` frames of this size in px."""
        ...

    def describe(self) -> str:
        """One line for the user: the method and its parameters."""
        ...


class View(Protocol):
    """The way from a clip's frames to those that a method is given: resized, and cut to a region."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) after resizing, px."""
        ...

    @property
    def region(self) -> Region | None:
        """(x, y, width, height) that is cut out of the resized frame; None: all of it."""
        ...

    def resize(self, frames: Tensor) -> Tensor:
        """Input frames (n, C, H, W) → the size to work in."""
        ...

    def cut(self, frames: Tensor) -> Tensor:
        """Resized frames → what the method sees."""
        ...

    def seen(self, point: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """Where the method sees a point (x, y) px of a clip whose frames have ``size`` (height, width)."""
        ...


@runtime_checkable
class SeesThrough(Protocol):
    """A method with parameters in px of the clip, though it is given frames that a view makes of them."""

    def see_through(self, view: View, size: tuple[int, int]) -> None:
        """Be told how the frames that are pushed are made of those of a clip.

        Args:
            view: what makes them.
            size: (height, width) of the clip's frames, px.

        Raises:
            InputError: for a parameter that does not fit into them.
        """
        ...
