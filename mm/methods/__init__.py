"""Magnification methods, all behind one streaming interface, and the clip that is magnified with one.

Public: :class:`Magnifier` (the interface), :class:`LearnedMagnifier` (the network), and :func:`mm.magnify`
in :mod:`mm.methods.clip`. Methods are found by name in :data:`mm.registry.methods`; importing this room
enters those that are built in.
"""

from mm.methods.base import Magnifier
from mm.methods.learned import LearnedMagnifier

__all__ = ["LearnedMagnifier", "Magnifier"]
