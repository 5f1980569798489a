"""Base of the methods without a network: they change each place's signal over time (Eulerian view).

A frame is analysed once into a representation; the motion at a place is a number that is told from two
representations; the frame is then rewritten with ``alpha`` times that motion added. Only those three steps
differ between methods. Here is the rest: the modes, and what waits for the temporal filter.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from mm.methods.codes import from_int16, to_int16
from mm.methods.stream import FrameStream, Mode
from mm.temporal import Band
from mm.temporal.base import Aligned

Parts = tuple[Tensor, ...]


class EulerianMagnifier(FrameStream):
    """Magnifies a stream of frames by adding ``alpha = factor − 1`` times the motion to each frame.

    What motion is measured against depends on the mode:

    - *static*: the clip's first frame.
    - *dynamic*: the previous frame; the output is that frame with ``factor`` times the step to the next.
    - *temporal*: what a band-pass over time selects of the motion against the first frame.

    Between calls it holds less than a batch of frames, one representation in static and dynamic mode, and in
    temporal mode what the filter looks ahead to, whatever the clip's length (``ideal`` excepted);
    :meth:`memory` says how much. See :class:`mm.methods.Magnifier` for the interface.

    Args:
        factor: total gain of the displacement, at least 0; 1 leaves it as it is.
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
        self._device = torch.device("cpu" if device is None else device)
        super().__init__(factor, mode, band, batch)
        self.alpha = self.factor - 1

    @property
    def device(self) -> torch.device:
        """The device of the method."""
        return self._device

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
        """Return the parts that wait for the filter; :meth:`_magnified` gets them back unchanged."""
        return ()

    # --- the stream ---------------------------------------------------------------------------------------

    def _reset(self) -> None:
        super()._reset()
        self._reference: Parts | None = None
        self._waiting: deque[Parts] = deque()

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held between calls; a call needs more beside it, which grows with ``batch``."""
        motion, once, kept = self._values(height, width)
        held = (self.batch - 1) * 3 * height * width * 4 + once
        if self.filter is None:
            return held
        # A batch that waits is freed together.
        waiting = min(frames, self.filter.delay + self.batch)
        return held + self.filter.memory(motion, frames) + waiting * (3 * height * width * 2 + kept)

    def describe(self) -> str:
        """One line for the user."""
        options = "".join(f", {option}" for option in self._options())
        line = f"{self.name}, {self.mode}, factor {self.factor:g}{options}, on {self.device}"
        return line if self.filter is None else f"{line}; {self.filter.describe()}"

    def _options(self) -> Iterable[str]:
        """Return the method's options, in the words of :meth:`describe`."""
        return ()

    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        for some in frames.split(self.batch) if len(frames) else ():
            parts = self._analyse(some)
            if self._reference is None:
                self._reference = tuple(part[:1].clone() for part in parts)
            if self.filter is not None:
                course = self._course(self._motion(parts, self._reference))
                kept = self._kept(parts)
                codes = to_int16(some)
                self._waiting.extend(zip(codes, *kept, strict=True))
                for done in self.filter.push_aligned(course):
                    yield from self._released(done)
                continue
            reference = self._reference
            if self.mode == "dynamic":
                reference = tuple(
                    torch.cat([one, part[:-1]]) for one, part in zip(self._reference, parts, strict=True)
                )
                self._reference = tuple(part[-1:].clone() for part in parts)
            yield self._finish(some, parts, self._motion(parts, reference))

    def _released(self, aligned: Aligned) -> Iterator[Tensor]:
        for motion in aligned.band.split(self.batch):
            waited = [self._waiting.popleft() for _ in motion]
            codes, *kept = (torch.stack(part) for part in zip(*waited, strict=True))
            yield self._finish(from_int16(codes), tuple(kept), motion)

    def _finish(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        if self.alpha:
            frames = self._magnified(frames, parts, motion)
        return frames.clamp(0, 1).to(self._home)
