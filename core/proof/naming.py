"""How people name a gradient: dW, dW1, dx_hat, grad_h, h_grad, dL_dz, nabla_w, delta2, dnext_h."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from handgrad.proof.watching import tree_of

PREFIXES = re.compile(
    r"^(?:d_?(?:L|J|E|C|loss|cost|Loss|Cost)_?_?d_?|(?:d|g)_?(?:L|J|E|C|loss|cost)_|d_|grads?_(?:of_|wrt_)?|grad(?=[A-Z])"
    r"|gradient_(?:of_|wrt_)?|g_|nabla_|delta_|deltas_|partial_|err_|error_|d(?=\w)|g(?=[A-Z]))(?P<base>\w+)$"
)
SUFFIXES = re.compile(r"^(?P<base>\w+?)_?(?:_grads?|_gradient|Grad|_bar|_g|_d|_delta|_adjoint|_adj|_err|_error)$")
QUOTIENTS = re.compile(
    r"^(?:d|grad)_?(?:[LJECljec]|loss|cost|err(?:or)?|obj|nll|mse|Loss|Cost|Error)_(?:d_?|wrt_(?:d_?)?)(?P<base>\w+)$"
)
DELTA = re.compile(r"^(?:delta|error|err)_?(?P<index>\w*)$")
CONTAINERS = re.compile(
    r"^_?(?:d|all_)?(?:grads?|gradients?|dparams?|d_params|derivs?|derivatives|nabla|deltas?|param_grads)$"
)
PARAMETER = re.compile(r"^(?:[wWbBuUvV][a-z]?\d*|(?:weight|bias|biase|kernel|filter|gamma|beta|theta)s?\d*|[Wb]_\w+)$")
"""What people call what is learned."""
AFFIX = re.compile(
    r"^(?:[dg]_?|_?[dgp]|.*(?:grad|diff|der|delta|nabla|adj|bar|prime|slope|del|update|acc|sens).*)$", re.IGNORECASE
)
"""What stands before or behind the names of several inputs in those of their gradients."""
VALUES = re.compile(r"^_?(?:data|values?|val|array|arr|tensor|param(?:eter)?|weights?|theta|a|v|w|x)$")
"""What an object that holds a parameter, and its gradient beside it, calls the parameter."""
UPSTREAM = re.compile(
    r"^(?:d_?out(?:put)?s?|grad_?out(?:put)?s?|out(?:put)?s?_grad(?:ient)?s?|upstream(?:_\w+)?|\w*upstream|d_?values?|dy|dz|da|dA|dZ|dY|dh"
    r"|dH|grad|gradient|delta|error|err|g|gy|eta|next_grad|d_?next|dL_dout|d_?loss|gout|top_diff|cotangent|R|v|d_prev|dout_\w+|dl)$"
)
CACHES = re.compile(
    r"^(?:\w*cache\w*|ctx|context|saved?\w*|memory|mem|tape|res|residuals?|state|stored?|tmp|intermediates?|fwd|aux)$"
)
COSTS = re.compile(
    r"^(?:total_|data_|avg_|mean_|batch_|train_|reg_)?(?:costs?|loss|losses|J|L|E|C|error|err|objective|obj|nll|mse|energy|value|val|f|fx|fval|"
    r"crossentropy|cross_entropy|cross_entropy_loss|neg_log_likelihood|elbo|loss_value|cost_value)$"
)


TARGETS = re.compile(r"^(?:target\w*|labels?|y_true|\w+_labels?|\w+_true|true_\w+|ground_truth)$")
LABELS = ("y", "Y", "t", "T")
"""What people call what the outputs should be, in a letter."""
COSTLY = {
    "cost", "costs", "loss", "losses", "objective", "error", "entropy", "crossentropy", "likelihood", "energy",
    "mse", "sse", "nll", "bce", "logloss",
}  # fmt: skip
DERIVATIVES = ("der", "grad", "gradient", "prime", "derivative", "deriv", "jac", "jacobian")
"""What stands behind the name of a function in that of its derivative."""
BACKS = ("backward", "back", "bwd", "bprop", "backprop", "vjp")
"""The same, of its way back: norm_back, of norm."""
SLOPES = {"grad", "grads", "gradient", "gradients", "derivative", "deriv", "prime", "backward", "back", "delta"}


def words(name: str) -> list[str]:
    """The words of a name: those of ``computeCost`` and ``compute_cost`` are compute, cost."""
    return [word for word in re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_") if word]


def computes_cost(name: str) -> bool:
    """Whether a function is called as one that computes a cost."""
    return not COSTLY.isdisjoint(words(name)) and SLOPES.isdisjoint(words(name))


def is_after(name: str, of: str, endings: Iterable[str]) -> bool:
    """Whether a name is another with one of these behind it: rosen_der, of rosen."""
    return any(words(name) == [*words(of), ending] for ending in endings)


def is_label(name: str) -> bool:
    """Whether an input is called as what the outputs should be."""
    return name in LABELS or bool(TARGETS.match(name))


def cost_and_slope(names: Iterable[str]) -> tuple[str, str] | None:
    """Of names of functions, that of a cost and that of its gradient: costFunction and costFunctionPrime."""
    names = list(names)
    for cost in filter(computes_cost, names):
        for name in names:
            if is_after(name, cost, SLOPES):
                return cost, name
    return None


def primals(name: str) -> list[str]:
    """What a name may be the gradient of, the likeliest first; nothing where it is no name of a gradient."""
    found: list[str] = []
    for pattern in (PREFIXES, SUFFIXES):
        match = pattern.match(name)
        if match:
            found.append(match["base"])
            again = SUFFIXES.match(match["base"]) or re.match(r"^(?:d)(?P<base>[A-Z]\w*)$", match["base"])
            if again:
                found.append(again["base"])
    match = QUOTIENTS.match(name)
    if match:
        found.append(match["base"])
    match = DELTA.match(name)
    if match:
        found += [f"{letter}{match['index']}" for letter in ("z", "Z", "a", "A", "out", "h", "y")]
    match = re.match(r"^d(?P<first>next|prev)_?(?P<base>\w+)$", name)
    if match:
        found += [f"{match['first']}_{match['base']}", f"{match['base']}_{match['first']}"]
    match = re.match(r"^d(?P<base>\w+)_(?P<last>next|prev|raw|total|out|in|new|sum)$", name)
    if match:
        found += [f"{match['base']}_{match['last']}", match["base"]]
    return list(dict.fromkeys(found))


def is_gradient(name: str) -> bool:
    """Whether something is named like a gradient, or like what holds gradients."""
    return bool(CONTAINERS.match(name) or primals(name))


def last_name(path: str) -> str:
    """The last component of a path that is a name: W of ``layers[0].W[1]``."""
    return next((p for p in reversed(parts(path)) if not p.isdigit()), path)


def folded(name: str) -> str:
    """A name without case and underscores."""
    return re.sub(r"[_\W]", "", name).lower()


def parts(path: str) -> list[str]:
    """The components of a path: ``layers[0].dW`` is layers, 0, dW; ``grads['W1']`` is grads, W1."""
    return [next(group for group in match if group) for match in re.findall(r"\['([^']*)'\]|\[([^\]]+)\]|(\w+)", path)]


def returned_names(function: Callable[..., Any], depth: int = 3) -> list[Any]:
    """The names in the last return of a function: a list of names (None for an expression), or of such lists.

    What is returned by calling another function of the same code is looked up there.
    """
    definition = _definition(function)
    if definition is None:
        return []
    returns = [n for n in _own(definition) if isinstance(n, ast.Return) and n.value is not None]
    if not returns:
        return []
    value = returns[-1].value
    assert value is not None
    if isinstance(value, ast.Name):
        value = _assigned(definition, value.id) or value
    if isinstance(value, ast.Call) and depth:
        called = _resolve(function, value.func)
        if called is not None:
            return returned_names(called, depth - 1)
    if isinstance(value, ast.Tuple | ast.List):
        return [_name(item) for item in value.elts]
    return [_name(value)]


def taken_names(function: Callable[..., Any]) -> list[Any]:
    """The names in the last return of a function; in the order in which who calls it, in the same file, unpacks them.

    What has no name there has that of the caller.
    """
    names = returned_names(function)
    found = {tuple(called) for called in _unpacked(function) if len(called) == len(names)}
    if len(names) < 2 or len(found) != 1:
        return names
    called = found.pop()
    if set(called) == set(map(str, names)):
        return list(called)
    return [mine if mine is not None else theirs for mine, theirs in zip(names, called, strict=True)]


def _unpacked(function: Callable[..., Any]) -> list[list[str]]:
    """The names into which callers in the file of a function unpack what it returns."""
    inner = inspect.unwrap(function)
    file = getattr(getattr(inner, "__code__", None), "co_filename", "")
    return _unpackings(file).get(getattr(inner, "__name__", ""), [])


@lru_cache(maxsize=64)
def _unpackings(file: str) -> dict[str, list[list[str]]]:
    """By the name of what is called in a file, the names into which what it returns is unpacked there."""
    tree, found = tree_of(file), dict[str, list[list[str]]]()
    for node in ast.walk(tree) if tree is not None else ():
        match node:
            case ast.Assign([ast.Tuple(items)], ast.Call(ast.Name(called) | ast.Attribute(_, called))):
                names = [_name(item) for item in items]
                if all(isinstance(name, str) for name in names):
                    found.setdefault(called, []).append(names)
    return found


def returns_gradients(function: Callable[..., Any], depth: int = 0) -> bool:
    """Whether what a function returns is named so: variables, or the keys of dictionaries that it writes.

    With `depth`, also where it returns what another function of the same code returns, so many calls deep.
    """
    if any(isinstance(name, str) and is_gradient(name) for name in _flat(returned_names(function))):
        return True
    definition = _definition(function)
    if definition is None:
        return False
    returned = [node.value for node in ast.walk(definition) if isinstance(node, ast.Return) and node.value]
    keys: list[Any] = []
    for node in (inner for value in returned for inner in ast.walk(value)):
        if isinstance(node, ast.Dict):
            keys += [key.value for key in node.keys if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            keys += [keyword.arg for keyword in node.keywords]
    if any(isinstance(key, str) and is_gradient(key) for key in keys):
        return True
    called = [_resolve(function, value.func) for value in returned if isinstance(value, ast.Call)] if depth else []
    return any(of is not None and returns_gradients(of, depth - 1) for of in called)


def _flat(names: list[Any]) -> Iterator[Any]:
    for name in names:
        if isinstance(name, list):
            yield from _flat(name)
        else:
            yield name


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return None
    return next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None)


def _own(definition: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(definition):
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        yield node
        yield from _own(node)


def _assigned(definition: ast.FunctionDef, name: str) -> ast.expr | None:
    """The tuple that a variable was last set to, if it is one."""
    found = None
    for node in _own(definition):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            found = node.value if isinstance(node.value, ast.Tuple) else None
    return found


def _resolve(function: Callable[..., Any], called: ast.expr) -> Callable[..., Any] | None:
    if isinstance(called, ast.Name):
        scope = getattr(inspect.unwrap(function), "__globals__", {})
        found = scope.get(called.id)
        return found if inspect.isfunction(found) else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "self":
        found = getattr(getattr(function, "__self__", None), called.attr, None)
        return found if inspect.ismethod(found) else None
    return None


SAME = {"reshape", "copy", "ravel", "squeeze", "transpose", "asarray", "array", "float64", "float32", "clip"}
"""Functions of NumPy whose result is called as what they are given."""


def _name(node: ast.expr) -> Any:
    match node:
        case ast.Name(identifier):
            return identifier
        case ast.Attribute(inner, "T" | "data" | "value" | "real"):
            return _name(inner)
        case ast.Attribute(ast.Name(owner), "grad" | "g" as attribute) if owner != "self":
            return f"{owner}.{attribute}"
        case ast.Attribute(_, attribute):
            return attribute
        case ast.Subscript(ast.Name(), ast.Constant(str(key))):
            return key
        case ast.Tuple(elements) | ast.List(elements):
            return [_name(item) for item in elements]
        case ast.Call(ast.Name("float"), [inner]) | ast.Call(ast.Attribute(_, "squeeze" | "item"), [inner]):
            return _name(inner)
        case ast.Call(ast.Attribute(ast.Name("np" | "numpy"), function), [inner, *_]):
            return _name(inner) if function in SAME else None
        case ast.Call(ast.Attribute(inner, "reshape" | "copy" | "ravel" | "astype" | "squeeze" | "item"), _):
            return _name(inner)
        case ast.BinOp(ast.Name(identifier), ast.Div() | ast.Add()) if len(identifier) > 1:
            named = COSTS.match(identifier) or (is_gradient(identifier) and not UPSTREAM.match(identifier))
            return identifier if named else None  # loss / m, dW + reg * W
    return None
