"""Making a method, with those of the parameters that all methods share that it has."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from mm.errors import InputError
from mm.methods.base import Magnifier
from mm.methods.options import SHARED, convert
from mm.registry import methods

Precision = Literal["32", "bf16"]

# What a method is promised to be given, and so takes, if only by ``**options``.
_PROMISED = ("factor", "band", "device")


def make(
    name: str, shared: Mapping[str, Any], options: Mapping[str, Any] | None = None, *, where: str = ""
) -> Magnifier:
    """Make the method called ``name``.

    Args:
        name: in :data:`mm.registry.methods`.
        shared: parameters that all methods share, by name; see :func:`fill`.
        options: the method's own, as text or as values; see :func:`mm.methods.options.convert`.
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
        shared: parameters out of :data:`mm.methods.options.SHARED`, by name. A callable with ``**options``
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
