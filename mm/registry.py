"""Names for things that users choose: motion generators, image sources, magnification methods.

A registry maps a short name to a class or function. It knows nothing of what it holds, so every room may
import it. Plug-ins add to the registries by being imported; :mod:`mm.plugins` finds and imports them.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mm.errors import InputError, did_you_mean

T = TypeVar("T")


class Registry:
    """A mapping from short names to classes or functions of one kind.

    Args:
        kind: the entries in the singular, as messages call them ("motion generator").
        home: the module that registers the built-in entries, imported at the first look-up.

    Attributes:
        entries: name -> class or function, without those of a ``home`` that is not imported yet.
    """

    def __init__(self, kind: str, home: str | None = None) -> None:
        self.kind = kind
        self._home = home
        self.entries: dict[str, Any] = {}

    def _known(self) -> dict[str, Any]:
        home, self._home = self._home, None
        if home is not None:
            importlib.import_module(home)
        return self.entries

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters its class or function under ``name``.

        Of two under one name the last wins, with a warning.
        """

        def enter(entry: T) -> T:
            known = self.entries.get(name)
            if known is not None and known is not entry:
                warnings.warn(
                    f"{self.kind} {name!r} from {getattr(known, '__module__', known)} is replaced by the one "
                    f"from {getattr(entry, '__module__', entry)}",
                    stacklevel=2,
                )
            self.entries[name] = entry
            return entry

        return enter

    def get(self, name: str) -> Any:
        """Return the entry called ``name``.

        Raises:
            InputError: if there is none; the message lists the names and the closest match.
        """
        if name not in self._known():
            hint = did_you_mean(name, self.entries)
            names = ", ".join(sorted(self)) or "none"
            way = "" if hint else "; one that a plug-in registers needs --plugins FILE"
            raise InputError(f"no {self.kind} is called {name!r}{hint} (known: {names}){way}")
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


motion_generators = Registry("motion generator")
image_sources = Registry("image source")
methods = Registry("method", home="mm.methods")
