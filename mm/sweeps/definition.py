"""A sweep file of W&B, read as Optuna's distributions, and the command line of a trial.

The keys are those of https://docs.wandb.ai/models/sweeps/sweep-config-keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from optuna import distributions as optuna

from mm.errors import InputError, did_you_mean

_EXAMPLE = "experiments/sweeps/random.yaml is an example"
_TYPES = {"method": str, "metric": dict, "parameters": dict, "command": list}
_KEYS = (*_TYPES, "program", "run_cap", "early_terminate", "name", "description", "project", "entity")
_EXPONENTS, _LIMITS = ("log_uniform", "inv_log_uniform"), ("log_uniform_values", "inv_log_uniform_values")
_RANGES = ("int_uniform", "uniform", "q_uniform", *_EXPONENTS, *_LIMITS)


@dataclass(frozen=True)
class Sweep:
    """A sweep file: its path, its mapping, and option of ``mm fit``, without dashes -> distribution."""

    path: Path
    content: dict[str, Any]
    parameters: dict[str, optuna.BaseDistribution]

    @property
    def metric(self) -> str:
        """Name of the compared metric, as a run logs it."""
        return str(self.content["metric"]["name"])

    @property
    def maximize(self) -> bool:
        """True where a large metric is good."""
        return bool(self.content["metric"].get("goal") == "maximize")


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file; raise InputError if it is missing, is not YAML, or cannot be run."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a sweep file: {' '.join(str(error).split())}; {_EXAMPLE}"
        ) from error
    content = content if isinstance(content, dict) else {}
    for key in content:
        if key not in _KEYS:
            raise InputError(f"{path}: sweeps have no key {key!r}{did_you_mean(key, _KEYS)}; {_EXAMPLE}")
    for key, kind in _TYPES.items():
        if not isinstance(content.get(key), kind) or not content[key]:
            raise InputError(f"{path}: {key} must be a {kind.__name__}, got {content.get(key)!r}; {_EXAMPLE}")
    method, goal = content["method"], content["metric"].get("goal", "minimize")
    if method not in ("random", "grid", "bayes"):
        raise InputError(f"{path}: method must be random, grid or bayes, got {method!r}")
    if goal not in ("minimize", "maximize") or "name" not in content["metric"]:
        raise InputError(f"{path}: metric needs a name and a goal, minimize or maximize, got {goal!r}")
    parameters = {}
    for name, given in content["parameters"].items():
        try:
            parameters[str(name)] = _distribution(given)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{path}: parameter {name!r}: {error}") from error
    return Sweep(path, content, parameters)


def _distribution(given: Any) -> optuna.BaseDistribution:
    if not isinstance(given, dict) or "parameters" in given:
        raise InputError(f"give value, values, or min and max (nested options as A.B), got {given!r}")
    if "value" in given or "values" in given:
        values = given["values"] if "values" in given else [given["value"]]
        if not isinstance(values, list) or None in values or "probabilities" in given:
            raise InputError(f"values must be a list, without weights and empty values; got {given!r}")
        # The command line makes text of any value, and Optuna stores plain ones.
        plain = [each if isinstance(each, bool | int | float) else str(each) for each in values]
        return optuna.CategoricalDistribution(plain)
    low, high = limits = given.get("min", ""), given.get("max", "")
    if any(isinstance(limit, bool | str) for limit in limits):
        raise InputError(f"min and max must be numbers (1.0e-5, as 1e-5 is text), got {given!r}")
    kind = given.get("distribution", "int_uniform" if type(low) is type(high) is int else "uniform")
    if kind not in _RANGES:
        raise InputError(f"distribution must be one of {', '.join(_RANGES)}, got {kind!r}")
    if kind == "int_uniform":
        return optuna.IntDistribution(low, high)
    if kind in _EXPONENTS:
        low, high = sorted(math.exp(-limit if "inv" in kind else limit) for limit in (low, high))
    step = given.get("q", 1) if kind == "q_uniform" else None
    return optuna.FloatDistribution(low, high, log="log" in kind, step=step)


def fit_options(sweep: Sweep, values: Mapping[str, Any]) -> list[str]:
    """Return the options of ``mm fit`` in the agent's command line; raise InputError if it has no such."""
    words = [str(word) for word in sweep.content["command"]]
    begins = [at for at in range(1, len(words)) if (Path(words[at - 1]).name, words[at]) == ("mm", "fit")]
    options = words[begins[0] + 1 :] if begins else []
    if "${args}" not in options:
        raise InputError(f"{sweep.path}: the command must run mm fit with ${{args}} after it; {_EXAMPLE}")
    at = options.index("${args}")
    # In the macro's place: the words after it win over the values, as they do on the agent.
    options[at : at + 1] = [f"--{name}={value}" for name, value in values.items()]
    return options
