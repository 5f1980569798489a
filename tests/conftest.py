"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# One thread: the tests' tensors are small, and two threads on them are slower than one.
torch.set_num_threads(1)
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """Put the environment back: plug-ins and loggers note things there for the processes that they start."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def material() -> Path:
    """The folder with photographs, clips and the 2018 release, which are not part of the project."""
    folder = os.environ.get("MM_MATERIAL")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MM_MATERIAL does not name the folder with photographs, clips and the 2018 release")
    return Path(folder)
