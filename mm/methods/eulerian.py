"""What the methods without a network share: they change each place's signal over time (Eulerian view).

A frame is analysed once into a representation; the motion at a place is a number that is told from two
representations; the frame is then rewritten with ``alpha`` times that motion added. Only those three steps
differ between methods. Here is the rest: the modes, the batches, what waits for the temporal filter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from typing import get_args

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.learned import Mode
from mm.networks.magnification import MIN_SIDE, check_factor, check_frames
from mm.temporal import Band, TemporalFilter, from_band

Parts = tuple[Tensor, ...]

# Frames wait as 16-bit codes: half the memory of float32, and no frame of up to 14 bits is changed.
_TOP = 2**15 - 1


class EulerianMagnifier(ABC):
    """Magnifies a stream of frames by adding ``alpha = factor − 1`` times the motion to each frame.

    What motion is measured against depends on the mode:

    - *static*: the clip's first frame.
    - *dynamic*: the previous frame; the output is that frame with ``factor`` times the step to the next.
    - *temporal*: what a band-pass over time selects of the motion against the first frame.

    Between calls it holds less than a batch of frames, one representation in static and dynamic mode, and in
    temporal mode what the filter looks ahead to, whatever the clip's length (``ideal`` excepted);
    :meth:`memory` says how much. See :class:`mm.methods.Magnifier` for the interface.

    Args:
        factor: total gain of the displacement, at least 0; 1 changes nothing.
        mode: "static", "dynamic" or "temporal".
        band: the frequencies to magnify; needed in temporal mode, refused in the others.
        batch: frames worked on at once. A clip is cut into batches from its beginning: frames that do not
            fill one wait for the next push, or for ``flush``, and the result is the same to the last bit
            however the clip is pushed.
        device: where to work; None: the CPU.

    Raises:
        InputError: for a factor that is negative or no finite number, an unknown mode, a batch below 1, or a
            band missing or out of place.
    """

    #: what users call it
    name: str

    def __init__(
        self, factor: float, mode: Mode, band: Band | None, batch: int, device: str | torch.device | None
    ) -> None:
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
        self.alpha = self.factor - 1
        self.mode = mode
        self.band = band
        self.batch = batch
        self.device = torch.device("cpu" if device is None else device)
        # Motion waits in half precision: what stands still exactly, what moves to 1 part in 4096.
        self.filter: TemporalFilter | None = None if band is None else from_band(band, torch.float16)
        self._reset()

    # --- what a method is ---------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self, height: int, width: int) -> None:
        """Make ready for frames of this size. Raises InputError if they are too small for the options."""

    @abstractmethod
    def _analyse(self, frames: Tensor) -> Parts:
        """Represent frames (n, 3, H, W), each by itself, as tensors (n, ...)."""

    @abstractmethod
    def _motion(self, parts: Parts, reference: Parts) -> Tensor:
        """The motion (n, ...) real, from ``reference`` (n or 1, ...) to ``parts`` (n, ...)."""

    @abstractmethod
    def _magnified(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        """Frames (n, 3, H, W) with ``alpha × motion`` added, not clamped. ``parts`` are as :meth:`_kept`."""

    @abstractmethod
    def _values(self, height: int, width: int) -> tuple[int, int, int]:
        """For this size: numbers of a frame's motion, bytes held once, bytes kept for each waiting frame."""

    def _course(self, motion: Tensor) -> Tensor:
        """The motion of consecutive frames against the first, made a continuous course in time."""
        return motion

    def _kept(self, parts: Parts) -> Parts:
        """What of the representation waits for the filter; it comes back to :meth:`_magnified` as it is."""
        return ()

    # --- the stream ---------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._size: tuple[int, int] | None = None
        self._home = torch.device("cpu")
        self._unfilled: Tensor | None = None
        self._reference: Parts | None = None
        self._waiting: deque[Parts] = deque()

    def push(self, frames: Tensor) -> Tensor:
        """Take the next frames (n, 3, H, W) in [0, 1]; return finished ones (m, 3, H, W) in [0, 1].

        Raises:
            InputError: for frames that are not as said (NaN, under 8 px, another size than before), or are
                too small for the method's options.
        """
        if frames.ndim != 4:
            raise InputError(f"frames must be of shape (n, 3, H, W), got {tuple(frames.shape)}")
        _check(frames)
        size = (frames.shape[-2], frames.shape[-1])
        if self._size is None:
            self._prepare(*size)
        elif size != self._size:
            raise InputError(
                f"the frame size changes from {self._size[1]}×{self._size[0]} to {size[1]}×{size[0]} px "
                "within the clip; cut the clip there"
            )
        self._size, self._home = size, frames.device
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

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held between calls; a call needs more beside it, which grows with ``batch``."""
        motion, once, kept = self._values(height, width)
        held = (self.batch - 1) * 3 * height * width * 4 + once
        if self.filter is None:
            return held
        waiting = min(frames, self.filter.delay + 1)
        return held + self.filter.memory(motion, frames) + waiting * (3 * height * width * 2 + kept)

    def describe(self) -> str:
        """One line for the user."""
        options = "".join(f", {option}" for option in self._options())
        line = f"{self.name}, {self.mode}, factor {self.factor:g}{options}, on {self.device}"
        return line if self.filter is None else f"{line}; {self.filter.describe()}"

    def _options(self) -> Iterable[str]:
        """What :meth:`describe` says of the method's own options."""
        return ()

    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        for some in frames.split(self.batch) if len(frames) else ():
            parts = self._analyse(some)
            if self._reference is None:
                self._reference = tuple(part[:1].clone() for part in parts)
            if self.filter is not None:
                course = self._course(self._motion(parts, self._reference))
                kept = self._kept(parts)
                codes = some.mul(_TOP).round_().to(torch.int16)
                self._waiting.extend(zip(codes, *kept, strict=True))
                for done in self.filter.push_aligned(course):
                    yield from self._temporal(done.band)
                continue
            reference = self._reference
            if self.mode == "dynamic":
                reference = tuple(
                    torch.cat([one, part[:-1]]) for one, part in zip(self._reference, parts, strict=True)
                )
                self._reference = tuple(part[-1:].clone() for part in parts)
            yield self._finish(some, parts, self._motion(parts, reference))

    def _temporal(self, band: Tensor) -> Iterator[Tensor]:
        for motion in band.split(self.batch):
            waited = [self._waiting.popleft() for _ in motion]
            codes, *kept = (torch.stack(part) for part in zip(*waited, strict=True))
            yield self._finish(codes.float().div_(_TOP), tuple(kept), motion)

    def _finish(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        if self.alpha:
            frames = self._magnified(frames, parts, motion)
        return frames.clamp(0, 1).to(self._home)

    def _rest(self) -> Iterator[Tensor]:
        if self._unfilled is not None:
            yield from self._work(self._unfilled)
        if self.filter is not None:
            for done in self.filter.flush_aligned():
                yield from self._temporal(done.band)

    def _join(self, parts: Iterable[Tensor]) -> Tensor:
        # Not inference_mode: its tensors may not be written to outside it, which is a trap for the caller.
        with torch.no_grad():
            done = list(parts)
        if done:
            return torch.cat(done)
        return torch.empty(0, 3, *(self._size or (0, 0)), device=self._home)


def _check(frames: Tensor) -> None:
    """As :func:`check_frames`, whose passes over every frame are made only where this one finds a fault."""
    if frames.is_floating_point() and frames.numel():
        # NaN comes through a minimum, and no comparison with it holds.
        low, high = (float(value) for value in frames.aminmax())
        if frames.shape[1] == 3 and min(frames.shape[-2:]) >= MIN_SIDE and low >= 0 and high <= 1:
            return
    check_frames(frames, "frames")
