"""Magnification methods, all behind one streaming interface, and the clip that is magnified with one.

Public: :class:`Magnifier` (the interface), :class:`LearnedMagnifier` (the network), :class:`LinearMagnifier`
and :class:`PhaseMagnifier` (the methods that it is compared with), and :func:`mm.magnify` in
:mod:`mm.methods.clip`. Methods are found by name in :data:`mm.registry.methods`; importing this room
enters those that are built in.
"""

from mm.methods.base import Magnifier
from mm.methods.learned import LearnedMagnifier
from mm.methods.linear import LinearMagnifier
from mm.methods.phase import PhaseMagnifier

__all__ = ["LearnedMagnifier", "LinearMagnifier", "Magnifier", "PhaseMagnifier"]
