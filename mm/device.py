"""Choosing where to compute."""

from __future__ import annotations

import torch

from mm.errors import InputError


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
