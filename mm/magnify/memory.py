"""What a clip will take of the memory that there is, said before it is taken."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from mm.errors import InputError
from mm.magnify.framing import Framing
from mm.methods.base import Magnifier
from mm.temporal import Band, from_band

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def machine_memory(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int | None:
    """Bytes of memory that this process may have: the machine's, or its container's limit if that is less.

    Args:
        cgroups: where the control groups are mounted, version 2 or 1.
        own: the file that says in which of them this process is.

    Returns:
        None where the system says nothing of it.
    """
    limits = [limit for limit in map(_number, _limit_files(cgroups, own)) if limit is not None]
    names: dict[str, int] = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """The files that limit this process: of its own group, and of all those around it.

    Inside a container the path of the group is often the host's, which is not there: the mount's root is then
    the container's own group.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    files: list[Path] = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part not in ("", "..")]
        files += [root.joinpath(*parts[:depth], name) for depth in range(len(parts) + 1)]
    return files


def _number(file: Path) -> int | None:
    """The limit in a file; None for none ("max"), or a file that is not there."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def check_frame(magnifier: Magnifier, framing: Framing, device: torch.device) -> None:
    """Refuse frames that are too large for what a method works in while it has them.

    Args:
        magnifier: the method; one that has no ``working_memory`` is not looked at.
        framing: the sizes of the clip.
        device: where the method works.

    Raises:
        InputError: if there is not memory enough. Without it the system would end the process, with no word.
    """
    needed, limit = _working_memory(magnifier, framing), _memory_of(device)
    if limit is not None and needed > limit:
        height, width = framing.magnified
        where = "the GPU" if device.type == "cuda" else "this machine"
        batch = getattr(magnifier, "batch", 1)
        raise InputError(
            f"the method works in about {needed / 2**30:.2g} GiB for "
            + (f"{batch} frames" if batch > 1 else "a frame")
            + f" of {width}×{height} px, and {where} has {limit / 2**30:.2g} GiB; use "
            + ("--batch 1, " if batch > 1 else "")
            + "--scale or --roi"
        )


def frame_fits(magnifier: Magnifier, framing: Framing, device: torch.device) -> bool:
    """Whether :func:`check_frame` lets a method through."""
    limit = _memory_of(device)
    return limit is None or _working_memory(magnifier, framing) <= limit


def _working_memory(magnifier: Magnifier, framing: Framing) -> int:
    needs = getattr(magnifier, "working_memory", None)
    return 0 if needs is None else int(needs(*framing.magnified))


def _memory_of(device: torch.device) -> int | None:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else machine_memory()


def check_memory(
    magnifier: Magnifier, framing: Framing, frames: int | None, band: Band, device: torch.device
) -> None:
    """Say what a method that holds the whole clip will take; refuse what the machine does not have.

    Args:
        magnifier: the method, made for ``band`` and ``device``.
        framing: the sizes of the clip.
        frames: of the clip; None if not known.
        band: the frequencies to magnify.
        device: where the method works.

    Raises:
        InputError: if there is not memory enough, on the device or beside it.
    """
    whole = band.filter == "ideal"
    if frames is None:
        if whole:
            warnings.warn(
                "the ideal filter holds the whole clip, whose length is not known before", stacklevel=3
            )
        return
    height, width = framing.magnified
    held, beside = magnifier.memory(height, width, frames), 0
    if whole:
        # These are on the CPU wherever the method works. One that cannot flush in parts gives all frames at
        # once, as float32; what they are put beside waited as 16 bits.
        beside += 0 if hasattr(magnifier, "flush_parts") else 3 * 4 * height * width * frames
        beside += 3 * 2 * framing.size[0] * framing.size[1] * frames if framing.needs_input else 0
    needed = {"this machine": beside}
    if device.type == "cuda":
        needed["the GPU"] = held
        there = {"the GPU": torch.cuda.mem_get_info(device)[1], "this machine": machine_memory()}
    else:
        needed["this machine"] += held
        there = {"this machine": machine_memory()}
    clip = f"{frames} frames of {width}×{height} px"
    # A method may have a filter of its own making.
    used = (getattr(magnifier, "filter", None) or from_band(band)).describe()
    for where, bytes_ in needed.items():
        limit = there[where]
        if limit is not None and bytes_ > limit:
            raise InputError(
                f"the method holds {bytes_ / 2**30:.2g} GiB for {clip}, and {where} has "
                f"{limit / 2**30:.2g} GiB (its filter: {used}); use --scale, --roi, --start and --end"
                + (", or a streaming filter such as --filter butter" if whole else ", or raise --low")
            )
    if whole:
        warnings.warn(
            f"the {band.filter} filter holds {sum(needed.values()) / 2**30:.2g} GiB for {clip}; "
            "--filter butter streams",
            stacklevel=3,
        )
