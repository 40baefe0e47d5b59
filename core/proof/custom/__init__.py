"""Rules written by hand for PyTorch and JAX: autograd.Function, custom_op, custom_vjp, custom_jvp, kernels."""

from handgrad.proof.custom.checker import check_rule, without_rule
from handgrad.proof.custom.kinds import framework_of

__all__ = ["check_rule", "framework_of", "without_rule"]
