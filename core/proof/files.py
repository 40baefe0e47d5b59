"""A file that holds a hand-derived gradient, and the inputs to check it on."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from handgrad.errors import HandgradError, UsageError, reason_of
from handgrad.neuron import Neuron
from handgrad.proof import naming
from handgrad.proof.checker import check, in_numpy
from handgrad.proof.custom.kinds import is_rule
from handgrad.proof.forms import BACKWARD, BOTH, FORWARD, GRADIENT, LOSS, Adapted, Pair, in_order, understand
from handgrad.proof.isolation import attributes, codes
from handgrad.proof.problem import Problem
from handgrad.proof.report import Report
from handgrad.proof.suggestion import example

PAIRS = (
    ("forward", "backward"), ("fwd", "bwd"), ("fprop", "bprop"), ("fw", "bw"),
    *((value, slope) for value in ("cost", "loss", "objective") for slope in ("gradient", "grad")),
)  # fmt: skip
"""How two functions that belong to each other are named, or parts of their names; the second may follow the first."""
WORD = re.compile(r"(?P<file>.*\.py)(?::(?P<name>[^:]*))?")


@dataclass(frozen=True)
class Subject:
    """What a file holds.

    Attributes:
        name: of the thing, or of the two, with a comma.
        things: what `check` takes before the inputs.
        inputs: of the file.
        options: keywords for `check`: those of the file, which are ``SHAPES`` and ``OPTIONS``.
    """

    name: str
    things: tuple[Any, ...]
    inputs: Mapping[str, Any]
    options: dict[str, Any]


def split(word: str) -> tuple[Path, str | None]:
    """FILE.py and NAME of ``FILE.py:NAME``."""
    found = WORD.fullmatch(word)
    return (Path(found["file"]), found["name"]) if found and not Path(word).exists() else (Path(word), None)


def check_file(path: str | PathLike[str], name: str | None = None, *, seed: int = 0, **options: Any) -> Report:
    """Check what the module at `path` defines, with its ``inputs``.

    Args:
        path: of a Python module, which is run. It has ``inputs``: a dictionary, or a function ``inputs()`` or
            ``inputs(rng)`` that returns one; and where wanted ``SHAPES``, and ``OPTIONS``, keywords for `check`.
        name: of a function, a class, an object or a list of layers in it; or two names, ``forward,backward``, or three,
            ``forward,cost,backward``. By default ``forward,backward`` where there are such, else the only thing that
            has one of these shapes.
        seed: as for `check`, and of ``inputs(rng)``.
        options: as for `check`; they go before those of the file.

    Raises:
        UsageError: no such file, one that does not run, or nothing in it to check; and as for `check`.
    """
    with opened(path, name, seed=seed, options=options) as subject:
        return check(*subject.things, inputs=subject.inputs, seed=seed, **subject.options)


@contextlib.contextmanager
def opened(
    path: str | PathLike[str], name: str | None = None, *, seed: int = 0, options: Mapping[str, Any] | None = None
) -> Iterator[Subject]:
    """What `check_file` checks; as long as it lasts, the file can import its neighbours.

    Raises:
        UsageError: as for `check_file`.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {found}; expected a Python module with a gradient and inputs()")
    spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python module; expected a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    folders = _folders(path)
    sys.modules[spec.name] = module  # where dataclasses and pickle look
    sys.path[:0] = folders  # as Python does for a script, for the imports of its neighbours
    try:
        spec.loader.exec_module(module)
        yield _subject(path, module, name, seed, {k: v for k, v in (options or {}).items() if v is not None})
    except HandgradError:
        raise
    except (Exception, SystemExit) as error:
        file = getattr(error, "filename", None)
        which = f": {file}" if isinstance(error, OSError) and isinstance(file, str) else ""
        raise UsageError(f"{path}: raised {type(error).__name__}: {reason_of(error)}{which}") from error
    finally:
        for folder in folders:
            sys.path.remove(folder)


def _folders(path: Path) -> list[str]:
    """The folder of a file; and of a module in a package, those up to the one that the package is in."""
    found: list[str] = []
    for folder in path.resolve().parents:
        found.append(str(folder))
        if not (folder / "__init__.py").is_file():
            break
    return found


