"""The contract: every backend keeps every law of it, and a backend with a fault is told which, in words."""

import re
import subprocess
import sys

import numpy as np
import pytest

from handgrad import Neuron, Parameters, Sums, UsageError
from handgrad.testing import backend_checks, check_backend


@pytest.mark.parametrize("check", backend_checks(), ids=lambda check: check.__name__.removeprefix("check_"))
def test_every_backend_keeps_the_law(check, backend):
    check(backend)


class Plain(Neuron):
    """A backend as a stranger writes it: four methods."""

    def put(self, array):
        return np.asarray(array, self.dtype)

    def get(self, array):
        return np.asarray(array)

    def forward(self, parameters, X):
        return self.activate(self.logits(parameters, X))[0]

    @np.errstate(all="ignore")
    def sums(self, parameters, X, Y):
        X, Y = self.put(X), self.put(Y)
        loss, dZ = self.losses(self.logits(parameters, X), Y)
        return Sums(loss.sum(), self.input_scale * dZ @ X.T, dZ.sum(), X.shape[1])

    @np.errstate(all="ignore")
    def logits(self, parameters, X):
        return self.input_scale * self.put(parameters.W) @ self.put(X) + self.put(parameters.b)

    @np.errstate(all="ignore")
    def losses(self, Z, Y):
        A, slope = self.activate(Z)
        if self.loss == "squared_error":
            return (A - Y) ** 2 / 2, (A - Y) * slope
        S = (1 - 2 * Y) * Z  # Z for class 0, -Z for class 1
        return np.maximum(S, 0) + np.log1p(np.exp(-abs(S))), (1 - 2 * Y) * self.activate(S)[0]

    @np.errstate(under="ignore")
    def activate(self, Z):
        if self.activation == "sigmoid":
            E = np.exp(-abs(Z))
            A = np.where(Z >= 0, 1, E) / (1 + E)
            return A, E / (1 + E) ** 2
        if self.activation == "tanh":
            return np.tanh(Z), 1 - np.tanh(Z) ** 2
        return (Z, np.ones_like(Z)) if self.activation == "identity" else (np.maximum(Z, 0), np.heaviside(Z, 0))


def test_a_backend_of_plain_numpy_keeps_all_laws():
    check_backend(Plain)


FAULTS = {}


def fault(*words):
    """Of a class: the words by which it has to be named."""

    def planted(cls):
        FAULTS[cls.__name__] = cls, words
        return cls

    return planted


@fault("check_put_again", "a second put of its own array made a copy; expected the array as it is")
class PutCopies(Plain):
    def put(self, array):
        return np.array(array, self.dtype)


@fault("check_put", "an array of uint8 came out with dtype float64; expected float32")
class PutIgnoresTheDtype(Plain):
    def put(self, array):
        return np.asarray(array, float)


@fault("check_put", "an array of float32, in C's order came out with shape (600,)")
class PutFlattens(Plain):
    def put(self, array):
        return np.ravel(super().put(array)) if array.flags.c_contiguous and array.ndim == 2 else super().put(array)


