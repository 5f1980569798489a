"""The images that measurements are made on: a fixed list, by content, that no training sees."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.resources import files

import numpy as np

from mm.data.sources import ImageSource

_LIST = "held_out.tsv"


@cache
def _listed() -> dict[int, frozenset[str]]:
    """Return the digests of the listed files by their size in bytes."""
    found: dict[int, set[str]] = {}
    for line in files("mm.data").joinpath(_LIST).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            digest, size, _ = line.split("\t")
            found.setdefault(int(size), set()).add(digest)
    return {size: frozenset(digests) for size, digests in found.items()}


def held_out(source: ImageSource) -> np.ndarray:
    """Return the indices of the images of ``source`` that are on the list, int64 in rising order.

    A file is known by its bytes, whatever it is called and wherever it lies. Only files of a listed size are
    read, so that a folder of a hundred thousand photographs costs a look at each one's size. Images that are
    no files (see :meth:`ImageSource.file`) are never on the list.
    """
    listed = _listed()
    found = []
    for index in range(len(source)):
        path = source.file(index)
        digests = listed.get(os.stat(path).st_size) if path is not None and path.is_file() else None
        if path is not None and digests is not None:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            if digest in digests:
                found.append(index)
    return np.array(found, dtype=np.int64)
