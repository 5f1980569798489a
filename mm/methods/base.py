"""The contract of every magnification method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from torch import Tensor

from mm.errors import InputError
from mm.temporal.uneven import Grid
from mm.video.grid import View


class Magnifier(ABC):
    """A magnification method at work on a stream of frames.

    Push chunks of any length; take the finished frames; flush at the end, which also makes the method ready
    for another clip, or for the rest of this one after a cut. The concatenated outputs have the length and
    timing of the inputs: output t belongs to input t, and the places of the cuts between chunks make no
    difference.

    A method defines :meth:`push` and :meth:`flush`; the rest has defaults. It is entered in
    :data:`mm.registry.methods` under the name that a user types, as a subclass or as a callable that makes
    one. Of the parameters that all methods share (:data:`mm.methods.parameters.SHARED`) it takes by keyword
    those that it has, beside its own options. ``plugins/difference.py`` is a whole one.

    Attributes:
        batch: frames that are worked on at once.
        trained_reach: the largest displacement after magnification, px, that the method was trained on;
            None for a method without training.
        own_filter: whether the method brings a temporal filter, so that a preset's is left out.
    """

    batch: int = 1
    trained_reach: float | None = None
    own_filter: ClassVar[bool] = False
    #: how many of the next frames nobody will look at: a method may return anything for them, and save work
    unneeded: int = 0

    @abstractmethod
    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames; return the finished ones.

        Args:
            frames: (n, 3, H, W), RGB, float in [0, 1], on any device, always of one H and W.

        Returns:
            (m, 3, H, W), float32 in [0, 1], on the device of ``frames``; m may be 0 or differ from n.

        Raises:
            InputError: for frames of another shape, size or range, NaN included.
        """

    @abstractmethod
    def flush(self) -> Tensor:
        """End the clip and return the frames that were waiting, (m, 3, H, W).

        Raises:
            InputError: if the clip was too short for the method.
        """

    def flush_parts(self) -> Iterator[Tensor]:
        """Yield the frames of :meth:`flush` a few at a time, which spares memory; read it to the end.

        Raises:
            InputError: as :meth:`flush`.
        """
        yield self.flush()

    @property
    def min_frames(self) -> int:
        """The shortest clip that the method takes, in frames."""
        return 1

    def memory(self, height: int, width: int, frames: int) -> int:
        """Return the bytes held at most between calls, for a clip of ``frames`` frames of this size in px."""
        return 0

    def working_memory(self, height: int, width: int) -> int:
        """Return the bytes that a batch of this size in px takes while it is worked on; 0 for unknown."""
        return 0

    def describe(self) -> str:
        """Return one line for the user: the method and its parameters."""
        return type(self).__name__

    def see_through(self, view: View) -> None:  # noqa: B027
        """Take parameters in px of a clip to those of the frames that will be pushed.

        Args:
            view: the way from the clip's frames to those.

        Raises:
            InputError: for a parameter that does not fit into them.
        """

    def keep_time(self, grid: Grid) -> None:
        """Filter over time on a grid, of a clip whose frames are uneven in time.

        Args:
            grid: knows each frame's place when the frame is pushed. The band's rate is the grid's.

        Raises:
            InputError: by a method that counts frames, as this one does.
        """
        raise InputError(
            f"the method {type(self).__name__} filters over time by counting frames, and the clip's are "
            f"uneven: {grid.describe()}; take --method phase, --mode static, or make the rate even, for "
            "example with `ffmpeg -i IN -vf fps=30 OUT`"
        )

    def watch(self, look: Callable[[Tensor], object]) -> None:  # noqa: B027
        """Have ``look`` called with all frames (n, 3, h, w) whose motion is multiplied, before it is.

        It is used where ``trained_reach`` is a number: such a method calls ``look``.
        """
