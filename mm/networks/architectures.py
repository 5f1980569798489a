"""The architectures by name, and a network from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mm.errors import InputError, did_you_mean
from mm.networks.base import ThreePartNetwork
from mm.networks.config import NetworkConfig
from mm.networks.magnification import MagnificationNetwork
from mm.networks.splatting import SplattingConfig, SplattingNetwork

Config = NetworkConfig | SplattingConfig

DEFAULT = "oh2018"
_ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    DEFAULT: (NetworkConfig, MagnificationNetwork),
    "splatting": (SplattingConfig, SplattingNetwork),
}


def config_from_dict(values: Mapping[str, Any]) -> Config:
    """Return the configuration that :func:`config_to_dict` wrote.

    Args:
        values: the fields by name; ``architecture`` chooses the class, :data:`DEFAULT` if it is absent.

    Raises:
        InputError: for an unknown architecture or field, or a value that the field cannot have.
    """
    fields = dict(values)
    name = fields.pop("architecture", DEFAULT)
    if name not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise InputError(f"no architecture is called {name!r}{did_you_mean(name, _ARCHITECTURES)} ({known})")
    config: Config = _ARCHITECTURES[name][0].from_dict(fields)
    return config


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return a configuration as plain values, with its ``architecture`` unless that is :data:`DEFAULT`."""
    (name,) = (name for name, (kind, _) in _ARCHITECTURES.items() if kind is type(config))
    return ({} if name == DEFAULT else {"architecture": name}) | asdict(config)


def build(config: Config | Mapping[str, Any]) -> ThreePartNetwork:
    """Return a network of freshly drawn weights.

    Raises:
        InputError: as :func:`config_from_dict`.
    """
    if isinstance(config, Mapping):
        config = config_from_dict(config)
    (network,) = (network for kind, network in _ARCHITECTURES.values() if kind is type(config))
    built: ThreePartNetwork = network(config)
    return built
