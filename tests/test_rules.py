"""Rules for PyTorch and JAX: right ones pass at every precision, planted faults are found and told apart."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rules import NAMES, faults, load

from conftest import SEED
from handgrad import UsageError
from handgrad.commands import run
from handgrad.proof import check
from handgrad.testing import assert_gradients

CASES = Path(__file__).parents[2] / "shared" / "cases"


def needs(name):
    pytest.importorskip(name.partition("_")[0])
    if "triton" in name:
        pytest.importorskip("triton")
    return name


def verdicts(report):
    return {f.name[1:]: f.verdict for f in report.findings if f.verdict != "right"}


def kinds(report):
    return {f.name[1:]: f.kind for f in report.findings if f.verdict != "right"}


def checked(name, fault=None, **options):
    module = load(needs(name), fault)
    return check(module.RULE, module.inputs(np.random.default_rng(SEED)), **getattr(module, "OPTIONS", {}), **options)


@pytest.mark.parametrize("name", NAMES[(SEED + 1) % 2 :: 2])
def test_a_right_rule_is_right_at_every_precision(name):
    """Every second one, the others with another seed; all of them by ``python -m handgrad.benchmarks.rules``."""
    report = checked(name, trials=1)
    assert report.ok, f"\n{report}"
    assert set(report.precisions) >= {"float32", "bfloat16", "float16"}
    assert report.detectable < 0.01


@pytest.mark.parametrize("name", NAMES[SEED % 2 :: 2])
def test_a_fault_is_found_in_the_gradients_that_it_spoils(name):
    """One of every second rule's, another with another seed; all of them by ``python -m handgrad.benchmarks.rules``."""
    planted = faults(needs(name))
    fault = planted[(SEED // 2 - NAMES.index(name) // 2) % len(planted)]
    report = checked(name, fault, trials=1, seconds=0)
    assert verdicts(report) == dict.fromkeys(fault.names, fault.verdict), f"{fault}\n{report}"


def torch_rule(forward, backward, **attributes):
    """A Function of these two."""
    torch = pytest.importorskip("torch")
    made = {"forward": staticmethod(forward), "backward": staticmethod(backward), **attributes}
    return type("Rule", (torch.autograd.Function,), made)


def product(ctx, x, w):
    ctx.save_for_backward(x, w)
    return x * w


def product_back(ctx, g):
    x, w = ctx.saved_tensors
    return g * w, g * x


@pytest.fixture
def two(rng):
    return {"x": rng.normal(size=(6, 4)), "w": rng.normal(size=(6, 4))}


def test_one_zeroed_entry_of_2_million_is_found_and_called_that():
    torch = pytest.importorskip("torch")

    def back(ctx, g):
        x, w = ctx.saved_tensors
        dx = g * w
        dx[1234, 321] = 0
        return dx, g * x

    x, w = (torch.randn(2048, 1024, generator=torch.Generator().manual_seed(i)).bfloat16() for i in (0, 1))
    report = check(torch_rule(product, back), {"x": x, "w": w}, trials=0)
    assert verdicts(report) == {"x": "wrong"}
    assert kinds(report) == {"x": "single_entry"}
    assert report.findings[0].where == (1234, 321)


def test_a_mask_that_is_missing_in_backward_is_called_that():
    name = needs("torch_attention")
    missing = next(f for f in faults(name) if f.new == "" and "masked_fill" in f.old)
    report = checked(name, missing, trials=1, seconds=60)
    assert verdicts(report) == dict.fromkeys(("q", "k", "v"), "wrong")
    assert set(kinds(report).values()) == {"mask"}


def test_a_sum_of_65536_products_in_bfloat16_is_imprecise_and_not_wrong():
    torch = pytest.importorskip("torch")

    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (x.float() * w.float()).to(x.dtype)

    def back(ctx, g):
        x, w = ctx.saved_tensors
        products = (g.float() * x.float()).to(x.dtype)
        total = torch.zeros_like(w)
        for part in products.split(64):  # in 1,024 steps, each rounded to x's digits
            total = total + part.sum(0)
        return (g.float() * w.float()).to(x.dtype), total

    rng = np.random.default_rng(SEED)
    inputs = {"x": torch.tensor(1 + rng.random((65536, 4))).bfloat16(), "w": torch.tensor(rng.random(4)).bfloat16()}
    report = check(torch_rule(forward, back), inputs)
    assert verdicts(report) == {"w": "imprecise"}, f"\n{report}"
    assert float(re.search(r"loses (\S+) bits", report.findings[1].diagnosis)[1]) > 3
    assert report.findings[1].gaps["float64"] < 1e-12 < report.findings[1].gaps["bfloat16"]


def test_a_rule_of_two_outputs_is_tried_with_one_of_them(two):
    pytest.importorskip("torch")

    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        ctx.set_materialize_grads(False)  # what flows in through an output that nobody uses is None
        return x * w, x + w

    def careful(ctx, g, h):
        x, w = ctx.saved_tensors
        g, h = (x.new_zeros(x.shape) if flows is None else flows for flows in (g, h))
        return g * w + h, g * x + h

    def careless(ctx, g, h):
        x, w = ctx.saved_tensors
        return g * w + h, g * x + h

    def forgetful(ctx, g, h):
        return (None, None) if h is None else careful(ctx, g, h)

    assert check(torch_rule(forward, careful), two).ok
    for back, said in (careless, "raised TypeError"), (forgetful, "the gradient is off by 100%"):
        report = check(torch_rule(forward, back), two)
        assert verdicts(report) == {"x": "wrong", "w": "wrong"}, f"\n{report}"
        assert report.findings[0].diagnosis.startswith("where only output 0 is used, ")
        assert said in report.findings[0].diagnosis


@pytest.mark.parametrize("shape", [(6, 4), (600, 600)])
def test_a_rule_that_is_wrong_in_bfloat16_only_is_wrong(shape):
    """Of many inputs only their own precision and the finest are judged."""
    torch = pytest.importorskip("torch")

    def back(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, (g if x.dtype is torch.bfloat16 else g * x)

    x = np.random.default_rng(SEED).normal(size=shape)
    x = x if x.size < 100 else torch.tensor(x).bfloat16()
    report = check(torch_rule(product, back), {"x": x, "w": x + 1}, trials=1)
    assert verdicts(report) == {"w": "wrong"}
    assert report.findings[1].diagnosis.startswith("only where inputs are bfloat16: ")


@pytest.mark.parametrize(
    ("said", "kind", "back"),
    [
        ("not contiguous", "contiguity", lambda ctx, g: product_back(ctx, _flat(g))),
        ("expanded", "contiguity", lambda ctx, g: product_back(ctx, g if 0 not in g.stride() else 0 * g)),
        ("only x needs", "needs", lambda ctx, g: _needs(ctx, g)),
        ("changed in place", "in_place", lambda ctx, g: _in_place(ctx, g)),
        ("grad_output is 0", "zero", lambda ctx, g: tuple(d + 1 if not g.any() else d for d in product_back(ctx, g))),
    ],
)  # fmt: skip
def test_what_rules_get_wrong_besides_numbers(said, kind, back, two):
    report = check(torch_rule(product, back), two, trials=0)
    assert not report.ok
    told = [f.diagnosis for f in report.findings] + list(report.problems)
    assert any(said in words for words in told), f"\n{report}"
    assert kind in kinds(report).values() or report.problems


def _flat(g):
    """What a kernel reads that takes the memory for a contiguous array."""
    return g.as_strided(g.shape, (g.shape[1], 1))


def _needs(ctx, g):
    x, w = ctx.saved_tensors
    return (g * w if all(ctx.needs_input_grad) else g), g * x


def _in_place(ctx, g):
    found = product_back(ctx, g.clone())
    g.mul_(2)
    return found


def test_a_buffer_that_is_added_to_is_found_by_the_second_call(two):
    torch = pytest.importorskip("torch")
    kept = torch.zeros(6, 4, dtype=torch.float64)

    def back(ctx, g):
        x, w = ctx.saved_tensors
        kept.add_((g * w).detach().double())
        return kept.to(x.dtype).clone(), g * x

    report = check(torch_rule(product, back), two, trials=0)
    assert "x" in verdicts(report)


def test_none_a_wrong_count_a_wrong_order_and_a_wrong_shape(rng):
    x, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    none = check(torch_rule(product, lambda ctx, g: (product_back(ctx, g)[0], None)), {"x": x, "w": x + 1})
    assert kinds(none) == {"w": "none"}
    count = check(torch_rule(product, lambda ctx, g: product_back(ctx, g)[0]), {"x": x, "w": x + 1})
    assert kinds(count) == {"w": "none"}
    order = check(
        torch_rule(product, lambda ctx, g: (product_back(ctx, g)[1].sum(0), product_back(ctx, g)[0])), {"x": x, "w": b}
    )
    assert kinds(order) == {"x": "swapped", "w": "swapped"}
    shape = check(
        torch_rule(product, lambda ctx, g: (product_back(ctx, g)[0].T, product_back(ctx, g)[1])), {"x": x, "w": x + 1}
    )
    assert kinds(shape) == {"x": "transpose"}


def test_the_second_gradient_and_forward_mode(rng):
    torch = pytest.importorskip("torch")
    x = {"x": rng.normal(size=5), "w": rng.normal(size=5)}

    def cube(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x**3 * w

    def back(ctx, g):
        x, w = ctx.saved_tensors
        return 3 * x**2 * w * g, x**3 * g

    detached = torch_rule(
        cube, lambda ctx, g: (3 * ctx.saved_tensors[0].detach() ** 2 * ctx.saved_tensors[1] * g, back(ctx, g)[1])
    )
    once = torch_rule(cube, torch.autograd.function.once_differentiable(back))
    assert check(torch_rule(cube, back), x, order=2).ok
    assert check(detached, x).ok
    assert verdicts(check(detached, x, order=2)) == {"x": "wrong"}
    assert check(once, x).ok
    assert set(kinds(check(once, x, order=2)).values()) == {"once_differentiable"}

    class Forth(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, w):
            return x * x * w

        @staticmethod
        def setup_context(ctx, inputs, output):  # noqa: ARG004
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return 2 * x * w * g, x * x * g

        @staticmethod
        def jvp(ctx, tx, tw):
            x, w = ctx.saved_tensors
            return 2 * x * w * tx + x * x * tw

    class Bad(Forth):
        @staticmethod
        def jvp(ctx, tx, tw):
            x, w = ctx.saved_tensors
            return 2 * x * w * tx - x * x * tw

    assert check(Forth, x).ok
    assert check(Forth, x, mode="jvp").ok
    assert check(Bad, x).ok
    assert kinds(check(Bad, x, mode="jvp")) == {"w": "sign"}


def test_a_rule_of_jax_forth_and_twice(rng):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x = {"x": rng.normal(size=5), "y": rng.normal(size=5)}

    def made(sign):
        @jax.custom_jvp
        def f(x, y):
            return x**3 * jnp.sin(y)

        @f.defjvp
        def _(primals, tangents):
            (x, y), (tx, ty) = primals, tangents
            return f(x, y), 3 * x**2 * jnp.sin(y) * tx + sign * x**3 * jnp.cos(y) * ty

        return f

    assert check(made(1), x, order=2).ok
    assert check(made(1), x, mode="jvp").ok
    assert kinds(check(jax.jit(made(-1)), x)) == {"y": "sign"}
    assert kinds(check(made(-1), x, mode="jvp")) == {"y": "sign"}


def test_pytrees_keywords_settings_and_functions_that_contain_a_rule(rng):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def scaled(x, s):
        return x * s

    scaled.defvjp(lambda x, s: (x * s, (x, s)), lambda saved, g: (g * saved[1], (g * saved[0]).sum()))

    def layer(params, x, power=2, *, bias=True):
        return jnp.tanh(scaled(x @ params["W"], params["s"][0])) ** power + (params["b"] if bias else 0)

    params = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=2), "s": [np.array(0.7)]}
    report = check(layer, {"params": params, "x": rng.normal(size=(5, 3)), "power": 3})
    assert report.ok, f"\n{report}"
    assert [f.name for f in report.findings] == ["dparams['W']", "dparams['b']", "dparams['s'][0]", "dx"]


@pytest.mark.parametrize("framework", ["torch", "jax.numpy"])
def test_gradients_by_hand_of_tensors_are_judged_where_there_is_no_rule(framework, rng):
    """In the shapes of code in NumPy: what autograd would say of cost and gradients together proves nothing of them."""
    np_like = pytest.importorskip(framework)

    def by(factor):
        def propagate(w, b, X, Y):
            m = X.shape[1]
            A = 1 / (1 + np_like.exp(-(w @ X + b)))
            dZ = (A - Y) / m
            cost = -(Y * np_like.log(A) + (1 - Y) * np_like.log(1 - A)).sum() / m
            return {"dw": factor * (dZ @ X.T), "db": dZ.sum()}, cost

        return propagate

    right, wrong = by(1), by(2)

    def alone(w, X):
        return (w @ X).sum()

    inputs = {"w": rng.normal(size=(1, 3)), "b": 0.5, "X": rng.normal(size=(3, 5)), "Y": np.arange(5.0)[None] % 2}
    assert check(right, inputs, seconds=0.0).ok
    assert verdicts(check(wrong, inputs, seconds=0.0)) == {"w": "wrong"}
    as_array = getattr(np_like, "as_tensor", None) or np_like.asarray
    tensors = {name: as_array(value) for name, value in inputs.items()}
    assert verdicts(check(wrong, tensors, seconds=0.0)) == {"w": "wrong"}
    assert check(alone, {name: tensors[name] for name in "wX"}, trials=0).oracle.startswith("the rule taken off")
    with pytest.raises(UsageError, match="cost"):
        check(lambda w: (2 * w, 3 * w), {"w": tensors["w"]}, gradients={"w": 0})


@pytest.mark.parametrize("framework", ["torch", "jax.numpy"])
def test_several_outputs_that_are_not_said_to_be_gradients_are_none(framework):
    """One has the shape of the input, another is one number: a function all the same, and right."""
    np_like = pytest.importorskip(framework)

    def two(x):
        return np_like.tanh(x), x.sum()

    assert check(two, {"x": getattr(np_like, "as_tensor", np_like.asarray)(np.linspace(-1, 1, 5))}, trials=1).ok


def test_a_counterexample_of_tensors_calls_the_function_as_it_is(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def loss(w, X):\n    Z = X @ w\n    dw = 3 * X.T @ Z\n    return torch.sum(Z**2), dw\n"
        "def inputs(rng):\n    return dict(w=rng.normal(size=3), X=rng.normal(size=(4, 3)))\n"
    )
    assert run(["check", str(tmp_path / "mine.py"), "--counterexample", str(tmp_path / "test_mine.py")]) == 1
    tried = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    how = dict(cwd=tmp_path, capture_output=True, timeout=300)
    how["env"] = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert subprocess.run(tried, **how).returncode == 1
    mended = (tmp_path / "mine.py").read_text().replace("dw = 3", "dw = 2")
    (tmp_path / "mine.py").write_text(mended)
    outcome = subprocess.run(tried, text=True, **how)
    assert outcome.returncode == 0, outcome.stdout


def test_a_reference_is_what_forward_is_compared_with(two):
    rule = torch_rule(product, product_back)
    assert check(rule, two, reference=lambda x, w: w * x).ok
    other = check(rule, two, reference=lambda x, w: x * w * 1.001)
    assert not other.ok
    assert "forward is not the reference's function" in other.problems[0]


def test_a_forward_that_autograd_cannot_follow_is_judged_by_differences(two):
    torch = pytest.importorskip("torch")

    def hidden(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.from_numpy(np.asarray(x.detach().double()) * np.asarray(w.detach().double())).to(x.dtype)

    assert check(torch_rule(hidden, product_back), two, trials=0).ok
    wrong = check(
        torch_rule(hidden, lambda ctx, g: (product_back(ctx, g)[0], 2 * product_back(ctx, g)[1])), two, trials=0
    )
    assert verdicts(wrong) == {"w": "wrong"}
    assert "differences" in wrong.oracle


def test_inputs_that_do_not_fit_are_named(two):
    rule = torch_rule(product, product_back)
    with pytest.raises(UsageError, match="inputs has 'z', which Rule does not take; it takes: x, w"):
        check(rule, {**two, "z": 1.0})
    with pytest.raises(UsageError, match="Rule takes 'w', which inputs lacks; it has: x"):
        check(rule, {"x": two["x"]})
    with pytest.raises(UsageError, match="no array of floating point"):
        check(rule, {"x": np.arange(3), "w": np.arange(3)})
    with pytest.raises(UsageError, match="cost= is for code in NumPy"):
        check(rule, two, cost="J")
    with pytest.raises(UsageError, match=r"wrt has \['z'\]"):
        check(rule, two, wrt=["z"])
    with pytest.raises(UsageError, match="are for rules of PyTorch and JAX"):
        check(lambda x: (np.sum(x * x), {"dx": 2 * x}), {"x": np.ones(3)}, order=2)


def test_random_numbers_drawn_in_the_order_of_memory_are_no_fault():
    """In another layout each entry of a dropout's mask is another one; the rule is right all the same."""
    torch = pytest.importorskip("torch")

    def dropout(ctx, x):
        kept = 2 * (torch.rand_like(x) > 0.5).to(x.dtype)
        ctx.save_for_backward(kept)
        return x * kept

    rule = torch_rule(dropout, lambda ctx, g: g * ctx.saved_tensors[0])
    assert check(rule, [np.random.default_rng(SEED).normal(size=(5, 7))]).ok


def test_functions_without_a_signature_are_taken_in_order():
    torch = pytest.importorskip("torch")
    assert check(torch.nn.functional.gelu, [np.linspace(-2, 2, 9)]).ok


def test_an_output_that_is_not_a_number_is_not_the_references():
    torch = pytest.importorskip("torch")
    rule = torch_rule(lambda _, x: x * torch.nan, lambda _, g: 2 * g)
    report = check(rule, {"x": np.ones(3)}, reference=lambda x: 2 * x)
    assert "forward is not the reference's function: output 0 is nan" in report.problems[0]


def iterated(slope):
    """The root by Newton's iteration, which JAX does not differentiate backwards, and a slope of 1 / (slope x)."""
    jax = pytest.importorskip("jax")

    def converged(a):
        def go_on(x):
            return jax.numpy.any(abs(x * x - a) > 1e-12 * a)

        return jax.lax.while_loop(go_on, lambda x: (x + a / x) / 2, a)

    root = jax.custom_vjp(converged)
    root.defvjp(lambda a: (root(a), root(a)), lambda x, g: (g / (slope * x),))
    return root


@pytest.mark.parametrize("slope", [2, 1])
def test_where_the_function_cannot_be_differentiated_differences_are_the_oracle(slope):
    """A loop that ends by values: in bfloat16 it never does, and is ended."""
    report = check(iterated(slope), {"a": np.array([2.0, 3.0, 0.5])}, trials=1, seconds=1)
    assert report.ok == (slope == 2), f"\n{report}"
    assert report.oracle.startswith("extrapolated differences")


def test_where_differences_tell_nothing_either_a_reference_is_asked_for():
    """A step at every turn: no verdict, and none against gradients of zeros."""
    jax = pytest.importorskip("jax")

    def steps(a):
        grown = jax.lax.while_loop(lambda x: jax.numpy.all(x < 8 * a), lambda x: 2 * x, a)
        return grown + 1e-3 * jax.numpy.sign(jax.numpy.sin(1e9 * a))

    rule = jax.custom_vjp(steps)
    rule.defvjp(lambda a: (rule(a), None), lambda _, g: (8 * g,))
    with pytest.raises(UsageError, match=r"differentiation does not work for lax\.while_loop.*; give reference="):
        check(rule, {"a": np.array([1.0, 2.0, 0.7])}, trials=0, seconds=0)


def test_a_kernel_of_jax_without_a_reference_says_so_at_once():
    module = load(needs("jax_pallas"))
    start = time.perf_counter()
    with pytest.raises(UsageError, match="the reference's derivative raised"):
        check(module.RULE, module.inputs(np.random.default_rng(SEED), blocks=1))
    assert time.perf_counter() - start < 60


def test_a_gradient_that_is_clipped_is_called_that():
    """The rule gives its input back: the array of NumPy that it was given."""
    jax = pytest.importorskip("jax")
    clip = jax.custom_vjp(lambda x: x)
    clip.defvjp(lambda x: (x, None), lambda _, g: (jax.numpy.clip(g, -0.75, 0.75),))
    report = check(lambda x: clip(x), {"x": np.random.default_rng(0).normal(size=50)}, trials=1)
    assert verdicts(report) == {"x": "wrong"}
    assert kinds(report) == {"x": "clipped"}


def test_constants_that_jax_rounds_to_few_bits_are_no_fault():
    jax = pytest.importorskip("jax")
    assert check(jax.nn.gelu, {"x": np.random.default_rng(0).normal(size=9)}, trials=1).ok


def test_what_is_left_of_a_gradient_that_cancels_is_no_fault_for_a_batch_of_one():
    """Within the range the derivative in the scale is 0: autograd leaves a rounding in float32 there, the hand none."""
    torch, module = pytest.importorskip("torch"), load("torch_quantize")
    x = torch.tensor([[-5.8984], [-8.4141], [-16.5156], [11.0312]], dtype=torch.float16)
    report = check(module.RULE, {"x": x, "scale": torch.tensor([1.4795], dtype=torch.float16)}, seconds=0.0)
    assert report.ok, f"\n{report}"


def test_a_million_inputs_take_seconds():
    """As it is written, an entry cancels here and there: once, 22 of 30 draws had one that one draw did not move."""
    torch = pytest.importorskip("torch")
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))

    def swish(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    def back(ctx, g):
        x, s = ctx.saved_tensors
        return g * (s * (1 + x * (1 - s)))

    start = time.process_time()
    assert check(torch_rule(swish, back), {"x": x}).ok
    assert time.process_time() - start < 40  # of all threads, whatever else the machine does


def test_pytest_and_the_command_line(tmp_path, two, capsys):
    pytest.importorskip("torch")
    with pytest.raises(AssertionError, match="exchanged"):
        assert_gradients(torch_rule(product, lambda ctx, g: product_back(ctx, g)[::-1]), two)
    assert_gradients(torch_rule(product, product_back), two, reference=lambda x, w: x * w)
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "class Square(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(ctx, x):\n"
        "        ctx.save_for_backward(x)\n"
        "        return x * x\n"
        "    @staticmethod\n"
        "    def backward(ctx, g):\n"
        "        return g * ctx.saved_tensors[0]\n"
        "def inputs(rng):\n"
        "    return {'x': rng.normal(size=3)}\n"
    )
    for name in "", ":Square", ":Square.apply":
        assert run(["check", f"{file}{name}"]) == 1
        assert "it is 0.5 times what it should be" in capsys.readouterr().out


def test_no_framework_is_imported_by_a_check_that_is_not_of_its_rules(tmp_path):
    needs("torch_rms_norm"), needs("jax_rms_norm")
    code = (
        "import sys, numpy as np; sys.path.insert(0, {tests!r})\n"
        "from handgrad import check\n"
        "from rules import load\n"
        "rng = np.random.default_rng(0)\n"
        "{do}\n"
        "print([name for name in ('torch', 'jax') if name in sys.modules])\n"
    )
    plain = "check(lambda x: (np.sum(x * x), dict(dx=2 * x)), dict(x=np.ones(3)))"
    for do, present in (
        (plain, "[]"),
        ("m = load('torch_rms_norm'); assert check(m.RULE, m.inputs(rng), trials=0).ok", "['torch']"),
        ("m = load('jax_rms_norm'); assert check(m.RULE, m.inputs(rng), trials=0).ok", "['jax']"),
    ):
        program = code.format(tests=str(Path(__file__).parent), do=do)
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True
        )
        assert run.stdout.strip() == present


