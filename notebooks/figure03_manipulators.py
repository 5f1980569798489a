# %% [markdown]
# # Figure 3: linear against non-linear manipulator
#
# **What the paper claims** (Oh et al. 2018, section 3.1): a manipulator that only multiplies the difference of the two
# shapes, `M_a + α(M_b − M_a)`, magnifies too, but blurs strong edges and lets noise through; with `h(α·g(M_b − M_a))`, in
# which g ends in a ReLU, there is less of both.
#
# **What is done here.** The paper trained two networks. A linear one is not shipped, and training one takes hours, not
# the seconds of a notebook, so there are two ways:
#
# - Without anything else, the shipped network is compared with *itself, its manipulator replaced* by the multiplication.
#   Encoder and decoder grew up with the non-linear one, so this favours that one. It shows what the manipulator does
#   *in this network*: how much of its edges and of its silence in noise depend on it. It does **not** show how good a
#   network would be that was trained with a linear manipulator.
# - With `MM_LINEAR_WEIGHTS` (and `MM_NONLINEAR_WEIGHTS`, or the shipped one) naming two networks that were trained alike,
#   for example by `python experiments/ablations/run.py base linear-manipulator`, those are compared, as in the paper.
#
# One thing is told without any decoder. Neither manipulator has biases, so the non-linear one, too, returns twice as much
# for twice the difference: it cannot hold back noise for being *small*. It can only hold back what *looks* like noise.
# How well it does is its selectivity: its gain on the difference of shapes that motion makes over its gain on the
# difference that noise makes. A linear manipulator has 1, whatever it was trained with.

# %%
import os
from dataclasses import replace

import torch
from common import (
    Report,
    Set,
    clip_path,
    closer_look,
    draw,
    draw_difference,
    edges_kept,
    error_in,
    exceeds,
    load_network,
    magnify,
    near_edges,
    overshoot,
    panels,
    read_part,
    seconds,
    sideways,
    sine,
    ssim_in,
)
from torch import Tensor

from mm import InputError, load
from mm.evaluation import record
from mm.methods import LearnedMagnifier
from mm.networks import MagnificationNetwork

FPS, FRAMES, MOTION = 30.0, 12, 0.3  # frames a second; one period at 2.5 Hz; px
FACTOR, NOISE = 10.0, 1.0  # total gain; standard deviation of the noise at mid-grey, 1/255
NEAR = 4  # px from the edges
report = Report("figure03", "linear against non-linear manipulator")


def with_linear_manipulator(network: MagnificationNetwork) -> MagnificationNetwork:
    """The same encoder and decoder, the difference of shapes only multiplied."""
    linear = MagnificationNetwork(replace(network.config, manipulator="linear"))
    ours = {name: value for name, value in network.state_dict().items() if not name.startswith("manipulator.")}
    linear.load_state_dict(ours)
    return linear.eval()


nonlinear = load(os.environ["MM_NONLINEAR_WEIGHTS"], device="cpu") if "MM_NONLINEAR_WEIGHTS" in os.environ else load_network()
trained = "MM_LINEAR_WEIGHTS" in os.environ
linear = load(os.environ["MM_LINEAR_WEIGHTS"], device="cpu") if trained else with_linear_manipulator(nonlinear)
for wanted_kind, network in (("nonlinear", nonlinear), ("linear", linear)):
    if network.config.manipulator != wanted_kind:
        raise InputError(
            f"a network with a {wanted_kind} manipulator is needed and that of {network.card.get('name', 'the weights')} "
            f"is {network.config.manipulator}; exchange MM_LINEAR_WEIGHTS and MM_NONLINEAR_WEIGHTS"
        )
networks = {"linear": linear, "non-linear": nonlinear}
how = "each network as it was trained" if trained else "the shipped network, its manipulator replaced"
print(f"compared: {how}")

# %% [markdown]
# ## Strong edges
#
# A disc and a post swing against each other, recorded without noise.

# %%
swing = sideways(sine(MOTION, 2.5, seconds(FRAMES, FPS)))
stage = (
    Set(80, 112, seed=4)
    .disc("disc", 34, 40, 18, (0.2, 0.3, 0.45))
    .box("post", 76, -10, 94, 90, (0.85, 0.8, 0.7), contrast=0.05)
)
moving = stage.film(FPS, {"disc": swing, "post": -swing}, noise=0.0)
wanted = moving.displacements * FACTOR
truth = moving.truth(wanted)
near = near_edges(moving.shares(wanted), NEAR)
near[0] = False
outputs = {name: magnify(LearnedMagnifier(network, FACTOR), moving.frames) for name, network in networks.items()}
ssim = {name: ssim_in(output, truth, near) for name, output in outputs.items()}
wrong = {name: error_in(output, truth, near) for name, output in outputs.items()}
edges = {name: edges_kept(output, truth, near) for name, output in outputs.items()}
peak = int(swing[:, 0].abs().argmax())

# %% [markdown]
# ## Noise
#
# The same scene, nothing moves, and every frame has its own photon noise. The right output stays as it is; what changes
# is noise that was taken for motion. The noise of the input itself is given beside it.

# %%
still = stage.film(FPS, {"disc": torch.zeros(6, 2)}, noise=NOISE, seed=1)
noisy = {name: magnify(LearnedMagnifier(network, FACTOR), still.frames) for name, network in networks.items()}