@fault("sums: loss is off by", "as if it were the mean over the examples and not the sum")
class LossIsAMean(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(loss=found.loss / found.m)


@fault("sums: loss has shape (1, 50); expected ()")
class LossIsNotSummed(Plain):
    def sums(self, parameters, X, Y):
        loss, _ = self.losses(self.logits(parameters, X), self.put(Y))
        return super().sums(parameters, X, Y)._replace(loss=loss)


@fault("sums: dW has dtype float64; expected float32")
class GradientInFloat64(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(dW=found.dW.astype(float))


@fault("sums: the labels make no difference to loss, dW, db [")
class LabelsIgnored(Plain):
    def sums(self, parameters, X, Y):
        return super().sums(parameters, X, np.zeros_like(Y))


@fault("cost: the labels make no difference")
class LossIgnoresLabels(Plain):
    def loss_sum(self, parameters, X, Y):
        return self.sums(parameters, X, np.zeros_like(Y)).loss


@fault("sums: loss", "as if the labels were -1 and 1")
class LabelsAreSigns(Plain):
    def losses(self, Z, Y):
        if self.loss == "squared_error":
            return super().losses(Z, 2 * Y - 1)
        A = self.activate(Z)[0]
        return super().losses(Z, 0 * Y)[0] - (2 * Y - 1) * Z, A - (2 * Y - 1)


@fault("sums: dW is off by", "as if it had the other sign")
class Uphill(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(dW=-found.dW)


@fault("sums: db has shape (1,); expected ()")
class BiasIsAVector(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(db=found.db.reshape(1))


@fault("sums changed its argument X, on the host, in place")
class ScalesXInPlace(Plain):
    def sums(self, parameters, X, Y):
        X = self.put(X)
        X *= 0.5
        found = super().sums(Parameters(2 * parameters.W, parameters.b), X, Y)
        return found._replace(dW=2 * found.dW)


@fault("sums changed its argument W")
class ScalesWInPlace(Plain):
    def sums(self, parameters, X, Y):
        W = self.put(parameters.W)
        found = super().sums(Parameters(W, parameters.b), X, Y)
        W *= 2
        return found


@fault("forward: A is off by", "as if input_scale were forgotten")
class ForwardForgetsTheScale(Plain):
    def forward(self, parameters, X):
        return self.activate(self.put(parameters.W) @ self.put(X) + self.put(parameters.b))[0]


@fault("sums: dW is off by", "as if input_scale were forgotten in dW")
class GradientForgetsTheScale(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(dW=found.dW / self.input_scale)


@fault("sums: loss is off by", "as if the penalty were added to the sums")
class PenaltyInSums(Plain):
    def sums(self, parameters, X, Y):
        found, W = super().sums(parameters, X, Y), self.put(parameters.W)
        return found._replace(loss=found.loss + self.l2 / 2 * (W * W).sum(), dW=found.dW + self.l2 * W)


@fault("sums: loss of logit 1e+30, label 0, is inf; expected 1")
class LossFromA(Plain):
    @np.errstate(all="ignore")
    def losses(self, Z, Y):
        loss, dZ = super().losses(Z, Y)
        A = self.activate(Z)[0]
        return (-np.log(np.where(Y == 1, A, 1 - A)) if self.loss == "cross_entropy" else loss), dZ


@fault("check_kept", "forward: A was changed by the next call")
class UsesItsBufferAgain(Plain):
    def forward(self, parameters, X):
        A = super().forward(parameters, X)
        kept = BUFFERS.setdefault((A.shape, A.dtype.str), A)
        kept[:] = A
        return kept


@fault("check_large", "sums of 3 examples of 700 features: dW is off by")
class DropsWhatIsBeyondATile(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        dW = np.array(found.dW)
        dW[:, 256:] = 0
        return found._replace(dW=dW)


@fault("check_large", "sums of 2500 examples of 3 features: loss is off by")
class DropsTheTail(Plain):
    def sums(self, parameters, X, Y):
        m = X.shape[1]
        if m <= 1024:
            return super().sums(parameters, X, Y)
        return super().sums(parameters, X[:, : m - m % 1024], Y[:, : m - m % 1024])._replace(m=m)


@fault("SystemExit: 0 (line")
class Exits(Plain):
    def sums(self, parameters, X, Y):
        raise SystemExit(0)


BUFFERS = {}


@fault("check_quiet", "set off an alarm", "encountered in exp")
class SigmoidOverflows(Plain):
    def forward(self, parameters, X):
        Z = self.logits(parameters, X)
        return 1 / (1 + np.exp(-Z)) if self.activation == "sigmoid" else super().forward(parameters, X)


class Own(np.ndarray):
    """An array type of a backend's own."""


@fault("get: gave a tests.test_contract.Own; expected a numpy.ndarray")
class GetKeepsItsType(Plain):
    def put(self, array):
        return super().put(array).view(Own)

    def get(self, array):
        return array if isinstance(array, Own) else np.asarray(array)


@fault("fit of no epochs: the result shares memory with the argument W, on the host")
class ParametersAreAliased(Plain):
    def get_parameters(self, parameters):
        return Parameters(self.get(parameters.W), self.get(parameters.b))


@fault("sums: dW is off by", "times what rounding in float32 explains", "well within what rounding in float16 explains")
class AddsInFloat16(Plain):
    def sums(self, parameters, X, Y):
        dZ = self.losses(self.logits(parameters, X), self.put(Y))[1]
        dW = (self.input_scale * dZ).astype(np.float16) @ X.T.astype(np.float16)
        return super().sums(parameters, X, Y)._replace(dW=dW.astype(self.dtype))


@fault(
    "forward: A is off by", "times what rounding in float64 explains", "well within what rounding in float32 explains"
)
class KeepsWInFloat32(Plain):
    def logits(self, parameters, X):
        return super().logits(Parameters(self.put(parameters.W / 3).astype(np.float32) * 3.0, parameters.b), X)


@fault("sums: m is 51; expected 50", "sums of examples 0 to 1: m is 2; expected 1")
class CountsOneMore(Plain):
    def sums(self, parameters, X, Y):
        found = super().sums(parameters, X, Y)
        return found._replace(m=found.m + 1)


@fault("forward: A has shape (50,); expected (1, 50)")
class ActivationsAreAVector(Plain):
    def forward(self, parameters, X):
        return super().forward(parameters, X)[0]


@fault("sums of X as bytes, which reads_bytes claims to read: loss is off by")
class BytesWrapAround(Plain):
    def reads_bytes(self, X):
        return True

    def put_inputs(self, X):
        return X if X.dtype == np.uint8 else self.put(X)

    def sums(self, parameters, X, Y):
        twice = (X + X).astype(self.dtype)  # wraps around where X is bytes
        return super().sums(parameters, twice / 2, Y)


@fault("put_inputs: reads_bytes is True, and bytes came out as float32")
class ClaimsBytes(Plain):
    def reads_bytes(self, X):
        return True


@fault("loss_sum is off by", "as if it were counted twice")
class LossIsTwice(Plain):
    def loss_sum(self, parameters, X, Y):
        return 2 * super().loss_sum(parameters, X, Y)


@fault(
    "forward: W was given as a NumPy array of float64 and was not put on the device: A is a numpy.ndarray of float64"
)
class WeightsAreNotPut(Plain):
    def logits(self, parameters, X):
        return self.input_scale * parameters.W @ self.put(X) + self.put(parameters.b)


class Descending(Plain):
    """With a `descend` of its own, of which a fault may change what it is called with."""

    def descend(self, parameters, train, validation, learning_rate, epochs, validation_every):
        P, costs = parameters, np.full((2, len(epochs)), np.nan)
        for i, epoch in enumerate(epochs):
            loss, dW, db, m = self.sums(P, *train)
            costs[0, i] = loss / m + self.l2 / 2 * (P.W * P.W).sum()
            if validation is not None and epoch % validation_every == 0:
                costs[1, i] = self.loss_sum(P, *validation) / validation[1].shape[1]
            P = Parameters(P.W - learning_rate * (dW / m + self.l2 * P.W), np.asarray(P.b - learning_rate * db / m))
        return P, *costs.astype(self.dtype)


def test_a_backend_with_a_descent_of_its_own_keeps_all_laws():
    check_backend(Descending)


@fault("descend: W after 9 epochs is off by", "as if 8 epochs were taken")
class OneEpochTooFew(Descending):
    def descend(self, parameters, train, validation, learning_rate, epochs, validation_every):
        short = super().descend(parameters, train, validation, learning_rate, epochs[:-1], validation_every)[0]
        return short, *super().descend(parameters, train, validation, learning_rate, epochs, validation_every)[1:]


@fault("descend: there are 8 costs on train for 9 epochs")
class OneCostTooFew(Descending):
    def descend(self, parameters, train, validation, learning_rate, epochs, validation_every):
        return super().descend(parameters, train, validation, learning_rate, epochs[:-1], validation_every)


@fault("descend: the cost before epoch 1021 is off by", "as if the penalty were forgotten")
class DescendForgetsThePenalty(Descending):
    def descend(self, *arguments):
        return Descending.descend(Descending(self.activation, self.loss, 0, self.input_scale, self.dtype), *arguments)


@fault("descend: the validation cost before epoch 1021 is", "expected NaN: it is taken at multiples of 4")
class EpochsCountFromTheBlock(Descending):
    def descend(self, parameters, train, validation, learning_rate, epochs, validation_every):
        epochs = range(len(epochs))
        return super().descend(parameters, train, validation, learning_rate, epochs, validation_every)


@fault("a neuron of {'device': 'abacus'} could be made; expected a UsageError")
class AnyDevice(Plain):
    def check_device(self):
        pass


@fault("check_forward", "ZeroDivisionError: planted", r"of test_contract.py, in forward)")
class Raises(Plain):
    def forward(self, parameters, X):
        raise ZeroDivisionError("planted")


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name):
    faulty, words = FAULTS[name]
    with pytest.raises(AssertionError) as caught:
        check_backend(faulty)
    report = str(caught.value)
    assert report.startswith(f"{faulty.__module__}.{name} breaks ")
    for word in words:
        assert word in report


def test_the_first_law_that_is_broken_is_the_one_to_mend():
    first = {"ScalesXInPlace": "check_unchanged", "BytesWrapAround": "check_bytes", "OneEpochTooFew": "check_descend"}
    for name, law in first.items():
        with pytest.raises(AssertionError, match=rf"laws; [^\n]*\n\n{law}: "):
            check_backend(FAULTS[name][0])


def test_every_broken_law_has_a_paragraph_with_its_words():
    with pytest.raises(AssertionError) as caught:
        check_backend(LabelsIgnored)
    first, *paragraphs = str(caught.value).split("\n\n")
    assert int(re.search(r" breaks (\d+) of \d+ laws; ", first)[1]) == len(paragraphs) > 2
    assert any(
        paragraph.startswith("check_labels: Other labels give another loss and other gradients.\n    sums: the labels")
        for paragraph in paragraphs
    )


def test_the_laws_hold_for_other_numbers_too():
    check_backend("numpy", seed=1)


def test_the_contract_imports_no_framework_and_not_pytest():
    program = "import sys, handgrad.testing; print(*{'pytest', 'torch', 'jax', 'numba', 'scipy'} & set(sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (outcome.stdout, outcome.stderr) == ("\n", "")


def test_what_is_no_backend_is_one_line():
    with pytest.raises(UsageError, match=r"expected a subclass of handgrad\.Neuron"):
        check_backend(object)
    with pytest.raises(UsageError, match="backend Neuron: lacks forward, get, put, sums"):
        check_backend(Neuron)
