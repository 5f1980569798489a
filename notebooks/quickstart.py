# %% [markdown]
# # A motion that cannot be seen, magnified and measured
#
# Two frames of a scene whose layers move by a fifth of a pixel, rendered exactly by Fourier shifts; the shipped network
# magnifies the motion ten times; an estimator that knows nothing of either measures what came out.

# %%
import os

import matplotlib

if not os.environ.get("DISPLAY"):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

import mm
from mm.evaluation import random_displacements, random_scene, record
from mm.motion import motion_gain

FACTOR, MOTION = 10.0, 0.2  # total gain of the displacement; px

# %%
scene = random_scene(128, 160, seed=3)
displacements = random_displacements(len(scene.layers), MOTION, torch.Generator().manual_seed(0))
triplet = scene.triplet(displacements, FACTOR)
# What a camera would see: 8 bits.
a, b = record(triplet.reference)[None], record(triplet.moved)[None]

# %%
network = mm.load()
magnified = network.magnify_pair(a, b, factor=FACTOR)
gain = float(motion_gain(a, magnified, triplet.magnified[None])[0])
print(f"measured motion over true motion: {gain:.2f} (1 is exact, {1 / FACTOR:.2f} is doing nothing)")

# %%
figure, axes = plt.subplots(1, 4, figsize=(14, 3.2))
frames = {"reference": a[0], "moved by 0.2 px": b[0], "magnified × 10": magnified[0], "truth": triplet.magnified}
for axis, (title, frame) in zip(axes, frames.items(), strict=True):
    axis.imshow(frame.permute(1, 2, 0).numpy())
    axis.set_title(title)
    axis.axis("off")
figure.tight_layout()
figure.savefig(os.environ.get("MM_FIGURE", "quickstart.png"))

# %% [markdown]
# ## What the network learns from
#
# Training triplets are rendered from layers, on the device, while training runs. Here two from procedural images.

# %%
from mm.data import MixedDataModule  # noqa: E402
from mm.synthesis import MotionLimits, Synthesizer  # noqa: E402

synthesizer = Synthesizer(96, 96, limits=MotionLimits(max_magnified=12.0))
data = MixedDataModule(synthesizer=synthesizer, batch_size=2, num_workers=0, samples_per_epoch=2)
data.setup("fit")
batch = synthesizer(next(iter(data.train_dataloader())))
for factor, motion in zip(batch["factor"], batch["motion"], strict=True):
    print(f"factor {factor:.1f}, largest motion {motion.norm(dim=-1).max():.3f} px")
