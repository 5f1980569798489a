"""Damaged containers: whatever is in them, reading ends with frames or one refusal, and nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

fuzz = importlib.import_module("benchmarks.fuzz")


@pytest.fixture(scope="module")
def apart() -> Iterator[ProcessPoolExecutor]:
    """Another process: whatever a decoder does to its memory, no other test feels it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def test_damaged_containers_are_read_or_refused(tmp_path: Path, apart: ProcessPoolExecutor) -> None:
    refused = apart.submit(fuzz.read, tmp_path, 300).result()
    # Neither all nor none: the damages reach the frames.
    assert 30 < len(refused) < 270
    assert all(len(said.splitlines()) == 1 for said in refused)


def test_damaged_containers_end_the_command_in_one_line(tmp_path: Path, apart: ProcessPoolExecutor) -> None:
    ends = apart.submit(fuzz.magnify, tmp_path, 30).result()
    assert [end for end in ends if end[2]] == []
    assert {code for _, code, _ in ends} == {0, 2}
