"""The memory that a clip will take, compared with the machine's before it is taken."""

from __future__ import annotations

import warnings

import torch

from mm.errors import InputError
from mm.magnify.framing import Framing
from mm.methods.base import Magnifier
from mm.runtime import machine_memory
from mm.temporal import Band


def check_frames(frames: int, width: int, height: int, bytes_a_pixel: int) -> None:
    """Refuse a clip that a command would hold whole, if this machine's memory cannot.

    Args:
        frames: of the clip.
        width, height: of a frame, px.
        bytes_a_pixel: that each pixel of each frame takes.

    Raises:
        InputError: with what is needed and what there is.
    """
    memory, needed = machine_memory(), bytes_a_pixel * frames * width * height
    if memory is not None and needed > memory:
        raise InputError(
            f"{frames} frames of {width}×{height} px need about {needed / 2**30:.1f} GiB of memory, and the "
            f"machine has {memory / 2**30:.1f} GiB; lower --frames or --size"
        )


# Pixels that go through a network at once. On a CPU larger batches gain nothing and cost memory.
_BATCH_PIXELS = {"cpu": 2**20, "cuda": 2**23}


def fitting_batch(size: tuple[int, int], device: torch.device) -> int:
    """Return how many frames of (height, width) px a device works on at once."""
    most = _BATCH_PIXELS["cuda" if device.type == "cuda" else "cpu"]
    return max(1, min(16, most // (size[0] * size[1])))


def frame_fits(magnifier: Magnifier, framing: Framing, device: torch.device) -> bool:
    """Return whether ``device`` has the memory that a method works in while it has frames of this size."""
    limit = _memory_of(device)
    return limit is None or magnifier.working_memory(*framing.seen) <= limit


def check_frame(magnifier: Magnifier, framing: Framing, device: torch.device) -> None:
    """Refuse frames that are too large for :func:`frame_fits`.

    Raises:
        InputError: if there is not memory enough. Without it the system would end the process, with no word.
    """
    if frame_fits(magnifier, framing, device):
        return
    needed, limit = magnifier.working_memory(*framing.seen), _memory_of(device)
    assert limit is not None
    height, width = framing.seen
    several = magnifier.batch > 1
    raise InputError(
        f"the method works in about {needed / 2**30:.2g} GiB for "
        f"{f'{magnifier.batch} frames' if several else 'a frame'} of {width}×{height} px, and "
        f"{_named(device)} has {limit / 2**30:.2g} GiB; use {'--batch 1, ' * several}--scale or --roi"
    )


def check_memory(
    magnifier: Magnifier, framing: Framing, frames: int | None, band: Band, device: torch.device
) -> None:
    """Refuse a clip for which a method would hold more than there is; warn of a filter that holds all of it.

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
    height, width = framing.seen
    clip = f"{frames} frames of {width}×{height} px"
    cpu = torch.device("cpu")
    # The frames that the method's are put beside wait on the CPU, as 16 bits.
    needed = {cpu: 3 * 2 * framing.size[0] * framing.size[1] * frames * (whole and framing.needs_input)}
    needed[device] = needed.get(device, 0) + magnifier.memory(height, width, frames)
    for place, bytes_ in needed.items():
        limit = _memory_of(place)
        if limit is not None and bytes_ > limit:
            raise InputError(
                f"the method holds {bytes_ / 2**30:.2g} GiB for {clip}, and {_named(place)} has "
                f"{limit / 2**30:.2g} GiB ({magnifier.describe()}); use --scale, --roi, --start and --end"
                + (", or a streaming filter such as --filter butter" if whole else ", or raise --low")
            )
    if whole:
        warnings.warn(
            f"the {band.filter} filter holds {sum(needed.values()) / 2**30:.2g} GiB for {clip}; "
            "--filter butter streams",
            stacklevel=3,
        )


def _memory_of(device: torch.device) -> int | None:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else machine_memory()


def _named(device: torch.device) -> str:
    return "the GPU" if device.type == "cuda" else "this machine"
