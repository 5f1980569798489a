"""The ideal band-pass: exactly the Fourier components of the band, from the whole clip at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mm.temporal.band import Band, frames_in
from mm.temporal.base import TemporalFilter, tiles

#: frames given out at once at the end
_BLOCK = 16


class IdealFilter(TemporalFilter):
    """Keeps the components between the edges and nothing else (Wu et al. 2012, for colour).

    It must hold the whole clip: ``memory`` says how much before anything is pushed. The clip is mirrored at
    its end, so that a difference between its last and its first frame makes no jump that would ring through
    both. The gain steps from 1 to 0 at the edges; the components are ``fps / (2·frames)`` apart.
    """

    def __init__(self, band: Band, storage: torch.dtype | None = None) -> None:
        self.delay = 0
        super().__init__(band, storage)

    def _reset(self) -> None:
        super()._reset()
        self._rows: list[Tensor] = []

    @property
    def min_frames(self) -> int:
        """One period of the low edge, and frames enough to resolve frequencies as close as the edges."""
        band = self.band
        return max(band.min_frames, frames_in(1 / (band.high - band.low), band.fps))

    def gain(self, frequency: float) -> complex:
        """1 in the band, 0 outside."""
        return complex(self.band.low <= abs(frequency) <= self.band.high)

    def describe(self) -> str:
        """One line: band, phase, delay."""
        band = self.band
        return (
            f"ideal {band.low:g}–{band.high:g} Hz at {band.fps:g} frames a second, zero phase; "
            "holds the whole clip and gives nothing before its end"
        )

    def memory(self, values: int, frames: int) -> int:
        """Bytes held for the whole clip: every frame, and at the end the band of every frame."""
        return values * (2 * frames * (self.storage or torch.float32).itemsize + 4)

    def _take(self, row: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        self._rows.append(row)
        yield from ()

    def _finish(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = self._first
        assert first is not None
        count = len(self._rows)
        frequencies = torch.fft.rfftfreq(2 * count, d=1 / self.band.fps, dtype=torch.float64)
        inside = (frequencies >= self.band.low) & (frequencies <= self.band.high)
        keep = inside.to(first).unsqueeze(1)
        band = self._rows[0].new_empty(count, len(first))
        for tile in tiles(len(first), 8 * count, first.device):
            clip = torch.stack([row[tile] for row in self._rows]).to(first.dtype)
            spectrum = torch.fft.rfft(torch.cat([clip, clip.flip(0)]), dim=0)
            band[:, tile] = torch.fft.irfft(spectrum * keep, n=2 * count, dim=0)[:count].to(band.dtype)
        for start in range(0, count, _BLOCK):
            yield (
                torch.stack(self._rows[start : start + _BLOCK]).to(first.dtype),
                band[start : start + _BLOCK],
            )
