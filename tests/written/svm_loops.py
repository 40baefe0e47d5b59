"""The multiclass hinge loss with two loops: ``loss, dW = svm_loss_naive(W, X, y, reg)``."""

import numpy as np


def svm_loss_naive(W, X, y, reg):
    """W is (D, C), X is (N, D), y holds N class numbers."""
    dW = np.zeros(W.shape)
    num_classes = W.shape[1]
    num_train = X.shape[0]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        correct_class_score = scores[y[i]]
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - correct_class_score + 1  # delta = 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]

    # so far a sum over the examples, and it is to be the mean
    loss /= num_train
    dW /= num_train

    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW


SHAPE = 1
OPTIONS = {}
BACKWARD = ("svm_loss_naive:dW[:, j] += X[i]",)


def inputs(rng):
    return {
        "W": rng.standard_normal((5, 3)),
        "X": rng.standard_normal((6, 5)),
        "y": rng.integers(0, 3, 6),
        "reg": 0.1,
    }


def subject(rng):
    return (svm_loss_naive,)


def truth(subject, g, rng):
    loss, dW = subject[0](**g)
    return loss, {"W": dW}


def parameters(subject, g):
    return {"W": g["W"]}
