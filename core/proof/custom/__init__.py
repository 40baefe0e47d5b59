"""Rules written by hand for PyTorch and JAX: autograd.Function, custom_op, custom_vjp, custom_jvp, kernels."""

from handgrad.proof.custom.checker import check_rule, in_numpy, without_rule
from handgrad.proof.custom.kinds import framework_of, of_tensors

__all__ = ["check_rule", "framework_of", "in_numpy", "of_tensors", "without_rule"]
