"""Numbers in little objects: each array is the ``a`` of an object, and its gradient is put beside it, as ``g``."""

import numpy as np


class Box:
    def __init__(self, a):
        self.a = a
        self.g = None


def lin_grad(inp, out_g, w, b):
    inp.g = out_g @ w.a.T
    w.g = inp.a.T @ out_g
    b.g = out_g.sum(axis=0)


def loss_and_backward(inp, targ, w1, b1, w2, b2):
    z = inp.a @ w1.a + b1.a
    hidden = Box(np.maximum(z, 0))
    out = hidden.a @ w2.a + b2.a
    diff = out[:, 0] - targ
    loss = (diff**2).mean()
    out_g = 2 * diff[:, None] / targ.shape[0]
    lin_grad(hidden, out_g, w2, b2)
    z_g = hidden.g * (z > 0)
    lin_grad(inp, z_g, w1, b1)
    return loss


SHAPE = 1
OPTIONS = {}
BACKWARD = ("lin_grad", "loss_and_backward: out_g")


def inputs(rng):
    return {
        "inp": Box(rng.standard_normal((6, 3))),
        "targ": rng.standard_normal(6),
        "w1": Box(rng.standard_normal((3, 4))),
        "b1": Box(rng.standard_normal(4)),
        "w2": Box(rng.standard_normal((4, 1))),
        "b2": Box(rng.standard_normal(1)),
    }


def subject(rng):
    return (loss_and_backward,)


def truth(subject, g, rng):
    cost = loss_and_backward(**g)
    return cost, {f"{name}.a": box.g for name, box in g.items() if isinstance(box, Box)}


def parameters(subject, g):
    return {f"{name}.a": box.a for name, box in g.items() if isinstance(box, Box)}