def _subject(path: Path, module: ModuleType, name: str | None, seed: int, options: dict[str, Any]) -> Subject:
    stated = getattr(module, "OPTIONS", {})
    if not isinstance(stated, Mapping):
        raise UsageError(f"{path}: OPTIONS is {stated!r}; expected keywords for handgrad.check, as a dictionary")
    options = {"shapes": getattr(module, "SHAPES", None), **stated, **options}
    if isinstance(options.get("methods"), str):
        options["methods"] = tuple(options["methods"].split(","))
    has_inputs = hasattr(module, "inputs")
    given = _inputs(path, module, seed) if has_inputs else {}
    if name is not None:
        things = _named(path, module, name)
        _no_backend(path, things, name)
        options = _computed(module, things, options)
    else:
        name, things = _only(path, module, given, options)
        options = _computed(module, things, options)
    if has_inputs and options.get("cost") is None and not any(map(_is_function, things)):
        options = _with_cost(module, things, given, options)
    if not has_inputs:
        wanted = example(things, {k: options.get(k) for k in ("cost", "gradients", "methods", "make")})
        raise UsageError(f"{path}: has no inputs() to check {name} on; add them to the file, for example: {wanted}")
    if len(things) == 3 and all(map(_is_function, things)) and options.get("cost") is None:
        forward, cost, backward = in_order(things)
        things, options = (forward, backward), options | {"cost": cost}
    return Subject(name, things, given, options)


