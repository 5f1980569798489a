"""Base of the temporal filters: take chunks, check them, give band-passed frames in step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mm.errors import InputError
from mm.temporal.band import Band


class Aligned(NamedTuple):
    """Consecutive frames and what the filter makes of the same frames, both (n, ...)."""

    input: Tensor
    band: Tensor


class TemporalFilter(ABC):
    """A band-pass filter along the first dimension of a stream of tensors.

    Push chunks of any length, shape (n, ...) with the trailing shape always the same; take what comes out;
    flush at the end. The concatenated outputs have the length and timing of the inputs: output t is for input
    t, and the result is the same, bit for bit, however the clip is cut into chunks. ``flush`` also makes the
    filter ready for another clip.

    Everything is computed on differences from the clip's first frame. A band-pass does not see a constant,
    so this changes nothing in exact arithmetic, but it starts the filter in the first frame's steady state (a
    static clip gives zeros from its first frame on, no burst), and float32 and even half precision lose
    nothing where nothing moves.

    Args:
        band: the band, checked.
        storage: dtype in which waiting frames are kept, as differences from the first frame. None keeps the
            dtype of computation: float64 for float64 input, otherwise float32. ``torch.float16`` halves the
            memory and rounds a frame's *difference from the first* by 1 part in 4096 at most.
    """

    #: frames by which output is later than input
    delay: int

    def __init__(self, band: Band, storage: torch.dtype | None = None) -> None:
        if storage is not None and not storage.is_floating_point:
            raise InputError(f"frames wait in a floating point dtype, got {storage}")
        self.band = band
        self.storage = storage
        self._reset()

    @property
    def min_frames(self) -> int:
        """The shortest clip, in frames, from which the band can be told; ``flush`` refuses shorter ones.

        A causal filter has long given its output by then, and more frames would not change it: it takes any.
        """
        return 1 if self.band.filter.endswith("-causal") else self.band.min_frames

    def check_length(self, frames: int) -> None:
        """Refuse a clip of fewer frames than :attr:`min_frames`.

        Raises:
            InputError: with the clip's length and what would fit.
        """
        self.band.check_length(frames, self.min_frames)

    @abstractmethod
    def gain(self, frequency: float) -> complex:
        """The complex gain at ``frequency`` in Hz, far from the clip's ends; real where the phase is zero."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the user: band, phase, delay."""

    @abstractmethod
    def memory(self, values: int, frames: int) -> int:
        """Bytes held at most between calls, for a clip of ``frames`` frames of ``values`` float32 numbers."""

    @abstractmethod
    def _take(self, row: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Take a frame's difference, flat, in the storage dtype; give (differences, band) of finished frames.

        Both are (n, values); the differences are the caller's to write to, in the dtype of computation.
        """

    @abstractmethod
    def _finish(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Give what is left at the end of the clip, in the form of ``_take``."""

    def _reset(self) -> None:
        """Forget the clip."""
        self._first: Tensor | None = None
        self._shape: torch.Size | None = None
        self._pushed = 0

    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames (n, ...); return the finished band-passed frames (m, ...), m may be 0.

        Raises:
            InputError: if a frame holds NaN or infinity, or the trailing shape changes.
        """
        return self._join(self.push_aligned(frames), frames)

    def flush(self) -> Tensor:
        """End the clip and return its remaining band-passed frames (m, ...).

        Raises:
            InputError: if the clip was shorter than :attr:`min_frames`, unless it had no frames, which gives
                an empty tensor.
        """
        first = self._first
        like = torch.empty(0) if first is None else first.reshape(1, *(self._shape or ()))
        return self._join(self.flush_aligned(), like)

    def filter_all(self, frames: Tensor) -> Tensor:
        """Band-pass a whole clip (T, ...) → (T, ...).

        Raises:
            InputError: as ``push`` and ``flush``.
        """
        self._reset()
        return torch.cat([self.push(frames), self.flush()])

    def push_aligned(self, frames: Tensor) -> Iterator[Aligned]:
        """As ``push``, but in blocks that also hold the input frames that the output is for.

        The filter keeps the frames that wait for their output anyway, so a caller that needs both takes them
        from here rather than keep a second copy. Nothing happens until the iterator is read; read it to its
        end.
        """
        with torch.no_grad():
            for frame in frames:
                for differences, band in self._take(self._difference(frame)):
                    yield self._dress(differences, band)

    def flush_aligned(self) -> Iterator[Aligned]:
        """As ``flush``, in blocks, see :meth:`push_aligned`."""
        pushed = self._pushed
        try:
            if pushed:
                self.check_length(pushed)
                with torch.no_grad():
                    for differences, band in self._finish():
                        yield self._dress(differences, band)
        finally:
            self._reset()

    def _difference(self, frame: Tensor) -> Tensor:
        if self._shape is not None and frame.shape != self._shape:
            raise InputError(
                f"frame {self._pushed} has shape {tuple(frame.shape)}, those before it {tuple(self._shape)}; "
                "a clip's frames must be of one size"
            )
        # A sum is finite only if every term is; isfinite() would make a whole mask.
        total = frame.sum(dtype=torch.float64 if frame.device.type == "cpu" else torch.float32)
        if not torch.isfinite(total):
            raise InputError(
                f"frame {self._pushed} holds NaN or infinite values; nothing can be filtered from it"
            )
        compute = torch.float64 if frame.dtype == torch.float64 else torch.float32
        flat = frame.detach().reshape(-1).to(compute)
        if self._first is None:
            self._first, self._shape = flat.clone(), frame.shape
        difference = flat - self._first
        self._pushed += 1
        if self.storage is not None:
            limit = torch.finfo(self.storage).max
            difference = difference.clamp_(-limit, limit).to(self.storage)
        return difference

    def _dress(self, differences: Tensor, band: Tensor) -> Aligned:
        assert self._first is not None
        assert self._shape is not None
        shape = (-1, *self._shape)
        return Aligned(
            differences.add_(self._first).reshape(shape), band.to(self._first.dtype).reshape(shape)
        )

    @staticmethod
    def _join(blocks: Iterable[Aligned], like: Tensor) -> Tensor:
        bands = [block.band for block in blocks]
        return torch.cat(bands) if bands else like.new_empty((0, *like.shape[1:]))


def tiles(values: int, rows: int, device: torch.device) -> Iterator[slice]:
    """Cut ``values`` columns into slices, so that a matrix of ``rows`` rows stays small (2 MiB on a CPU)."""
    # Larger blocks leave the cache, and fresh pages for each cost more than the arithmetic.
    numbers = 2**19 if device.type == "cpu" else 2**26
    width = max(1024, numbers // max(1, rows))
    for start in range(0, values, width):
        yield slice(start, min(values, start + width))
