"""A method's parameters: its own ones, how text or a Python value becomes one, and the method made of them.

A method is entered in :data:`mm.registry.methods` as a callable. What it takes beside the parameters that all
methods share (factor, mode, band, …) is its own, and is found in its signature: so a plug-in's parameters can
be set and are listed with no more than type hints and a docstring.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from mm.errors import InputError, did_you_mean
from mm.methods.base import Magnifier
from mm.registry import methods

#: what all methods share → how a user sets it
SHARED = {
    "factor": "--factor",
    "mode": "--mode",
    "band": "--low, --high and --fps",
    "device": "--device",
    "batch": "--batch",
    "precision": "--precision",
    "network": "--weights",
}
# A method is promised these, and so takes them, if only by ``**options``.
_PROMISED = ("factor", "band", "device")
REQUIRED = inspect.Parameter.empty

Precision = Literal["32", "bf16"]

_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NONE = "none"


@dataclass(frozen=True)
class Option:
    """One parameter that a method has of its own.

    Attributes:
        name: as it is in the signature.
        kind: its type; :data:`typing.Any` where neither a hint nor the default tells.
        default: what it is if not given; :data:`REQUIRED` if it must be.
        help: what the docstring says of it, "" for nothing.
    """

    name: str
    kind: Any
    default: Any
    help: str

    @property
    def type_name(self) -> str:
        """The type, as a user reads it."""
        return _name(self.kind)

    @property
    def default_text(self) -> str:
        """The default as it would be typed."""
        return "required" if self.default is REQUIRED else as_text(self.default)


def options_of(method: str) -> dict[str, Option]:
    """The options of the method called ``method``, by name, in the order of its signature.

    Raises:
        InputError: if no method is called so.
    """
    make = methods.get(method)
    told = _described(make)
    return {
        name: Option(name, _kind(parameter), parameter.default, told.get(name, ""))
        for name, parameter in _parameters(make).items()
        if name not in SHARED
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }


def split(texts: Iterable[str]) -> dict[str, str]:
    """``["orientations=8", …]`` → ``{"orientations": "8", …}``.

    Raises:
        InputError: for a text that is not NAME=VALUE, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        # An option may be typed as an option of the command is.
        name = name.replace("-", "_")
        if not equals or not name:
            raise InputError(f"--option must be NAME=VALUE, got {text!r}")
        if name in found:
            raise InputError(f"--option {name} is given twice, as {found[name]!r} and {value!r}; choose one")
        found[name] = value
    return found


