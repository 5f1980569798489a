"""The three-part magnification network: its configuration, its parts, and its weights.

Public: :class:`NetworkConfig`, :class:`MagnificationNetwork`, and in :mod:`mm.networks.weights`
``load``, ``save``, ``shipped`` and ``DEFAULT_WEIGHTS``.
"""

from __future__ import annotations

from mm.networks.config import NetworkConfig
from mm.networks.magnification import MagnificationNetwork

__all__ = ["MagnificationNetwork", "NetworkConfig"]
