"""Magnification methods, all behind one streaming interface; mathematics alone, without files.

Public: :class:`Magnifier` (the interface), :class:`LearnedMagnifier` (the network), :class:`LinearMagnifier`,
:class:`PhaseMagnifier`, :class:`RieszMagnifier`, :class:`AccelerationMagnifier`, :class:`FlowMagnifier` and
:class:`LayeredMagnifier` (the methods that it is compared with).
Methods are found by name in :data:`mm.registry.methods`; importing this room enters the built-in ones.
"""

from mm.methods.acceleration import AccelerationMagnifier
from mm.methods.base import Magnifier
from mm.methods.flow import FlowMagnifier
from mm.methods.layered import LayeredMagnifier
from mm.methods.learned import LearnedMagnifier
from mm.methods.linear import LinearMagnifier
from mm.methods.phase import PhaseMagnifier
from mm.methods.riesz import RieszMagnifier

__all__ = [
    "AccelerationMagnifier",
    "FlowMagnifier",
    "LayeredMagnifier",
    "LearnedMagnifier",
    "LinearMagnifier",
    "Magnifier",
    "PhaseMagnifier",
    "RieszMagnifier",
]
