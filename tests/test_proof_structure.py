"""Inputs of our own have the structure of the given ones; right programs that rely on it are not called wrong."""

import numpy as np
import pytest
import structured

import planted
from conftest import SEED
from false_alarms import alarms_of_structures, structured_inputs
from handgrad.proof import check
from handgrad.proof.inputs import MANNERS, others
from handgrad.proof.structure import Structures

PROGRAMS = structured.programs()


def test_60_right_programs_that_rely_on_a_structure_raise_no_alarm():
    counts, found = alarms_of_structures(60, SEED)
    assert found == []
    assert counts["right"] > 10 * counts["unresolved"]
    assert counts["4 sets of inputs"] > 0.8 * 60, counts


@pytest.mark.parametrize("structure", structured.NAMES)
def test_the_same_programs_with_a_fault_are_wrong(structure):
    code, mark, table = structured.source(structure).partition("PROGRAMS = {")
    for name, program in PROGRAMS.items():
        kind, key = name.split("/")
        if kind != structure:
            continue
        for original, mutated in program["faults"]:
            assert code.count(original) == 1, (name, original)
            module = planted.load(code.replace(original, mutated) + mark + table, structure)
            faulty = module.PROGRAMS[key]
            inputs = structured_inputs(faulty, SEED, 4, 3)
            report = check(*faulty["subject"], inputs, seconds=0.0, **faulty.get("options", {}))
            assert any(f.verdict == "wrong" for f in report.findings), f"{name}: {mutated}\n{report}"
            planted.forget(module)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_drawn_has_the_structure_and_is_another(name):
    rng = np.random.default_rng(SEED)
    for n, m in (1, 1), (1, 3), (2, 2), (3, 1), (5, 4):
        for seed in range(2):
            inputs = structured_inputs(PROGRAMS[name], seed, n, m)
            real = {n for n, v in inputs.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}
            structures = Structures.of(inputs, real)
            for manner in MANNERS:
                drawn = others(inputs, real, rng, manner, structures=structures)
                assert structures.broken(drawn) == ""
                assert all(np.asarray(drawn[k]).dtype == np.asarray(v).dtype for k, v in inputs.items())
                assert min(n, m) < 2 or any(not np.array_equal(drawn[k], v) for k, v in inputs.items())


def path(n):
    A = np.diag(np.ones(n - 1), 1)
    return A + A.T


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("symmetric", path(4)),
        ("symmetric", path(4).astype(bool)),
        ("symmetric", path(4) / 3 + 0.1),
        ("positive semidefinite", np.diag(path(4).sum(0)) - path(4)),
        ("positive definite", np.array([[2.0, 0.5], [0.5, 1.0]])),
        ("1 on the diagonal", np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])),
        ("antisymmetric", np.triu(np.arange(9.0).reshape(3, 3), 1) - np.triu(np.arange(9.0).reshape(3, 3), 1).T),
        ("idempotent", np.outer([0.6, 0.8], [0.6, 0.8])),
        ("orthogonal", np.linalg.qr(np.random.default_rng(0).standard_normal((2, 3, 3)))[0]),
        ("of orthonormal columns", np.linalg.qr(np.random.default_rng(0).standard_normal((5, 2)))[0]),
        ("of orthonormal rows", np.linalg.qr(np.random.default_rng(0).standard_normal((5, 2)))[0].T),
        ("lower triangular", np.tril(np.arange(1.0, 10).reshape(3, 3) / 7)),
        ("diagonal", np.diag([0.3, -2.5, 4.1])),
        ("adds up to 1 along axis 1", np.array([[1.0, 0, 0], [0.25, 0.25, 0.5]])),
        ("adds up to 1 as a whole", np.array([[0.1, 0.2], [0.3, 0.4]])),
        ("adds up to 0 along axis 0", np.array([[0.5, -1.5], [-0.5, 1.5]])),
        ("of norm 1", np.array([0.6, -0.8])),
        ("one-hot", np.eye(3)[[0, 2, 1, 1]]),
        ("sorted", np.array([0.1, 0.5, 3.2])),
        ("sorted, the largest first", np.array([9, 5, 5, 1])),
    ],
)
def test_structure_is_seen_kept_and_said(said, value):
    structures = Structures.of({"S": value}, set())
    assert said in structures.said()
    for manner in MANNERS:
        assert structures.broken(others({"S": value}, set(), np.random.default_rng(SEED), manner)) == ""


