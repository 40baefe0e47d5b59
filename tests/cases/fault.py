"""A planted fault: one line of a backward pass, spoilt on purpose."""

import inspect
import linecache
from collections.abc import Callable, Set
from dataclasses import dataclass
from itertools import count
from types import ModuleType
from typing import Any

KINDS = frozenset({
    "sign", "factor", "missing_derivative", "doubled_derivative", "wrong_variable", "transpose", "summed_axis",
    "unsummed_axis", "dropped_term", "doubled_term", "wrong_sign_term", "penalty_on_bias", "overwritten", "off_by_one",
    "low_precision", "single_entry", "shape",
})  # fmt: skip
_planted = count()


@dataclass(frozen=True)
class Fault:
    """In the source of ``backward``, ``was`` becomes ``becomes``; then ``line`` ("dZ") is the name that is wrong.

    ``kinds`` are the diagnoses to accept: more than one where the numbers cannot tell them apart.
    """

    line: str
    was: str
    becomes: str
    kinds: Set[str]

    def __post_init__(self) -> None:
        if not self.kinds or self.kinds - KINDS:
            raise ValueError(f"kinds must be some of {sorted(KINDS)}, got {self.kinds}")
        object.__setattr__(self, "kinds", frozenset(self.kinds))

    def plant(self, module: ModuleType) -> Callable[..., dict[str, Any]]:
        """The faulty backward function of ``module``; ``inspect.getsource`` works on it."""
        source = inspect.getsource(module.backward)
        if source.count(self.was) != 1:
            raise ValueError(f"{module.__name__}: {self.was!r} occurs {source.count(self.was)} times, not once")
        faulty = source.replace(self.was, self.becomes)
        filename = f"<{module.__name__} with fault {next(_planted)} in {self.line}>"
        linecache.cache[filename] = (len(faulty), None, faulty.splitlines(keepends=True), filename)
        scope = dict(vars(module))
        exec(compile(faulty, filename, "exec"), scope)
        planted: Callable[..., dict[str, Any]] = scope["backward"]
        return planted
