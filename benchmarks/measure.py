"""Timing one function in a process of its own: seconds, processor seconds and peak memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Numerical libraries read these once, when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Cost:
    """The cost of a call.

    Attributes:
        seconds: by the clock on the wall.
        processor: seconds that processors spent on it, all threads together; other programs do not count.
        peak: bytes of memory that the process held at most, its libraries and its input included.
        added: bytes of that above the peak before the call.
    """

    seconds: float
    processor: float
    peak: int
    added: int


class Stopwatch:
    """Measures from its making to :meth:`stop`, in this process."""

    def __init__(self) -> None:
        self._before = peak_memory()
        self._processor = time.process_time()
        self._start = time.perf_counter()

    def stop(self) -> Cost:
        """The cost since the stopwatch was made."""
        seconds, processor = time.perf_counter() - self._start, time.process_time() - self._processor
        peak = peak_memory()
        return Cost(seconds, processor, peak, peak - self._before)


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    # On Linux resource.getrusage begins with the peak of the process that started this one.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # Kilobytes, but bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def set_threads(count: int) -> None:
    """Have processes that :func:`alone` starts from now on compute with ``count`` threads."""
    for name in _THREADS:
        os.environ[name] = str(count)


def alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of a module in a fresh process, whose peak memory is its own, and return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(function, *arguments).result()


def example(megabytes: int) -> Cost:
    """The cost of taking and writing so much memory."""
    watch = Stopwatch()
    bytearray(b"1") * (megabytes * 1_000_000)
    return watch.stop()


def size(text: str) -> tuple[int, int]:
    """Width and height from "640x480"."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ValueError(text)
    return int(width), int(height)
