"""Outputs that are whole at every moment: checked before the work, written beside their place, moved there.

The folder of an output holds what it held before, or the whole new output, also where the process is killed
or the power fails. What a killed process left is removed by the next one that writes the same output.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from mm.errors import InputError

fcntl: ModuleType | None = None
with contextlib.suppress(ImportError):  # Windows has no such locks: leftovers stay there.
    import fcntl

SUFFIX = ".part"
_NAME_LETTERS = 32  # of the output's name in that of its draft, so that the latter is never too long


def output(text: str) -> Path:
    """Return the path of an output: the type of an argument that the command line checks before the work."""
    return Path(text)


def output_folder(text: str) -> Path:
    """Return the path of a folder of outputs, a type as :func:`output`.

    Raises:
        argparse.ArgumentTypeError: for a file.
    """
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return Path(text)


def check_free(
    outputs: Iterable[Path | None], inputs: Iterable[Path] = (), *, overwrite: bool = False
) -> None:
    """Refuse to replace an input, or what exists without being asked to.

    Args:
        outputs: files and folders that are to be written; hidden files do not make a folder full.
        inputs: files and folders that are read.
        overwrite: whether outputs that exist may be replaced; inputs never are.

    Raises:
        InputError: for an output that is an input, lies in a folder that is read, or exists.
    """
    there = [path for path in outputs if path is not None and path.exists()]
    for path in there:
        for source in inputs:
            if not source.exists():
                continue
            if path.samefile(source):
                raise InputError(f"the output {path} is the input; name another file")
            if path.is_file() and source.is_dir() and path.absolute().parent.samefile(source):
                raise InputError(f"the output {path} is a file of the input {source}; name another")
        if overwrite or is_special(path):
            continue
        if path.is_file():
            raise InputError(f"{path} exists; name another output, or add --overwrite to replace it")
        if any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise InputError(
                f"the folder {path} is not empty; name another, or add --overwrite to replace files in it"
            )


def is_special(path: Path) -> bool:
    """Say whether a path is neither file nor folder, such as ``/dev/stdout``: it is written, not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


class Draft:
    """A file or folder that is written beside its place, under a name that nobody can guess.

    A link is written through. A device or pipe is written directly.

    Args:
        place: the output; its folder exists.
        folder: whether it is a folder.

    Attributes:
        path: the file or folder to write, which exists and is empty. It has not the ending of ``place``.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, place: str | Path, *, folder: bool = False) -> None:
        self._special = is_special(Path(place))
        self._lock: int | None = None
        # Not resolved where it is a pipe: its name then exists no more.
        self.place = self.path = Path(place) if self._special else Path(os.path.realpath(place))
        if self._special:
            return
        if self.place.is_dir() and not folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.place))
        prefix, beside = f".{self.place.name[:_NAME_LETTERS]}.", self.place.parent
        _remove_leftovers(prefix, beside)
        while self._lock is None:
            if folder:
                self.path = Path(tempfile.mkdtemp(SUFFIX, prefix, beside))
            else:
                handle, name = tempfile.mkstemp(SUFFIX, prefix, beside)
                os.close(handle)
                self.path = Path(name)
            self._lock = _locked(self.path)
        # They are made for their owner alone; outputs have the user's own mode.
        self.path.chmod((0o777 if folder else 0o666) & ~_umask())

    def keep(self) -> None:
        """Bring what was written to the disk, and move it to its place.

        Raises:
            OSError: if it cannot be moved.
        """
        if not self._special:
            # Without it the rename may reach the disk before the content does.
            for path in [*self.path.iterdir(), self.path] if self.path.is_dir() else [self.path]:
                _sync(path)
            os.replace(self.path, self.place)
            _sync(self.place.parent)
        self._unlock()

    def discard(self) -> None:
        """Remove what was written, unless it is in its place."""
        if not self._special:
            if self.path.is_dir():
                shutil.rmtree(self.path, ignore_errors=True)
            # Where the folder itself cannot be used, the error that brought us here says so better.
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None and self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


@contextlib.contextmanager
def replacing(place: str | Path) -> Iterator[Path]:
    """Give a file to write, which takes the place of ``place`` when the block ends without an error.

    Args:
        place: the file to write; its folder exists.

    Yields:
        A path in the same folder, see :class:`Draft`. On an error nothing of it is left.

    Raises:
        InputError: if it cannot be written or moved.
    """
    with writing(place):
        draft = Draft(place)
        try:
            yield draft.path
            draft.keep()
        finally:
            draft.discard()


@contextlib.contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Turn the system's refusals to write an output into one line that names it.

    Raises:
        InputError: for an ``OSError`` inside.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason, way_out = "there is no room left for it", "make room, or name an output on another disk"
        else:
            said = error.strerror or str(error) or type(error).__name__
            reason = f"{said.lower()} in {Path(place).absolute().parent}"
            way_out = "name a folder that you may write to"
        raise InputError(f"cannot write {place}: {reason}; {way_out}") from error


@contextlib.contextmanager
def locked(folder: Path, message: str) -> Iterator[int]:
    """Keep a folder to this process, and to those that inherit the lock, until the last of them ends.

    Args:
        folder: it is made if it is missing.
        message: for a folder that another process has locked.

    Yields:
        The lock's file descriptor, -1 where the system has no such locks.

    Raises:
        InputError: if another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder / ".lock", os.O_RDWR | os.O_CREAT)
    if lock is None:
        raise InputError(message)
    try:
        yield lock
    finally:
        if lock >= 0:
            os.close(lock)


def _locked(path: Path, flags: int = os.O_RDONLY) -> int | None:
    """Return the descriptor of a lock on a path; -1 without locks, None if it is gone or another's."""
    if fcntl is None:
        return -1
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return descriptor
        lock = None
    except (BlockingIOError, FileNotFoundError):
        lock = None
    except OSError:  # A file system without locks.
        lock = -1
    os.close(descriptor)
    return lock


def _remove_leftovers(prefix: str, folder: Path) -> None:
    """Remove drafts of the same output whose process is gone: nobody holds their locks."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if not (path.name.startswith(prefix) and path.name.endswith(SUFFIX)) or path.is_symlink():
                continue
            lock = _locked(path)
            if lock is not None and lock >= 0:
                shutil.rmtree(path) if stat.S_ISDIR(os.fstat(lock).st_mode) else path.unlink()
                os.close(lock)


def _sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    # Windows cannot open a folder, and some file systems cannot sync one. Its files are whole all the same.
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
