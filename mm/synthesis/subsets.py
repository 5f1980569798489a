"""The five subsets of training scenes, as data (Oh et al. 2018, section 3.3 "Synthetic training dataset")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mm.errors import InputError, check_fields
from mm.synthesis.limits import MotionLimits


@dataclass(frozen=True)
class SubsetConfig:
    """One kind of scene.

    Attributes:
        name: what the subset is called in configurations, file names and metrics.
        objects: least and greatest number of objects, both included.
        background_moves: whether the background has a motion of its own.
        objects_move: whether the objects have motions of their own.
        background_blur: range of the standard deviation, in output px, of a Gaussian blur of the background.
        background_contrast: range of the contrast that is left to the background, 1 for all of it.
        noise: range of the noise, in the units of the synthesizer's, which it has if None.
        limits: values of :class:`~mm.synthesis.MotionLimits` by name; those that are left out are the
            synthesizer's. With these two a training shows more of what is learned last without showing less
            of everything else.
        weight: how often the subset is drawn, beside the others' weights; at 0 it is left out.

    Raises:
        InputError: for a value that cannot be, here or (with the synthesizer's limits) where it is used.
    """

    name: str
    objects: tuple[int, int] = (7, 15)
    background_moves: bool = True
    objects_move: bool = True
    background_blur: tuple[float, float] = (0.0, 0.0)
    background_contrast: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] | None = None
    limits: Mapping[str, Any] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check what can be checked without a synthesizer."""
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"a subset's name must be a word, got {self.name!r}")
        for name in ("background_moves", "objects_move"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{self._said(name)} must be true or false, got {getattr(self, name)!r}")
        for name in ("objects", "background_blur", "background_contrast", "noise"):
            self._check_pair(name)
        if not _is_number(self.weight) or not 0 <= self.weight < math.inf:
            raise InputError(f"{self._said('weight')} must be a number of at least 0, got {self.weight!r}")
        if self.limits is not None and not isinstance(self.limits, Mapping):
            raise InputError(f"{self._said('limits')} must name values of MotionLimits, got {self.limits!r}")
        for name, value in check_fields(self.limits or {}, MotionLimits, self._said("limits")).items():
            if name != "distribution" and not _is_number(value):
                raise InputError(f"{self._said('limits')}: {name} must be a number, got {value!r}")

    def _check_pair(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))):
            raise InputError(f"{self._said(name)} must be two numbers, least and greatest, got {value!r}")
        check_range(self._said(name), value, 0)
        if name == "objects" and not all(isinstance(each, int) for each in value):
            raise InputError(f"{self._said(name)} must be whole numbers, got {value}")

    def _said(self, name: str) -> str:
        return f"subset {self.name!r}: {name}"

    def limits_within(self, general: MotionLimits) -> MotionLimits:
        """Return the subset's limits, where ``general`` are the synthesizer's.

        Raises:
            InputError: if the two together cannot be.
        """
        try:
            return replace(general, **self.limits) if self.limits else general
        except InputError as error:
            raise InputError(f"{self._said('limits')}: {error}") from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SubsetConfig:
        """Read what a configuration says of a subset; ``dataclasses.asdict`` writes it.

        Raises:
            InputError: for what is no mapping, a name that is no field, or a value that cannot be.
        """
        if not isinstance(values, Mapping) or "name" not in values:
            raise InputError(
                f"subset {values!r} has no name; write {{name: …}} and what differs from the rest"
            )
        known = check_fields(values, cls, f"subset {values['name']!r}")
        given: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in known.items()
        }
        return cls(**given)


def check_range(name: str, values: tuple[float, float], least: float) -> None:
    """Raise InputError unless ``values`` are a range that begins at ``least`` or above."""
    if not least <= values[0] <= values[1]:
        raise InputError(f"{name} must be a range (low, high) with {least} ≤ low ≤ high, got {values}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# The order is public: batches and validation data loaders carry the index.
SUBSETS: tuple[SubsetConfig, ...] = (
    SubsetConfig("sharp"),
    # Low contrast, so that the network learns to move what is hardly there.
    SubsetConfig("blurred", background_blur=(2.0, 8.0), background_contrast=(0.2, 0.7)),
    # One large object: the whole frame moves, as in a hand-held shot.
    SubsetConfig("background", objects=(0, 0), objects_move=False),
    # Only the noise differs between the frames, which teaches the network not to magnify it.
    SubsetConfig("static", background_moves=False, objects_move=False),
    SubsetConfig("objects", background_moves=False),
)


def subset_index(name: str) -> int:
    """Return the index in :data:`SUBSETS` of the subset called ``name``.

    Raises:
        InputError: if there is none.
    """
    names = [subset.name for subset in SUBSETS]
    if name not in names:
        raise InputError(f"no subset is called {name!r} (known: {', '.join(names)})")
    return names.index(name)
