"""Echoes of a batch are the same scene, mirrored."""

from __future__ import annotations

import pytest
import torch

from mm.data.echo import TURNED, echoed


@pytest.mark.parametrize("number", range(TURNED))
def test_the_field_of_an_echo_moves_its_frames(number: int) -> None:
    """A block that moves by whole pixels: the mirrored one moves by the mirrored vector."""
    xa = torch.zeros(1, 3, 16, 16)
    xa[..., 3:6, 4:9] = torch.rand(1, 3, 3, 5)
    xb = xa.roll((2, -3), (-2, -1))
    field = torch.tensor([-3.0, 2.0])[None, :, None, None].expand(1, 2, 16, 16).contiguous()
    batch = {
        "xa": xa,
        "xb": xb,
        "displacement": field,
        "motion": field[:, :, 0, 0][:, None],
        "factor": torch.ones(1),
    }

    out = echoed(batch, number)

    x, y = (int(value) for value in out["motion"][0, 0])
    assert torch.equal(out["displacement"][0, :, 5, 5], out["motion"][0, 0])
    torch.testing.assert_close(out["xa"].roll((y, x), (-2, -1)), out["xb"])
    assert torch.equal(out["factor"], batch["factor"])


def test_all_echoes_differ_and_the_first_is_the_batch() -> None:
    batch = {"y": torch.rand(2, 3, 8, 8)}
    echoes = [echoed(batch, number)["y"] for number in range(TURNED)]
    assert torch.equal(echoes[0], batch["y"])
    assert not any(torch.equal(a, b) for i, a in enumerate(echoes) for b in echoes[:i])
