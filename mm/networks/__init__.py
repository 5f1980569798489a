"""The three-part magnification network: its configuration, its parts, and its weights.

Public: :class:`ThreePartNetwork` and its kinds :class:`MagnificationNetwork` and :class:`SplattingNetwork`,
with :class:`NetworkConfig` and :class:`SplattingConfig`; :func:`build`, :func:`config_from_dict` and
:func:`config_to_dict`; :func:`load` and :func:`save` for weights (:mod:`mm.networks.weights` has more).
"""

from __future__ import annotations

from mm.networks.architectures import build, config_from_dict, config_to_dict
from mm.networks.base import ThreePartNetwork
from mm.networks.config import NetworkConfig
from mm.networks.magnification import MagnificationNetwork
from mm.networks.splatting import SplattingConfig, SplattingNetwork
from mm.networks.weights import load, save

__all__ = [
    "MagnificationNetwork",
    "NetworkConfig",
    "SplattingConfig",
    "SplattingNetwork",
    "ThreePartNetwork",
    "build",
    "config_from_dict",
    "config_to_dict",
    "load",
    "save",
]