def convert(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a method's options, of the types that it asks for.

    Args:
        method: a name in :data:`mm.registry.methods`.
        given: option → value, as text (from a command line) or as a Python value of its type.

    Returns:
        The keyword arguments for the method. Whether a number is within its range is the method's own check.

    Raises:
        InputError: for a method or an option that is not there (with the close match), an option that all
            methods share and that is set otherwise, a value of another type or outside the choices, or a
            required option that is missing.
    """
    known = options_of(method)
    takes_any = any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in _parameters(methods.get(method)).values()
    )
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in SHARED:
            raise InputError(f"{name} is no option of the {method} method alone; set it with {SHARED[name]}")
        if name in known:
            made[name] = _converted(method, known[name], value)
        elif takes_any:
            made[name] = value
        else:
            hint = did_you_mean(name, known)
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"the {method} method has no option {name!r}{hint} ({has})")
    missing = [
        option.name for option in known.values() if option.default is REQUIRED and option.name not in made
    ]
    if missing:
        forms = " ".join(f"--option {name}={known[name].type_name}" for name in missing)
        raise InputError(f"the {method} method needs {' and '.join(missing)}; give {forms}")
    return made


def summary_of(method: str) -> str:
    """The first line of what the docstring says of the method.

    Raises:
        InputError: if no method is called so.
    """
    return _plain((inspect.getdoc(methods.get(method)) or "").partition("\n")[0])


def as_text(value: Any) -> str:
    """A value as it would be typed."""
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(as_text(each) for each in value)
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def make(
    name: str, shared: Mapping[str, Any], options: Mapping[str, Any] | None = None, *, where: str = ""
) -> Magnifier:
    """Make the method called ``name``.

    Args:
        name: in :data:`mm.registry.methods`.
        shared: parameters that all methods share, by name; see :func:`fill`.
        options: the method's own, as text or as values; see :func:`mm.methods.parameters.convert`.
        where: what to add to "the phase method" in messages, such as " inside layered".

    Raises:
        InputError: for a method or an option that is not there, and as :func:`fill` and the method itself.
    """
    return fill(methods.get(name), name, shared, convert(name, options or {}), where=where)


def fill(
    make: Callable[..., Magnifier],
    name: str,
    shared: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
    *,
    where: str = "",
) -> Magnifier:
    """Call what makes a method, with those of the shared parameters that it has.

    What it has not is left out. Where that would be another result than was asked for, a band or weights, it
    is refused; a precision only costs or saves time, and is warned of.

    Args:
        make: the callable.
        name: what messages call the method.
        shared: parameters out of :data:`mm.methods.parameters.SHARED`, by name. A callable with ``**options``
            has "factor", "band" and "device"; of the others it has those that it names.
        own: the method's own parameters, as they are.
        where: see :func:`make`.

    Raises:
        InputError: for an unknown precision, a band or a network that the method does not take, and what the
            method itself refuses.
    """
    assert shared.keys() <= SHARED.keys()
    takes = inspect.signature(make).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())
    given = {key: value for key, value in shared.items() if key in takes or (anything and key in _PROMISED)}
    check_precision(shared.get("precision", "32"))
    _tell_left_out(
        {key: value for key, value in shared.items() if key not in given}, f"the {name} method{where}"
    )
    return make(**given, **(own or {}))


def check_precision(precision: str) -> None:
    """Raise InputError unless ``precision`` is "32" or "bf16"."""
    if precision not in get_args(Precision):
        raise InputError(f"precision must be 32 or bf16, got {precision!r}")


def _tell_left_out(shared: Mapping[str, Any], method: str) -> None:
    """Refuse, or warn of, what a method does not take."""
    network, band = shared.get("network"), shared.get("band")
    if network is not None:
        got = f"--weights {network}" if isinstance(network, (str, Path)) else "a network"
        raise InputError(f"{method} has no weights, got {got}; leave them out, or choose the learned method")
    if band is not None:
        raise InputError(
            f"{method} has no band of frequencies, got {band.low:g} Hz to {band.high:g} Hz; leave --low and "
            "--high out"
        )
    if shared.get("precision", "32") != "32":
        warnings.warn(
            f"--precision {shared['precision']} changes nothing: {method} works in 32 bits", stacklevel=4
        )


# --- types ------------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """A value is not of a type."""


def _converted(method: str, option: Option, value: Any) -> Any:
    try:
        return _fit(option.kind, value)
    except _Unfit:
        raise InputError(
            f"the {method} method's option {option.name} must be {_wanted(option.kind)}, got "
            f"{value if isinstance(value, str) and value else repr(value)}"
        ) from None


def _fit(kind: Any, value: Any) -> Any:
    """``value`` as one of type ``kind``; text is read, other values are only checked."""
    if kind is Any:
        return value
    if get_origin(kind) in (Union, types.UnionType):
        return _fit_one_of(get_args(kind), value)
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if value == choice or (isinstance(value, str) and value == as_text(choice)):
                return choice
        raise _Unfit
    if get_origin(kind) in (tuple, list, Sequence):
        return _fit_all(kind, value)
    if kind is None or kind is types.NoneType:
        if value is None or (isinstance(value, str) and value.lower() == _NONE):
            return None
        raise _Unfit
    if kind is bool:
        return _fit_bool(value)
    if kind is int or kind is float:
        return _fit_number(kind, value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(kind, type) and not isinstance(value, kind):
        raise _Unfit
    if not isinstance(kind, type) and isinstance(value, str):
        raise _Unfit  # A function or the like, which no text can be.
    return value


def _fit_one_of(kinds: Sequence[Any], value: Any) -> Any:
    # Any text is a path, and is text: these come last.
    for kind in sorted(kinds, key=lambda kind: (kind is str, kind is Path)):
        try:
            return _fit(kind, value)
        except _Unfit:
            continue
    raise _Unfit


def _fit_all(kind: Any, value: Any) -> Any:
    inner = get_args(kind) or (Any, ...)
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(given, (tuple, list)):
        raise _Unfit
    if get_origin(kind) is tuple and inner[-1] is not Ellipsis:
        if len(given) != len(inner):
            raise _Unfit
        return tuple(_fit(each, part) for each, part in zip(inner, given, strict=True))
    made = [_fit(inner[0], part) for part in given]
    return made if get_origin(kind) is list else tuple(made)


def _fit_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = value.lower() if isinstance(value, str) else None
    if text not in _YES + _NO:
        raise _Unfit
    return text in _YES


def _fit_number(kind: type, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, kind)):
        raise _Unfit
    try:
        return kind(value)
    except ValueError:
        raise _Unfit from None


def _wanted(kind: Any) -> str:
    """What a type is, after "must be"."""
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_wanted(each) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(as_text(choice) for choice in get_args(kind))
    if get_origin(kind) in (tuple, list, Sequence):
        inner = get_args(kind)
        if get_origin(kind) is tuple and inner and inner[-1] is not Ellipsis:
            return f"{len(inner)} values with commas between, {_name(kind)}"
        return f"a list with commas between, {_name(kind)}"
    if kind in (None, types.NoneType):
        return _NONE
    if kind in plain:
        return plain[kind]
    return f"a {_name(kind)}, which only Python can give"


def _name(kind: Any) -> str:
    """A type as a user reads it."""
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(_name(each) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return " | ".join(as_text(choice) for choice in get_args(kind))
    if get_origin(kind) in (tuple, list, Sequence):
        inner = [each for each in get_args(kind) if each is not Ellipsis]
        names = ",".join(_name(each) for each in inner)
        return f"{names},…" if len(inner) < 2 else names
    if kind is Any:
        return "any"
    if kind in (None, types.NoneType):
        return _NONE
    kind = get_origin(kind) or kind
    return kind.__name__ if isinstance(kind, type) else str(kind)


# --- the signature and the docstring ----------------------------------------------------------------------


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(make, eval_str=True).parameters
    except NameError:  # A hint that only a type checker can read: its parameter has no type here.
        return inspect.signature(make).parameters


def _kind(parameter: inspect.Parameter) -> Any:
    hint = parameter.annotation
    if hint is not REQUIRED and not isinstance(hint, str):
        return hint
    if isinstance(parameter.default, (bool, int, float, str)):
        return type(parameter.default)
    return Any


def _described(make: Callable[..., Any]) -> dict[str, str]:
    """What the ``Args:`` of a docstring say of each parameter."""
    texts = [inspect.getdoc(make)]
    if isinstance(make, type):
        texts.append(inspect.getdoc(vars(make).get("__init__")))
    found: dict[str, str] = {}
    for text in texts:
        found |= {name: _followed(name, told) for name, told in _arguments(text or "").items()}
    return found


def _arguments(docstring: str) -> dict[str, str]:
    """The entries of an ``Args:`` section, each on one line."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", docstring, flags=re.M)
    if section is None:
        return {}
    lines = inspect.cleandoc("\n" + section.group(1)).splitlines()
    entries: list[tuple[str, list[str]]] = []
    for line in lines:
        start = re.match(r"([\w*, ]+?)(?: \([^)]*\))?:\s*(.*)", line)
        if start is not None and not line.startswith(" "):
            entries.append((start.group(1), [start.group(2)]))
        elif entries:
            entries[-1][1].append(line.strip())
    return {
        name.strip().lstrip("*"): " ".join(part for part in told if part)
        for names, told in entries
        for name in names.split(",")
    }


def _followed(name: str, told: str) -> str:
    """The text, or where it only says "see :class:`…`", what is said there, and so on."""
    followed: set[str] = set()
    while (reference := re.fullmatch(r"see :\w+:`~?([\w.]+)`\.?", told)) is not None:
        place = reference.group(1)
        module, _, attribute = place.rpartition(".")
        # Only this project's own references: others would be imported for a line of help.
        if not module.startswith("mm.") or place in followed:
            break
        followed.add(place)
        there = getattr(importlib.import_module(module), attribute, None)
        told = _arguments(inspect.getdoc(there) or "").get(name, told)
        # What is said there of its own methods is said here without that place.
        told = re.sub(r":meth:`(\w+)`", rf":meth:`{place}.\1`", told)
    return _plain(told)


def _plain(text: str) -> str:
    """Without the marks of reStructuredText."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda match: match.group(1), text)
    return text.replace("``", "")
