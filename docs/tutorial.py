# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a sigmoid to a trained neuron
#
# One neuron can tell photographs of two kinds apart: cats from dogs, or a handwritten 3 from an 8. Four articles have
# told how (they are named at the end), and this tutorial goes their way once more: what the neuron computes, how wrong
# it is, in which direction it should change, and how we can be sure that the direction is right.
#
# You need Python, and of calculus the chain rule. Install what is used here, in the project's folder:
#
# ```
# pip install '.[sklearn,plot,optimize]'
# ```
#
# The file is a program, `python docs/tutorial.py`, and a notebook: `jupytext --to notebook docs/tutorial.py`, or open
# it as it is in JupyterLab with Jupytext, or in VS Code. Pictures show themselves in the notebook. The comment that
# ends a cell is what the cell prints, and a test holds it to that, and the numbers in the text to what is printed.

# %% [markdown]
# ## A photograph is a column of numbers
#
# The built-in photographs are digits that people once wrote by hand, 3 and 8, as small files. `prepare` reads and
# resizes them, and sets some aside: the neuron learns from the training set, and the validation set tells us how it
# does on digits that it has never seen.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from handgrad.data import Dataset, prepare
from handgrad.demo import write_digits

with tempfile.TemporaryDirectory() as folder:
    photographs, data = Path(folder, "photographs"), Path(folder, "data")
    write_digits(photographs)
    prepare(photographs, data, size=8)
    dataset = Dataset.open(data)
    X, Y = (np.array(V) for V in dataset.train)  # a copy in memory: the folder is about to go
    X_valid, Y_valid = (np.array(V) for V in dataset.valid)

n, m = X.shape
print("class 0 and class 1:", *dataset.classes)
print("height, width, colours:", dataset.size)
print("X", X.shape, X.dtype, "from", X.min(), "to", X.max())
print("Y", Y.shape, "of which", (Y == 1).sum(), "are 1")
print("validation", X_valid.shape[1])
# class 0 and class 1: 3 8
# height, width, colours: (8, 8, 3)
# X (192, 287) uint8 from 0 to 255
# Y (1, 287) of which 140 are 1
# validation 70

# %%
_, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for i, ax in enumerate(axes):
    ax.imshow(X[:, i].reshape(dataset.size))
    ax.set_title(dataset.classes[Y[0, i]])
    ax.set_axis_off()

# %% [markdown]
# A photograph is a box of bytes: height times width times three colours. Laid out in a row, pixel after pixel, it is a
# list of n numbers, and that list is all that the neuron ever sees. X holds one photograph per **column**, n rows and m
# columns, and Y holds the m labels, 0 for a 3 and 1 for an 8. Here n is 192 and m is 287.
#
# The articles do the same with more pixels.

# %%
print(f"{64 * 64 * 3:,} features in articles 1 and 4, {500 * 500 * 3:,} in article 2")
# 12,288 features in articles 1 and 4, 750,000 in article 2

# %% [markdown]
# How the list becomes a column matters. Files give an array with one photograph after the other, (m, h, w, c). Flatten
# each, and then *transpose*. Article 2's notebook asks for the shape (n, m) outright, on its validation set; the shape
# is right, and every column is a mixture of several photographs.

# %%
pictures = X.T.reshape(m, *dataset.size)
first = pictures[0].ravel()
print("transposed:", np.array_equal(pictures.reshape(m, n).T[:, 0], first))
print("reshaped:", np.array_equal(pictures.reshape(n, m)[:, 0], first))
# transposed: True
# reshaped: False

# %% [markdown]
# Bytes go up to 255, and a neuron likes numbers near 1. The articles divide the whole array, which turns each byte into
# a float of eight bytes. We let the neuron do it, by an `input_scale` of 1 / 255, and the photographs stay bytes. Only
# where we compute by hand do we need the quotient, and call it x.

# %%
x = X / 255
print(f"{X.nbytes:,} bytes as they are, {x.nbytes:,} after the division")
# 55,104 bytes as they are, 440,832 after the division

# %% [markdown]
# ## The sigmoid
#
# The neuron will add up evidence into a number Z, which may be anything. What we want is a probability. The sigmoid
# makes one of the other:
#
# ```
# s(Z) = 1 / (1 + e^-Z)
# ```
#
# It is one half at 0, where nothing speaks for either class, and comes ever closer to 0 and 1 on its two sides. Article
# 4 tries it at -500 and 500.


# %%
def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


for z in (-500, -2, 0, 2, 500):
    print(f"s({z}) = {sigmoid(z):.3g}")
