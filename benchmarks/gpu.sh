#!/usr/bin/env bash
# What handgrad does on a GPU, in the tables of docs/backends.md: bash benchmarks/gpu.sh FOLDER, under 8 minutes.
#
# Run it from the root of the repository. FOLDER is new, and gets what is printed, as tables.txt, and the samples of the
# step, as bench.json and bench.html. PYTHON is one that has handgrad, PyTorch for CUDA and jax[cuda]. Where there is no
# GPU, DEVICE=cpu EXAMPLES=200 FEATURES=64 tries the script itself.
set -euo pipefail

FOLDER=${1:?"expected a folder for the results: bash benchmarks/gpu.sh FOLDER"}
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda} EXAMPLES=${EXAMPLES:-20000} FEATURES=${FEATURES:-12288}

if [ "$DEVICE" = cuda ] && ! nvidia-smi >/dev/null 2>&1; then
    echo "no GPU: nvidia-smi finds none; DEVICE=cpu EXAMPLES=200 FEATURES=64 tries the script itself" >&2
    exit 2
fi
mkdir "$FOLDER"
exec > >(tee "$FOLDER/tables.txt") 2>&1
failed=0

# Says what is run, runs it for so many seconds at most, and goes on where it fails.
run() {
    printf '\n$ %s\n' "${*:2}"
    timeout "$@" || { echo "failed, with $?"; failed=1; }
}

if [ "$DEVICE" = cuda ]; then
    run 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
fi

# The step: ours, where the fused kernels read bytes once, beside eager and compiled PyTorch and plain JAX; "of 1 read"
# is the share of what the memory of the device delivers.
run 150 "$PYTHON" -m handgrad bench --device "$DEVICE" --examples "$EXAMPLES" --features "$FEATURES" --rounds 20 \
    --backends torch,jax,torch_eager,torch_compiled,jax_plain --json "$FOLDER/bench.json" --html "$FOLDER/bench.html"
run 60 "$PYTHON" -m handgrad bench --device "$DEVICE" --examples "$EXAMPLES" --features "$FEATURES" --rounds 10 \
    --input float32 --backends torch,jax,torch_eager,jax_plain

# The proof: every law of a backend, on the device.
for backend in torch jax; do
    run 100 "$PYTHON" -c "
import dataclasses
from handgrad import backends
from handgrad.testing import check_backend
Neuron = backends.load('$backend')
check_backend(dataclasses.make_dataclass('Neuron', [('device', str, '$DEVICE')], bases=(Neuron,), frozen=True))
print('$backend: every law holds on $DEVICE')"
done

# Two processes, a GPU each, which add by NCCL.
if [ "$DEVICE" = cuda ] && [ "$(nvidia-smi --list-gpus | wc -l)" -ge 2 ]; then
    mkdir "$FOLDER/arrays"
    "$PYTHON" -c "
import numpy as np
rng = np.random.default_rng(0)
for split, m in ('train', 4000), ('valid', 1000):
    y = rng.integers(0, 2, m)
    X = rng.integers(0, 200, (m, 64, 64, 3)) + 40 * y[:, None, None, None]
    np.savez(f'$FOLDER/arrays/{split}.npz', X=X.astype(np.uint8), Y=y.astype(np.uint8))"
    run 60 "$PYTHON" -m handgrad prepare "$FOLDER/arrays" "$FOLDER/data"
    run 90 "$PYTHON" -m torch.distributed.run --nproc-per-node=2 -m -- handgrad train "$FOLDER/data" --epochs 200 \
        --run "$FOLDER/run" --backend torch --device cuda
fi
exit $failed
