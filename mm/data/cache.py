"""Decoded images, in memory that forked workers share."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import warnings
from typing import Any

import numpy as np

from mm.errors import InputError
from mm.runtime import machine_memory

# A bank's row for each of its images: where it begins, counted from 1 (0: not here), and its shape.
_COLUMNS = 4


def half_of_memory() -> int:
    """Return half of the memory in bytes, shared among the machine's ranks; 2 GiB where it is not known."""
    return (machine_memory() or 2**32) // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class ImageCache:
    """Decoded images in memory that the workers of a rank share, until ``limit`` bytes are full.

    An image is decoded by the worker that first draws it, and from then on is there for all of them. Draws
    are uniform, so replacing old images by new ones would gain nothing: it fills up, with a warning, then
    stops. Several banks may share one. A page takes memory once it is written to.

    A forked process shares it; a spawned worker and any other copy start with an empty one.

    Args:
        limit: bytes for images, at least 0.

    Raises:
        InputError: if the system cannot give so much.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = multiprocessing.Lock()
        try:
            # Anonymous and shared: not in /dev/shm, which many containers keep to 64 MiB.
            self._pixels = mmap.mmap(-1, max(1, limit))
        except (OSError, OverflowError, ValueError) as error:
            raise InputError(
                f"cannot reserve {limit / 2**20:.0f} MiB of shared memory for decoded images: {error}; "
                "lower data.cache_mb"
            ) from error
        # Bytes in use, and whether an image found no room.
        self._state = _shared(2)
        self._tables: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave the images behind."""
        return {"limit": self.limit, "counts": [len(table) for table in self._tables]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["limit"])  # type: ignore[misc]
        for count in state["counts"]:
            self.add_bank(count)

    @property
    def used(self) -> int:
        """Bytes that images take, of all banks and workers."""
        return int(self._state[0])

    def add_bank(self, count: int) -> int:
        """Make room for the table of a bank of ``count`` images, before workers start; return its number."""
        self._tables.append(_shared(count * _COLUMNS).reshape(count, _COLUMNS))
        return len(self._tables) - 1

    def get(self, bank: int, position: int) -> np.ndarray | None:
        """Return image ``position`` of a bank, not to be written to, or None."""
        start, *shape = self._tables[bank][position].tolist()
        if not start:
            return None
        image = np.ndarray(tuple(shape), np.uint8, self._pixels, start - 1)
        image.flags.writeable = False
        return image

    def put(self, bank: int, position: int, image: np.ndarray) -> None:
        """Keep ``image``, uint8 (H, W, C), if there is room and no other worker was faster."""
        row = self._tables[bank][position]
        if self._state[1]:
            return
        with self._lock:
            start = self.used
            if row[0]:
                return
            if start + image.nbytes > self.limit:
                self._state[1] = 1
                self._warn()
                return
            self._state[0] = start + image.nbytes
            np.ndarray(image.shape, np.uint8, self._pixels, start)[:] = image
            row[1:] = image.shape
            row[0] = start + 1

    def _warn(self) -> None:
        if self.limit:
            warnings.warn(
                f"decoded images fill data.cache_mb {self.limit / 2**20:.0f}; the others are decoded at "
                "every draw, which takes three times as long: raise it where there is memory",
                stacklevel=3,
            )


def _shared(count: int) -> np.ndarray:
    """Return int64 zeros (count,) that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, 8 * max(1, count)), np.int64)[:count]
