"""A small variational autoencoder, its noise passed in: ``loss, grads, x_mean = vae_loss(p, x, noise, verbose)``."""

import numpy as np


def vae_loss(p, x, noise, verbose=False):
    n = x.shape[0]
    h = np.tanh(x @ p["We"] + p["be"])
    mu = h @ p["Wmu"]
    logvar = h @ p["Wlv"]
    std = np.exp(0.5 * logvar)
    z = mu + std * noise
    g = np.tanh(z @ p["Wd"])
    x_mean = g @ p["Wx"] + p["bx"]

    reconstruction = 0.5 * np.sum((x - x_mean) ** 2) / n
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar)) / n
    loss = reconstruction + kl
    if verbose:
        print(f"reconstruction {reconstruction:.4f}, kl {kl:.4f}")

    grads = {}
    dx_mean = (x_mean - x) / n
    grads["Wx"] = g.T @ dx_mean
    grads["bx"] = dx_mean.sum(axis=0)
    dg = dx_mean @ p["Wx"].T
    dg_in = dg * (1 - g**2)
    grads["Wd"] = z.T @ dg_in
    dz = dg_in @ p["Wd"].T
    dmu = dz + mu / n
    dlogvar = 0.5 * dz * noise * std
    dlogvar += 0.5 * (np.exp(logvar) - 1) / n
    grads["Wmu"] = h.T @ dmu
    grads["Wlv"] = h.T @ dlogvar
    dh = dmu @ p["Wmu"].T + dlogvar @ p["Wlv"].T
    dh_in = dh * (1 - h**2)
    grads["We"] = x.T @ dh_in
    grads["be"] = dh_in.sum(axis=0)
    return loss, grads, x_mean


SHAPE = 1
OPTIONS = {}
BACKWARD = ("vae_loss:dx_mean = ",)


def inputs(rng):
    p = {
        "We": rng.standard_normal((5, 4)),
        "be": rng.standard_normal(4),
        "Wmu": rng.standard_normal((4, 2)),
        "Wlv": 0.5 * rng.standard_normal((4, 2)),
        "Wd": rng.standard_normal((2, 3)),
        "Wx": rng.standard_normal((3, 5)),
        "bx": rng.standard_normal(5),
    }
    return {"p": p, "x": rng.standard_normal((6, 5)), "noise": rng.standard_normal((6, 2)), "verbose": False}


def subject(rng):
    return (vae_loss,)


def truth(subject, g, rng):
    loss, grads, _ = subject[0](**g)
    return loss, {f"p['{name}']": grads[name] for name in g["p"]}


def parameters(subject, g):
    return {f"p['{name}']": value for name, value in g["p"].items()}
