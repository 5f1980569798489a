"""The five subsets of training scenes, as data (Oh et al. 2018, section 3.3 "Synthetic training dataset")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mm.errors import InputError, did_you_mean
from mm.synthesis.limits import MotionLimits


@dataclass(frozen=True)
class Recipe:
    """One kind of scene.

    Attributes:
        name: what the subset is called in configurations, file names and metrics.
        objects: least and greatest number of objects, both included.
        background_moves: whether the background has a motion of its own.
        objects_move: whether the objects have motions of their own.
        background_blur: range of the standard deviation, in output px, of a Gaussian blur of the background.
        background_contrast: range of the contrast that is left to the background, 1 for all of it.
        noise: range of the noise, in the units of the synthesizer's, which it has if None.
        limits: of factor and motion; the synthesizer's if None. With these two a training shows more of what
            is learned last without showing less of everything else.
    """

    name: str
    objects: tuple[int, int] = (7, 15)
    background_moves: bool = True
    objects_move: bool = True
    background_blur: tuple[float, float] = (0.0, 0.0)
    background_contrast: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] | None = None
    limits: MotionLimits | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what a configuration says of a subset; ``dataclasses.asdict`` writes it.

        Raises:
            InputError: for a name that is no field, a range that is not of two numbers, or limits that
                cannot be.
        """
        subset = f"subset {values.get('name', 'without a name')!r}"
        if not isinstance(values.get("name"), str):
            raise InputError(f"{subset}: name must be a word")
        given = dict(_known(values, cls, subset))
        for name in ("objects", "background_blur", "background_contrast", "noise"):
            if given.get(name) is not None:
                given[name] = _pair(given[name], f"{subset}: {name}")
        limits = given.get("limits")
        if isinstance(limits, Mapping):
            given["limits"] = _limits(limits, f"{subset}: limits")
        elif limits is not None:
            raise InputError(f"{subset}: limits must name values of MotionLimits, got {limits!r}")
        return cls(**given)


def _known(values: Mapping[str, Any], made: type, where: str) -> Mapping[str, Any]:
    """Return ``values``, all of which are fields of the dataclass ``made``."""
    names = [field.name for field in fields(made)]
    for name in values:
        if name not in names:
            raise InputError(
                f"{where} has no {name!r}{did_you_mean(name, names)} (it has {', '.join(names)})"
            )
    return values


def _limits(values: Mapping[str, Any], where: str) -> MotionLimits:
    for name, value in _known(values, MotionLimits, where).items():
        if name != "distribution" and not isinstance(value, int | float):
            raise InputError(f"{where}: {name} must be a number, got {value!r}")
    try:
        return MotionLimits(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _pair(value: Any, where: str) -> tuple[Any, Any]:
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(isinstance(each, int | float) for each in value)
    ):
        raise InputError(f"{where} must be two numbers, least and greatest, got {value!r}")
    return value[0], value[1]


# The order is public: batches and validation data loaders carry the index.
SUBSETS: tuple[Recipe, ...] = (
    Recipe("sharp"),
    # Low contrast, so that the network learns to move what is hardly there.
    Recipe("blurred", background_blur=(2.0, 8.0), background_contrast=(0.2, 0.7)),
    # One large object: the whole frame moves, as in a hand-held shot.
    Recipe("background", objects=(0, 0), objects_move=False),
    # Only the noise differs between the frames, which teaches the network not to magnify it.
    Recipe("static", background_moves=False, objects_move=False),
    Recipe("objects", background_moves=False),
)


def recipe_index(name: str) -> int:
    """Return the index in :data:`SUBSETS` of the subset called ``name``.

    Raises:
        InputError: if there is none.
    """
    names = [recipe.name for recipe in SUBSETS]
    if name not in names:
        raise InputError(f"no subset is called {name!r} (known: {', '.join(names)})")
    return names.index(name)
