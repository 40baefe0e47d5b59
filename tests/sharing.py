"""What each of several processes does for `test_processes`: trains on its share, in every way, and keeps what it got.

``torchrun --nproc-per-node=2 sharing.py FOLDER`` leaves FOLDER/RANK.npz, with the parameters and the history of each
case. `reference` is the same training by one process.
"""

import sys
from pathlib import Path

import numpy as np

from handgrad import backends
from handgrad.backend import Parameters
from handgrad.neuron import Neuron
from handgrad.optimizers import LBFGS, SGD
from handgrad.processes import ALONE
from handgrad.torchrun import joined
from handgrad.views import mirrored, shared, standardised, weighted

LOSSES = [("sigmoid", "cross_entropy"), *((f, "squared_error") for f in ("sigmoid", "tanh", "relu", "identity"))]
EPOCHS = 50
RATE = 0.02
SIZE = 2, 3, 3  # of a photograph of 18 features

DESCENTS = {
    f"{backend} {activation} {loss} {dtype}": (backend, activation, loss, dtype)
    for backend in ("numpy", "numba", "torch")
    for activation, loss in LOSSES
    for dtype in ("float32", "float64")
}

OTHERS = {
    "mirrored": {"mirror": True},
    "standardised": {"standardize": True},
    "both, in blocks": {"mirror": True, "standardize": True, "block": 7},
    "sgd": {"optimizer": SGD(0.1, batch=20, schedule="cosine", seed=3)},
    "sgd, mirrored": {"optimizer": SGD(0.1, batch=20), "mirror": True},
    "weighted": {"weigh": True},
    "weighted, both, sgd": {"weigh": True, "mirror": True, "standardize": True, "optimizer": SGD(0.1, batch=20)},
    "lbfgs": {"optimizer": LBFGS()},
    "early stopping": {"optimizer": SGD(2.0, batch=20), "patience": 4},
    "validation now and then": {"validation_every": 7},
}


def examples(m, seed=0):
    """X (18, m) of bytes, and Y, which a line nearly separates."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (m, 18), np.uint8).T
    Y = (X[:1] + rng.normal(0, 60, (1, m)) > 127).astype(np.uint8)
    return X, Y


def neuron_of(backend, activation="sigmoid", loss="cross_entropy", dtype="float64") -> Neuron:
    return backends.load(backend)(activation, loss, 0.01, 1 / 255, dtype)


def reference(neuron, m, **options):
    """Parameters and history of one process."""
    return train(neuron, m, ALONE, **options)


def train(neuron, m, processes, *, mirror=False, standardize=False, weigh=False, optimizer=None, **options):
    """With `weigh`, weights and labels differ from view to view, and the first process has no example that counts."""
    mine, (all_X, all_Y) = processes.share(m), examples(m)
    X, Y = shared(all_X[:, mine], processes), all_Y[:, mine]
    validate = options.pop("validate", True)
    if mirror:
        X, Y = mirrored(X, SIZE), np.append(Y, 1 - Y if weigh else Y, axis=1)
    if standardize:
        X = standardised(X)
    V, L = examples(m // 2 + 1, seed=1)
    theirs = processes.share(L.shape[1])
    validation = X.of(V[:, theirs]), L[:, theirs]
    if weigh:
        w = np.random.default_rng(2).integers(0, 4, (len(X.views), m))
        w[:, : m // 2] = 0
        X = weighted(X, w[:, mine].ravel())
    return neuron.fit(
        X,
        Y,
        epochs=EPOCHS,
        initial=Parameters.random(18, seed=1),
        validation=validation if validate else None,
        span=False,
        **({"learning_rate": RATE} if optimizer is None else {"optimizer": optimizer}),
        **options,
    )


def kept(name, parameters, history):
    columns = history.train_cost, history.validation_cost, history.evaluations
    return {f"{name}: W": parameters.W, f"{name}: b": parameters.b, f"{name}: history": np.stack(columns)}


def main(folder: str, m: int) -> None:
    arrays = {}
    with joined() as processes:
        for name, configuration in DESCENTS.items():
            arrays |= kept(name, *train(neuron_of(*configuration), m, processes, validate=False))
        for name, options in OTHERS.items():
            arrays |= kept(name, *train(neuron_of("numpy"), m, processes, **options))
        X, Y = examples(m)
        mine, neuron, start = processes.share(m), neuron_of("numpy"), Parameters.random(18, seed=1)
        here = shared(X[:, mine], processes), Y[:, mine]
        dW, db = neuron.gradients(start, *here)
        arrays |= {"cost": neuron.cost(start, *here), "dW": dW, "db": db}
        np.savez(Path(folder) / f"{processes.rank}.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
