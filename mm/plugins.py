"""Finding plug-ins: modules that are imported so that they enter their parts in the registries.

A plug-in is found in one of three ways:

- an installed package's entry point in the group ``mm.plugins``;
- a ``.py`` file, or all the ``.py`` files of a folder, named with ``--plugins`` on the command line;
- the same named in the environment variable ``MM_PLUGINS`` (several are joined as in ``PATH``).

A file ``NAME.py`` is imported as ``mm.plugins.NAME``: that is its name in a ``class_path`` of a configuration
(``class_path: mm.plugins.coco.CocoPhotographs``), and it can shadow no installed package. What was named on
the command line is added to ``MM_PLUGINS``, so that worker processes which are started afresh find the same
modules.

A plug-in that fails to load never stops the program. :func:`load_plugins` reports why.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mm.errors import InputError
from mm.registry import Registry, image_sources, methods, motion_generators

GROUP = "mm.plugins"
VARIABLE = "MM_PLUGINS"
OPTION = "--plugins"
REGISTRIES: tuple[Registry, ...] = (motion_generators, image_sources, methods)

# Makes Python look for `mm.plugins.NAME` in the folders of the plug-in files, as it does for a package's
# modules.
__path__: list[str] = []


@dataclass(frozen=True)
class Plugin:
    """One plug-in, loaded or not.

    Attributes:
        name: of its module, as a ``class_path`` starts.
        origin: the file, or the entry point and its distribution.
        registered: (kind, name) of what it entered in the registries.
        error: why it failed to load, in one line; None if it loaded.
    """

    name: str
    origin: str
    registered: tuple[tuple[str, str], ...] = field(default=())
    error: str | None = None


# What was tried in this process, by origin, so that it is imported and reported once.
_tried: dict[str, Plugin] = {}


def load_plugins(paths: Iterable[str | Path] = ()) -> tuple[Plugin, ...]:
    """Load the plug-ins of the entry points, of ``MM_PLUGINS`` and of ``paths``.

    Calling it again loads only what is new. A plug-in that fails is left out with a warning of one line.

    Args:
        paths: ``.py`` files, and folders of them (files whose names start with ``_`` or ``.`` are left out).

    Returns:
        All plug-ins found so far in this process, loaded or failed.

    Raises:
        InputError: if one of ``paths`` does not exist or is no ``.py`` file. In ``MM_PLUGINS``, that is
            a failed plug-in.
    """
    named = [Path(path).resolve() for path in paths]
    files = [file for path in named for file in _files(path)]
    _remember(named)
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = entry.dist.name if entry.dist is not None else "an unknown package"
        _try(entry.value, f"entry point {entry.name} of {distribution}")
    for path in _from_environment():
        try:
            files += [file for file in _files(path) if file not in files]
        except InputError as error:
            _report(Plugin(path.stem, str(path), error=f"{error} (from {VARIABLE})"))
    for file in files:
        name = f"{__name__}.{file.stem}"
        if file.stem in _OWN_NAMES:
            # Importing it would put it in the place of this module's function of that name.
            _report(
                Plugin(name, str(file), error=f"a plug-in cannot be called {file.stem!r}; rename the file")
            )
            continue
        _extend_path(file.parent)
        _try(name, str(file))
    return tuple(_tried.values())


def take_option(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split ``--plugins PATH…`` from the other arguments, for parsers that do not know it.

    Returns:
        The paths, which end at the next argument that starts with ``-``; and the other arguments in order.

    Raises:
        InputError: if no path follows the option.
    """
    paths: list[str] = []
    others: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument.startswith(f"{OPTION}="):
            paths.append(argument.partition("=")[2])
        elif argument == OPTION:
            if not rest or rest[0].startswith("-"):
                raise InputError(f"{OPTION} needs at least one file or folder after it")
            while rest and not rest[0].startswith("-"):
                paths.append(rest.pop(0))
        else:
            others.append(argument)
    return paths, others


def _files(path: Path) -> list[Path]:
    """Return the plug-in files that ``path`` names."""
    if path.is_dir():
        return sorted(file for file in path.glob("*.py") if not file.name.startswith(("_", ".")))
    if not path.exists():
        raise InputError(f"the plug-in {str(path)!r} does not exist; name a .py file or a folder of them")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InputError(f"the plug-in {str(path)!r} is not a .py file whose name can be imported")
    return [path]


def _from_environment() -> list[Path]:
    value = os.environ.get(VARIABLE, "")
    return [Path(part).resolve() for part in value.split(os.pathsep) if part]


def _remember(paths: list[Path]) -> None:
    """Add ``paths`` to the environment, which child processes inherit."""
    known = _from_environment()
    os.environ[VARIABLE] = os.pathsep.join(map(str, known + [path for path in paths if path not in known]))
    if not os.environ[VARIABLE]:
        del os.environ[VARIABLE]


def _extend_path(folder: Path) -> None:
    if str(folder) not in __path__:
        __path__.append(str(folder))


def _try(module: str, origin: str) -> None:
    """Import ``module`` and note what it registered, or why it failed."""
    if origin in _tried:
        return
    before = {registry.kind: {name: registry.get(name) for name in registry} for registry in REGISTRIES}
    try:
        imported = importlib.import_module(module.partition(":")[0])
    # A plug-in may raise anything, and none may stop the program.
    except (Exception, SystemExit) as error:
        _report(Plugin(module, origin, error=f"{type(error).__name__}: {' '.join(str(error).split())}"))
        return
    file = getattr(imported, "__file__", None)
    if Path(origin).suffix == ".py" and (file is None or Path(file).resolve() != Path(origin)):
        _report(Plugin(module, origin, error=f"another plug-in of this name was loaded first, from {file}"))
        return
    registered = tuple(
        (registry.kind, name)
        for registry in REGISTRIES
        for name in registry
        if before[registry.kind].get(name) is not registry.get(name)
    )
    _tried[origin] = Plugin(module, origin, registered)


def _report(failed: Plugin) -> None:
    if failed.origin not in _tried:
        _tried[failed.origin] = failed
        warnings.warn(f"plug-in {failed.origin} failed to load: {failed.error}", stacklevel=3)


def _prepare_import() -> None:
    """Make what ``MM_PLUGINS`` names importable, so that a fresh worker process can unpickle its classes."""
    for path in _from_environment():
        _extend_path(path if path.is_dir() else path.parent)


_prepare_import()
_OWN_NAMES = frozenset(globals())
