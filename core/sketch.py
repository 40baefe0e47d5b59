"""The curvature of the cost, roughly, as some of the examples show it: what L-BFGS starts from.

With x~ = (s x, 1), the Hessian of the cost, where L'' is as large as it gets, is::

    H = (c / m) sum_i x~_i x~_i^T + l2 I                         c = max L''

Of photographs a hundred directions are thousands of times steeper than the many others, and a few hundred examples show
which. Let the rows of S be sqrt(c / k) x~_i D^-1 of k examples, in units D in which no feature is far above the usual::

    S_1 = U sqrt(2) E V        h_i = 2 |S_2 v_i|^2               S_1, S_2 (k / 2, n + 1), the one half and the other
    H ~ D (V^T (diag(h) - t I) V + t I) D                        V (r, n + 1), rows v_i orthonormal

The one half of the examples shows directions, as its own moments have them; the other tells how steep these are, which
the former overrate, having been led by their own chance. That h falls with i but for chance is known: so it is made to
(isotonic regression). In all other directions the steepness is taken to be t: that of the last one where there
are more than they show, and else the mean of what is left. Where these are all examples, nothing is left to chance:
both halves are all of them, and no gradient has a part in other directions.

Directions: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011. Their steepness: Bartz,
"Cross-validation based nonlinear shrinkage", 2016. As a preconditioner: Frangella, Tropp and Udell, "Randomized Nystrom
preconditioning", 2023.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

OUTLIER = 10.0
"""How many times the size of the usual feature another's may be; those above are brought down to that."""

FLAT = 1e-9
"""How much less steep than the steepest is not told from flat: the products with V cancel to 1e-16 of the gradient."""


def examples_for(n: int) -> int:
    """How many examples of n features are looked at: what it takes is less than a few reads of all examples."""
    return max(min(max(512, 2**19 // n), 2**24 // n), 64)


class Sketch:
    """The inverse of the Hessian, roughly, as a product with vectors (W, b).

    Args:
        rows: (k, n + 1), float64: sqrt(w_i) (s x_i, 1) of k examples with weights w_i.
        sharpest: c.
        l2: of the neuron.
        every: whether these are all examples.
        dtype: of the neuron: what is less steep than its rounding error of the steepest is not told from flat either.

    Attributes:
        V: (r, n + 1).
        h, t: (r,) and (); in units D.
    """

    def __init__(
        self, rows: npt.NDArray[np.float64], sharpest: float, l2: float, dtype: str, *, every: bool = False
    ) -> None:
        import scipy.optimize

        k, width = rows.shape
        largest, counted = abs(rows[:, :-1]).max(initial=0) or 1.0, rows[:, -1] @ rows[:, -1]
        sizes = largest * np.sqrt(((rows[:, :-1] / largest) ** 2).sum(axis=0) / counted)
        usual = float(np.median(sizes[sizes > 0])) if sizes.any() else 1.0
        self.D = np.append(np.maximum(usual, sizes / OUTLIER), usual)
        whole = every or k == 1
        S = rows * (np.sqrt((1 if whole else 2) * sharpest / counted) / self.D)
        one, other = (S, S) if whole else (S[::2], S[1::2])
        self.V, more = _directions(one, every)
        h = ((other @ self.V.T) ** 2).sum(axis=0)
        t = max((other * other).sum() - h.sum(), 0.0) / max(width - len(h), 1)
        h = scipy.optimize.isotonic_regression(h, increasing=False).x
        least = max(float(np.finfo(dtype).eps), FLAT) * h[0]
        self.h = np.maximum(h, least)
        self.t = max(t, least, self.h[-1] if more or every or len(h) == width else 0.0)
        self._flat = 1 / (self.t + l2 / usual / usual)
        self._steep = 1 / (self.h + l2 / usual / usual) - self._flat

    def __matmul__(self, g: Vector) -> Vector:
        """H^-1 g, of a gradient (n + 1,) with respect to W and then b."""
        g = g / self.D
        found: Vector = (self._flat * g + (self._steep * (self.V @ g)) @ self.V) / self.D
        return found


def _directions(S: npt.NDArray[np.float64], every: bool) -> tuple[npt.NDArray[np.float64], bool]:
    """Eigenvectors of S^T S (r, width), by falling eigenvalue, but for rounding: all, or half as many as examples.

    And whether there are more: of fewer examples than features the last ones are led by chance.
    """
    k, width = S.shape
    small = S @ S.T if k < width else S.T @ S
    values, vectors = np.linalg.eigh(small)
    values, vectors = values[::-1], vectors[:, ::-1].T
    r = max(1, int(np.count_nonzero(values > width * np.finfo(np.float64).eps * values[0])))
    if k >= width:
        return np.ascontiguousarray(vectors[:r]), False
    few = r if every else max(1, min(r, k // 2))
    return (vectors[:few] @ S) / np.sqrt(values[:few, np.newaxis]), few < r
