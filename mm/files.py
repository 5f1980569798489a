"""Files that are whole at every moment: written beside their place, and moved there when complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a file to write, which takes the place of ``path`` when the block ends without an error.

    Within one folder a rename is atomic: ``path`` holds what it held before, or nothing, until it holds the
    new content whole, also where the process is killed, and after a power cut too. On an error nothing of
    the new content is left.

    There is one such file for a place, so that what a kill left is overwritten by the next write; two
    processes are not to write to one place at a time. It does not have the ending of ``path``: nothing that
    looks for files of a kind finds it, and a writer that tells the format by the ending has to be told it.

    Args:
        path: the file to write; its folder exists.

    Yields:
        A path in the same folder, at which the block is to make a file.

    Raises:
        OSError: if it cannot be written or moved.
    """
    place = Path(path)
    partial = place.with_name(f".{place.name}.partial")
    try:
        yield partial
        # Without it the rename may reach the disk before the content does.
        _sync(partial, os.O_RDWR)
        os.replace(partial, place)
    except BaseException:
        # Where the folder itself cannot be used, what brought us here says so better.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    # Windows cannot open a folder, and some file systems cannot sync one. The file is whole all the same.
    with contextlib.suppress(OSError):
        _sync(place.parent, os.O_RDONLY)


def _sync(path: Path, how: int) -> None:
    """Bring a file or a folder's entries to the disk."""
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
