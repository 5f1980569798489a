"""A kernel run over a stream, in blocks of frames that matrix products make."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mm.temporal.band import Band
from mm.temporal.base import TemporalFilter, tiles
from mm.temporal.design import Kernel


class StreamingFilter(TemporalFilter):
    """A band-pass that holds a constant number of frames: those ahead, and the state of its past.

    Beyond its ends the clip is taken to stand still at its first and its last frame. Frames are finished in
    blocks that lie at fixed places of the clip, so that chunks do not change the arithmetic. A causal kernel
    has blocks of one frame and no delay.

    Args:
        band: the band that the kernel is for.
        kernel: from :mod:`mm.temporal.design`.
        phase: what :meth:`describe` says of its phase.
        storage: see :class:`mm.temporal.TemporalFilter`.
    """

    def __init__(self, band: Band, kernel: Kernel, phase: str, storage: torch.dtype | None = None) -> None:
        self.kernel = kernel
        self.phase = phase
        ahead, past = len(kernel.ahead), len(kernel.past) - 1
        # A block reads every waiting frame once; longer blocks share that among more outputs but wait longer.
        self.block = min(8, 1 + ahead // 4)
        self.delay = ahead + self.block - 1
        self._window = past + self.block + ahead
        self._matrices = _block_matrices(kernel, self.block)
        super().__init__(band, storage)

    def _reset(self) -> None:
        super()._reset()
        self._rows: deque[Tensor] = deque()
        self._state: Tensor | None = None
        self._done = 0

    def gain(self, frequency: float) -> complex:
        """The complex gain at ``frequency`` in Hz."""
        return self.kernel.response(frequency, self.band.fps)

    def describe(self) -> str:
        """One line: band, phase, delay."""
        band = self.band
        seconds = self.delay / band.fps
        return (
            f"{band.filter} {band.low:g}–{band.high:g} Hz at {band.fps:g} frames a second, {self.phase}; "
            f"looks ahead {self.delay} frame{'s' * (self.delay != 1)} ({seconds:.2g} s)"
        )

    def memory(self, values: int, frames: int) -> int:
        """Bytes held between calls; the same for every clip that is longer than the window."""
        rows = min(self._window - 1, len(self.kernel.past) - 1 + frames)
        itemsize = (self.storage or torch.float32).itemsize
        states = self._matrices.advance.shape[0]
        return values * (rows * itemsize + (states + 1) * 4)

    def _take(self, row: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._rows and not self._done:
            self._rows.extend([torch.zeros_like(row)] * (len(self.kernel.past) - 1))
        self._rows.append(row)
        if len(self._rows) == self._window:
            yield self._block()

    def _finish(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._done == self._pushed:
            return
        last = self._rows[-1]
        while self._done < self._pushed:
            while len(self._rows) < self._window:
                self._rows.append(last)
            left = self._pushed - self._done
            differences, band = self._block()
            yield differences[:left], band[:left]

    def _block(self) -> tuple[Tensor, Tensor]:
        """Finish one block from a full window of rows."""
        first = self._first
        assert first is not None
        rows, past = list(self._rows), len(self.kernel.past) - 1
        use = self._matrices.to(first)
        if self._state is None:
            self._state = first.new_zeros(use.advance.shape[0], len(first))
        band = first.new_empty(self.block, len(first))
        with torch.autocast(first.device.type, enabled=False):
            for tile in tiles(len(first), self._window, first.device):
                window = torch.stack([row[tile] for row in rows]).to(first.dtype)
                state = self._state[:, tile]
                band[:, tile] = use.from_window @ window + use.from_state @ state
                self._state[:, tile] = use.advance @ state + use.enter @ window
        differences = torch.stack(rows[past : past + self.block]).to(first.dtype)
        for _ in range(self.block):
            self._rows.popleft()
        self._done += self.block
        return differences, band


class _Matrices:
    """Operators that turn a window of frames and the state into a block of outputs and the next state."""

    def __init__(self, from_window: Tensor, from_state: Tensor, advance: Tensor, enter: Tensor) -> None:
        self.from_window, self.from_state, self.advance, self.enter = from_window, from_state, advance, enter
        self._moved: dict[tuple[torch.device, torch.dtype], _Matrices] = {}

    def to(self, like: Tensor) -> _Matrices:
        """The same on the device and in the dtype of ``like``; kept, as every block asks for it."""
        key = (like.device, like.dtype)
        if key not in self._moved:
            parts = (self.from_window, self.from_state, self.advance, self.enter)
            self._moved[key] = _Matrices(*(part.to(like) for part in parts))
        return self._moved[key]


def _block_matrices(kernel: Kernel, block: int) -> _Matrices:
    """Write ``block`` steps of the kernel's recursion as products.

    Row j of the window is x[t + 1 − P + j] for a block that starts at t, P = len(kernel.past). A complex pole
    is a 2×2 rotation of two real states, a real one a single state.
    """
    past, ahead = len(kernel.past) - 1, len(kernel.ahead)
    step, entry, weight = _real_modes(kernel)
    powers = [np.eye(len(step))]
    for _ in range(block):
        powers.append(step @ powers[-1])
    from_window = np.zeros((block, past + block + ahead))
    taps = np.concatenate([kernel.past[::-1], kernel.ahead])
    for i in range(block):
        from_window[i, i : i + len(taps)] += taps
        for j in range(i):
            from_window[i, j] += weight @ powers[i - 1 - j] @ entry
    enter = np.zeros((len(step), past + block + ahead))
    for j in range(block):
        enter[:, j] = powers[block - 1 - j] @ entry
    from_state = np.stack([weight @ powers[i] for i in range(block)])
    return _Matrices(*(torch.from_numpy(part) for part in (from_window, from_state, powers[block], enter)))


def _real_modes(kernel: Kernel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State-space form (step, entry, weight) of the kernel's exponentials in real numbers."""
    rows: list[tuple[complex, complex]] = list(zip(kernel.poles, kernel.weights, strict=True))
    size = sum(2 if pole.imag else 1 for pole, _ in rows)
    step, entry, weight = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    at = 0
    for pole, scale in rows:
        entry[at], weight[at], step[at, at] = 1, scale.real, pole.real
        if pole.imag:
            step[at : at + 2, at : at + 2] = [[pole.real, -pole.imag], [pole.imag, pole.real]]
            weight[at + 1] = -scale.imag
            at += 1
        at += 1
    return step, entry, weight
