from __future__ import annotations

import dataclasses
import json

import pytest

from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig


def test_the_default_is_the_paper() -> None:
    assert NetworkConfig() == NetworkConfig.paper()


@pytest.mark.parametrize("config", [NetworkConfig.paper(), NetworkConfig.release2018()])
def test_survives_json(config: NetworkConfig) -> None:
    assert NetworkConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"anchor": "c"}, "anchor"),
        ({"channels": 0}, "channels"),
        ({"channels": "32"}, "channels"),
        ({"channels": True}, "channels"),
        ({"decoder_blocks": -1}, "decoder_blocks"),
        ({"manipulator_kernel": 4}, "manipulator_kernel"),
        ({"bias": 1}, "bias"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_a_bad_value_is_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        NetworkConfig.from_dict(values)


def test_the_yaml_side_can_set_one_field() -> None:
    """Experiments set single fields; LightningCLI builds the network with jsonargparse."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_class_arguments(MagnificationNetwork, "network")
    values = parser.parse_args(["--network.config.manipulator=linear", "--network.config.channels=8"])
    # jsonargparse 4.49 renamed it.
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    network = instantiate(values).network
    assert network.config == NetworkConfig(manipulator="linear", channels=8)