def test_the_cases_of_rules():
    if not (CASES / "s5_jax.py").is_file():
        pytest.skip("the cases are not beside this checkout")
    pytest.importorskip("jax")
    scope = {"__name__": "s5_jax"}
    exec(compile((CASES / "s5_jax.py").read_text(), "s5_jax.py", "exec"), scope)
    for variant, rule in scope["VARIANTS"].items():
        inputs = scope["inputs"](np.random.default_rng(SEED))
        inputs.pop("R")
        report = check(rule, inputs)
        assert sorted(verdicts(report)) == scope["WRONG"].get(variant, []), f"{variant}\n{report}"


@pytest.mark.parametrize(("framework", "factor"), [("torch", 1), ("torch", 2), ("jax.numpy", 2)])
def test_a_pair_of_functions_of_tensors_is_judged_as_one_of_arrays(framework, factor, tmp_path, capsys, monkeypatch):
    xp = pytest.importorskip(framework)
    path = tmp_path / "mine.py"
    path.write_text(
        f"import {framework} as xp\n"
        "def forward(x, W):\n    return x @ W, (x, W)\n"
        f"def backward(dout, cache):\n    x, W = cache\n    return dout @ W.T, {factor} * x.T @ dout\n"
        "def inputs(rng):\n"
        "    return dict(x=xp.asarray(rng.normal(size=(4, 3))), W=xp.asarray(rng.normal(size=(3, 2))))\n"
    )
    assert run(["check", str(path)]) == (0 if factor == 1 else 1)
    said = capsys.readouterr().out
    assert f"forward is not NumPy's but {'PyTorch' if framework == 'torch' else 'JAX'}'s" in said
    assert ("mine.py:6 in backward: return dout @ W.T, 2 * x.T @ dout" in said) == (factor == 2)
    if factor == 1:
        assert run(["check", str(path), "--variants"]) == 0
        assert " 0 survived" in capsys.readouterr().out

    def forward(x, W):
        return xp.tanh(x @ W)

    def cost(A, y):
        return xp.sum((A - y) ** 2) / 2

    def backward(x, W, y, A):
        return {"W": x.T @ ((A - y) * (1 - A**factor))}

    rng = np.random.default_rng(0)
    inputs = {n: xp.asarray(rng.normal(size=s)) for n, s in dict(x=(4, 3), W=(3, 2), y=(4, 2)).items()}
    for subject, how in ((forward, cost, backward), {}), ((forward, backward), {"cost": cost}):
        assert verdicts(check(*subject, inputs, **how)) == ({"W": "wrong"} if factor == 1 else {})


def test_an_object_takes_tensors_as_arrays_and_one_that_works_on_tensors_is_told_what_is_taken():
    torch = pytest.importorskip("torch")

    class Affine:
        def forward(self, x, W):
            self.x, self.W = x, W
            return x @ W

        def backward(self, dout):
            return dout @ self.W.T, self.x.T @ dout

    class Softened(Affine):
        def forward(self, x, W):
            return torch.tanh(super().forward(x, W))

    inputs = dict(x=torch.ones(3, 2) * 0.3, W=torch.ones(2, 2))
    for affine in Affine, Affine():
        assert check(affine, inputs).ok
    for softened in Softened, Softened(), [Softened(), Affine()]:
        for given in inputs, {name: value.numpy() for name, value in inputs.items()}:
            with pytest.raises(
                UsageError, match=r"Softened works on tensors of PyTorch's, .* check\(forward, backward"
            ):
                check(softened, given)
