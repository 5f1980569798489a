"""The values of a trial: the same for the same file, seed and number, whatever ran before."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from mm.errors import InputError
from mm.sweeps.definition import Sweep


def grid_size(sweep: Sweep) -> int:
    """Return how many trials a grid over the parameters has.

    Raises:
        InputError: if a parameter has no end of values.
    """
    return math.prod(len(values) for values in _axes(sweep).values())


def trial_values(sweep: Sweep, method: str, seed: int, trial: int) -> dict[str, Any]:
    """Return option -> value of one trial.

    A grid goes through the parameters by name, the last one fastest, as W&B's does. A random value depends on
    the seed, the trial's number and the parameter's name alone, so that a parameter that is added to a file
    leaves the others' values as they were.

    Args:
        sweep: the file.
        method: ``grid`` or ``random``.
        seed: of the random values, at least 0.
        trial: its number, from 0; in a grid below :func:`grid_size`.
    """
    if method == "grid":
        values = {}
        for name, choices in reversed(_axes(sweep).items()):
            trial, at = divmod(trial, len(choices))
            values[name] = choices[at]
        return {name: values[name] for name in sweep.parameters}
    return {
        name: distribution.value(_uniform(seed, trial, name))
        for name, distribution in sweep.parameters.items()
    }


def _axes(sweep: Sweep) -> dict[str, list[Any]]:
    axes = {}
    for name in sorted(sweep.parameters):
        choices = sweep.parameters[name].choices()
        if choices is None:
            raise InputError(
                f"{sweep.path}: a grid needs values, and {name!r} is {sweep.parameters[name].kind}; "
                "list its values, or use the method random"
            )
        axes[name] = choices
    return axes


def _uniform(seed: int, trial: int, name: str) -> float:
    word = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return float(np.random.default_rng((seed, trial, word)).random())
