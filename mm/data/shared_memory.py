"""Bytes that a process and the workers that it starts see alike."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]


class SharedBytes:
    """Bytes, zero at first, shared with every process that is forked or spawned with a reference to them.

    They lie in a file without a name, which is memory where the system has such files (Linux) and a temporary
    file elsewhere; not in ``/dev/shm``, which many containers keep to 64 MiB and where a write too many is a
    bus error. A page takes memory once it is written to. Where processes cannot inherit files (Windows), each
    has bytes of its own.

    Args:
        size: number of bytes, at least 1.

    Raises:
        OSError: if the system does not give them.
        OverflowError: if no system could.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        descriptor = _nameless_file()
        try:
            os.ftruncate(descriptor, size)
            self._map(descriptor)
        except (OSError, OverflowError):
            os.close(descriptor)
            raise

    def _map(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, self.size)
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def __getstate__(self) -> dict[str, Any]:
        """Hand the file to the process that is being started; any other copy has bytes of its own."""
        shared = fcntl is not None and get_spawning_popen() is not None
        return {"size": self.size, "file": reduction.DupFd(self._descriptor) if shared else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["file"] is None:
            self.__init__(state["size"])  # type: ignore[misc]
            return
        self.size = state["size"]
        self._map(state["file"].detach())

    def array(self, shape: tuple[int, ...], kind: type[np.generic] = np.uint8, start: int = 0) -> np.ndarray:
        """Return the array of ``shape`` that begins at byte ``start``; what is written to it, all see."""
        return np.ndarray(shape, kind, self._memory, start)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of their ``locked`` meanwhile; the lock of a killed process is free.

        It does not keep out the threads of the same process.
        """
        if fcntl is None:
            yield
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _nameless_file() -> int:
    """Return the descriptor of an empty file that ends with the last process that has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mm-images")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
