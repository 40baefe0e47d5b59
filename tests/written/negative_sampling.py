"""Skip-gram with negative sampling: ``loss, gradCenterVec, gradOutsideVecs = neg_sampling_loss_and_gradient(...)``."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def neg_sampling_loss_and_gradient(centerWordVec, outsideWordIdx, outsideVectors, negSampleWordIndices):
    """One centre word, one word beside it, and K words that are not (some of them perhaps twice)."""
    indices = [outsideWordIdx, *negSampleWordIndices]
    signs = np.array([1.0] + [-1.0] * len(negSampleWordIndices))

    picked = outsideVectors[indices]
    scores = picked.dot(centerWordVec)
    probabilities = sigmoid(signs * scores)
    loss = -np.sum(np.log(probabilities))

    dscores = -(1 - probabilities) * signs
    gradCenterVec = dscores.dot(picked)
    gradOutsideVecs = np.zeros_like(outsideVectors)
    dpicked = np.outer(dscores, centerWordVec)
    np.add.at(gradOutsideVecs, indices, dpicked)
    return loss, gradCenterVec, gradOutsideVecs


SHAPE = 1
OPTIONS = {"gradients": {"centerWordVec": 1, "outsideVectors": 2}}
BACKWARD = ("neg_sampling_loss_and_gradient:dscores = ",)


def inputs(rng):
    return {
        "centerWordVec": rng.standard_normal(3),
        "outsideWordIdx": 1,
        "outsideVectors": rng.standard_normal((6, 3)),
        "negSampleWordIndices": [4, 0, 4, 5],
    }


def subject(rng):
    return (neg_sampling_loss_and_gradient,)


def truth(subject, g, rng):
    loss, gradCenterVec, gradOutsideVecs = subject[0](**g)
    return loss, {"centerWordVec": gradCenterVec, "outsideVectors": gradOutsideVecs}


def parameters(subject, g):
    return {"centerWordVec": g["centerWordVec"], "outsideVectors": g["outsideVectors"]}
