"""What values a swept parameter takes: W&B's distributions, by their inverse distribution functions.

A distribution maps a number that is uniform in [0, 1) to a value. The names and their meaning are those of
W&B's sweep configuration (https://docs.wandb.ai/models/sweeps/sweep-config-keys): ``log_uniform`` has the
exponents as its limits, ``log_uniform_values`` the values themselves; ``q_…`` rounds to multiples of ``q``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from mm.errors import InputError, did_you_mean

# name -> the keys that it needs, and those that it may have, with W&B's defaults
_RANGE: tuple[str, ...] = ("min", "max")
_KEYS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "constant": (("value",), {}),
    "categorical": (("values",), {}),
    "categorical_w_probabilities": (("values", "probabilities"), {}),
    "int_uniform": (_RANGE, {}),
    "uniform": (_RANGE, {}),
    "q_uniform": (_RANGE, {"q": 1}),
    "log_uniform": (_RANGE, {}),
    "log_uniform_values": (_RANGE, {}),
    "q_log_uniform": (_RANGE, {"q": 1}),
    "q_log_uniform_values": (_RANGE, {"q": 1}),
    "inv_log_uniform": (_RANGE, {}),
    "inv_log_uniform_values": (_RANGE, {}),
    "normal": ((), {"mu": 0.0, "sigma": 1.0}),
    "q_normal": ((), {"mu": 0.0, "sigma": 1.0, "q": 1}),
    "log_normal": ((), {"mu": 0.0, "sigma": 1.0}),
    "q_log_normal": ((), {"mu": 0.0, "sigma": 1.0, "q": 1}),
    "beta": ((), {"a": 1.0, "b": 1.0}),
    "q_beta": ((), {"a": 1.0, "b": 1.0, "q": 1}),
}
DISTRIBUTIONS = tuple(_KEYS)


@dataclass(frozen=True)
class Distribution:
    """How one parameter is drawn.

    Attributes:
        kind: a name of :data:`DISTRIBUTIONS`.
        options: its numbers and values, complete.
    """

    kind: str
    options: dict[str, Any]

    def value(self, u: float) -> Any:
        """Return the value at ``u``, in [0, 1), of the distribution function."""
        options = self.options
        if self.kind == "constant":
            return options["value"]
        if self.kind == "categorical":
            return options["values"][int(u * len(options["values"]))]
        if self.kind == "categorical_w_probabilities":
            edges = np.cumsum(options["probabilities"])
            # Of probabilities whose sum is a rounding error below 1, the last value takes the rest.
            return options["values"][min(int(np.searchsorted(edges, u, side="right")), len(edges) - 1)]
        if self.kind == "int_uniform":
            return options["min"] + int(u * (options["max"] - options["min"] + 1))
        drawn = float(_INVERSE[self.kind.removeprefix("q_")](u, options))
        if not self.kind.startswith("q_"):
            return drawn
        q = options["q"]
        return round(drawn / q) * q

    def choices(self) -> list[Any] | None:
        """Return all values, as a grid takes them; None where there is no end to them."""
        if self.kind in ("constant", "categorical"):
            return self.named()
        if self.kind == "int_uniform":
            return list(range(self.options["min"], self.options["max"] + 1))
        return None

    def named(self) -> list[Any]:
        """Return the values that the sweep file itself names and that can be drawn; none of most ranges."""
        if self.kind == "constant":
            return [self.options["value"]]
        if self.kind == "int_uniform":
            return [self.options[key] for key in _RANGE]
        return list(self.options.get("values", ()))

    def telling(self) -> list[Any]:
        """Return the values that tell whether all can be used: the named ones, or one near each end.

        A limit itself is hardly ever drawn, and may be one that the parameter excludes.
        """
        return self.named() or [self.value(u) for u in _NEAR_ENDS]


_NEAR_ENDS = 0.003, 0.997


def _between(u: float, low: float, high: float) -> float:
    return low + (high - low) * u


_INVERSE: dict[str, Callable[[float, dict[str, Any]], float]] = {
    "uniform": lambda u, o: _between(u, o["min"], o["max"]),
    "log_uniform": lambda u, o: math.exp(_between(u, o["min"], o["max"])),
    "log_uniform_values": lambda u, o: o["min"] * (o["max"] / o["min"]) ** u,
    # The reciprocal is log-uniform between the reciprocals of the limits; W&B counts from the small end.
    "inv_log_uniform": lambda u, o: math.exp(-_between(1 - u, o["min"], o["max"])),
    "inv_log_uniform_values": lambda u, o: o["min"] * (o["max"] / o["min"]) ** u,
    "normal": lambda u, o: stats.norm.ppf(u, loc=o["mu"], scale=o["sigma"]),
    "log_normal": lambda u, o: stats.lognorm.ppf(u, s=o["sigma"], scale=math.exp(o["mu"])),
    "beta": lambda u, o: stats.beta.ppf(u, a=o["a"], b=o["b"]),
}


def parse_distribution(name: str, given: Any) -> Distribution:
    """Read one entry of a sweep file's ``parameters``.

    Args:
        name: the parameter's, for messages.
        given: its entry, as YAML gives it.

    Raises:
        InputError: if it is no distribution of :data:`DISTRIBUTIONS`, or its numbers make none.
    """
    where = f"parameter {name!r}"
    if not isinstance(given, dict) or not given:
        raise InputError(f"{where} must say value, values, or min and max, got {given!r}")
    if "parameters" in given:
        raise InputError(
            f"{where} nests others under it, which reach mm fit as one text; write each under its full "
            f"name, {name}.NAME"
        )
    options = {key: value for key, value in given.items() if key != "distribution"}
    kind = given["distribution"] if "distribution" in given else _implied(where, options)
    if kind == "categorical" and "probabilities" in options:
        kind = "categorical_w_probabilities"
    if not isinstance(kind, str) or kind not in _KEYS:
        hint = did_you_mean(kind, _KEYS)
        raise InputError(
            f"{where} has no known distribution: {kind!r}{hint} (known: {', '.join(DISTRIBUTIONS)})"
        )
    needed, optional = _KEYS[kind]
    missing = [key for key in needed if key not in options]
    unknown = [key for key in options if key not in needed and key not in optional]
    if missing or unknown:
        wrong = f"has no {missing[0]}" if missing else f"has {unknown[0]!r}, which means nothing to it"
        takes = ", ".join((*needed, *optional))
        raise InputError(f"{where}: the distribution {kind} {wrong}; it takes {takes}")
    options = {**optional, **options}
    _check(where, kind, options)
    made = Distribution(kind, options)
    if kind.endswith("log_uniform"):
        _check_exponents(where, made)
    return made


def _check_exponents(where: str, made: Distribution) -> None:
    try:
        ends = [float(made.value(u)) for u in (0.0, math.nextafter(1.0, 0.0))]
    except OverflowError:
        ends = [math.inf]
    if not all(map(math.isfinite, ends)):
        low, high = (made.options[key] for key in _RANGE)
        raise InputError(
            f"{where}: the limits of {made.kind} are exponents, and e to the power of {low} to {high} is "
            f"beyond any number; {made.kind}_values takes the values themselves"
        )


def _implied(where: str, options: dict[str, Any]) -> str:
    """Return the distribution that an entry without that key has."""
    if "values" in options:
        return "categorical"
    if "value" in options:
        return "constant"
    if {"min", "max"} <= set(options):
        whole = all(type(options[key]) is int for key in _RANGE)
        return "int_uniform" if whole else "uniform"
    raise InputError(
        f"{where} must say value, values, or min and max; it says {', '.join(map(str, options))}"
    )


def _check(where: str, kind: str, options: dict[str, Any]) -> None:
    for key, value in options.items():
        if key == "value":
            _check_value(where, value)
        elif key == "values":
            if not isinstance(value, list) or not value:
                raise InputError(f"{where}: values must be a list of at least one, got {value!r}")
            for each in value:
                _check_value(where, each)
        elif key == "probabilities":
            _check_probabilities(where, value, options["values"])
        else:
            _check_number(where, key, value)
    if "min" in options:
        low, high = options["min"], options["max"]
        if low > high:
            raise InputError(f"{where}: min must be at most max, got {low} and {high}")
        if kind.endswith("_values") and low <= 0:
            raise InputError(f"{where}: min of {kind} must be above 0, got {low}")
        if kind == "int_uniform" and not (type(low) is int and type(high) is int):
            raise InputError(f"{where}: min and max of int_uniform must be whole, got {low} and {high}")
    for key, least in (("q", 0), ("sigma", 0), ("a", 0), ("b", 0)):
        if key in options and not options[key] > least:
            raise InputError(f"{where}: {key} must be above {least}, got {options[key]}")


def _check_value(where: str, value: Any) -> None:
    if value is None:
        raise InputError(
            f"{where} has an empty value, which the agent would write as the word None; "
            "write 'null' in quotes if no value is meant"
        )


def _check_number(where: str, key: str, value: Any) -> None:
    if isinstance(value, str) and _is_number(value):
        raise InputError(
            f"{where}: {key} is the text {value!r}, not a number: YAML wants a point before an exponent, "
            "as in 1.0e-5"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: {key} must be a number, got {value!r}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_probabilities(where: str, given: Any, values: Any) -> None:
    fits = (
        isinstance(given, list)
        and isinstance(values, list)
        and len(given) == len(values)
        and all(isinstance(p, int | float) and p >= 0 for p in given)
    )
    if not fits:
        raise InputError(
            f"{where}: probabilities must be a number of at least 0 for each value, got {given!r}"
        )
    if not math.isclose(sum(given), 1.0, abs_tol=1e-6):
        raise InputError(f"{where}: probabilities must sum to 1, got {sum(given):g}")
