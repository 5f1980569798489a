"""The three-part magnification network: its configuration, its parts, and its weights.

Public: :class:`NetworkConfig`, :class:`MagnificationNetwork`, and :func:`load` and :func:`save` for weights
(:mod:`mm.networks.weights` has more).
"""

from __future__ import annotations

from mm.networks.config import NetworkConfig
from mm.networks.magnification import MagnificationNetwork
from mm.networks.weights import load, save

__all__ = ["MagnificationNetwork", "NetworkConfig", "load", "save"]
