"""How good parameters are, on each set of a data set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.backend import Array, Parameters
from handgrad.data import Dataset, Examples
from handgrad.jsonable import jsonable
from handgrad.material import mine
from handgrad.neuron import Neuron
from handgrad.processes import ALONE, Processes
from handgrad.scores import Score
from handgrad.views import shared


def sets(dataset: Dataset, *, test: bool = False) -> dict[str, Examples]:
    """The sets that have examples, by what they are called; that for the test only if it is asked for."""
    named = {"train": dataset.train, "validation": dataset.valid} | ({"test": dataset.test} if test else {})
    return {name: examples for name, examples in named.items() if examples.Y.shape[1]}


def scored(
    neuron: Neuron, parameters: Parameters, sets: Mapping[str, Examples], processes: Processes = ALONE
) -> dict[str, tuple[Array, Score]]:
    """Of each set the activations A (1, m) and the `Score` of parameters, folded if need be.

    The cost is the mean loss, without the penalty. Each process reads its share of the examples.
    """
    plain, probabilities, found = replace(neuron, l2=0.0), neuron.activation == "sigmoid", {}
    for name, examples in sets.items():
        X, Y = mine(examples, processes)
        placed = plain.place(shared(X, processes), Y)
        A = np.concatenate(processes.everyones(plain.predict_proba(parameters, placed)), axis=1)
        found[name] = A, Score.of(plain.cost(parameters, placed), A, examples.Y, probabilities=probabilities)
    return found


def measured(found: Mapping[str, tuple[Array, Score]]) -> list[dict[str, Any]]:
    """The name and the score of each set, `jsonable`."""
    return [jsonable({"set": name} | score.to_json()) for name, (_, score) in found.items()]
