"""The cases are what they say: backward passes right but for the published slip, faults wrong in the line they name."""

import ast
import importlib.util
import inspect
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import CASES, RIGHT
from cases.fault import KINDS, Fault

Arrays = dict[str, Any]

TRACEABLE = [name for name, case in CASES.items() if getattr(case, "TRACEABLE", True)]
FAULTS = [
    pytest.param(name, fault, id=f"{name}-{number}-{fault.line}")
    for name, case in CASES.items()
    for number, fault in enumerate(case.FAULTS)
]

# Relative to the largest entry of an adjoint.
JAX = 1e-12  # float64 against float64
STEP = 1e-5  # fourth-order differences in long double: truncation h^4 = 1e-20, rounding 1e-19 / h = 1e-14
DIFFERENCES = {"longdouble": 1e-11, "float64": 1e-8}  # SciPy has no long double: rounding 1e-16 / h = 1e-11 of J
FAULT = 1e-10  # between the oracles above and the smallest planted fault, 1e-8 of an entry (float32 in the middle)


def stored(statement: ast.stmt) -> set[str]:
    """The names that a statement assigns, in place or not."""
    targets = [node for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store)]
    targets = [node.value if isinstance(node, ast.Subscript) else node for node in targets]
    return {node.id for node in targets if isinstance(node, ast.Name)}


@cache
def hooked(name: str, numpy: Any) -> Callable[..., Arrays]:
    """A case's forward function with ``numpy`` as np; each value V, once complete, becomes ``hook("V", V)``."""
    spec = importlib.util.find_spec(f"cases.{name}")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tree = ast.parse(inspect.getsource(CASES[name].forward))
    forward = tree.body[0]
    assert isinstance(forward, ast.FunctionDef)
    last = {value: statement for statement in forward.body for value in stored(statement)}
    forward.body = [
        line
        for statement in forward.body
        for line in [
            statement,
            *ast.parse("\n".join(f"{V} = hook({V!r}, {V})" for V in last if last[V] is statement)).body,
        ]
    ]
    forward.args.kwonlyargs.append(ast.arg("hook"))
    forward.args.kw_defaults.append(None)
    scope = vars(module)
    scope["np"] = numpy
    exec(compile(ast.fix_missing_locations(tree), f"<{name} with hooks>", "exec"), scope)
    return scope["forward"]  # type: ignore[no-any-return]


def cost(name: str, numpy: Any, added: Arrays, inputs: Arrays) -> Any:
    """J, where ``added`` is added to the values it names: its gradient at 0 is every adjoint."""

    def hook(V: str, value: Any) -> Any:
        return value + added[V] if V in added else value

    inputs = {V: hook(V, value) for V, value in inputs.items()}
    return hooked(name, numpy)(**inputs, hook=hook)["J"]


def cut_cost(name: str, numpy: Any, copies: Arrays, inputs: Arrays, adjoints: Arrays) -> Any:
    """J + sum <dV, V>, where all uses of V see its copy: its gradient is each dV, given the later ones."""
    terms = []

    def hook(V: str, value: Any) -> Any:
        if V not in copies:
            return value
        terms.append((adjoints[V] * value).sum())
        return copies[V]

    inputs = {V: copies.get(V, value) for V, value in inputs.items()}
    return hooked(name, numpy)(**inputs, hook=hook)["J"] + sum(terms)


@cache
def jax_gradient(name: str, function: Callable[..., Any]) -> Callable[..., Arrays]:
    return jax.jit(jax.grad(lambda at, *rest: function(name, jnp, at, *rest)))


def gradient_by_jax(function: Callable[..., Any], name: str, at: Arrays, *rest: Arrays) -> Arrays:
    with jax.enable_x64():
        return {V: np.asarray(value) for V, value in jax_gradient(name, function)(at, *rest).items()}


def gradient_by_differences(function: Callable[..., Any], name: str, at: Arrays, *rest: Arrays) -> Arrays:
    """Entry by entry, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h."""
    gradient = {V: np.zeros_like(value) for V, value in at.items()}
    for V, value in at.items():
        for entry in np.ndindex(value.shape):
            h = np.zeros_like(value)
            h[entry] = STEP
            f = {k: function(name, np, at | {V: value + k * h}, *rest) for k in (-2, -1, 1, 2)}
            gradient[V][entry] = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h[entry])
    return gradient


def evaluate(
    name: str, dtype: str = "float64", seed: int = 0, sizes: dict[str, int] | None = None
) -> tuple[Arrays, Arrays]:
    """The inputs of a case in ``dtype``, and all its named values."""
    inputs = CASES[name].inputs(seed, **(sizes or {}))
    inputs = {V: value.astype(dtype) if value.dtype.kind == "f" else value for V, value in inputs.items()}
    return inputs, inputs | {V: np.asarray(value) for V, value in CASES[name].forward(**inputs).items()}


def by_hand(name: str, values: Arrays, backward: Callable[..., Arrays] | None = None) -> Arrays:
    """The adjoints, dV under the name V."""
    backward = backward or CASES[name].backward
    found = backward(**{V: values[V] for V in inspect.signature(backward).parameters})
    assert all(dV.startswith("d") for dV in found)
    return {dV[1:]: np.asarray(value) for dV, value in found.items()}


def disagreeing(hand: Arrays, expected: Arrays, tolerance: float) -> list[str]:
    def agree(a: Any, b: Any) -> bool:
        return a.shape == b.shape and bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())

    assert hand.keys() == expected.keys()
    return [f"d{V}" for V in hand if not agree(hand[V], expected[V])]