# s(-500) = 7.12e-218
# s(-2) = 0.119
# s(0) = 0.5
# s(2) = 0.881
# s(500) = 1

# %%
Z = np.linspace(-10, 10, 201)
_, ax = plt.subplots(figsize=(5, 3))
ax.plot(Z, sigmoid(Z), label="s(Z)")
ax.plot(Z, sigmoid(Z) * (1 - sigmoid(Z)), label="its slope")
ax.set_xlabel("Z")
_ = ax.legend()

# %% [markdown]
# The slope has a neat form, s'(Z) = s(Z) (1 - s(Z)). You get it from the quotient rule: e^-Z / (1 + e^-Z)^2 is the
# sigmoid times what the sigmoid lacks of 1. It is at most 0.25, and article 3 warns of what the second curve shows: far
# from 0 there is next to no slope left. At 10 it is 0.0000454.

# %%
for z in (0, 2, 5, 10):
    print(f"s'({z}) = {sigmoid(z) * (1 - sigmoid(z)):.7f}")
# s'(0) = 0.2500000
# s'(2) = 0.1049936
# s'(5) = 0.0066481
# s'(10) = 0.0000454

# %% [markdown]
# ### Where the formula breaks
#
# The first of those numbers came out well, but only just. To get there, NumPy computed e^500, a number of 218 digits.
# Floats of 64 bits hold to the power of 709.8 at most; floats of 32 bits, the usual choice for photographs, of 88.7.
# Beyond, e^-Z is infinite.

# %%
for dtype in (np.float64, np.float32):
    limits = np.finfo(dtype)
    with np.errstate(over="ignore"):
        print(f"{limits.bits} bits: up to e^{np.log(limits.max):.1f}, and e^500 is {np.exp(dtype(500)):.2g}")
print(len(f"{np.exp(500):.0f}"), "digits")
# 64 bits: up to e^709.8, and e^500 is 1.4e+217
# 32 bits: up to e^88.7, and e^500 is inf
# 218 digits

# %% [markdown]
# 1 / (1 + infinity) is 0, which is still right but for a warning. The real trouble comes a step later, when we take the
# logarithm of a probability that was rounded to 0 or 1. Say the label is 0 and Z is 500: the neuron is as wrong as can
# be, and its loss, as we shall see in a moment, should be -log(1 - A), which is 500. From a rounded A we get infinity.
#
# The library's neuron raises e to negative powers only, e^-Z / (1 + e^-Z) on one side being the same as 1 / (1 + e^Z)
# on the other, and it takes the loss from Z instead of from A. Nothing overflows, with 32 bits either.

# %%
from handgrad import Parameters
from handgrad.backends.numpy import Neuron

one_weight = Parameters(W=np.ones((1, 1)), b=np.zeros(()))  # so that Z is just x
with np.errstate(divide="ignore"):
    print("from A:", -np.log(1 - sigmoid(500.0)))
for bits in 64, 32:
    extreme = Neuron(dtype=f"float{bits}")
    low, high = extreme.predict_proba(one_weight, [[-500, 500]])[0]
    print(f"{bits} bits: A = {low:.3g} and {high:.3g}, the loss is {extreme.cost(one_weight, [[500]], [[0]])}")
# from A: inf
# 64 bits: A = 7.12e-218 and 1, the loss is 500.0
# 32 bits: A = 0 and 1, the loss is 500.0

# %% [markdown]
# ## One neuron, forward
#
# Each pixel gets a weight: how much it speaks for an 8, or, where it is negative, for a 3. The neuron adds up weight
# times pixel, adds a bias b, and sends the sum through the sigmoid.
#
# ```
# Z = W x + b      W (1, n)   b ()   x (n, m)   ->   Z (1, m)
# A = s(Z)                                           A (1, m)
# ```
#
# W is a row, so a single matrix product treats all m photographs at once. A is the neuron's probability of class 1, and
# it says "8" where A is above one half. (At one half itself it says "3", as in article 4; article 2 decides otherwise.)
# The articles start with zeros.

# %%
W, b = np.zeros((1, n)), np.zeros(())
Z = W @ x + b
A = sigmoid(Z)
print("Z", Z.shape, "A", A.shape, "from", A.min(), "to", A.max())
print(f"right: {np.mean((A > 0.5) == Y):.1%}")
# Z (1, 287) A (1, 287) from 0.5 to 0.5
# right: 51.2%

