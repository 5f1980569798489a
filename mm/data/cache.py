"""Decoded images, in memory that the workers share."""

from __future__ import annotations

import numpy as np

from mm.data.shared_memory import SharedBytes
from mm.errors import InputError

# Numbers of 64 bits in a row of a bank's table.
_COLUMNS = 4


class ImageCache:
    """Decoded images in memory that all workers of a rank share, until ``limit`` bytes are full.

    An image is decoded by the worker that first draws it, and from then on is there for all of them, so that
    few cores can feed a fast device. Draws are uniform, so throwing old images out for new ones would gain
    nothing: it fills up, then stops. Several banks may share one.

    A process that is forked or spawned with it shares it; any other copy starts empty.

    Args:
        limit: bytes for images, at least 0; they are taken as images come.

    Raises:
        InputError: if the system cannot give so much.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        try:
            self._pixels = SharedBytes(max(1, limit))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"cannot reserve {limit / 2**20:.0f} MiB of shared memory for decoded images: {error}; "
                "lower data.cache_mb"
            ) from error
        # A counter of the bytes in use.
        self._used = SharedBytes(8)
        # A table for each bank, a row for each of its images: where it begins, counted from 1 (0: not here),
        # and its shape.
        self._places: list[SharedBytes] = []

    @property
    def used(self) -> int:
        """Bytes that images take, of all banks and workers."""
        return int(self._used.array((1,), np.int64)[0])

    def add_bank(self, count: int) -> int:
        """Make room for the table of a bank of ``count`` images, before workers start; return its number."""
        self._places.append(SharedBytes(8 * _COLUMNS * count))
        return len(self._places) - 1

    def _table(self, bank: int) -> np.ndarray:
        places = self._places[bank]
        return places.array((places.size // (8 * _COLUMNS), _COLUMNS), np.int64)

    def get(self, bank: int, position: int) -> np.ndarray | None:
        """Return image ``position`` of a bank, not to be written to, or None."""
        start, *shape = self._table(bank)[position].tolist()
        if not start:
            return None
        image = self._pixels.array(tuple(shape), start=start - 1)
        image.flags.writeable = False
        return image

    def put(self, bank: int, position: int, image: np.ndarray) -> None:
        """Keep ``image``, uint8 (H, W, C), if there is room and no other worker was faster."""
        used, row = self._used.array((1,), np.int64), self._table(bank)[position]
        if used[0] + image.nbytes > self.limit:
            return
        with self._pixels.locked():
            start = int(used[0])
            if row[0] or start + image.nbytes > self.limit:
                return
            used[0] = start + image.nbytes
            row[1:] = image.shape
        self._pixels.array(image.shape, start=start)[:] = image
        # Last, and behind a lock, which no processor moves a write across: who sees it, sees the pixels too.
        with self._pixels.locked():
            row[0] = start + 1
