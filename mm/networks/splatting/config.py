"""Sizes of the splatting network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mm.errors import InputError, check_fields
from mm.networks.config import MOST_BLOCKS, MOST_CHANNELS


@dataclass(frozen=True)
class SplattingConfig:
    """Every choice in the splatting network.

    Args:
        context: channels of the frame's features at 1/4, 1/8, 1/16 and 1/32 of the resolution.
        field: channels of the network that estimates the displacement, at the same resolutions.
        filling: channels of the network that fills and repairs, at 1/2, 1/4 and 1/8 of the resolution.
        filling_blocks: its residual blocks at 1/4 and at 1/8 of the resolution.

    Raises:
        InputError: for a value that is no whole number, or out of its limits.
    """

    context: tuple[int, int, int, int] = (48, 48, 48, 48)
    field: tuple[int, int, int, int] = (48, 48, 48, 48)
    filling: tuple[int, int, int] = (32, 48, 48)
    filling_blocks: tuple[int, int] = (3, 2)

    def __post_init__(self) -> None:
        for name, count in (("context", 4), ("field", 4), ("filling", 3), ("filling_blocks", 2)):
            values = getattr(self, name)
            if not isinstance(values, tuple | list) or len(values) != count:
                raise InputError(f"network config: {name} must be {count} whole numbers, got {values!r}")
            # A configuration that was read from JSON has lists.
            object.__setattr__(self, name, tuple(values))
        for field in fields(self):
            value = getattr(self, field.name)
            for each in value:
                least, most = (0, MOST_BLOCKS) if field.name == "filling_blocks" else (1, MOST_CHANNELS)
                if type(each) is not int or not least <= each <= most:
                    raise InputError(
                        f"network config: {field.name} must be whole numbers between {least} and {most}, "
                        f"got {value!r}"
                    )

    @classmethod
    def small(cls) -> SplattingConfig:
        """Return the sizes of ``splat-small``: at most 8 GFLOP a frame of 640×480 px."""
        return cls((24, 32, 40, 40), (24, 32, 32, 32), (16, 24, 32), (2, 2))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SplattingConfig:
        """Read what ``dataclasses.asdict`` wrote.

        Raises:
            InputError: for a name that is no field, or a value that the field cannot have.
        """
        return cls(**check_fields(values, cls, "the network's configuration"))