# %% [markdown]
# It knows nothing, so it says "3" to everything and is right for 51.2 % of the digits, just because that many are a 3.
#
# Article 1 asks how an untrained neuron with *random* weights does: about half. That holds on average. Take W and b,
# and then their negatives: whatever the one gets right, the other gets wrong. A single one can be lucky or unlucky, and
# of 200 the worst was right for 9 % and the best for 85 %.

# %%
neuron = Neuron(input_scale=1 / 255, dtype="float64")
scores = [neuron.accuracy(Parameters.random(n, seed), X, Y) for seed in range(200)]
print(f"{len(scores)} random neurons: {np.mean(scores):.0%} on average, from {min(scores):.0%} to {max(scores):.0%}")
# 200 random neurons: 50% on average, from 9% to 85%

# %% [markdown]
# ## How wrong: the loss and the cost
#
# To get better, the neuron needs a measure of how wrong it is. The **loss** L judges one photograph. The **cost** J is
# the mean of the losses over all m, one number for W and b as a whole. The articles use two losses:
#
# ```
# cross-entropy    L = -(Y log A + (1 - Y) log(1 - A))      articles 2, 3 and 4
# squared error    L = (A - Y)^2 / 2                        article 1
# ```
#
# Cross-entropy looks involved and is simple: for a label of 1 only -log A is left, for a label of 0 only -log(1 - A).
# It is minus the logarithm of the probability that the neuron gave to the truth. Suppose the truth is 1:

# %%
for a in (0.9, 0.5, 0.1, 0.001):
    print(f"A = {a:<5}  cross-entropy {-np.log(a):.3f}  squared error {(a - 1) ** 2 / 2:.3f}")
# A = 0.9    cross-entropy 0.105  squared error 0.005
# A = 0.5    cross-entropy 0.693  squared error 0.125
# A = 0.1    cross-entropy 2.303  squared error 0.405
# A = 0.001  cross-entropy 6.908  squared error 0.499

# %% [markdown]
# To say 0.5 costs 0.693, which is log 2. To be sure and wrong costs 6.908 by cross-entropy, and more the surer it is,
# without end. Squared error never charges more than one half.
#
# That ceiling is why article 3 advises against it. Take a single weight w, a single example x = 1 with label 1, and
# draw both losses over w.

# %%
w = np.linspace(-10, 10, 201)
curves = {"cross-entropy": -np.log(sigmoid(w)), "squared error": (sigmoid(w) - 1) ** 2 / 2}
_, axes = plt.subplots(1, 2, figsize=(8, 3))
for ax, (name, L) in zip(axes, curves.items(), strict=True):
    ax.plot(w, L)
    ax.set(title=name, xlabel="w")
    print(f"{name} bends upwards everywhere: {np.diff(L, 2).min() > 0}")
# cross-entropy bends upwards everywhere: True
# squared error bends upwards everywhere: False

# %% [markdown]
# A function that bends upwards everywhere is *convex*: whichever valley you walk down into, it is the only one.
# Cross-entropy is convex in w, its second derivative s(w) (1 - s(w)) x^2 being positive, and a sum of convex functions
# is convex too. Squared error has to come down from its ceiling, so on the left it bends downwards. With many examples
# such curves can add up to several valleys, and even a single one has a plateau, on which a neuron that is very wrong
# can hardly tell which way is down:

# %%
a = sigmoid(-10)
print(f"slope at w = -10: cross-entropy {a - 1:.7f}, squared error {(a - 1) * a * (1 - a):.7f}")
print(f"the second is flatter {1 / (a * (1 - a)):,.0f} times")
# slope at w = -10: cross-entropy -0.9999546, squared error -0.0000454
# the second is flatter 22,028 times

# %% [markdown]
# ## Which way is down: the chain rule
#
# We want dJ/dW and dJ/db, how the cost changes when a weight or the bias does. As the articles do, write dV for dJ/dV:
# it has the shape of V, always. The cost was made in steps, x to Z to A to J, and the chain rule takes them back one at
# a time, each line using the one above it.
#
# ```
# dA = dJ/dA      = (A - Y) / (A (1 - A)) / m          (1, m)
# dZ = dA  dA/dZ  = dA A (1 - A)  =  (A - Y) / m       (1, m)
# dW = dZ  dZ/dW  = dZ x^T                             (1, n)
# db = dZ  dZ/db  = sum of dZ                          ()
# ```
#
# - **dA**: the derivative of -(Y log A + (1 - Y) log(1 - A)) is -Y / A + (1 - Y) / (1 - A). Over a common denominator
#   that is (A - Y) / (A (1 - A)). The 1 / m is that of the mean.
# - **dZ**: the slope of the sigmoid is A (1 - A), of *the sigmoid's value A*, which we have already. It cancels the
#   denominator, and A - Y is left: by how much the neuron was off. This is what makes the two fit together so well, and
#   why a neuron that is very wrong learns fast.
# - **dW**: Z holds w_j x_j, so a weight matters as much as its pixel is bright. The product with x^T adds up over the
#   photographs: (1, m) times (m, n) is (1, n).
# - **db**: b is added to every Z, with a factor of 1.
#
# In Python, a forward pass that returns its intermediate values by name, and a backward pass that returns their
# derivatives:


