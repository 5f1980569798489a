#!/usr/bin/env bash
# Trains on one machine or several with torchrun, one process a device. Run it on every machine, at about the same time
# and with the same arguments; only NODE_RANK differs. What follows is given to `mm fit`:
#
#   NODES=2 NODE_RANK=0 MASTER=node-a:29500 experiments/cluster/torchrun.sh --config experiments/paper.yaml
#   NODES=2 NODE_RANK=1 MASTER=node-a:29500 experiments/cluster/torchrun.sh --config experiments/paper.yaml
#
#   NODES       machines (1)
#   NODE_RANK   this machine's number, from 0 (0); machine 0 is the one that MASTER names
#   MASTER      host:port where they meet (127.0.0.1:29500): a port that is free there and open to the others
#   DEVICES     processes on this machine, the same number on all (its GPUs)
#   RESTARTS    how often all processes are started again after one of them died (0)
#
# The run's folder (trainer.default_root_dir) and the images must be on a file system that all machines share: rank 0
# writes the checkpoint, and every rank reads it. README.md here says which batch size and learning rate to give.
set -euo pipefail

nodes=${NODES:-1}
devices=${DEVICES:-$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)}
if [ "$devices" -lt 1 ]; then
    echo "torchrun.sh: no GPU here; give DEVICES=N and --trainer.accelerator cpu to train with N processes" >&2
    exit 2
fi

# --ckpt_path last: a run that is started again goes on; the first time there is none, and it begins.
# The trainer's options come last, for a configuration after them would win over them.
exec torchrun \
    --nnodes "$nodes" \
    --node-rank "${NODE_RANK:-0}" \
    --nproc-per-node "$devices" \
    --rdzv-backend c10d \
    --rdzv-endpoint "${MASTER:-127.0.0.1:29500}" \
    --rdzv-id mm \
    --max-restarts "${RESTARTS:-0}" \
    -m mm fit \
    --ckpt_path last \
    "$@" \
    --trainer.num_nodes "$nodes" \
    --trainer.devices "$devices" \
    --trainer.strategy ddp
