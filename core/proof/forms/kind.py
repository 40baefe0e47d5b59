"""What one shape of code is, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from handgrad.proof.matching import Leaf


class Called(NamedTuple):
    """What one call gave.

    Attributes:
        outputs: of forward, by label.
        leaves: what may be gradients.
        live: the objects that were made for it, with their paths; gradients may be left in them.
        defaults: of the arguments that were not passed on the way back.
    """

    outputs: dict[str, Any]
    leaves: list[Leaf]
    live: Sequence[tuple[str, Any]] = ()
    defaults: Mapping[str, Any] = MappingProxyType({})


class Kind(Protocol):
    """One shape.

    Attributes:
        who: its name, for messages.
        order: the names of arguments in the order in which gradients of them would be returned.
        cotangents: by the name of an argument, the label of the output that it is the cotangent of.
        begins: the code with which going back begins; none where it is the same as that of forward.
    """

    who: str
    order: list[str]
    cotangents: dict[str, str]
    begins: set[Any]

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """Forward, and where asked for backward; on copies of the subject and of what is given."""