# %%
def forward(W, b, X, Y):
    Z = W @ X + b
    A = 1 / (1 + np.exp(-Z))
    J = np.mean(-(Y * np.log(A) + (1 - Y) * np.log(1 - A)))
    return dict(Z=Z, A=A, J=J)


def backward(X, Y, A):
    dA = (A - Y) / (A * (1 - A)) / X.shape[1]
    dZ = dA * A * (1 - A)
    dW = dZ @ X.T
    db = np.sum(dZ)
    return dict(dA=dA, dZ=dZ, dW=dW, db=db)


values = forward(W, b, x, Y)
gradients = backward(x, Y, values["A"])
for name, gradient in gradients.items():
    print(name, np.shape(gradient))
print("dZ is (A - Y) / m:", np.allclose(gradients["dZ"], (values["A"] - Y) / m))
# dA (1, 287)
# dZ (1, 287)
# dW (1, 192)
# db ()
# dZ is (A - Y) / m: True

# %% [markdown]
# Is it right? Nudge one weight, and see how much the cost moves for it.

# %%
j = np.ravel_multi_index((3, 2, 0), dataset.size)  # a pixel left of the middle
by_hand = gradients["dW"][0, j]
print(f"by hand: {by_hand:.6f}")
for h in (1, 1e-5, 1e-13):
    nudged = W.copy()
    nudged[0, j] += h
    quotient = (forward(nudged, b, x, Y)["J"] - values["J"]) / h
    print(f"nudged by {h:g}, the same to four digits: {np.isclose(quotient, by_hand, rtol=1e-4, atol=0)}")
# by hand: -0.107631
# nudged by 1, the same to four digits: False
# nudged by 1e-05, the same to four digits: True
# nudged by 1e-13, the same to four digits: False

# %% [markdown]
# It looks right. But there is a nudge that is too long, and one so short that rounding drowns it, and for the other
# weights we did not look. We shall need something better than this. Another opinion, meanwhile: the library's neuron,
# which was given the bytes.

# %%
theirs = neuron.gradients(Parameters(W, b), X, Y)
print("the same:", np.allclose(theirs.dW, gradients["dW"]) and np.allclose(theirs.db, gradients["db"]))
# the same: True

# %% [markdown]
# ## Gradient descent
#
# The gradient points uphill, so we take a step the other way, of a length set by the learning rate alpha, and again:
#
# ```
# W := W - alpha dW        b := b - alpha db
# ```
#
# One such step over all m photographs is an *epoch*. (The gradient is what back-propagation computes; the descent is
# what is done with it. Article 3 is right to keep the two apart.) May we start from zeros? One neuron may: its cost is
# convex, so every start leads to the same valley. Only where several neurons share a layer must they differ at the
# start, or they would stay alike for ever.


# %%
def descend(forward, backward, epochs, alpha):
    W, b, costs = np.zeros((1, n)), np.zeros(()), []
    for _ in range(epochs):
        values = forward(W, b, x, Y)
        gradients = backward(x, Y, values["A"])
        costs.append(values["J"])
        W, b = W - alpha * gradients["dW"], b - alpha * gradients["db"]
    return Parameters(W, b), costs


P, costs = descend(forward, backward, epochs=1000, alpha=0.1)
for epoch in range(0, 1000, 100):
    print(f"{epoch:>3}  {costs[epoch]:.6f}")
#   0  0.693147
# 100  0.118339
# 200  0.079273
# 300  0.062364
# 400  0.052360
# 500  0.045555
# 600  0.040544
# 700  0.036660
# 800  0.033539
# 900  0.030964

# %% [markdown]
# The first cost is 0.693147, log 2, whatever the photographs: at zero weights every A is one half. If you ever train
# such a neuron from zeros and read another first number, something is wrong with the labels or the loss. Article 4's
# table begins with it, too.
#
# Now the same by the library, which also watches the validation set.

