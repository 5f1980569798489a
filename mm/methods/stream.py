"""Streams of frames for every method: batches, waiting frames, and the end of the clip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.base import Magnifier
from mm.networks.base import MIN_SIDE, check_factor, check_frames
from mm.temporal import Band, TemporalFilter, from_band
from mm.temporal.base import Aligned
from mm.temporal.uneven import Grid, UnevenFilter

Mode = Literal["static", "dynamic", "temporal"]


class FrameStream(Magnifier):
    """A stream of frames, cut into batches from the clip's beginning, with a filter over time if asked.

    Frames that do not fill a batch wait for the next push, or for ``flush``, so that the result is the same
    to the last bit however the clip is pushed. See :class:`mm.methods.Magnifier` for the interface.

    Args:
        factor: total gain of the displacement, at least 0; 1 leaves it as it is.
        mode: "static", "dynamic" or "temporal".
        band: the frequencies to magnify; needed in temporal mode, refused in the others.
        batch: frames worked on at once.

    Raises:
        InputError: for a factor that is negative or no finite number, an unknown mode, a batch below 1, or a
            band missing or out of place.
    """

    #: how representations wait for the filter, as differences from the first frame's. Half precision keeps
    #: what stands still exactly and what moves to 1 part in 4096: right for numbers that are bounded.
    #: None, which is float32, is for those that grow with the clip, such as a phase unwrapped in time:
    #: from 512 rad on half precision knows them to 0.5 rad only.
    storage: ClassVar[torch.dtype | None] = torch.float16
    #: the smallest frame, px
    min_side: int = MIN_SIDE

    def __init__(self, factor: float, mode: Mode, band: Band | None, batch: int) -> None:
        check_factor(factor, 1)
        if mode not in get_args(Mode):
            raise InputError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        if batch < 1:
            raise InputError(f"batch must be at least 1 frame, got {batch}")
        if mode == "temporal" and band is None:
            raise InputError(
                "temporal mode needs a band of frequencies to magnify; give --low, --high and --fps"
            )
        if mode != "temporal" and band is not None:
            raise InputError(
                f"{mode} mode magnifies all frequencies, but a band of {band.low:g} Hz to {band.high:g} Hz "
                "was given; choose temporal mode, or leave the band out"
            )
        self.factor = float(factor)
        self.mode = mode
        self.band = band
        self.batch = batch
        self.filter: TemporalFilter | None = None if band is None else from_band(band, self.storage)
        self._look: Callable[[Tensor], object] | None = None
        self._reset()

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of the method."""

    @abstractmethod
    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        """Take frames (n, 3, H, W), whole batches but for a clip's last; give what is finished."""

    @abstractmethod
    def _released(self, aligned: Aligned) -> Iterator[Tensor]:
        """Finish the frames whose band the filter now knows."""

    @property
    def min_frames(self) -> int:
        """The shortest clip that the filter takes, in frames."""
        return 1 if self.filter is None else self.filter.min_frames

    def keep_time(self, grid: Grid) -> None:
        """Filter on a grid; see :class:`mm.methods.Magnifier`."""
        if self.filter is not None:
            self.filter = UnevenFilter(self.filter, grid)

    def watch(self, look: Callable[[Tensor], object]) -> None:
        """Have ``look`` called with all frames that are pushed."""
        self._look = look

    def _check(self, frames: Tensor) -> None:
        """Raise InputError for frames that cannot be taken."""
        check_frames(frames, "frames", self.min_side)

    def _prepare(self, height: int, width: int) -> None:
        """Make ready for frames of this size, before a clip's first; nothing by default."""

    def _reset(self) -> None:
        """Forget the clip."""
        self._size: tuple[int, int] | None = None
        self._home = torch.device("cpu")
        self._unfilled: Tensor | None = None

    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames (n, 3, H, W) in [0, 1]; return finished ones (m, 3, H, W) in [0, 1].

        Raises:
            InputError: for frames that are not as said (NaN, under 8 px, another size than before), or are
                too small for the method's options.
        """
        if frames.ndim != 4:
            raise InputError(f"frames must be of shape (n, 3, H, W), got {tuple(frames.shape)}")
        self._check(frames)
        size = (frames.shape[-2], frames.shape[-1])
        if self._size is None:
            self._prepare(*size)
        elif size != self._size:
            raise InputError(
                f"the frame size changes from {self._size[1]}×{self._size[0]} to {size[1]}×{size[0]} px "
                "within the clip; cut the clip there"
            )
        self._size, self._home = size, frames.device
        if self._look is not None:
            self._look(frames)
        frames = frames.to(self.device, torch.float32)
        if self._unfilled is not None:
            frames = torch.cat([self._unfilled, frames])
        whole = len(frames) - len(frames) % self.batch
        # A copy, so as not to hold the caller's whole chunk.
        self._unfilled = frames[whole:].clone() if whole < len(frames) else None
        return self._join(self._work(frames[:whole]))

    def flush(self) -> Tensor:
        """End the clip and return the frames (m, 3, H, W) that were waiting.

        Raises:
            InputError: in temporal mode, for a clip shorter than the filter needs.
        """
        none = self._join(())  # While the size is still known.
        done = list(self.flush_parts())
        return torch.cat(done) if done else none

    def flush_parts(self) -> Iterator[Tensor]:
        """As :meth:`flush`, a batch at a time, so that not all frames are in memory at once; read to the end.

        Raises:
            InputError: as :meth:`flush`.
        """
        rest = self._rest()
        try:
            while True:
                # Not around the yield: the caller's own code must keep its gradients.
                with torch.no_grad():
                    part = next(rest, None)
                if part is None:
                    return
                yield part
        finally:
            self._reset()

    def _rest(self) -> Iterator[Tensor]:
        if self._unfilled is not None:
            yield from self._work(self._unfilled)
        if self.filter is not None:
            for aligned in self.filter.flush_aligned():
                yield from self._released(aligned)

    def _join(self, parts: Iterable[Tensor]) -> Tensor:
        # Not inference_mode: its tensors may not be written to outside it, which is a trap for the caller.
        with torch.no_grad():
            done = list(parts)
        if done:
            return torch.cat(done)
        return torch.empty(0, 3, *(self._size or (0, 0)), device=self._home)
