"""The images that measurements are made on: a fixed list, by content or photograph, that no training sees."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import numpy as np

from mm.data.sources import ImageSource

# Of the procedural images that measurements are made on. Training's default is 0.
PROCEDURAL_SEED = 20180908

_LIST = "held_out.tsv"
# Cut-outs are named after what they are cut from: cocoval_PHOTOGRAPH_OBJECT.
_CUT_FROM = re.compile(r"/cocoval_0*(\d+)_")


def _lines() -> Iterator[tuple[str, int, str]]:
    """Return digest, size in bytes and name of each listed file."""
    for line in files("mm.data").joinpath(_LIST).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            digest, size, name = line.split("\t")
            yield digest, int(size), name


@cache
def _listed() -> dict[int, frozenset[str]]:
    """Return the digests of the listed files by their size in bytes."""
    found: dict[int, set[str]] = {}
    for digest, size, _ in _lines():
        found.setdefault(size, set()).add(digest)
    return {size: frozenset(digests) for size, digests in found.items()}


@cache
def _photographs() -> frozenset[str]:
    """Return the identities of the photographs that listed cut-outs are cut from, as far as their names tell.

    COCO numbers the photographs of all its splits and years together, so that the number is enough.
    """
    cut_from = (_CUT_FROM.search(name) for _, _, name in _lines())
    return frozenset(f"coco-{match[1]}" for match in cut_from if match)


def held_out(source: ImageSource) -> np.ndarray:
    """Return the indices of the images of ``source`` that are on the list, int64 in rising order.

    A file (see :meth:`ImageSource.file`) is known by its bytes, whatever it is called and wherever it lies.
    Only files of a listed size are read, so that a folder of a hundred thousand photographs costs a look at
    each one's size. By its :meth:`ImageSource.identity` an image is known that is, or is cut from, a
    photograph that a listed cut-out is cut from (``coco-ID``), and a procedural one of
    :data:`PROCEDURAL_SEED`. A photograph whose source gives it another identity is not known by it.
    """
    listed, photographs = _listed(), _photographs()
    found = []
    for index in range(len(source)):
        identity = source.identity(index)
        if identity in photographs or identity.startswith(f"procedural-{PROCEDURAL_SEED}-"):
            found.append(index)
            continue
        path = source.file(index)
        digests = listed.get(os.stat(path).st_size) if path is not None and path.is_file() else None
        if path is not None and digests is not None:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            if digest in digests:
                found.append(index)
    return np.array(found, dtype=np.int64)
