"""What JSON does not have is null, whoever writes it; a strict reader reads it all."""

import json
import math
from pathlib import Path

from handgrad.benchmarks.settings import Settings
from handgrad.commands.output import print_json
from handgrad.jsonable import dumps, jsonable
from handgrad.proof.backends import BackendReport, Proved
from handgrad.proof.report import Finding, Report
from handgrad.scores import Bin


def strictly(text):
    """What JSON says, if it is JSON: Python's own reader takes NaN and Infinity for numbers."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_nan_and_infinities_are_null_at_any_depth_and_all_else_is_as_it_was():
    value = {"a": [1, (math.nan, 0.1)], "b": {"c": (math.inf, -math.inf)}, "d": None, "e": True, "f": "nan", "g": 1e308}
    expected = {"a": [1, [None, 0.1]], "b": {"c": [None, None]}, "d": None, "e": True, "f": "nan", "g": 1e308}
    assert jsonable(value) == strictly(dumps(value)) == expected
    assert math.isnan(value["a"][1][0])  # it is not changed in place


def test_named_tuples_are_lists_and_paths_are_texts():
    assert jsonable(Bin(0.1, 0.2, 3, math.nan, 0.5, (0.1, 0.9))) == [0.1, 0.2, 3, None, 0.5, [0.1, 0.9]]
    settings = jsonable(vars(Settings(data=Path("d"))))
    assert (settings["data"], settings["features"]) == ("d", [12_288])


def test_a_report_that_has_numbers_which_are_none_is_json():
    finding = Finding("dZ", "wrong", (0, 1), math.nan, -math.inf, {"float64": math.inf})
    report = Report((finding,), "dZ", "by hand", (), (), (), 1, 0.5)
    (found,) = strictly(report.to_json())["findings"]
    assert (found["hand"], found["expected"], found["gaps"]) == (None, None, {"float64": None})
    assert found["detectable"] is strictly(report.to_json())["detectable"] is None
    proved = Proved("cross_entropy", "sigmoid", "float32", (), math.nan, math.inf)
    (row,) = strictly(BackendReport("mine", (proved,)).to_json())["proved"]
    assert (row["dW"], row["db"], row["ok"]) == (None, None, False)


def test_what_a_command_prints_is_json(capsys):
    print_json([{"A": math.inf}])
    assert strictly(capsys.readouterr().out) == [{"A": None}]