# %%
trained, history = neuron.fit(X, Y, epochs=1000, learning_rate=0.1, validation=(X_valid, Y_valid))
print("the same costs:", np.allclose(history.train_cost, costs))
print("the same W:", np.allclose(trained.W, P.W))
print(f"last costs: training {history.train_cost[-1]:.4f}, validation {history.validation_cost[-1]:.4f}")
print("lowest validation cost in epoch", history.best_epoch)
for name, (inputs, labels) in {"training": (X, Y), "validation": (X_valid, Y_valid)}.items():
    right = int((neuron.predict(trained, inputs) == labels).sum())
    print(f"{name}: {right} of {labels.size} right, {right / labels.size:.1%}")
# the same costs: True
# the same W: True
# last costs: training 0.0288, validation 0.0630
# lowest validation cost in epoch 999
# training: 287 of 287 right, 100.0%
# validation: 69 of 70 right, 98.6%

# %%
from handgrad.look import HistoryDisplay, SigmoidDisplay

_ = HistoryDisplay.from_history(history).plot()

# %% [markdown]
# The learning curve falls steeply and then ever more slowly. The cost on the validation set ends higher, 0.0630 against
# 0.0288: the neuron knows best what it has seen. Were it to turn upwards while the other goes on falling, the neuron
# would have begun to learn its photographs by heart. Here it is lowest in the last epoch, 999 counted from 0.
#
# And this is where the digits of the validation set lie on the sigmoid now, each by its Z:

# %%
Z_valid = trained.W @ (X_valid / 255) + trained.b
_ = SigmoidDisplay(Z_valid, Y_valid, dataset.classes).plot()

# %% [markdown]
# ## Proving the gradient
#
# A nudge is a hint: it agreed to four digits, for one weight, at one W, and with a length that we happened to choose
# well. Who says that four digits are enough? And had it not agreed, we would not know which of four lines is to blame.
#
# `handgrad.check` takes forward and backward as they stand above. It runs forward once on arrays that remember where
# their numbers come from, differentiates each operation (what it cannot follow, by complex steps and extrapolated
# differences), and judges *every line of backward on its own*, at several inputs and in several precisions. A wrong
# formula stays wrong in every precision, a right one gets better with every bit, so there is no tolerance to choose.

# %%
import handgrad

rng = np.random.default_rng(0)
few = dict(
    W=rng.standard_normal((1, 4)),
    b=rng.standard_normal(),
    X=rng.standard_normal((4, 6)),
    Y=np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]]),
)
report = handgrad.check(forward, backward, few)
for line in report.findings:
    print(f"{line.name}: {line.verdict}")
# dA: right
# dZ: right
# dW: right
# db: right

# %% [markdown]
# Six made-up examples are enough, since it is the formulas that are judged. (`print(report)` says more: what the lines
# were compared with, and how small a fault would have been found.)
#
# ### A slip that got published
#
# Article 1 trains with squared error. Its loss has dA = (A - Y) / m, and dZ should be dA A (1 - A). What the article
# publishes is this:


# %%
def squared_error(W, b, X, Y):
    Z = W @ X + b
    A = sigmoid(Z)
    J = np.sum((A - Y) ** 2) / (2 * X.shape[1])
    return dict(Z=Z, A=A, J=J)


def published(X, Y, A):
    dA = (A - Y) / X.shape[1]
    dZ = dA * sigmoid(A) * (1 - sigmoid(A))
    return dict(dA=dA, dZ=dZ, dW=dZ @ X.T, db=np.sum(dZ))


report = handgrad.check(squared_error, published, few)
for line in report.findings:
    print(f"{line.name}: {line.verdict}" + (f", {line.diagnosis}" if line.diagnosis else ""))
print("nearest to the cost:", report.first_wrong)
# dA: right
# dZ: wrong, uses s(A) (1 - s(A)); the derivative is at Z: A (1 - A)
# dW: inherited
# db: inherited
# nearest to the cost: dZ

# %% [markdown]
# The check names the line, dZ, and what happened there: the derivative of the sigmoid is s(Z) (1 - s(Z)), and A is s(Z)
# *already*. The article applies s once more. dW and db are right in themselves; they inherit the fault, and once dZ is
# mended they are right as well:


# %%
def mended(X, Y, A):
    dA = (A - Y) / X.shape[1]
    dZ = dA * A * (1 - A)
    return dict(dA=dA, dZ=dZ, dW=dZ @ X.T, db=np.sum(dZ))


print("all right:", handgrad.check(squared_error, mended, few).ok)
for name, derived in {"published": published, "mended": mended}.items():
    P, costs = descend(squared_error, derived, epochs=1000, alpha=0.1)
    print(f"{name}: cost {costs[0]:.4f} to {costs[-1]:.4f}, accuracy {neuron.accuracy(P, X_valid, Y_valid):.1%}")