def _computed(module: ModuleType, things: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The options, with a function of the file where the cost is named as one, and nothing that is returned is."""
    cost = options.get("cost")
    computes = isinstance(cost, str) and inspect.isfunction(getattr(module, cost, None))
    returned = [name for thing in things if inspect.isroutine(thing) for name in naming.returned_names(thing)]
    return options | {"cost": getattr(module, str(cost))} if computes and cost not in returned else options


def _with_cost(
    module: ModuleType, things: tuple[Any, ...], given: Mapping[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """The options; of an object that does not say what the cost is, with the function of the file that computes it."""
    costs = [value for name, value in _own(module).items() if _is_function(value) and naming.computes_cost(name)]
    if not costs or not given or _fits(things, given, options):
        return options
    return next((with_ for cost in costs if _fits(things, given, with_ := options | {"cost": cost})), options)


def _inputs(path: Path, module: ModuleType, seed: int) -> Mapping[str, Any]:
    """The inputs of a file."""
    given = module.inputs
    if callable(given):
        wanted = [p for p in inspect.signature(given).parameters.values() if p.kind is not p.VAR_KEYWORD]
        required = [p.name for p in wanted if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
        if len(required) > 1:
            raise UsageError(f"{path}: inputs takes {', '.join(required)}; expected inputs() or inputs(rng)")
        takes = required or [p.name for p in wanted if p.name == "rng"]
        given = given(**{takes[0]: np.random.default_rng(seed)}) if takes else given()
    if not isinstance(given, Mapping):
        raise UsageError(f"{path}: inputs is {given!r}; expected a dictionary of arrays by argument")
    return given


def _named(path: Path, module: ModuleType, names: str) -> tuple[Any, ...]:
    """The things of these names."""
    found = []
    for name in names.split(","):
        thing: Any = module
        for part in name.strip().split("."):
            if not hasattr(thing, part):
                there = [n for n, v in _own(module).items() if callable(v) or _is_list(v) or _has_methods(v)]
                raise UsageError(f"{path}: has no {name.strip()!r}; there are: {', '.join(there) or 'none'}")
            thing = getattr(thing, part)
        found.append(thing)
    return tuple(found)


def _no_backend(path: Path, things: tuple[Any, ...], name: str) -> None:
    for thing in things:
        kind = thing if isinstance(thing, type) else type(thing)
        if issubclass(kind, Neuron):
            raise UsageError(
                f"{path}: {name} is a backend; its gradients are checked by: "
                f"handgrad check --backend {path}:{kind.__name__}"
            )


def _own(module: ModuleType) -> dict[str, Any]:
    """What a module defines itself, without what tells how to check it."""
    found = {}
    for name, value in vars(module).items():
        wraps = is_rule(value) or (callable(value) and not isinstance(value, type))
        inside = getattr(value, "__wrapped__", getattr(value, "_init_fn", None)) if wraps else None
        whose = value if isinstance(value, type) or inspect.isroutine(value) else inside or type(value)
        own = getattr(whose, "__module__", None) == module.__name__ or isinstance(value, list | tuple)
        if own and not name.startswith("_") and name not in ("inputs", "OPTIONS", "SHAPES"):
            found[name] = value
    return found


def _only(
    path: Path, module: ModuleType, given: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[str, tuple[Any, ...]]:
    """The name and the things of the only subject in a file."""
    own = _own(module)
    found: dict[str, tuple[Any, ...]]
    if all(callable(getattr(module, name, None)) for name in ("forward", "backward")):
        found = {"forward,backward": (module.forward, module.backward)}
        return next(iter(_completed(found, own, given, options).items()))
    methods = options.get("methods")
    if methods is not None:
        found = {n: (v,) for n, v in own.items() if all(callable(getattr(v, m, None)) for m in methods)}
    else:
        found = _subjects(own)
    if not found:
        backends = [
            v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Neuron) and v is not Neuron
        ]
        _no_backend(path, tuple(backends), backends[0].__name__ if backends else "")
    if not found:  # functions whose returns have no telling names
        functions = {n: (v,) for n, v in own.items() if _is_function(v)}
        found = {n: v for n, v in functions.items() if _takes(*v, given)} or functions
    fitting = {}
    if len(found) > 1 and given:
        fitting = {name: things for name, things in found.items() if _fits(things, given, options)}
    found = _whole(fitting or _completed(found, own, given, options))
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        listed = ", ".join(f"{path}:{name}" for name in found)
        raise UsageError(f"{path}: holds several things to check; say which: {listed}")
    there = [name for name, value in own.items() if callable(value)]
    raise UsageError(
        f"{path}: found nothing to check among {', '.join(there) or 'nothing'}; expected a function that returns a "
        f"cost and its gradients, or forward and backward, or a class that has them; name it, as {path}:NAME"
    )


def _subjects(own: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What looks like a gradient, by its name: pairs, functions whose returns are named so, classes, objects, lists."""
    found: dict[str, tuple[Any, ...]] = {}
    functions = {name: value for name, value in own.items() if _is_function(value)}
    paired: set[str] = set()
    for name in functions:
        mine = naming.words(name)
        behind = next((other for other in functions if naming.is_after(other, name, naming.BACKS)), None)
        if behind is not None:
            found[f"{name},{behind}"] = (functions[name], functions[behind])
            paired |= {name, behind}
            continue
        for first, second in PAIRS:
            if first in LOSS and (first not in mine or naming.returns_gradients(functions[name])):
                continue  # as sigmoid, whose sigmoid_gradient is a slope and not that of a cost
            wanted = [second if word == first else word for word in mine], [*mine, second]
            other = next((o for o in functions if o != name and naming.words(o) in wanted), None)
            if other is not None:
                found[f"{name},{other}"] = (functions[name], functions[other])
                paired |= {name, other}
                break
    for name, value in own.items():
        if _is_function(value):
            if name not in paired and naming.returns_gradients(value):
                found[name] = (value,)
        elif _is_list(value) or is_rule(value) or (_has_methods(value) and not _is_backend(value)):
            found[name] = (value,)
    return found


def _completed(
    found: dict[str, tuple[Any, ...]], own: Mapping[str, Any], given: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    """What does not say what the cost is, with the function of the file that does: a pair with it in its middle, a
    gradient behind it, or behind what it is the cost of.
    """
    functions = {name: value for name, value in own.items() if _is_function(value)}
    costs = [name for name in functions if naming.computes_cost(name)]
    costs += [
        n for n in functions if n not in costs and any(naming.is_after(of, n, naming.DERIVATIVES) for of in found)
    ]
    if not given or options.get("cost") is not None:
        return found
    made: dict[str, tuple[Any, ...]] = {}
    for name, things in found.items():
        if not all(map(_is_function, things)) or _fits(things, given, options):
            continue
        first = [name.split(",")[0]] if len(things) == 2 else [n for n, f in functions.items() if _takes(f, given)]
        gradient = name.split(",")[-1]
        trios = [(forward, cost, gradient) for cost in costs for forward in first]
        pairs = [(cost, gradient) for cost in costs]
        for several in [*trios, *pairs] if len(things) == 2 else [*pairs, *trios]:
            of = tuple(functions[one] for one in several)
            if len(set(several)) == len(several) and _fits(of, given, options):
                made[",".join(several)] = of
                if len(things) == 1 or len(several) == 2:
                    break
    return made or _beside(found, functions, given, options) or found


def _beside(
    found: Mapping[str, tuple[Any, ...]],
    functions: Mapping[str, Any],
    given: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, tuple[Any, ...]]:
    """A gradient, with another function of the same inputs that gives a single number, where there is one such pair."""
    if any(len(things) > 1 or not _is_function(things[0]) for things in found.values()):
        return {}
    if any(_fits(things, given, options) for things in found.values()):
        return {}
    taking = {n: f for n, f in functions.items() if _takes(f, given)}
    pairs = {
        f"{one},{other}": (function, gradient)
        for one, function in taking.items()
        for other, (gradient,) in found.items()
        if one != other and _of_one_number((function, gradient), given, options)
    }
    return pairs if len(pairs) == 1 else {}


def _is_function(value: Any) -> bool:
    """Whether a thing is a function, or one in a wrapper, as ``jax.jit`` makes it; a rule is none."""
    return callable(value) and inspect.isfunction(inspect.unwrap(value)) and not is_rule(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_has_methods(v) or _is_layer(v) for v in value)


def _is_layer(value: Any) -> bool:
    return all(any(callable(getattr(value, name, None)) for name in names) for names in (FORWARD[:-1], BACKWARD))


def _has_methods(value: Any) -> bool:
    """Whether a class or an object has methods that give a cost and gradients."""
    if inspect.isroutine(value) or isinstance(value, ModuleType | np.ndarray | list | tuple | Mapping):
        return False
    known = (*FORWARD[:-1], *BACKWARD, *LOSS, *GRADIENT, *BOTH)
    has = {name for name in known if any(callable(getattr(value, n, None)) for n in (name, f"_{name}"))}
    kind = value if isinstance(value, type) else type(value)
    called = any("__call__" in vars(of) for of in kind.__mro__)  # of a class: what makes an object is no method of it
    pair = (called or has & {*FORWARD, *LOSS}) and has & {*BACKWARD, *GRADIENT}
    named = naming.cost_and_slope(name for name in dir(value) if not name.startswith("_"))
    return bool(pair or named or has & {*BOTH} - {*LOSS} or ("loss" in has and not isinstance(value, ModuleType)))


def _is_backend(value: Any) -> bool:
    return issubclass(value if isinstance(value, type) else type(value), Neuron)


def _takes(function: Any, given: Mapping[str, Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return bool(required) and all(name in given for name in required)


def _whole(found: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Without what is only a part of another: a layer of a list, the class of an object, a function that is called."""
    parts: dict[str, set[int]] = {}
    words: dict[str, set[str]] = {}
    for name, things in found.items():
        parts[name] = set().union(*(_parts(thing) for thing in things)) - {id(thing) for thing in things}
        words[name] = set().union(*(_words(thing) for thing in things))
    return {
        name: things
        for name, things in found.items()
        if not any(
            other != name
            and (any(id(t) in parts[other] for t in things) or set(name.split(",")) & words[other])
            and not set(other.split(",")) & words[name]
            for other in found
        )
    }


def _parts(thing: Any, depth: int = 3) -> set[int]:
    """The identities of what an object or a list is made of, and of their classes."""
    if depth == 0 or inspect.isroutine(thing) or isinstance(thing, type | np.ndarray | str | int | float | None):
        return set()
    found = {id(type(thing))}
    inside: Iterable[Any] = thing if isinstance(thing, list | tuple) else attributes(thing).values()
    if isinstance(thing, Mapping):
        inside = thing.values()
    for value in inside:
        found |= {id(value)} | _parts(value, depth - 1)
    return found


def _words(thing: Any) -> set[str]:
    """The names that the code of a function, or of the methods of a class, refers to."""
    if inspect.isfunction(thing):
        return {name for code in codes(thing.__code__) for name in code.co_names}
    if isinstance(thing, type):
        named = set().union(*(_words(v) for v in vars(thing).values() if inspect.isfunction(v)))
        return named | {base.__name__ for base in thing.__bases__}
    return _words(type(thing)) - {type(thing).__name__} if not isinstance(thing, list | tuple) else set()


def _fits(things: tuple[Any, ...], given: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a subject takes these inputs and gives gradients of them."""
    return _understood(things, given, options) is not None


def _of_one_number(pair: tuple[Any, ...], given: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether the first of two gives a single number, and the second its gradients."""
    problem = _understood(pair, given, options)
    return isinstance(problem, Adapted) and isinstance(problem.kind, Pair) and problem.kind.of_one_number


def _understood(things: tuple[Any, ...], given: Mapping[str, Any], options: Mapping[str, Any]) -> Problem | None:
    how: dict[str, Any] = {key: options.get(key) for key in ("cost", "gradients", "wrt", "methods", "make")}
    try:
        things, given, how["cost"], _ = in_numpy(things, given, how["cost"])
        return understand(things, given, **how)
    except UsageError:
        return None
