"""A magnification method in thirty lines: the contract of ``mm.methods.Magnifier``, and nothing else."""

from __future__ import annotations

from torch import Tensor

from mm.methods import Magnifier
from mm.registry import methods


@methods.register("difference")
class Difference(Magnifier):
    """Multiplies the change of brightness since the first frame, up to a limit.

    Args:
        factor: total gain of the change, at least 0; 1 leaves it as it is.
        limit: the largest change that is multiplied, in [0, 1].
    """

    def __init__(self, factor: float = 10.0, *, limit: float = 0.1) -> None:
        self.factor, self.limit = factor, limit
        self.first: Tensor | None = None

    def push(self, frames: Tensor) -> Tensor:
        """Return the frames at once; nothing waits."""
        if self.first is None:
            self.first = frames[:1].clone()
        change = (frames - self.first).clamp(-self.limit, self.limit)
        return (frames + (self.factor - 1) * change).clamp(0, 1)

    def flush(self) -> Tensor:
        """Forget the first frame: another clip, or another shot, may follow."""
        rest, self.first = self.first[:0], None
        return rest

    def memory(self, height: int, width: int, frames: int) -> int:
        """Return the bytes of the first frame."""
        return 4 * 3 * height * width

    def describe(self) -> str:
        """Return the line that the user sees."""
        return f"difference, factor {self.factor:g}, changes up to {self.limit:g}"
