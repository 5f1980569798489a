"""Magnification of frames in memory: whole clips as arrays or tensors, and streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.memory import fitting_batch
from mm.magnify.presets import settle
from mm.methods.parameters import make
from mm.networks.base import check_factor
from mm.runtime import choose_device
from mm.video.grid import View

Frames = TypeVar("Frames", np.ndarray, Tensor)


class Stream:
    """A method at work on a stream of frames in memory.

    Push frames as they come and take the finished ones; ``flush`` ends the stream and makes ready for
    another. Output t belongs to input t, and the result is the same however the frames are cut into pushes.

    Frames are R'G'B', (n, H, W, 3) or (n, 3, H, W), or one frame without the first axis; sides are at least
    8 px, so the axis of 3 is unmistakable. They are NumPy arrays or tensors on any device, of uint8 (0 to
    255), or floating point in [0, 1]. What comes out is of the same kind, order of axes, type and device.

    Args:
        rate: frames per second of capture, which frequencies refer to; needed for a band.
        batch: frames that are worked on at once. 1 has the least delay; on a GPU more are faster.
        factor, mode, method, low, high, filter, order, taps, options, preset, weights, device, precision:
            see :func:`mm.magnify.clip.magnify`.

    Raises:
        InputError: for anything that cannot be used, such as a band without a rate.
    """

    def __init__(
        self,
        rate: float | None = None,
        *,
        factor: float | None = None,
        mode: str | None = None,
        method: str | None = None,
        low: float | None = None,
        high: float | None = None,
        filter: str | None = None,
        order: int | None = None,
        taps: int | None = None,
        options: Mapping[str, Any] | None = None,
        preset: str | None = None,
        weights: str | Path | torch.nn.Module | None = None,
        device: str = "auto",
        precision: str = "32",
        batch: int = 1,
    ) -> None:
        settings = settle(
            preset,
            method=method,
            mode=mode,
            factor=factor,
            low=low,
            high=high,
            filter=filter,
            order=order,
            taps=taps,
            options=options,
        )
        check_factor(settings.factor, 1)
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(f"rate must be a number above 0 frames a second, got {rate:g}")
        if rate is None and (settings.low, settings.high) != (None, None):
            raise InputError("a band of frequencies needs the frames' rate; give rate, frames per second")
        self.settings = settings if rate is None else settings.at(rate, "the stream")
        shared = {"factor": settings.factor, "mode": settings.mode, "batch": batch, "precision": precision}
        shared |= {"band": self.settings.band(rate or 1.0), "network": weights}
        shared |= {"device": choose_device(device)}
        self.magnifier = make(settings.method, shared, settings.options)
        self._shown: tuple[int, int] | None = None
        self._give: Callable[[Tensor], Any] = lambda frames: frames

    @property
    def min_frames(self) -> int:
        """The shortest stream that the method takes, in frames."""
        return self.magnifier.min_frames

    @overload
    def push(self, frames: np.ndarray) -> np.ndarray: ...
    @overload
    def push(self, frames: Tensor) -> Tensor: ...
    def push(self, frames: np.ndarray | Tensor) -> np.ndarray | Tensor:
        """Take the next frames; return those that are finished, (m, …) also where one frame was pushed.

        Raises:
            InputError: for frames of another shape, type, range or size.
        """
        taken, self._give = _taken(frames)
        size = (taken.shape[-2], taken.shape[-1])
        if self._shown is None:
            self.magnifier.see_through(View(size, size, None))
            self._shown = size
        given: np.ndarray | Tensor = self._give(self.magnifier.push(taken))
        return given

    def flush(self) -> Any:
        """End the stream and return the frames that were waiting, as those that were pushed last.

        Raises:
            InputError: for a stream that is shorter than the method takes.
        """
        self._shown = None
        return self._give(self.magnifier.flush())

    def through(self, frames: Iterable[Frames]) -> Iterator[Frames]:
        """Yield the finished frames of an iterable: frame by frame if it has frames, else chunk by chunk.

        Raises:
            InputError: as :meth:`push` and :meth:`flush`, while iterating.
        """
        single = False
        for some in frames:
            single = getattr(some, "ndim", 0) == 3
            yield from _parts(self.push(some), single)
        if self._shown is not None:
            for part in self.magnifier.flush_parts():
                yield from _parts(self._give(part), single)
            self._shown = None


@overload
def magnify_frames(frames: np.ndarray, rate: float | None = None, **how: Any) -> np.ndarray: ...
@overload
def magnify_frames(frames: Tensor, rate: float | None = None, **how: Any) -> Tensor: ...
@overload
def magnify_frames(frames: Iterable[Frames], rate: float | None = None, **how: Any) -> Iterator[Frames]: ...
def magnify_frames(frames: Any, rate: float | None = None, **how: Any) -> Any:
    """Magnify the motion in frames in memory.

    The result is that of ``mm magnify --ignore-cuts`` on a clip of these frames.

    Args:
        frames: (T, H, W, 3) or (T, 3, H, W), an array or a tensor, uint8 or floating point in [0, 1]; or an
            iterable of such chunks, or of frames. See :class:`Stream`.
        rate: frames per second of capture; needed for a band.
        how: factor, mode, method, low, high, filter, order, taps, options, preset, weights, device,
            precision, batch; see :func:`mm.magnify.clip.magnify`.

    Returns:
        the same shape and type; of an iterable an iterator, which holds a constant number of frames.

    Raises:
        InputError: for anything that cannot be used; of an iterable's frames while iterating.
    """
    if not isinstance(frames, np.ndarray | Tensor):
        if isinstance(frames, str | bytes | Path) or not isinstance(frames, Iterable):
            raise InputError(
                f"frames must be an array, a tensor or an iterable of them, got {type(frames).__name__}; "
                "mm.magnify takes files"
            )
        return Stream(rate, **how).through(frames)
    if frames.ndim != 4 or not len(frames):
        raise InputError(
            f"frames must be of shape (T, H, W, 3) or (T, 3, H, W), got {tuple(frames.shape)}; "
            "stack single frames first"
        )
    last = frames.shape[-1] == 3
    size = (frames.shape[1], frames.shape[2]) if last else (frames.shape[2], frames.shape[3])
    how.setdefault("batch", fitting_batch(size, choose_device(how.get("device", "auto"))))
    stream = Stream(rate, **how)
    stream.settings.check_length(len(frames), stream.min_frames, rate or 1.0, "the frames")
    step = how["batch"]
    parts: list[Any] = [frames[at : at + step] for at in range(0, len(frames), step)]
    done: list[Any] = list(stream.through(parts))
    return np.concatenate(done) if isinstance(frames, np.ndarray) else torch.cat(done)


def _parts(frames: Any, single: bool) -> Iterator[Any]:
    if single:
        yield from frames
    elif len(frames):
        yield frames


def _taken(frames: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Return frames as a method takes them, (n, 3, H, W) float, and the way back to what was given.

    Raises:
        InputError: for another type or shape.
    """
    if not isinstance(frames, np.ndarray | Tensor):
        raise InputError(f"frames must be arrays or tensors, got {type(frames).__name__}")
    array = isinstance(frames, np.ndarray)
    # A copy where an array cannot be written to or runs backwards, which torch does not take.
    found = frames if isinstance(frames, Tensor) else torch.from_numpy(np.require(frames, None, ["C", "W"]))
    if found.ndim not in (3, 4) or 3 not in (found.shape[-1], found.shape[-3]):
        raise InputError(
            f"frames must be of shape (n, H, W, 3) or (n, 3, H, W), or one frame, got {tuple(found.shape)}"
        )
    kind, last = found.dtype, found.shape[-1] == 3
    if kind != torch.uint8 and not found.is_floating_point():
        raise InputError(f"frames must be uint8 or floating point in [0, 1], got {kind}; convert them")
    found = found if found.ndim == 4 else found[None]
    found = found.permute(0, 3, 1, 2) if last else found

    def back(done: Tensor) -> Any:
        done = done.clamp(0, 1)
        done = done.mul(255).round_().to(kind) if kind == torch.uint8 else done.to(kind)
        done = done.permute(0, 2, 3, 1) if last else done
        return done.contiguous().cpu().numpy() if array else done.contiguous()

    found = found.float().div(255) if kind == torch.uint8 else found.float()
    return found.contiguous(), back
