"""For tests of one's own: of a hand-derived gradient, and of a whole backend, which fail with the report as message.

The test file of a backend::

    from handgrad.testing import check_backend
    from mine import Neuron
    def test_it_is_a_backend(): check_backend(Neuron)

or, to see each law by its name::

    @pytest.mark.parametrize("check", backend_checks(), ids=lambda check: check.__name__)
    def test_law(check): check(Neuron)
"""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handgrad import backends, contract
from handgrad.checks import count
from handgrad.contract import Check
from handgrad.errors import RisingCostWarning
from handgrad.neuron import Neuron as AnyNeuron
from handgrad.proof import Report, check
from handgrad.verdicts import BrokenLawError

__all__ = ["assert_gradients", "backend_checks", "check_backend"]


def assert_gradients(*subject: Any, inputs: Mapping[str, Any] | None = None, **options: Any) -> Report:
    """Assert that a hand-derived gradient is right: ``assert_gradients(subject, inputs)``, all as for `handgrad.check`.

    Args:
        subject: a function of value and gradients; forward and backward; a class, an object, or a list of layers. The
            last positional argument is `inputs`.
        inputs: by the names of arguments.
        options: the keywords of `handgrad.check`.

    Raises:
        AssertionError: a gradient is wrong, inherits a wrong one, or cannot be decided; the message is the report.
        UsageError: as for `handgrad.check`.
    """
    __tracebackhide__ = True
    report = check(*subject, inputs=inputs, **options)
    if not report.ok:  # an assert would be gone under python -O
        raise AssertionError(f"\n{report}")
    return report


def backend_checks() -> tuple[Check, ...]:
    """The laws that `check_backend` tries, as functions ``check(Neuron, seed=0)``, in the order to read them.

    >>> [check.__name__ for check in backend_checks()][:3]
    ['check_configuration', 'check_put', 'check_put_again']
    """
    return contract.CHECKS


def check_backend(Neuron: type[AnyNeuron] | str, *, seed: int = 0) -> None:
    """Assert that a backend keeps every law of `handgrad.contract`, on the CPU: seconds, and with a compiler some more.

    Args:
        Neuron: the backend's class, or its name for `handgrad.backends.load`.
        seed: of the numbers that it is tried on.

    Raises:
        AssertionError: laws are broken; the message has a paragraph for each: its name, what it says, what was found,
            and the line of the backend where an exception of its own came from.
        UsageError: Neuron is no backend, or seed is no whole number of at least 0.

    >>> check_backend("numpy")
    """
    __tracebackhide__ = True
    Neuron, seed = backends.load(Neuron), count("seed", seed, 0)
    broken = []
    for law in backend_checks():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RisingCostWarning)  # the learning rates are not chosen for the numbers
                law(Neuron, seed)
        except (Exception, SystemExit) as error:
            says = " ".join((law.__doc__ or "").split())
            broken.append(f"{law.__name__}: {says}\n    {_found(error, Neuron)}")
    if broken:
        laws = f"{len(broken)} of {len(backend_checks())} laws; mend the first ones first, which others build on"
        raise AssertionError("\n\n".join([f"{Neuron.__module__}.{Neuron.__qualname__} breaks {laws}", *broken]))


def _found(error: Exception | SystemExit, Neuron: type[AnyNeuron]) -> str:
    """What a check says, or the exception that ended it; and where in the backend that was raised."""
    says = isinstance(error, BrokenLawError)
    cause = error.__cause__ if says else error
    words = str(error) if says else f"{type(error).__name__}: {error}"
    if cause is not None:
        try:
            file = inspect.getfile(Neuron)
        except (OSError, TypeError):  # written in an interpreter
            file = None
        own = [frame for frame in _frames(cause) if frame.filename == file]
        if own or not says:
            at = (own or _frames(cause))[-1]
            words += f" (line {at.lineno} of {Path(at.filename).name}, in {at.name})"
    return words


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)