def test_what_is_true_of_several_inputs_together_is_kept():
    angle, rng = np.linspace(0.1, 3, 5), np.random.default_rng(SEED)
    up = np.array([True, False, True])
    cases = {
        "c**2 + s**2 = 1": dict(c=np.cos(angle), s=np.sin(angle)),
        "up + down = 1": dict(up=up, down=~up),
        "i and j distinct as pairs": dict(i=np.array([0, 0, 1, 1]), j=np.array([0, 1, 0, 1])),
        "y are the labels of Y": dict(y=np.array([0, 2, 1, 1]), Y=np.eye(3)[[0, 2, 1, 1]]),
        "n are the lengths of seen": dict(n=np.array([1, 3]), seen=np.array([[True, False, False], [True] * 3])),
        "pieces adds up to 7": dict(pieces=np.array([2, 3, 2]), x=rng.standard_normal(7)),
    }
    for said, inputs in cases.items():
        structures = Structures.of(inputs, set())
        assert said in structures.said()
        for manner in MANNERS:
            assert structures.broken(others(inputs, set(), rng, manner)) == ""


def test_given_numbers_of_few_digits_have_their_structure_in_many(rng):
    """An orthogonal matrix in float32 is one to 7 digits; the derivative is judged to more."""
    Q = np.linalg.qr(rng.standard_normal((3, 3)))[0].astype(np.float32)
    wide = Structures.of({"Q": Q}, set()).rounded({"Q": Q.astype(np.longdouble)})["Q"]
    assert np.max(np.abs(wide.T @ wide - np.eye(3))) < 4 * np.finfo(np.longdouble).eps
    assert np.max(np.abs(wide - Q)) < 1e-6


def test_the_report_says_what_is_kept(rng):
    def cost(x, S):
        return 0.5 * x @ S @ x, S @ x

    report = check(cost, dict(x=rng.standard_normal(4), S=path(4)), cost=0, wrt=["x"])
    assert report.ok, report
    assert "what is true of the given inputs is true of the others: S symmetric, 0 on some diagonals" in report.notes


def test_what_may_be_chance_makes_nothing_wrong_and_nothing_right():
    """Of two numbers in order nobody can tell whether that is meant."""

    def cost(x):
        dx = np.zeros_like(x)
        dx[-1] = 2 * x[-1]
        return np.max(x) ** 2, dx

    findings = [check(cost, dict(x=np.array([-0.4, 1.7])), seed=seed, seconds=0.0).findings[0] for seed in range(6)]
    assert {finding.verdict for finding in findings} == {"right", "unresolved"}
    assert all("may be meant or chance: x sorted" in f.diagnosis for f in findings if f.verdict == "unresolved")
    assert check(cost, dict(x=np.array([1.7, -0.4]))).findings[0].verdict == "wrong"


def test_a_fault_that_shows_without_the_structure_and_with_it_is_wrong():
    def cost(w):
        return np.sum(w**3), 3 * np.abs(w)

    finding = check(cost, dict(w=np.array([[1.0]])), cost=0).findings[0]
    assert finding.verdict == "unresolved"  # at 1 and -1 nothing is to be seen
    finding = check(cost, dict(w=np.array([[1.0, -2.0]]))).findings[0]
    assert finding.verdict == "wrong"


def test_indices_that_are_distinct_stay_so(rng):
    rows = np.array([[4, 0, 3, 2], [1, 2, 3, 5], [3, 5, 4, 1], [0, 5, 1, 4]])  # 0 in the corners by chance
    edges = np.array([[0, 0, 1, 2], [5, 0, 5, 3]])
    for manner in MANNERS:
        drawn = others({"rows": rows, "edges": edges, "two": np.array([0, 1])}, set(), rng, manner)
        assert all(len(set(row)) == 4 for row in drawn["rows"].tolist())
        assert {*map(tuple, drawn["edges"].T.tolist())} == {*map(tuple, edges.T.tolist())}
        assert set(drawn["two"].tolist()) == {0, 1}
