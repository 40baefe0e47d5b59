"""The comparisons of gradient checkers: ours finds what is planted, names the line, and passes what is right."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import planted
from handgrad import HandgradError
from handgrad.benchmarks import checkers, shapes


def test_ours_finds_all_faults_and_raises_no_false_alarm():
    (row,) = checkers.compare((10,), {"handgrad.check": checkers.ours}, rights=2)
    planted = len(checkers.FAULTS)
    assert (row.found, row.missed, row.false_alarms, row.line_named) == (planted, 0, 0, planted)


@pytest.mark.parametrize("name", checkers.CHECKERS)
def test_every_checker_passes_a_right_gradient_and_finds_a_wrong_sign(name):
    pytest.importorskip(name.split(" ")[0].split(".")[0])
    inputs = checkers.examples(5, 0)
    assert checkers.CHECKERS[name](inputs, lambda dW: dW).right
    assert not checkers.CHECKERS[name](inputs, checkers.spoil_sign).right


def program(name):
    (found,) = [program for program in planted.programs() if program.name == name]
    return found


def answers(name, was="", now="", seed=0):
    """What all checkers say of a program in which a text is another one, and the line of that."""
    source = program(name).source
    assert source.count(was) == 1 or not was
    module = planted.load(source.replace(was, now) if was else source, name)
    found = {}
    for check in shapes.checkers().values():
        found |= check(module, *planted.made(module, seed))
    planted.forget(module)
    return found, source[: source.index(was)].count("\n") + 1


@pytest.mark.parametrize(
    "name", ["logistic_article", "cosine_pair", "dropout_layer", "network_of_layers", "module_params"]
)
def test_in_every_shape_all_pass_what_is_right_at_the_thresholds_of_the_notebooks(name):
    found, _ = answers(name)
    assert found["handgrad.check"].right
    assert found["differences, norm, 1e-04"].right
    assert found["differences, entry, 1e-04"].right


def test_each_answer_is_that_of_the_program_that_was_asked_about():
    """A factor of 1 + 3e-6 lies above some thresholds and below others, halved: both numbers are in the divisor."""
    found, line = answers("logistic_article", "dw = np.dot(X, dZ.T) / m", "dw = np.dot(X, dZ.T) / m * (1 + 3e-6)")
    assert found["handgrad.check"].wrong
    assert found["handgrad.check"].lines == {line}
    wrong = {name: answer.wrong for name, answer in found.items() if name.startswith("differences, entry")}
    assert wrong == {f"differences, entry, {t}": t in ("1e-07", "1e-06") for t in ("1e-07", "1e-06", "1e-05", "1e-04")}
    assert all(not answer.lines for name, answer in found.items() if name != "handgrad.check")


def test_the_norm_of_all_hides_what_an_entry_shows():
    a, n = np.array([1e3, 1e-3]), np.array([1e3, 1.1e-3])
    assert shapes.by_entry([(a, n)]) == pytest.approx(0.1 / 2.1)
    assert shapes.by_norm([(a, n)]) == pytest.approx(1e-4 / 2e3, rel=1e-6)
    assert shapes.by_entry([(np.zeros(2), np.zeros(2))]) == 0
    assert shapes.by_entry([(np.zeros(2), np.array([0, 1e-10]))]) == pytest.approx(1e-2)  # less than 1e-8 is 1e-8


def test_differences_leave_the_program_as_it_was_and_step_in_numbers_too():
    module = program("logistic_article").module
    subject, inputs = planted.made(module, 0)
    before = inputs["w"].copy()
    pairs = shapes.differences(module, subject, inputs)
    assert np.array_equal(inputs["w"], before)
    assert [a.shape for a, _ in pairs] == [(4, 1), ()]
    for by_hand, numerical in pairs:
        assert np.allclose(by_hand, numerical, rtol=1e-7)


def test_what_cannot_be_read_is_neither_right_nor_wrong(monkeypatch):
    def refuse(*_, **__):
        raise HandgradError("no")

    monkeypatch.setattr("handgrad.proof.check", refuse)
    module = program("cosine_pair").module
    assert shapes.ours(module, *planted.made(module, 0)) == shapes.Answer(right=False, wrong=False)


def test_rows_count_what_was_answered(monkeypatch):
    """A checker that calls everything wrong, and one that calls everything right, beside each other."""
    always = {
        "yes": lambda *_: {"yes": shapes.Answer(right=True, wrong=False)},
        "no": lambda *_: {"no": shapes.Answer(right=False, wrong=True, lines=frozenset({1}))},
    }
    monkeypatch.setattr(shapes, "checkers", lambda: always)
    yes, no = shapes.compare(planted, names=("cosine_pair",), faults=2, draws=3)
    assert (len(yes.missed), yes.refused, yes.faults, yes.programs) == (2, [], 2, 3)
    assert (no.missed, no.refused, no.line_named) == ([], ["cosine_pair"] * 3, 0)
    assert all(entry.startswith("cosine_pair:") for entry in yes.missed)


def test_the_command_prints_a_table_or_json_and_says_what_is_missing(tmp_path):
    words = ["--programs", str(planted.FOLDER), "--limit", "1", "--faults", "1", "--draws", "1"]
    outcome = CliRunner().invoke(shapes.main, words)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stderr == ""  # a pipe has no progress bar
    heads, ours, *others = outcome.stdout.splitlines()
    assert heads.split("  ")[0] == "checker"
    assert ours.split()[:7] == ["handgrad.check", "1", "of", "1", "0", "of", "1"]
    assert len(others) == len(shapes.ERRORS) * len(shapes.THRESHOLDS)
    rows = json.loads(CliRunner().invoke(shapes.main, [*words, "--json"]).stdout)
    assert [(row["faults"], row["missed"], row["adapter"] == 1) for row in rows[:2]] == [(1, [], True), (1, [], False)]
    outcome = CliRunner().invoke(shapes.main, ["--programs", str(tmp_path)])
    assert outcome.exit_code == 2
    assert f"{tmp_path} has no programs" in outcome.stderr
    assert "tests/written of the project's repository" in outcome.stderr
