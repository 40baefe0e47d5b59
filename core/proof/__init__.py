"""Is this hand-derived gradient right, and if not, where and why: a backward pass judged line by line."""

from handgrad.proof.checker import check
from handgrad.proof.files import check_file
from handgrad.proof.mutate import Mutants, mutate
from handgrad.proof.report import Finding, Report

__all__ = ["Finding", "Mutants", "Report", "check", "check_file", "mutate"]
