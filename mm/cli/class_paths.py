"""Classes and options that a configuration names: what is wrong with one, in one plain line.

A configuration's parser goes by type hints, and a plug-in may have been written without any.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mm.errors import InputError, did_you_mean
from mm.synthesis import MotionGenerator, SubsetConfig

_NONE = inspect.Parameter.empty
_METHOD = "displacement"
# How the parser says it, somewhere in an account of every type that it tried.
_REFUSED = re.compile(rf"Import path (\S+) does not implement protocol {MotionGenerator.__name__}\b")

# Around what :meth:`mm.synthesis.SubsetConfig.from_dict` says.
_NO_RECIPE = re.compile(
    rf"Not of type {SubsetConfig.__name__}: (subset .+?)(?= - Expected a | Given value type: |$)"
)

# The same of a name that a class has no parameter for, and of one that the command has no option for; the
# second words are those of older parsers.
_NO_PARAMETER = re.compile(r"(?:Option|Key) '([^']+)' is not (?:accepted|expected)")
_OWNER = re.compile(r"Problem with given class_path '([^']+)'")
_NO_OPTION = re.compile(
    r"unrecognized arguments: --([^\s=]+)"
    r"|(?:Group '([^']+)' )?does not accept (?:option|nested key) '([^']+)'",
    re.I,
)


def refused_recipe(message: str) -> str | None:
    """Say why a subset of a configuration cannot be; None if ``message`` is about something else."""
    found = _NO_RECIPE.search(" ".join(message.split()))
    return found[1] if found else None


def refused_option(message: str, command: str, known: Callable[[], Collection[str]]) -> str | None:
    """Say which option is none, and what may have been meant.

    Args:
        message: the parser's own.
        command: the user's, as "mm fit".
        known: returns the command's options, without what is within a class that is named by a path.

    Returns:
        One line; None if the message is about something else.
    """
    found = _NO_PARAMETER.search(message)
    owners = _OWNER.findall(message, 0, found.start()) if found else []
    if found and owners:
        has = _accepted(pydoc.locate(owners[-1]))
        listed = f" (it has {', '.join(has)})" if has else ""
        return f"{owners[-1]} has no parameter {found[1]!r}{did_you_mean(found[1], has)}{listed}"
    if found:
        name = found[1]
    elif other := _NO_OPTION.search(message):
        name = other[1] or ".".join(filter(None, (other[2], other[3])))
    else:
        return None
    return (
        f"{command} has no option {name!r}{nearest_option(name, known()) or f'; {command} --help lists them'}"
    )


def nearest_option(name: str, known: Collection[str]) -> str:
    """Return :func:`mm.errors.did_you_mean` of an option; what is in its group already is not compared."""
    group, dot, last = name.rpartition(".")
    siblings = [each for each in known if each.rpartition(".")[0] == group]
    if not siblings:
        return did_you_mean(name, known)
    hint = did_you_mean(last, [each.rpartition(".")[2] for each in siblings])
    return hint.replace("'", f"'{group}{dot}", 1)


def _accepted(made: object) -> list[str]:
    """What a class can be given, also through ``**kwargs`` that it passes on."""
    if not inspect.isclass(made):
        return []
    parser = ArgumentParser(exit_on_error=False)
    try:
        return [
            *dict.fromkeys(
                name.partition(".")[0] for name in parser.add_class_arguments(made, fail_untyped=False)
            )
        ]
    except ValueError:
        # A class that is not written in Python may tell nothing of them.
        return []


def _parameters(made: object) -> Mapping[str, inspect.Parameter]:
    """What a class's own signature has; nothing for what is no class."""
    try:
        return inspect.signature(made).parameters if inspect.isclass(made) else {}
    except ValueError:
        return {}


def refused_generator(message: str) -> str | None:
    """Say why a class was not taken for a motion generator, and how to write it.

    Args:
        message: the parser's own.

    Returns:
        One line; None if the message is about something else.
    """
    found = _REFUSED.search(message)
    if found is None:
        return None
    # Annotations that are kept as text come in quotes.
    wanted = str(inspect.signature(getattr(MotionGenerator, _METHOD))).replace("'", "")
    return (
        f"{found[1]} is not taken for a motion generator: {_fault(pydoc.locate(found[1]))}; "
        f"write it as def {_METHOD}{wanted}"
    )


def _fault(generator: object) -> str:
    """What of the method differs from the contract's."""
    method = getattr(generator, _METHOD, None)
    if not inspect.isclass(generator) or not callable(method):
        return f"it is no class with a method {_METHOD}"
    wanted = list(inspect.signature(getattr(MotionGenerator, _METHOD)).parameters)[1:]
    signature = inspect.signature(method)
    given = {name: each for name, each in signature.parameters.items() if name != "self"}
    if list(given)[: len(wanted)] != wanted:
        return f"its {_METHOD} takes {', '.join(given) or 'nothing'} in place of {', '.join(wanted)}"
    missing = [", ".join(name for name in wanted if given[name].annotation is _NONE)]
    if signature.return_annotation is _NONE:
        missing.append("what it returns")
    if any(missing):
        return f"its {_METHOD} has no type hint for {' and '.join(filter(None, missing))}"
    return f"its {_METHOD} has other type hints, or more parameters without a default"


def check_arguments(config: Namespace) -> None:
    """Refuse a parameter that has to be given and is not, where the parser did not see that.

    It sees it of a parameter with a type hint; one without a hint it would set to None.

    Args:
        config: parsed, not instantiated.

    Raises:
        InputError: naming the parameter and the configuration's key for it.
    """
    for key, node in _nodes(config, ""):
        given = node.get("init_args") or {}
        nothing = [name for name, value in given.items() if value is None]
        parameters = _parameters(pydoc.locate(node["class_path"])) if nothing else {}
        for name in nothing:
            parameter = parameters.get(name)
            if parameter is not None and parameter.annotation is parameter.default is _NONE:
                raise InputError(
                    f"{node['class_path']} gets no {name}, which has neither a type hint nor a default: set "
                    f"{key}.init_args.{name}, or write {name}: float = 1.0 (or what it is) in the class"
                )


def _nodes(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every part of a configuration that names a class, with its key."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        if isinstance(value.get("class_path"), str):
            yield key, value
        for name, each in value.items():
            yield from _nodes(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _nodes(each, f"{key}[{number}]")
