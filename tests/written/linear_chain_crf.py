"""The negative log-likelihood of a linear-chain CRF: ``loss, dE, dT = crf_nll(E, T, tags)``, by alphas and betas."""

import numpy as np


def logsumexp(a, axis):
    top = a.max(axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(a - top), axis=axis, keepdims=True)) + top
    return np.squeeze(total, axis=axis)


def crf_nll(E, T, tags):
    """E (steps, labels): scores of the labels; T (labels, labels): of going from one to the next."""
    steps, labels = E.shape

    alpha = np.zeros((steps, labels))
    alpha[0] = E[0]
    for t in range(1, steps):
        alpha[t] = E[t] + logsumexp(alpha[t - 1][:, None] + T, axis=0)
    log_Z = logsumexp(alpha[-1], axis=0)

    score = E[np.arange(steps), tags].sum()
    for t in range(1, steps):
        score += T[tags[t - 1], tags[t]]
    loss = log_Z - score

    # expected minus observed counts
    beta = np.zeros((steps, labels))
    for t in range(steps - 2, -1, -1):
        beta[t] = logsumexp(T + E[t + 1] + beta[t + 1], axis=1)
    dE = np.exp(alpha + beta - log_Z)
    dE[np.arange(steps), tags] -= 1
    dT = np.zeros_like(T)
    for t in range(1, steps):
        pair = alpha[t - 1][:, None] + T + E[t] + beta[t]
        dT += np.exp(pair - log_Z)
        dT[tags[t - 1], tags[t]] -= 1
    return loss, dE, dT


SHAPE = 1
OPTIONS = {}
BACKWARD = ("crf_nll:beta = np.zeros",)


def inputs(rng):
    return {
        "E": rng.standard_normal((5, 3)),
        "T": rng.standard_normal((3, 3)),
        "tags": np.array([2, 0, 0, 1, 2]),
    }


def subject(rng):
    return (crf_nll,)


def truth(subject, g, rng):
    loss, dE, dT = subject[0](**g)
    return loss, {"E": dE, "T": dT}


def parameters(subject, g):
    return {"E": g["E"], "T": g["T"]}