# all right: True
# published: cost 0.1250 to 0.0065, accuracy 97.1%
# mended: cost 0.1250 to 0.0087, accuracy 98.6%

# %% [markdown]
# And why did nobody notice? Because it trains. The cost falls from 0.1250 as it should, here even to 0.0065, lower than
# with the right gradient. What stands where A (1 - A) belongs:

# %%
s0, s1 = sigmoid(0.0), sigmoid(1.0)
print(f"s(A) (1 - s(A)): {s0 * (1 - s0):.3f} where A is 0, {s1 * (1 - s1):.3f} where A is 1")
# s(A) (1 - s(A)): 0.250 where A is 0, 0.197 where A is 1

# %% [markdown]
# It is always positive, so each dZ has the right sign, and it hardly changes, from a quarter to a fifth. In effect
# article 1 went down along A - Y, which is the gradient of *cross-entropy*, by shorter steps, without meaning to. A
# learning curve cannot tell you that your gradient is the gradient of something else. A proof can.
#
# In a project of your own, put the check into its tests: `handgrad.testing.assert_gradients(forward, backward,
# inputs)`. On the command line it is `handgrad check FILE.py`, and `handgrad check --backend numpy` proves the
# library's own neuron.

# %% [markdown]
# ## Swap the backend by one word
#
# The library has this neuron four times. NumPy's and Numba's gradients are derived by hand; PyTorch's and JAX's come
# from automatic differentiation. The program stays as it is, and one word of its import changes:
#
# ```
# from handgrad.backends.numpy import Neuron      # numpy | numba | torch | jax
# ```
#
# Let us train with each that is installed. A backend whose framework is missing says so, and is left out.

# %%
from handgrad import MissingExtraError, backends

found = {}
for name in ("numpy", "numba", "torch", "jax"):
    try:
        Backend = backends.load(name)  # what the import does, by a word
    except MissingExtraError:
        continue
    other = Backend(input_scale=1 / 255, dtype="float64")
    P, costs = other.fit(X, Y, epochs=1000, learning_rate=0.1)
    found[name] = f"last cost {costs.train_cost[-1]:.9f}, accuracy {other.accuracy(P, X_valid, Y_valid):.1%}"
for outcome in set(found.values()):
    print(outcome)
# last cost 0.028815600, accuracy 98.6%

# %% [markdown]
# One line, however many there are: they agree (`found` tells which they were). Two of them never saw our derivation, so
# they are witnesses for it. `handgrad compare` does this for a data set, and says of every difference whether rounding
# explains it.

# %% [markdown]
# ## What comes next
#
# The articles end with a list of what one should try. Each is a line or two here.
#
# ### A learning rate that is stable
#
# Articles 1, 2 and 4 take a learning rate of 0.003 or 0.005 and do not say why. There is a reason for such a number:
# the sharper the cost bends, the shorter the steps must be. How sharply it can bend follows from the pixels alone. Up
# to 2 divided by that curvature the cost falls in every epoch, wherever W and b are.

# %%
from handgrad.curvature import curvature

print(f"stable up to {curvature(neuron, X).bound:.3f}")
for alpha in (0.003, 0.005, 0.2, 1.0):
    _, tried = neuron.fit(X, Y, epochs=1000, learning_rate=alpha)
    J = tried.train_cost
    print(f"alpha {alpha}: last cost {J[-1]:.4f}, rose in {(np.diff(J) > 0).sum()} epochs, highest {J.max():.3f}")
# stable up to 0.217
# alpha 0.003: last cost 0.2363, rose in 0 epochs, highest 0.693
# alpha 0.005: last cost 0.1773, rose in 0 epochs, highest 0.693
# alpha 0.2: last cost 0.0174, rose in 0 epochs, highest 0.693
# alpha 1.0: last cost 0.0043, rose in 3 epochs, highest 4.746

# %% [markdown]
# For our digits the bound is 0.217, and 0.2 gets more than ten times as low as 0.003 in as many epochs: the articles'
# rates are for more pixels, which add up to more curvature. Beyond the bound nothing is promised. At 1.0 the cost leaps
# to 4.746 before it comes down, and then gets lowest of all, for where the neuron is sure the cost bends less. You may
# be lucky so. Below the bound you need no luck.
#
# ### A penalty
#
# These digits can be told apart without a mistake, so with cross-entropy it always pays to be a little surer: the
# weights grow for ever. A penalty on large weights stops that:
#
# ```
# J = mean of L + (l2 / 2) W W^T        dW = dZ x^T + l2 W
# ```
#
# Now the cost has one lowest point, and it makes sense to ask how soon one is there.
#
# ### Stochastic gradient descent, and L-BFGS
#
# SGD does not wait for all photographs before it takes a step: it takes one for every few of them. L-BFGS remembers
# from its last steps how the cost bends, and needs no learning rate.

