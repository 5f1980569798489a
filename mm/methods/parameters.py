"""A method's parameters: its own options, their values from text or Python, and the method made of them.

A method is entered in :data:`mm.registry.methods` as a callable. Its signature says which of the shared
parameters (factor, mode, band, …) it has, and which options beside them: type hints and a docstring are all
that a plug-in needs for its options to be set and listed.
"""

from __future__ import annotations

import inspect
import pydoc
import re
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from mm.errors import InputError, did_you_mean
from mm.methods.base import Magnifier
from mm.registry import methods

#: shared parameter → how a user sets it
SHARED = {
    "factor": "--factor",
    "mode": "--mode",
    "band": "--low, --high and --fps",
    "device": "--device",
    "batch": "--batch",
    "precision": "--precision",
    "network": "--weights",
}
# A callable with ``**options`` is given these, and of the others those that it names.
_PROMISED = ("factor", "band", "device")
REQUIRED = inspect.Parameter.empty

Precision = Literal["32", "bf16"]

_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NONE = "none"


@dataclass(frozen=True)
class Option:
    """A method's own parameter.

    Attributes:
        name: as it is in the signature.
        kind: its type; :data:`typing.Any` without a hint or a plain default.
        default: its value if not given; :data:`REQUIRED` if it must be.
        help: its line of the docstring, "" without one.
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
    """Return the options of the method called ``method``, by name, in the order of its signature.

    Raises:
        InputError: if no method is called so.
    """
    make = methods.get(method)
    help_ = _described(make)
    return {
        name: Option(name, _kind(parameter), parameter.default, help_.get(name, ""))
        for name, parameter in _parameters(make).items()
        if name not in SHARED
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }


def summary_of(method: str) -> str:
    """Return the first line of a method's docstring.

    Raises:
        InputError: if no method is called so.
    """
    return _plain((inspect.getdoc(methods.get(method)) or "").partition("\n")[0])


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
    """Return a method's options as values of their types.

    Args:
        method: a name in :data:`mm.registry.methods`.
        given: option → value, as text (from a command line) or as a Python value of its type. The method
            itself checks ranges.

    Raises:
        InputError: for a method or an option that is not there (with the close match), a shared parameter, a
            value of another type or outside the choices, or a required option that is missing.
    """
    known = options_of(method)
    takes_any = _takes_any(methods.get(method))
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in SHARED:
            raise InputError(f"{name} is no option of the {method} method alone; set it with {SHARED[name]}")
        if name not in known and not takes_any:
            has = f"it has {', '.join(known)}" if known else "it has none"
            hint = did_you_mean(name, known)
            raise InputError(f"the {method} method has no option {name!r}{hint} ({has})")
        try:
            made[name] = _read(known[name].kind, value) if name in known else value
        except ValueError:
            got = value if isinstance(value, str) and value else repr(value)
            raise InputError(
                f"the {method} method's option {name} must be {known[name].type_name}, got {got}"
            ) from None
    missing = [name for name, option in known.items() if option.default is REQUIRED and name not in made]
    if missing:
        forms = " ".join(f"--option {name}={known[name].type_name}" for name in missing)
        raise InputError(f"the {method} method needs {' and '.join(missing)}; give {forms}")
    return made


def as_text(value: Any) -> str:
    """Return a value as it would be typed."""
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return str(value).lower()
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
        options: the method's own, as text or as values; see :func:`convert`.
        where: added to "the phase method" in messages, such as " inside layered".

    Raises:
        InputError: as :func:`convert`, :func:`fill` and the method itself.
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
    """Make a method of those of the shared parameters that it has.

    A band or weights that it does not have are refused, as the result would be another one; a precision only
    costs or saves time, and is warned of.

    Args:
        make: the callable.
        name: the method's name in messages.
        shared: parameters out of :data:`SHARED`, by name. A callable with ``**options`` has "factor", "band"
            and "device", and those that it names.
        own: the method's own parameters, as they are.
        where: see :func:`make`.

    Raises:
        InputError: for an unknown precision, a band or a network that the method does not take, a callable
            that makes no :class:`mm.methods.Magnifier`, and for the method's own reasons.
    """
    check_precision(shared.get("precision", "32"))
    anything = _PROMISED if _takes_any(make) else ()
    given = {key: value for key, value in shared.items() if key in _parameters(make) or key in anything}
    left = {key: value for key, value in shared.items() if key not in given and value is not None}
    method = f"the {name} method{where}"
    if "network" in left:
        network = left["network"]
        got = f"--weights {network}" if isinstance(network, (str, Path)) else "a network"
        raise InputError(f"{method} has no weights, got {got}; leave them out, or choose the learned method")
    if "band" in left:
        raise InputError(
            f"{method} has no band of frequencies, got {left['band'].low:g} Hz to {left['band'].high:g} Hz; "
            "leave --low and --high out"
        )
    if left.get("precision", "32") != "32":
        warnings.warn(
            f"--precision {left['precision']} changes nothing: {method} works in 32 bits", stacklevel=3
        )
    made = make(**given, **(own or {}))
    if not isinstance(made, Magnifier):
        raise InputError(f"{method} is a {type(made).__name__}; it must be derived from mm.methods.Magnifier")
    return made


def check_precision(precision: str) -> None:
    """Raise InputError unless ``precision`` is "32" or "bf16"."""
    if precision not in get_args(Precision):
        raise InputError(f"precision must be 32 or bf16, got {precision!r}")


# --- types ------------------------------------------------------------------------------------------------


def _read(kind: Any, value: Any) -> Any:
    """Return ``value`` as one of type ``kind``: text is read, other values are only checked.

    Raises:
        ValueError: for a value that is not of the type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        # Any text is a path, and is text: these come last.
        for each in sorted(inner, key=lambda each: (each is str, each is Path)):
            with suppress(ValueError):
                return _read(each, value)
    elif origin is Literal:
        for choice in inner:
            if value == choice or (isinstance(value, str) and value == as_text(choice)):
                return choice
    elif origin in (tuple, list, Sequence):
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if isinstance(parts, (tuple, list)):
            kinds = inner if origin is tuple and inner[-1] is not Ellipsis else inner[:1] * len(parts)
            made = tuple(_read(*pair) for pair in zip(kinds, parts, strict=True))
            return list(made) if origin is list else made
    elif kind in (None, types.NoneType):
        if value is None or (isinstance(value, str) and value.lower() == _NONE):
            return None
    elif kind is bool and isinstance(value, str):
        if value.lower() in _YES + _NO:
            return value.lower() in _YES
    elif kind in (int, float):
        if isinstance(value, (str, int, kind)) and not isinstance(value, bool):
            return kind(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif isinstance(value, kind) if isinstance(kind, type) else not isinstance(value, str):
        return value  # A function or the like can be no text.
    raise ValueError(value)


def _name(kind: Any) -> str:
    """Return a type as a user reads it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_name, inner))
    if origin is Literal:
        return " | ".join(map(as_text, inner))
    if origin in (tuple, list, Sequence):
        names = ",".join(_name(each) for each in inner if each is not Ellipsis)
        return names if origin is tuple and Ellipsis not in inner else f"{names},…"
    if kind in (None, types.NoneType):
        return _NONE
    kind = origin or kind
    return "any" if kind is Any else kind.__name__ if isinstance(kind, type) else str(kind)


# --- the signature and the docstring ----------------------------------------------------------------------


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(make, eval_str=True).parameters
    except NameError:  # A hint that only a type checker can read: its parameter has no type here.
        return inspect.signature(make).parameters


def _takes_any(make: Callable[..., Any]) -> bool:
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in _parameters(make).values())


def _kind(parameter: inspect.Parameter) -> Any:
    hint = parameter.annotation
    if hint is not REQUIRED and not isinstance(hint, str):
        return hint
    return type(parameter.default) if isinstance(parameter.default, (bool, int, float, str)) else Any


def _described(make: Any, depth: int = 4) -> dict[str, str]:
    """Return parameter → line of the docstring; "see :class:`place`" is followed, not round in circles."""
    # Here, not above: only a list of options needs it.
    from docstring_parser import parse

    found: dict[str, str] = {}
    for owner in (make, vars(make).get("__init__") if isinstance(make, type) else None):
        for each in parse(inspect.getdoc(owner) or "").params if owner else ():
            text = " ".join((each.description or "").split())
            seen = re.fullmatch(r"see :\w+:`~?(mm\.[\w.]+)`\.?", text)
            there = _described(pydoc.locate(seen.group(1)), depth - 1) if seen and depth else {}
            for name in (part.strip(" *") for part in each.arg_name.split(",")):
                found[name] = there.get(name, _plain(text))
    return found


def _plain(text: str) -> str:
    """Return a text without the marks of reStructuredText."""
    return re.sub(r":\w+:`~?([^`]+)`", r"\1", text).replace("``", "")
