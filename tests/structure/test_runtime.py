from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from mm.runtime import keep_freed_memory
torch.set_num_threads(1)
if {keep} and not keep_freed_memory():
    print("refused"); sys.exit()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16_000_000)
before = faults()
for _ in range(20):
    torch.ones(16_000_000)
print(faults() - before)
"""


def page_faults(keep: bool) -> str:
    run = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_memory_is_taken_again_without_page_faults() -> None:
    kept = page_faults(True)
    if kept == "refused":
        pytest.skip("this C library has no mallopt")
    # 20 tensors of 64 MB are 312,500 pages of 4 KiB when each is cleared anew.
    assert int(kept) < int(page_faults(False)) / 2
