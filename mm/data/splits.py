"""The split of images into training, validation and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mm.data.sources import ImageSource
from mm.errors import InputError

Stage = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Split:
    """Shares of the photographs, and likewise of the cut-outs; they sum to 1.

    Attributes:
        train: share for training.
        val: share for validation.
        test: share for the test.
    """

    train: float = 0.9
    val: float = 0.05
    test: float = 0.05

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            InputError: if one is negative, there is none for training, or they do not sum to 1.
        """
        shares = (self.train, self.val, self.test)
        if min(shares) < 0 or self.train == 0 or abs(sum(shares) - 1) > 1e-6:
            raise InputError(
                "the split's shares must be at least 0, sum to 1 and leave some for training, got "
                f"train {self.train}, val {self.val}, test {self.test}"
            )


def split_indices(source: ImageSource, split: Split) -> dict[Stage, np.ndarray]:
    """Divide the indices of ``source`` so that no photograph is in two stages.

    A photograph's stage is decided by a digest of its identity alone, so that adding images moves none from
    one stage to another. The exception is a source so small that a stage with a share would stay empty: it
    then gets the photograph whose digest is nearest.

    Raises:
        InputError: if there are fewer photographs than stages with a share.
    """
    groups: dict[str, list[int]] = {}
    for index in range(len(source)):
        groups.setdefault(source.identity(index), []).append(index)
    ordered = sorted(groups, key=_position)
    stages = sum(share > 0 for share in (split.train, split.val, split.test))
    if len(ordered) < stages:
        raise InputError(
            f"{len(ordered)} different photograph(s) in {type(source).__name__} cannot be divided into "
            f"{stages} stages (train, val, test); add images, or set the share of a stage to 0"
        )
    positions = np.array([_position(name) for name in ordered])
    first = int(np.searchsorted(positions, split.val))
    last = int(np.searchsorted(positions, 1 - split.test)) if split.test else len(ordered)
    least_val, least_test = int(split.val > 0), int(split.test > 0)
    last = min(max(last, least_val + 1), len(ordered) - least_test)
    first = min(max(first, least_val), last - 1)
    parts: dict[Stage, list[str]] = {
        "val": ordered[:first],
        "train": ordered[first:last],
        "test": ordered[last:],
    }
    return {
        stage: np.array(sorted(index for name in names for index in groups[name]), dtype=np.int64)
        for stage, names in parts.items()
    }


def _position(identity: str) -> float:
    """Return a number in [0, 1) that depends on the name alone and is spread evenly over names."""
    digest = hashlib.blake2b(identity.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