def wrong_lines(name: str, backward: Callable[..., Arrays]) -> list[str]:
    """The lines that are wrong in themselves, given the later adjoints as ``backward`` has them."""
    inputs, values = evaluate(name)
    hand = by_hand(name, values, backward)
    gradient = gradient_by_jax if name in TRACEABLE else gradient_by_differences
    expected = gradient(cut_cost, name, {V: values[V] for V in hand}, inputs, hand)
    return disagreeing(hand, expected, FAULT if name in TRACEABLE else DIFFERENCES["float64"])


@pytest.mark.parametrize("name", [name for name in RIGHT if name in TRACEABLE])
def test_every_adjoint_is_the_one_that_jax_finds(name: str) -> None:
    inputs, values = evaluate(name)
    hand = by_hand(name, values)
    expected = gradient_by_jax(cost, name, {V: np.zeros_like(values[V]) for V in hand}, inputs)
    assert disagreeing(hand, expected, JAX) == []


@pytest.mark.parametrize("name", RIGHT)
def test_every_adjoint_is_the_one_that_differences_find(name: str) -> None:
    dtype = "float64" if name == "probit" else "longdouble"
    inputs, values = evaluate(name, dtype, seed=1)
    hand = by_hand(name, values)
    expected = gradient_by_differences(cost, name, {V: np.zeros_like(values[V]) for V in hand}, inputs)
    assert disagreeing(hand, expected, DIFFERENCES[dtype]) == []


@pytest.mark.parametrize("name", RIGHT)
def test_no_line_of_a_right_backward_is_wrong_in_itself(name: str) -> None:
    assert wrong_lines(name, RIGHT[name].backward) == []


def test_article_1_as_published_is_wrong_in_dz_alone() -> None:
    published, corrected = CASES["published_article1"], CASES["article1"]
    assert wrong_lines("published_article1", published.backward) == ["dZ"]
    slip = corrected.FAULTS[0].plant(corrected)
    _, values = evaluate("article1")
    assert disagreeing(by_hand("article1", values, slip), by_hand("published_article1", values), 0) == []


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_makes_the_line_it_names_wrong_and_no_other(name: str, fault: Fault) -> None:
    faulty = fault.plant(CASES[name])
    _, values = evaluate(name)
    hand = by_hand(name, values, faulty)
    right = by_hand(name, values)
    if hand[fault.line[1:]].shape == right[fault.line[1:]].shape:
        assert wrong_lines(name, faulty) == [fault.line]
    else:
        assert fault.kinds & {"shape", "transpose", "unsummed_axis", "summed_axis"}
        assert disagreeing(hand, right, FAULT)[0] == fault.line


@pytest.mark.parametrize("dtype", ["float32", "longdouble"])
@pytest.mark.parametrize("name", CASES)
def test_a_case_keeps_the_dtype_of_its_inputs(name: str, dtype: str) -> None:
    if name == "probit" and dtype == "longdouble":
        pytest.skip("SciPy's ndtr has no long double")
    _, values = evaluate(name, dtype)
    found = values | {f"d{V}": value for V, value in by_hand(name, values).items()}
    assert {value.dtype.name for value in found.values() if value.dtype.kind != "i"} == {np.dtype(dtype).name}


@pytest.mark.parametrize("name", CASES)
def test_the_stated_shapes_hold_at_other_sizes(name: str) -> None:
    case = CASES[name]
    default = [key for key in inspect.signature(case.inputs).parameters if key != "seed"]
    for sizes in (dict.fromkeys(default, 1), {key: 2 + place for place, key in enumerate(default)}):
        inputs, values = evaluate(name, sizes=sizes)
        stated = dict(term.split(":") for term in case.SHAPES.split(";"))
        shapes = {V.strip(): tuple(sizes.get(d) or int(d) for d in dims.split()) for V, dims in stated.items()}
        assert {V: value.shape for V, value in inputs.items()} == shapes
        hand = by_hand(name, values)
        assert {V: value.shape for V, value in hand.items()} == {V: values[V].shape for V in hand}


@pytest.mark.parametrize("name", CASES)
def test_a_case_leaves_its_inputs_alone_and_ends_with_a_scalar_cost(name: str) -> None:
    inputs, values = evaluate(name)
    before = {V: value.copy() for V, value in values.items()}
    by_hand(name, values)
    CASES[name].forward(**inputs)
    assert all(np.array_equal(values[V], before[V]) for V in values)
    assert list(values)[-1] == "J"
    assert values["J"].shape == ()


@pytest.mark.parametrize("name", [name for name in CASES if name not in TRACEABLE])
def test_what_is_marked_untraceable_does_not_run_on_jax(name: str) -> None:
    inputs, _ = evaluate(name)
    with pytest.raises((TypeError, IndexError)):
        jax.eval_shape(lambda values: cost(name, jnp, {}, values), inputs)


def test_every_right_case_has_at_least_six_faults_and_every_kind_occurs() -> None:
    assert {name: len(case.FAULTS) for name, case in RIGHT.items() if len(case.FAULTS) < 6} == {}
    assert Counter(kind for case in RIGHT.values() for fault in case.FAULTS for kind in fault.kinds).keys() == KINDS


def test_a_planted_fault_shows_its_own_source() -> None:
    case = CASES["article1"]
    planted = [fault.plant(case) for fault in case.FAULTS]
    assert [fault.becomes in inspect.getsource(f) for fault, f in zip(case.FAULTS, planted, strict=True)] == [True] * 10
    assert planted[0] is not case.backward


@pytest.mark.parametrize("was", ["dZ", "absent"])
def test_a_fault_that_does_not_occur_exactly_once_is_refused(was: str) -> None:
    with pytest.raises(ValueError, match="not once"):
        Fault("dZ", was, "0", {"factor"}).plant(CASES["article1"])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds must be some of"):
        Fault("dZ", "dZ", "0", {"typo"})