def flicker(frames: Tensor) -> float:
    """Standard deviation over time, root mean square over pixels, 1/255."""
    return float(frames[1:].std(0).square().mean().sqrt() * 255)


flickers = {name: flicker(frames) for name, frames in {"input": still.frames, **noisy}.items()}

# %%
figure, axes = panels(3, 4, height=2.3)
for column, (name, frames) in enumerate({"input": moving.frames, "truth": truth, **outputs}.items()):
    note = f"SSIM near edges {ssim[name]:.3f}" if name in ssim else ""
    draw(axes[0, column], frames[peak], name if name == "input" else f"{name}, ×{FACTOR:g}", note)
    note = f"error near edges {wrong[name]:.1f}/255" if name in wrong else ""
    if name == "truth":
        axes[1, column].set_axis_off()
    else:
        draw_difference(axes[1, column], frames[peak], truth[peak], 60, f"{name} − truth (±60/255)", note)
for column, (name, frames) in enumerate({"input": still.frames, "truth": None, **noisy}.items()):
    if frames is None:
        axes[2, column].set_axis_off()
    else:
        note = f"a still scene: change (±20/255), flicker {flickers[name]:.2f}/255"
        draw_difference(axes[2, column], frames[-1], frames[1], 20, name, note)
report.save(figure, "rendered")

# %% [markdown]
# ## Selectivity: what the manipulator passes on, without the decoder
#
# The difference of shapes that a shift makes, and the one that noise makes, in one scene; the gain is the norm of what
# the manipulator returns at α = 1 over the norm of what it is given.

# %%
def selectivity(network: MagnificationNetwork) -> tuple[float, float]:
    """Gain on motion over gain on noise; and how far from twice as much is returned for twice the difference."""
    with torch.no_grad():
        clean = moving.truth(moving.displacements[[0, peak]])
        _, shapes = network.encode(clean)
        _, grainy = network.encode(torch.stack([record(clean[0], noise=NOISE, bits=None, seed=s) for s in (1, 2)]))
        motion, noise = shapes[1:] - shapes[:1], grainy[1:] - grainy[:1]
        gains = [float(network.manipulator(d, 1.0).norm() / d.norm()) for d in (motion, noise)]
        once, twice = network.manipulator(motion, 1.0), network.manipulator(2 * motion, 1.0)
        return gains[0] / gains[1], float((twice - 2 * once).norm() / (2 * once).norm())


selective = {name: selectivity(network) for name, network in networks.items()}
for name, (ratio, off) in selective.items():
    print(f"{name}: gain on motion over gain on noise {ratio:.2f}; twice the difference gives twice as much within {off:.1e}")

# %%
report.judge(
    f"rendered, {how}",
    "the non-linear manipulator shows strong edges more truly",
    f"within {NEAR} px of the edges at ×{FACTOR:g}: SSIM linear {ssim['linear']:.3f}, non-linear {ssim['non-linear']:.3f}; "
    f"error {wrong['linear']:.1f}/255 and {wrong['non-linear']:.1f}/255",
    exceeds(ssim["non-linear"], ssim["linear"], margin=0.01),
)
report.judge(
    f"rendered, {how}",
    "the linear manipulator blurs strong edges",
    f"share of the true gradient in its place: linear {edges['linear']:.2f}, non-linear {edges['non-linear']:.2f}",
    exceeds(edges["non-linear"], edges["linear"], margin=0.02),
)
report.judge(
    f"rendered, {how}",
    "the linear manipulator is more prone to noise",
    f"flicker of a still scene at ×{FACTOR:g}: input {flickers['input']:.2f}/255, linear {flickers['linear']:.2f}/255, "
    f"non-linear {flickers['non-linear']:.2f}/255",
    exceeds(flickers["linear"], flickers["non-linear"], relative=0.05),
)
report.judge(
    "rendered, manipulator alone",
    "the non-linearity lessens noise against motion",
    f"gain on motion over gain on noise: linear {selective['linear'][0]:.2f}, non-linear {selective['non-linear'][0]:.2f}",
    exceeds(selective["non-linear"][0], selective["linear"][0], relative=0.05),
)

# %% [markdown]
# ## The baby
#
# With `MM_CLIPS`. Without a truth, what can be measured is what no motion of at most `REACH` px can make: values that are
# nowhere within that distance in the input.

# %%
REACH = 12  # px
path = clip_path("baby.mp4")
if path is not None:
    frames = read_part(path, first=0, frames=24, roi=(260, 40, 480, 360), scale=0.5)
    outputs = {name: magnify(LearnedMagnifier(network, FACTOR), frames) for name, network in networks.items()}
    beyond = {name: overshoot(output, frames, REACH) for name, output in outputs.items()}
    report.save(closer_look({"input": frames, **outputs}, beyond, FACTOR, FPS), "baby")
    report.judge(
        f"baby.mp4, {how}",
        "the linear manipulator is more prone to noise and to values that the picture does not hold",
        f"beyond the values within {REACH} px: linear {beyond['linear']:.2f}/255, non-linear {beyond['non-linear']:.2f}/255",
        exceeds(beyond["linear"], beyond["non-linear"], relative=0.05),
    )

# %%
verdict = report.conclude()
if not trained:
    print("This says what the manipulator does in this network, not what a linear one that was trained would do.")
