"""``mm.magnify`` is called as a function, whichever modules of the room are imported before."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest

import mm
from mm.magnify.clip import magnify


@pytest.mark.parametrize(
    "imports",
    [
        "import mm",
        "import mm.magnify.pipeline",
        "import mm; mm.magnify; import mm.magnify.pipeline as pipeline; pipeline.Pipeline",
        "from mm import magnify; import mm",
    ],
)
def test_it_is_called_after_any_import(imports: str) -> None:
    program = (
        f"{imports}\ntry:\n    mm.magnify('none.mp4', 'out.mp4')\nexcept mm.InputError as e:\n    print(e)"
    )
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "none.mp4" in done.stdout


def test_it_looks_like_the_function() -> None:
    assert callable(mm.magnify)
    assert inspect.signature(mm.magnify) == inspect.signature(magnify)
    assert pickle.loads(pickle.dumps(mm.magnify)) is mm.magnify