# %%
from dataclasses import replace

from handgrad.optimizers import LBFGS, SGD, GradientDescent

penalised = replace(neuron, l2=0.01)
for name, optimizer, epochs in (
    ("gradient descent", GradientDescent(0.2), 1000),
    ("SGD", SGD(0.1, batch=32, schedule="cosine"), 50),
    ("L-BFGS", LBFGS(), 1000),
):
    P, taken = penalised.fit(X, Y, epochs=epochs, optimizer=optimizer)
    looks = 50 * np.ceil(taken.evaluations.sum() / 50)
    print(f"{name}: cost {penalised.cost(P, X, Y):.5f} within {looks:,.0f} looks at every digit")
# gradient descent: cost 0.10300 within 1,000 looks at every digit
# SGD: cost 0.10297 within 50 looks at every digit
# L-BFGS: cost 0.10216 within 50 looks at every digit

# %% [markdown]
# SGD looked at every digit 50 times, and is where gradient descent comes to by 1,000 looks. L-BFGS needed no more than
# SGD, and stopped by itself where the gradient is as good as zero: 0.10216 is the lowest that this cost can be.
#
# ### Other activations
#
# The sigmoid is one choice of A = f(Z). `Neuron(activation="tanh", loss="squared_error")` takes another; "relu" and
# "identity" are there too. Cross-entropy wants a probability, and goes with the sigmoid only.
#
# ### Cross-validation
#
# Which penalty? Not the one that does best on the training set, for that is none at all. Deal all digits into five
# folds, train on four of them, measure on the fifth, and let each have its turn. Every digit is then judged once, by a
# neuron that did not learn from it.

# %%
from handgrad.validation import cross_validate, one_standard_error

everything = np.concatenate([X, X_valid], axis=1), np.concatenate([Y, Y_valid], axis=1)
rows = cross_validate(neuron, *everything, l2=[0.0001, 0.001, 0.01, 0.1, 1])
chosen = one_standard_error(rows)
for row in rows:
    cost = f"{row.cost.mean:.3f} +- {row.cost.error:.3f}" + ("  chosen" if row is chosen else "")
    print(f"l2 {row.l2:<6g}  {row.right} of {row.examples} right, cost {cost}")
# l2 0.0001  353 of 357 right, cost 0.025 +- 0.009  chosen
# l2 0.001   352 of 357 right, cost 0.035 +- 0.009
# l2 0.01    352 of 357 right, cost 0.072 +- 0.013
# l2 0.1     346 of 357 right, cost 0.187 +- 0.014
# l2 1       346 of 357 right, cost 0.447 +- 0.008

# %% [markdown]
# The digits are easy, and want next to no penalty: at 0.0001 the cost is lowest, and no larger penalty comes within one
# standard error of it. (Where one does, it is chosen, for nobody can tell the two apart and it is simpler.) Photographs
# of cats and dogs want more of a penalty, as the page on photographs shows.
#
# ### An interval beside the accuracy
#
# An accuracy was measured on so many photographs, and on others it would have come out otherwise. Where it would be
# among all such photographs, Wilson's interval says; for 95 % of such sets it is right.

# %%
from handgrad.scores import wilson

for name, right, examples in (
    ("our digits", 69, 70),
    ("article 4", 13, 20),
    ("article 1", 3081, 5000),
):
    low, high = wilson(right, examples)
    print(f"{name}: {right / examples:.2%} of {examples:,}, 95 % interval {low:.1%} to {high:.1%}")
# our digits: 98.57% of 70, 95 % interval 92.3% to 99.7%
# article 4: 65.00% of 20, 95 % interval 43.3% to 81.9%
# article 1: 61.62% of 5,000, 95 % interval 60.3% to 63.0%

# %% [markdown]
# Of our 70 digits one is wrong, and among all such digits the accuracy could well be 92.3 %. Article 4 tests on 20
# photographs, and its 65 % may be anything from 43.3 to 81.9 %, one half included: those photographs do not show that
# its neuron is better than a coin. Article 1 has less, 61.62 %, and knows it much better, because it kept 5,000 for
# validation.

