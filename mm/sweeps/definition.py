"""A sweep file, read and checked: W&B's YAML with a method, a metric, parameters and a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

from mm.errors import InputError, did_you_mean
from mm.sweeps.distributions import Distribution, parse_distribution

METHODS = ("grid", "random", "bayes")
GOALS = ("maximize", "minimize")
# What W&B's files may say; what is not read here concerns its server.
_KEYS = (
    "program",
    "method",
    "metric",
    "parameters",
    "command",
    "run_cap",
    "early_terminate",
    "name",
    "description",
    "project",
    "entity",
)


@dataclass(frozen=True)
class Metric:
    """What a sweep is for.

    Attributes:
        name: as a run logs it, ``val/score``.
        goal: whether much or little of it is good.
    """

    name: str
    goal: Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Sweep:
    """A sweep file's content.

    Attributes:
        path: of the file.
        method: one of :data:`METHODS`.
        metric: what is compared.
        parameters: option of ``mm fit``, without its dashes -> how it is drawn.
        command: what the agent runs, with W&B's macros (``${args}``).
        run_cap: how many trials at most, if the file says so.
        early_terminate: whether the file asks the server to end trials that do badly.
    """

    path: Path
    method: str
    metric: Metric
    parameters: dict[str, Distribution]
    command: tuple[str, ...]
    run_cap: int | None
    early_terminate: bool


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        InputError: if it is missing, is not YAML, or says something that cannot be run.
    """
    content = _read_mapping(path)
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        if {"trainer", "model", "data"} & content.keys():
            raise InputError(
                f"{path} is a configuration of mm fit, not a sweep; experiments/sweeps/random.yaml is one"
            )
        raise InputError(f"{path}: no sweep has {unknown[0]!r}{did_you_mean(unknown[0], _KEYS)}")
    for key in ("method", "metric", "parameters", "command"):
        if not content.get(key):
            raise InputError(f"{path} says no {key}; experiments/sweeps/random.yaml shows a whole one")
    method = content["method"]
    if method not in METHODS:
        hint = did_you_mean(method, METHODS)
        raise InputError(f"{path}: no method is called {method!r}{hint} (known: {', '.join(METHODS)})")
    if not isinstance(content["parameters"], dict):
        raise InputError(
            f"{path}: parameters must be names with an entry each, got {content['parameters']!r}"
        )
    try:
        parameters = {
            str(name): parse_distribution(str(name), given) for name, given in content["parameters"].items()
        }
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    cap = content.get("run_cap")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise InputError(f"{path}: run_cap must be at least 1 trial, got {cap!r}")
    command = content["command"]
    if not isinstance(command, list):
        raise InputError(f"{path}: command must be a list of words, got {command!r}")
    return Sweep(
        path=path,
        method=method,
        metric=_metric(path, content["metric"]),
        parameters=parameters,
        command=tuple(str(word) for word in command),
        run_cap=cap,
        early_terminate=bool(content.get("early_terminate")),
    )


def _metric(path: Path, given: Any) -> Metric:
    if not isinstance(given, dict) or not given.get("name"):
        raise InputError(f"{path}: metric must have a name and a goal, got {given!r}")
    goal = given.get("goal", "minimize")
    if goal not in GOALS:
        raise InputError(f"{path}: the metric's goal must be {' or '.join(GOALS)}, got {goal!r}")
    return Metric(str(given["name"]), goal)


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no sweep file {str(path)!r}; there are some in experiments/sweeps") from None
    except OSError as error:
        raise InputError(f"cannot read the sweep file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = "" if where is None else f", line {where.line + 1}"
        problem = getattr(error, "problem", None) or "it is no text in UTF-8"
        raise InputError(f"the sweep file {path} is not YAML{line}: {problem}") from error
    if not isinstance(content, dict):
        raise InputError(f"the sweep file {path} must have the keys method, metric and parameters")
    return content
