"""The splatting network: it moves a frame's own pixels by an estimated displacement field."""

from __future__ import annotations

from mm.networks.splatting.config import SplattingConfig
from mm.networks.splatting.network import SplattingNetwork

__all__ = ["SplattingConfig", "SplattingNetwork"]
