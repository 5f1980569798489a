"""Published evaluations, rendered anew: what each asks, and that a right answer is scored as right."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Clip
from mm.evaluation.pairs import Pair
from mm.evaluation.published import GEOMETRIC, MOST_IN, MOST_OUT, SETS, protocol
from mm.evaluation.renderers import stage
from mm.evaluation.runner import Conditions
from mm.evaluation.scene_spec import Pictures
from mm.motion import measure_displacement

CPU = torch.device("cpu")
CONDITIONS = Conditions(1, 0, ("project",), CPU, "none")
SIZE = (72, 80)


class Noted(Baseline):
    """Keeps the sizes of the frames that it was given."""

    def __init__(self) -> None:
        super().__init__("noted")
        object.__setattr__(self, "sizes", [])

    def magnify(self, pair: Pair) -> Tensor:
        self.sizes.append(tuple(pair.b.shape[-2:]))  # type: ignore[attr-defined]
        assert not pair.b[..., :5, :].any()
        assert not pair.b[..., :, -5:].any()
        return pair.b


def test_the_public_figure_8_pads_and_crops(pictures: Pictures) -> None:
    measurement = protocol(pictures, SIZE)
    measurement.levels = [measurement.levels[0], measurement.levels[-1]]
    noted = Noted()
    found = measurement.run([noted], CONDITIONS)
    assert set(noted.sizes) == {(82, 90)}  # type: ignore[attr-defined]
    spec = measurement.scene("objects", 0, 0)
    pairs = list(measurement.cases(spec, stage("project", spec), 0, CONDITIONS))
    output = measurement.ask(noted, pairs[0])
    assert torch.equal(output, pairs[0].b[..., 3:-3, 3:-3])
    assert [row.measurement for row in measurement.rows(found)] == ["subpixel", "noise"]
    truth = pairs[0].truth[..., 3:-3, 3:-3]
    assert all(score.ssim == pytest.approx(1) for _, score in measurement.score(pairs[0], truth))


def test_the_public_figure_8_has_the_published_levels(pictures: Pictures) -> None:
    levels = protocol(pictures, SIZE, "figure8").levels
    subpixel, noisy = levels[:15], levels[15:]
    assert [level.motion for level in subpixel][:3] == [0.04, 0.05, 0.063]
    assert all(level.output_motion == pytest.approx(10) for level in levels)
    assert [level.noise for level in noisy][::20] == [0.01, 100.0]
    assert len(noisy) == 21


def test_the_disc_swings_by_two_alpha(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mm.evaluation.published.DISC_FRAMES", 9)
    measurement = protocol(pictures, (72, 72), "disc")
    measurement.levels = [measurement.levels[2], measurement.levels[-1]]
    spec = measurement.scene("objects", 0, 0)
    quiet, noisy = measurement.cases(spec, stage("project", spec), 0, CONDITIONS)  # type: ignore[misc]
    # The disc has one colour; its centre is the mean place of that.
    colour = quiet.truth[0, :, 36, 36][:, None, None]
    found = (quiet.truth - colour).abs().amax(1) < 0.004
    rows = torch.arange(72.0)[:, None]
    course = (found * rows).sum((1, 2)) / found.sum((1, 2))
    wanted = [0.1 * 2 * 20 * math.sin(2 * math.pi * t / 16) for t in range(9)]
    torch.testing.assert_close(course - course[0], torch.tensor(wanted), atol=0.3, rtol=0)
    assert torch.equal(quiet.truth, noisy.truth)
    grain = noisy.clip.frames - quiet.clip.frames
    inside = (quiet.clip.frames > 0.45) & (quiet.clip.frames < 0.55)
    assert float(grain[inside].std()) == pytest.approx(0.2, rel=0.05)

    class Right(Baseline):
        def stream(self, clip: Clip) -> Tensor:
            return quiet.truth

    for _, score in measurement.score(quiet, measurement.ask(Right(), quiet)):
        # The variance of a disc of one colour is the arithmetic's error.
        assert score.ssim == pytest.approx(1, abs=1e-3)


def test_the_geometric_set_turns_and_moves_photographs(pictures: Pictures) -> None:
    measurement = protocol(pictures, SIZE, "geometric")
    turned = [level for level in GEOMETRIC if level.kind == "rotation"]
    assert max(level.motion for level in turned) <= MOST_IN
    assert max(level.output_motion for level in turned) <= MOST_OUT
    spec = measurement.scene("picture", 0, 0)
    cases = list(measurement.cases(spec, stage("project", spec), 0, CONDITIONS))
    levels = [level for case in cases for level in case.levels]
    assert levels == list(GEOMETRIC)
    truths = torch.cat([case.truth for case in cases])
    rests = torch.cat([case.reference for case in cases])
    place = next(n for n, level in enumerate(levels) if level.output_motion == 5 and level in turned)
    # Right of the middle, 20 px away, the picture moves down by 20 px × the angle.
    weight = torch.zeros(SIZE)
    weight[30:42, 54:66] = 1
    shift = measure_displacement(rests[place], truths[place], weight=weight, limit=6)
    assert shift[1] == pytest.approx(20 * math.radians(5), abs=0.2)
    moved = next(n for n, level in enumerate(levels) if level.kind == "translation" and level.motion == 0.5)
    shift = measure_displacement(rests[moved], truths[moved], limit=12).double()
    torch.testing.assert_close(shift, 5 * spec.directions[0], atol=0.03, rtol=0)


def test_rmse_is_in_the_geometric_table(pictures: Pictures, tmp_path: object) -> None:
    measurement = protocol(pictures, SIZE, "geometric")
    measurement.levels = GEOMETRIC[3:5]
    found = measurement.run([Baseline()], CONDITIONS)
    names = measurement.write(tmp_path, found)  # type: ignore[arg-type]
    assert names == ["protocol.csv", "protocol.png"]
    head, *lines = (tmp_path / "protocol.csv").read_text().splitlines()  # type: ignore[operator]
    for line in lines:
        row = dict(zip(head.split(","), line.split(","), strict=True))
        assert row["content"] == "rotation"
        assert float(row["rmse"]) == pytest.approx(255 * 10 ** (-float(row["psnr"]) / 20), rel=1e-3)


def test_every_set_says_what_is_not_known(pictures: Pictures) -> None:
    for name in SETS:
        assert "not known: " in " ".join(protocol(pictures, SIZE, name).notes({}))
    with pytest.raises(InputError, match=r"no protocol is called 'disk'; did you mean 'disc'\?"):
        protocol(pictures, SIZE, "disk")
