"""The machine that computes: its devices, its arithmetic, its memory.

A motion of 0.01 px at column 400 is one part in 40 000, for which float32 has the bits (24) and nothing
shorter: a trainer's mixed precision would round to 8 or 11 bits, TensorFloat-32 products to 11, and "medium"
matrix precision on a CPU to 8. Hence :func:`exact_arithmetic`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from mm.errors import InputError

# Parameters of mallopt(3), from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger than any tensor of a frame; mallopt takes a C int.
_LARGE = 2**30


def new_figure(width: float, height: float, dpi: float = 130) -> Any:
    """Return a matplotlib figure of this size in inches, for a file; text in it is plain, ``$`` too."""
    # Not pyplot, which would look for a display and keep every figure.
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcParams["text.parse_math"] = False
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device called ``name``; "auto" is CUDA where there is any, else the CPU.

    Raises:
        InputError: for a name that is no device, or a CUDA device that is not there.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"no device is called {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(device)!r} is none that mm works on; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(
            f"device {str(device)!r} is not there: torch sees {count} CUDA devices; use cpu or auto"
        )
    return device


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context without mixed precision on ``device``; the "meta" device has no mixed precision."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """A context in which products and convolutions of float32 on ``device`` are done in float32."""
    with ExitStack() as stack:
        stack.enter_context(without_autocast(device))
        stack.enter_context(_exact_products())
        stack.enter_context(_exact_convolutions())
        yield


def bf16_in_software(device: torch.device) -> bool:
    """Return whether ``device`` is known to have no bfloat16 arithmetic, so that torch imitates it.

    A training step then takes about ten times as long as in 32 bits, a frame of ``mm magnify`` thirty times.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or capabilities is None:
        return False
    known = capabilities()
    return known.get("architecture") == "x86_64" and not (known.get("avx512_bf16") or known.get("amx_bf16"))


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next allocation, for the whole process.

    By default glibc returns a block of more than 32 MiB as soon as it is freed, and the system hands it out
    again as pages that must be cleared first. A network on a CPU frees and takes the same large tensors at
    every frame: at 432×192 px, 40 % of the processor time of a magnification went into clearing pages.
    For programs, not for libraries: the command line calls it.

    Returns:
        whether the C library took it (glibc does; others are left as they are).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE)) and bool(mallopt(_TRIM_THRESHOLD, _LARGE))


@contextmanager
def _exact_products() -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Set through the interface that torch 2.9 added; torch then refuses the older one.
        backends: Any = torch.backends
        with _ieee(backends.cuda.matmul), _ieee(backends.mkldnn.matmul):
            yield
        return
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        with _ieee(cudnn.conv):
            yield
        return
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@contextmanager
def _ieee(owner: Any) -> Iterator[None]:
    before = owner.fp32_precision
    owner.fp32_precision = "ieee"
    try:
        yield
    finally:
        owner.fp32_precision = before


def machine_memory(container: Path = Path("/sys/fs/cgroup/memory.max")) -> int | None:
    """Return the bytes of memory of this machine, or of its container if fewer; None if the system hides it.

    Args:
        container: the file of a container's limit (control groups, version 2).
    """
    limits = []
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # Without a limit it is the word "max".
        limits.append(int(container.read_text()))
    return min(limits, default=None)
