"""Is this hand-derived gradient right, and if not, where and why: a backward pass judged line by line."""

from handgrad.proof.arguments import by_argument, checked, function, optional
from handgrad.proof.checker import check as _check
from handgrad.proof.files import check_file
from handgrad.proof.mutants import Mutants
from handgrad.proof.mutants import mutate as _mutate
from handgrad.proof.report import Finding, Report

__all__ = ["Finding", "Mutants", "Report", "check", "check_file", "mutate"]

check = checked(_check)
mutate = checked(_mutate, backward=function, forward=optional(function), inputs=optional(by_argument))