# %% [markdown]
# ## What it learned
#
# W has a weight for every pixel, so W is a picture too. Red speaks for an 8, blue for a 3.

# %%
from handgrad.look import ContributionsDisplay, MistakesDisplay, WeightsDisplay

_ = WeightsDisplay(trained.W.reshape(dataset.size), dataset.classes).plot()

# %%
for row in trained.W.reshape(dataset.size).sum(axis=2):  # over the colours
    print(*(f"{weight:z4.1f}" for weight in row))
#  0.0 -0.2 -0.7 -1.0 -1.3 -0.8 -0.4  0.0
#  0.0 -0.6 -0.3 -0.1 -0.9 -0.3 -0.2  0.0
#  0.0  0.3  2.3  1.4 -1.5  0.7  0.2  0.0
#  0.0  0.1  2.3  1.7 -0.4  0.9  0.2  0.0
#  0.0  0.1  1.1  1.5  0.2 -0.8 -0.7  0.0
#  0.0  0.3  3.5  2.4  0.2 -0.6 -1.1  0.0
#  0.0  0.1  1.1  0.3 -0.9 -0.8 -1.3  0.0
#  0.0 -0.2 -1.5 -0.6  0.2 -0.5 -0.6  0.0

# %% [markdown]
# The largest weights are in the left half, up to 2.3 in the upper part and 3.5 in the lower one. That is where an 8
# closes its two loops, and a 3 leaves them open. Nobody told the neuron. In the first column, where hardly a digit has
# ink, W is still near 0.
#
# Article 4 multiplies W with a photograph, pixel by pixel, and shows the product W * x as a picture, its
# "reconstruction". There is a precise meaning to it: the sum over that picture, and b, is Z. So it shows what each
# pixel of *this* photograph contributed to the decision.

# %%
shown = slice(0, 6)
true, A = Y_valid[0, shown], sigmoid(Z_valid[0, shown])
contributions = trained.W * (X_valid[:, shown] / 255).T  # (6, n)
print("sum over the picture, and b, is Z:", np.allclose(contributions.sum(axis=1) + trained.b, Z_valid[0, shown]))
_ = ContributionsDisplay(
    pictures=X_valid[:, shown].T.reshape(-1, *dataset.size),
    contributions=contributions.reshape(-1, *dataset.size).sum(axis=3),
    titles=[f"{dataset.classes[y]}, A = {a:.2f}" for y, a in zip(true, A, strict=True)],
).plot()
# sum over the picture, and b, is Z: True

# %% [markdown]
# And the digits that it got wrong, as article 4 shows them, with the class that they were taken for:

# %%
wrong = np.flatnonzero(neuron.predict(trained, X_valid) != Y_valid)
titles = []
for i in wrong:
    a = sigmoid(Z_valid[0, i])
    titles.append(f"{dataset.classes[Y_valid[0, i]]}, taken for {dataset.classes[int(a > 0.5)]}")
    print(f"{titles[-1]}: A = {a:.2f}")
_ = MistakesDisplay(X_valid[:, wrong].T.reshape(-1, *dataset.size), titles).plot()
# 3, taken for 8: A = 0.77

# %% [markdown]
# ## The same on your own photographs
#
# Put photographs of two kinds into a folder with one subfolder for each, `my-photographs/cat/` and
# `my-photographs/dog/`, or into one folder with names such as `cat.0.jpg`. Then, in a shell:
#
# ```
# handgrad prepare my-photographs/ data/ --size 64
# handgrad rate data/
# handgrad train data/ --run run/ --learning-rate auto --epochs 1000
# handgrad evaluate run/ data/
# handgrad explain run/ data/
# handgrad predict run/ another-cat.jpg
# ```
#
# `explain` makes a page of pictures like those above. To get more out of one neuron, give it the directions of edges
# instead of pixels, and a penalty that cross-validation chose:
#
# ```
# handgrad prepare my-photographs/ edges/ --features hog --size 128
# handgrad cross-validate edges/
# handgrad train edges/ --run edges-run/ --optimizer lbfgs --l2 0.01
# ```
#
# Every command explains itself with `--help`. The whole derivation, line by line beside the code that runs, is in
# `backends/numpy.py`.
#
# ## Sources
#
# Article 1: P. Malhotra, "Demystifying Gradient Descent and Backpropagation via Logistic Regression based Image
# Classification". Article 2: ScratchML, "Understanding Deep Neural Networks from First Principles: Logistic
# Regression". Article 3: Gupta, "Neural Networks and Deep Learning". Article 4: "Logistic regression as a single-neuron
# network". The digits: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository.
