"""mm: learning-based video motion magnification.

``import mm`` is light; what a name needs is imported when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mm._version import __version__
from mm.errors import InputError

if TYPE_CHECKING:
    from mm.magnify.clip import magnify
    from mm.magnify.frames import Stream, magnify_frames
    from mm.motion.measure import measure
    from mm.networks.weights import load

# public name -> the module that holds it; the room of ``magnify`` is called as the function is
_LAZY = {
    "Stream": "mm.magnify.frames",
    "load": "mm.networks.weights",
    "magnify_frames": "mm.magnify.frames",
    "measure": "mm.motion.measure",
}

__all__ = ["InputError", "Stream", "__version__", "load", "magnify", "magnify_frames", "measure"]


def __getattr__(name: str) -> Any:
    if name == "magnify":
        return importlib.import_module("mm.magnify")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
