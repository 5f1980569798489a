# %% [markdown]
# # The three modes, a picture each
#
# A rendered clip in which a string vibrates at 5 Hz, a disc at 3 Hz and a beam at 2 Hz, each by a fifth of a pixel, which
# nobody sees. *static* magnifies all of it against the first frame; *dynamic* magnifies what changes from frame to frame;
# *temporal* here only what moves between 4 and 6 Hz: the string, and not the disc. The guide to `mm magnify` shows the
# pictures.

# %%
import os
from pathlib import Path

import matplotlib

if not os.environ.get("DISPLAY"):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from mm.evaluation.vibrating_clip import demo_clip
from mm.methods import LearnedMagnifier
from mm.temporal import Band

FRAMES = int(os.environ.get("MM_MODES_FRAMES", "60"))
OUT = Path(os.environ.get("MM_NOTEBOOK_OUT", "notebooks/out"))
FACTOR, REACH = 10.0, 20  # total gain; px to either side of a thing that the slices show
# A slice through each: its row, and px along it.
THINGS = ("string", "disc along x")

# %%
clip = demo_clip(frames=FRAMES)
bands = {"static": None, "dynamic": None, "temporal": Band(4.0, 6.0, clip.fps, "ideal")}


def magnified(mode: str) -> torch.Tensor:
    """Return the clip magnified, (T, 3, H, W)."""
    magnifier = LearnedMagnifier(factor=FACTOR, mode=mode, band=bands[mode], batch=4)
    return torch.cat([*(magnifier.push(some) for some in clip.frames.split(4)), magnifier.flush()])


def place(name: str) -> tuple[int, int]:
    """Return the row and the column of a thing's middle."""
    inside = clip.regions[name].nonzero().float().mean(0)
    return round(float(inside[0])), round(float(inside[1]))


def slice_of(frames: torch.Tensor, name: str) -> torch.Tensor:
    """Return the x–t slice through a thing, (2 · REACH, T, 3): x down, time to the right."""
    row, column = place(name)
    first = min(max(column - REACH, 0), frames.shape[-1] - 2 * REACH)
    return frames[:, :, row, first : first + 2 * REACH].permute(2, 0, 1)


def swing(picture: torch.Tensor) -> float:
    """Return how much the slice changes over time, root mean square in 1/255."""
    return float((picture - picture.mean(1, keepdim=True)).square().mean().sqrt() * 255)


# %%
OUT.mkdir(parents=True, exist_ok=True)
for mode, band in bands.items():
    frames = magnified(mode)
    figure = plt.figure(figsize=(9, 2.9), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic(
        [["frame", "in0", "out0"], ["frame", "in1", "out1"]], width_ratios=(1.25, 1, 1)
    )
    axes["frame"].imshow(clip.frames[0].permute(1, 2, 0).numpy())
    axes["frame"].set_title("a frame, and where the slices are", fontsize=8)
    for number, name in enumerate(THINGS):
        row, column = place(name)
        axes["frame"].plot([column - REACH, column + REACH], [row, row], color="yellow", linewidth=1.5)
        for side, shown in (("in", clip.frames), ("out", frames)):
            axis = axes[f"{side}{number}"]
            picture = slice_of(shown, name)
            axis.imshow(
                picture.numpy(),
                aspect="auto",
                interpolation="nearest",
                extent=(0, FRAMES / clip.fps, 2 * REACH, 0),
            )
            title = "input" if side == "in" else f"{mode} ×{FACTOR:g}"
            if side == "out" and band is not None:
                title += f", {band.low:g}–{band.high:g} Hz"
            axis.set_title(f"{title}: {name.split(' ')[0]}", fontsize=8)
            axis.tick_params(labelsize=7)
            print(f"{mode}, {name}, {side}put: the slice changes by {swing(picture):.1f}/255 over time")
        axes[f"in{number}"].set_ylabel("x / px", fontsize=8)
    for name in ("in1", "out1"):
        axes[name].set_xlabel("time / s", fontsize=8)
    axes["frame"].set_axis_off()
    figure.savefig(OUT / f"{mode}.png")
    plt.close(figure)
