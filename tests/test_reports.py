"""Public bug reports of PyTorch, JAX, torchvision and scikit-learn, tried here: each by its number there."""

import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image

from handgrad.data import Dataset, prepare
from handgrad.proof import check


def verdicts(report):
    return {f.name: (f.verdict, f.kind) for f in report.findings}


def rule(forward, backward):
    torch = pytest.importorskip("torch")
    made = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Rule", (torch.autograd.Function,), made)


def isrlu(ctx, x, alpha=1):
    negative = x.clamp(max=0)
    ctx.slope = (1 + alpha * negative**2).rsqrt()
    return x * ctx.slope


@pytest.mark.parametrize(
    ("backward", "found"),
    [
        (lambda ctx, _: (ctx.slope**3, None), ("wrong", "grad_output")),
        (lambda ctx, g: (g * ctx.slope**3, None), ("right", "")),
    ],
)
def test_pytorch_4355_an_activation_that_forgets_grad_output(rng, backward, found):
    assert verdicts(check(rule(isrlu, backward), [rng.normal(size=(20, 20))])) == {"dx": found}


def test_pytorch_38586_an_input_that_overlaps_itself(rng):
    torch = pytest.importorskip("torch")
    once = torch.tensor(rng.normal(size=1)).expand(2).requires_grad_()
    assert check(lambda x: (x * x.flip(0)).sum(), [once]).ok


def test_pytorch_5871_a_part_of_an_input_is_changed_in_place():
    torch = pytest.importorskip("torch")

    def forward(_, a, b):
        a[1:2] += b
        return a

    added = rule(forward, lambda _, g: (g, g[1:2].reshape(1)))
    assert check(lambda a, b: added.apply(a + 1, b), [torch.ones(2), torch.ones(1)]).ok


def test_pytorch_8626_strides_of_an_expanded_input(rng):
    torch = pytest.importorskip("torch")

    def strided(x, z):
        wide = x.expand(3, 2)
        return (wide.as_strided([3, 2], wide.stride()) * z).mean()

    assert check(strided, [torch.zeros(2), torch.tensor(rng.normal(size=(3, 2)))]).ok


@pytest.mark.parametrize("whole", [True, False])
def test_pytorch_34145_a_view_of_what_forward_made(rng, whole):
    torch = pytest.importorskip("torch")
    cut = rule(lambda _, x: x.clone()[:3], lambda _, g: torch.cat([g, g.new_zeros(7)]) if whole else g)
    found = verdicts(check(cut, [rng.normal(size=10)]))
    assert found == {"dx": ("right", "") if whole else ("wrong", "shape")}


def test_jax_2912_an_argument_that_is_no_input_comes_back_as_the_gradient():
    jax = pytest.importorskip("jax")

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def nothing(s, p):
        return 0.0 * s * p

    nothing.defvjp(lambda s, p: (nothing(s, p), ()), lambda s, _, __: (s,))
    assert verdicts(check(nothing, {"s": 0.2, "p": np.array(0.1)}))["dp"][0] == "wrong"


def test_jax_20889_a_mask_that_is_no_input_of_a_rule_within_a_loop():
    """JAX's own error, in the report's own words; the same without the loop is right."""
    jax = pytest.importorskip("jax")
    masked = jax.custom_jvp(lambda x, mask: x * mask, nondiff_argnums=(1,))
    masked.defjvp(lambda mask, primals, tangents: jax.jvp(lambda x: x * mask, primals, tangents))
    inputs = {"x": np.ones(10), "mask": np.arange(10) % 2 == 0}
    assert check(lambda x, mask: masked(masked(x, mask), mask).sum(), inputs, trials=1).ok

    def looped(x, mask):
        return jax.lax.scan(lambda carry, _: (masked(carry, mask), None), x, None, length=2)[0].sum()

    report = check(looped, inputs, trials=1)
    assert report.ok or "UnexpectedTracerError" in str(report), f"\n{report}"


def test_scikit_learn_17978_probabilities_of_large_logits_are_finite(rng):
    classifier = pytest.importorskip("handgrad.sklearn").NeuronClassifier
    X = rng.normal(size=(50, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two classes that a line parts have no minimum
        fitted = classifier(dtype="float32").fit(X, X[:, 0] > 0)
    assert np.isfinite(fitted.predict_proba(1e30 * X)).all()


def test_scikit_learn_34139_a_class_of_weight_0_is_none(rng):
    classifier = pytest.importorskip("handgrad.sklearn").NeuronClassifier
    X, y = rng.normal(size=(50, 2)), np.arange(50) % 2
    with pytest.raises(ValueError, match="y has one class, 0, in the examples that count"):
        classifier().fit(X, y, sample_weight=1.0 - y)


@pytest.mark.parametrize("litter", [".ipynb_checkpoints", "__MACOSX", ".git"])
def test_torchvision_109_and_2831_litter_is_no_class(tmp_path, litter):
    for folder in "cat", "dog", litter:
        (tmp_path / "source" / folder).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 8), (40 * i, len(folder), 9)).save(tmp_path / "source" / folder / f"{i}.png")
        for name in ".DS_Store", "Thumbs.db", "._0.png":
            (tmp_path / "source" / folder / name).write_bytes(b"litter")
    prepare(tmp_path / "source", tmp_path / "data", size=8)
    dataset = Dataset.open(tmp_path / "data")
    assert sum(part.X.shape[1] for part in (dataset.train, dataset.valid) if part is not None) == 10
