"""Which of the arrays that code gives back is the gradient of which input: by name, by place, by shape."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.naming import (
    AFFIX,
    CONTAINERS,
    COSTS,
    PARAMETER,
    TARGETS,
    UPSTREAM,
    VALUES,
    folded,
    last_name,
    parts,
    primals,
)

SYNONYMS = {"w": "weights", "b": "biases", "weight": "weights", "bias": "biases", "v": "velocities", "params": "params"}


@dataclass(frozen=True)
class Leaf:
    """A number or an array that code gave back.

    Attributes:
        label: as people would write it: ``dw``, ``grads['W1']``, ``[1]``, ``affine.dW``.
        path: where it is in what was returned; for what an object holds, its path as a text.
        value: itself.
        held: whether an object holds it.
        more: of an array that several objects hold, where the gradients lie that are to be added to this.
    """

    label: str
    path: Any
    value: Any
    held: bool = False
    more: tuple[str, ...] = ()


class Attribute(str):
    """A step of a path into an object."""


def flattened(value: Any, names: list[Any], path: tuple[Any, ...] = (), label: str = "") -> Iterator[Leaf]:
    """The leaves of what a function returned, with the names that its return statement has for them."""
    if isinstance(value, Mapping):
        mine = names[0] if len(names) == 1 and isinstance(names[0], str) and not label else ""
        for key, item in value.items():
            yield from flattened(item, [], (*path, key), f"{label or mine}[{key!r}]")
    elif isinstance(value, tuple | list):
        names = list(value._fields) if hasattr(value, "_fields") else names
        if len(names) == 1 and isinstance(names[0], str) and not label and len(value) != 1:
            label, names = names[0], []
        names = names if len(names) == len(value) else []  # a list put together otherwise
        for i, item in enumerate(value):
            name: Any = names[i] if names else None
            inner = name if isinstance(name, list) else [name] if isinstance(name, str) else []
            own = name if isinstance(name, str) and not label else f"{label}[{i}]"
            whole = not isinstance(item, tuple | list | Mapping)
            yield from flattened(item, inner, (*path, i), own if whole or not inner else "" if inner else own)
    elif (is_dataclass(value) and not isinstance(value, type)) or isinstance(value, types.SimpleNamespace):
        mine = label or (names[0] if len(names) == 1 and isinstance(names[0], str) else "its value")
        for key, item in vars(value).items():
            yield from flattened(item, [], (*path, Attribute(key)), f"{mine}.{key}")
    else:
        yield Leaf(label or (names[0] if names and isinstance(names[0], str) else ""), path, value)


def called(leaf: Leaf, otherwise: str = "J") -> str:
    """The last name in a label; what it is called otherwise, where there is none."""
    name = parts(leaf.label)[-1] if leaf.label else ""
    return otherwise if not name or name.lstrip("-").isdigit() else name


def at(value: Any, path: Iterable[Any]) -> Any:
    """The part of a value at a path."""
    for key in path:
        value = getattr(value, key) if isinstance(key, Attribute) else value[key]
    return value


def is_float(value: Any) -> bool:
    """Whether a leaf is a number or an array of floating point (or a Python number in its place)."""
    return isinstance(value, float | np.ndarray | np.generic) and np.asarray(value).dtype.kind in "fc"


def the_cost(leaves: list[Leaf], wanted: str | int | None, who: str) -> Leaf:
    """Which of the values that a function returns is the cost.

    Raises:
        UsageError: none is, or several may be.
    """
    single = [leaf for leaf in leaves if is_float(leaf.value) and np.size(leaf.value) == 1]
    if wanted is not None:
        for leaf in leaves:
            if wanted in (leaf.label, leaf.path[0] if leaf.path else 0) or wanted == parts(leaf.label or "x")[-1]:
                return leaf
        raise UsageError(f"cost={wanted!r} is none of the values of {who}; there are: {listed(leaves)}")
    named = [leaf for leaf in single if leaf.label and COSTS.match(parts(leaf.label)[-1])]
    if len(named) != 1:
        named = [leaf for leaf in named if not leaf.label.endswith("]")] or named
    if len(named) == 1:
        return named[0]
    alone = [leaf for leaf in single if len(leaf.path) <= 1 and not (leaf.label and primals(parts(leaf.label)[-1]))]
    alone = named or alone or single
    scalars = [leaf for leaf in alone if np.ndim(leaf.value) == 0]
    alone = scalars if len(scalars) == 1 and len(alone) > 1 and not named else alone  # beside that of a bias, (1, 1)
    if len(alone) == 1:
        return alone[0]
    whole = [leaf for leaf in leaves if np.size(leaf.value) == 1 and np.asarray(leaf.value).dtype.kind in "iu"]
    if not alone and whole:
        raise UsageError(
            f"{whole[0].label or who} is of type {np.asarray(whole[0].value).dtype}; expected floating point: "
            "give inputs such as np.array(..., float)"
        )
    if not alone:
        raise UsageError(
            f"{who} returns no single number that could be the cost; there are: {listed(leaves)}. "
            "Give forward and backward, or name it by cost="
        )
    raise UsageError(f"any of these values of {who} may be the cost: {listed(alone)}; name it by cost=")


def listed(leaves: Iterable[Leaf]) -> str:
    """Leaves by label and shape."""
    said = [f"{leaf.label or _where(leaf)} {np.shape(leaf.value)}" for leaf in leaves]
    return ", ".join(said) or "none"


def _where(leaf: Leaf) -> str:
    return "the value" if not leaf.path else "".join(f"[{key!r}]" for key in leaf.path)


def matched(
    leaves: list[Leaf],
    targets: Mapping[str, Any],
    given: Mapping[str, str | int] | None,
    order: list[str],
    who: str,
    asked: bool = False,
) -> dict[str, Leaf]:
    """From the name of an input to its gradient.

    Args:
        leaves: what may be gradients.
        targets: what they may be the gradients of, by name.
        given: the keyword ``gradients=``, which decides: a label, or a place in what is returned.
        order: the names of arguments, as they are passed.
        who: for messages.
        asked: whether `order` is what was asked for, so that as many gradients without names are those.

    Raises:
        UsageError: a name of `given` is not there, or two readings are possible.
    """
    found: dict[str, Leaf] = {}
    take = found.__setitem__

    for name, label in (given or {}).items():
        _as_told(name, label, targets, leaves, take)
    returned = [leaf for leaf in leaves if not leaf.held and leaf not in found.values()]
    _by_name(returned, targets, found, take)
    _by_affix(returned, targets, found, take)
    _by_siblings(returned, targets, found, take)
    if not found:  # what has names says the others have none
        _by_order(returned, targets, found, take, order, asked)
        _by_shape(returned, targets, found, take, who)
    _by_neighbours(returned, targets, found, take, order)
    known = {id(targets[name]) for name in found}  # an array that an object holds under two names is one
    left = {name: value for name, value in targets.items() if id(value) not in known}
    held = [leaf for leaf in leaves if leaf.held and leaf not in found.values()]
    _by_name(held, left, found, take)
    _by_affix(held, {name: value for name, value in left.items() if name not in found}, found, take)
    _by_keys(held, left, found, take)
    return found


def _as_told(name: str, label: str | int, targets: Mapping[str, Any], free: list[Leaf], take: Any) -> None:
    """The gradient of an input, or those of all arrays in it, where the keyword says that they are."""
    inside = [target for target in targets if target == name or target.startswith((f"{name}[", f"{name}."))]
    if not inside:
        raise UsageError(f"gradients={{{name!r}: ...}}: {name} is no input; there are: {', '.join(targets)}")
    named = [leaf for leaf in free if leaf.label and (leaf.label == label or parts(leaf.label)[-1] == label)]
    if isinstance(label, str) and label.isdigit() and not named:  # as on the command line
        label = int(label)
    placed = [leaf for leaf in free if leaf.path[:1] == (label,) or leaf.label.startswith(f"{label}[")]
    for target in inside:
        tail = parts(target)[len(parts(name)) :]
        fitting = [leaf for leaf in [*named, *placed] if _components(leaf)[-len(tail) or 99 :] == tail]
        if not fitting:
            raise UsageError(f"gradients={{{name!r}: {label!r}}}: there is none; there are: {listed(free)}")
        take(target, fitting[0])


def _components(leaf: Leaf) -> list[str]:
    return parts(leaf.label) if leaf.held else [str(key) for key in leaf.path]


def _by_name(leaves: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any) -> None:
    scores = [
        (score, -i, -j, name, leaf)
        for i, leaf in enumerate(leaves)
        for j, (name, value) in enumerate(targets.items())
        if name not in found and (score := _score(leaf, name, value)) > 0
    ]
    taken: list[int] = []
    for _, _, _, name, leaf in sorted(scores, key=lambda s: s[:3], reverse=True):
        if name not in found and id(leaf) not in taken:
            taken.append(id(leaf))
            take(name, leaf)


def _by_affix(leaves: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any) -> None:
    """What is called as inputs are, but for what stands before or behind the names of several of them: gW, gb."""
    groups: dict[tuple[str, str], dict[str, Leaf]] = {}
    for leaf in leaves:
        mine = parts(leaf.label)
        for name, value in targets.items():
            theirs = parts(name)
            if not mine or not theirs or mine[:-1] != theirs[:-1] or np.shape(leaf.value) != np.shape(value):
                continue
            before = mine[-1].removesuffix(theirs[-1]) if mine[-1].endswith(theirs[-1]) else ""
            behind = mine[-1].removeprefix(theirs[-1]) if mine[-1].startswith(theirs[-1]) else ""
            if bool(before) != bool(behind) and AFFIX.match(before + behind):
                groups.setdefault((before, behind), {}).setdefault(name, leaf)
    for group in sorted(groups.values(), key=len, reverse=True):
        known = [n for n in group if found.get(n) is group[n]]
        if len(group) > 1 and all(n not in found or n in known for n in group):
            for name, leaf in group.items():
                if name not in found and leaf not in found.values():
                    take(name, leaf)


def _by_keys(leaves: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any) -> None:
    """A dictionary with the keys and the shapes of one of parameters."""
    groups: dict[str, dict[str, Leaf]] = {}
    for leaf in leaves:
        if leaf.label.endswith("']") and leaf not in found.values():
            groups.setdefault(leaf.label[: leaf.label.rindex("[")], {})[parts(leaf.label)[-1]] = leaf
    wanted: dict[str, dict[str, str]] = {}
    for name in targets:
        if name.endswith("']") and name not in found:
            wanted.setdefault(name[: name.rindex("[")], {})[parts(name)[-1]] = name
    for place, names in wanted.items():
        fitting = [
            group
            for other, group in groups.items()
            if other != place
            and group.keys() >= names.keys()
            and all(np.shape(group[key].value) == np.shape(targets[name]) for key, name in names.items())
        ]
        if len(fitting) == 1:
            for key, name in names.items():
                take(name, fitting[0][key])


def _score(leaf: Leaf, name: str, value: Any) -> float:
    """How well a leaf's label says that it is the gradient of this target; 0 where it does not."""
    mine, theirs = parts(leaf.label), parts(name)
    if not mine or not theirs:
        return 0
    same = np.shape(leaf.value) == np.shape(value)
    index = _trailing(mine)
    numbers = [p for p in theirs if p.isdigit()]
    if index != _trailing(theirs) or [p for p in mine if p.isdigit()][-len(numbers) or 99 :] != numbers:
        return 0
    last, target = _named(mine), _named(theirs)
    owner, other = _owner(mine), _owner(theirs)
    inside = any(CONTAINERS.match(p) for p in mine if not p.isdigit())
    score = 0.0
    if last is None or target is None:
        return 0
    for rank, base in enumerate(primals(last)):
        if base == target:
            score = max(score, 4 - 0.2 * rank)
        elif folded(base) == folded(target) or SYNONYMS.get(folded(base), base) == SYNONYMS.get(target, target):
            score = max(score, 3 - 0.2 * rank)
    if not leaf.held and mine == [*theirs, last] and last in ("grad", "g"):
        return 4.5  # a.grad of a
    if leaf.held and same and last == f"{target}_diff" and PARAMETER.match(target):
        score = max(score, 3)
    if folded(last) == f"g{folded(target)}":
        score = max(score, 3)
    if last == target and (inside or (not leaf.held and (leaf.label.endswith("]") or "." in leaf.label))):
        score = max(score, 3.5)
    beside = leaf.held and mine[:-1] == theirs[:-1] != [] and VALUES.match(target)
    if beside and (CONTAINERS.match(last) or last in ("g", "d")):
        return 4  # weight.grad of weight.data
    if inside and CONTAINERS.match(last) and index:
        score = max(score, 1.5 if same else 0)
    if not score:
        return 0
    if leaf.held and other and owner != other and not inside:
        return 0
    if not same and score < 3:
        return 0
    return score + (0.5 if same else 0) + (0.3 if owner == other else 0) - (0.1 if leaf.held else 0)


def _trailing(components: list[str]) -> list[str]:
    found: list[str] = []
    for component in reversed(components):
        if not component.lstrip("-").isdigit():
            break
        found.append(component)
    return found


def _named(components: list[str]) -> str | None:
    return next((c for c in reversed(components) if not c.lstrip("-").isdigit()), None)


def _owner(components: list[str]) -> list[str]:
    """What holds the last name, without dictionaries of parameters and of gradients."""
    keep = len(components) - len(_trailing(components)) - 1
    return [c for c in components[:keep] if not CONTAINERS.match(c) and folded(c) not in ("params", "parameters", "p")]


def _by_siblings(free: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any) -> None:
    """Lists of arrays of the same shapes in the same order."""
    groups: dict[Any, list[Leaf]] = {}
    for leaf in free:
        if leaf not in found.values() and leaf.path:
            groups.setdefault(leaf.path[:-1], []).append(leaf)
    lists: dict[str, list[str]] = {}
    for name in targets:
        if name not in found and name.endswith("]"):
            lists.setdefault(name[: name.rindex("[")], []).append(name)
    for group in groups.values():
        shapes = [np.shape(leaf.value) for leaf in group]
        fitting = [names for names in lists.values() if [np.shape(targets[n]) for n in names] == shapes]
        fitting = fitting or [
            names for names in lists.values() if _mostly([np.shape(targets[n]) for n in names], shapes)
        ]
        if len(fitting) == 1 and len(group) > 0:
            for name, leaf in zip(fitting[0], group, strict=True):
                if name not in found:
                    take(name, leaf)


def _mostly(wanted: list[Any], shapes: list[Any]) -> bool:
    """Whether as many arrays are there, and more than half of them have the shape that they should have."""
    return len(wanted) == len(shapes) and 2 * sum(a == b for a, b in zip(wanted, shapes, strict=True)) > len(shapes)


def _by_neighbours(
    free: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any, order: list[str]
) -> None:
    """A gradient without a name of its own, between others that are in the order of the arguments.

    It may be called as what is handed on is (an input, the gradient from above, another's gradient): by mistake. What
    comes last, after a cost and gradients, may be a state that is handed on, if it is neither.
    """
    for name, leaf in list(found.items()):  # of two that are called the same, the one in its place
        others = {n: other for n, other in found.items() if n != name}
        for twin in free:
            if leaf.label and twin.label == leaf.label and _name_at(twin.path, others, order) == name:
                found[name] = twin
    places = {other.path[:1] for other in found.values() if not other.held}
    for leaf in [leaf for leaf in free if leaf not in found.values()]:
        place = leaf.path[:1]
        of_list = f"{_name_at(place, found, order)}[{leaf.path[-1]!r}]" if len(leaf.path) == 2 else ""
        found_at = of_list if of_list in targets else _name_at(leaf.path, found, order)
        if found_at is None or found_at not in targets or found_at in found:
            continue
        value, label = targets[found_at], leaf.label.strip("[]0123456789")
        before = {(i,) for i in range(place[0])} if isinstance(place[0], int) else set()
        last = not before <= places and all(other <= place for other in places)
        if (
            (not label and np.ndim(leaf.value) == np.ndim(value) and not last)
            or (label == found_at and np.array_equal(leaf.value, value))
            or (np.shape(leaf.value) == np.shape(value) and (primals(label) or UPSTREAM.match(label)))
        ):
            take(found_at, leaf)


def _name_at(path: Any, found: Mapping[str, Leaf], order: list[str]) -> str | None:
    """The argument whose gradient is due at a place, where those beside it are in the order of the arguments."""
    if not path or not isinstance(path[-1], int):
        return None
    depth = len(path) - 1
    shifts = {
        order.index(root) - leaf.path[depth]
        if (root := parts(name)[0]) in order and isinstance(leaf.path[depth], int)
        else None
        for name, leaf in found.items()
        if not leaf.held and leaf.path[:depth] == path[:depth] and len(leaf.path) > depth
    }
    shift = shifts.pop() if len(shifts) == 1 else None
    return None if shift is None or not 0 <= path[-1] + shift < len(order) else order[path[-1] + shift]


def _by_order(
    free: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any, order: list[str], asked: bool
) -> None:
    """Gradients without names, in the order of the arguments."""
    names = [name for name in order if name in targets]
    if any(name not in targets and any(t.startswith(f"{name}[") for t in targets) for name in order):
        return  # lists and dictionaries among the arguments
    groups: dict[Any, list[Leaf]] = {}
    for leaf in free:
        if leaf not in found.values():
            groups.setdefault(leaf.path[:-1], []).append(leaf)
    anonymous = [[leaf for leaf in group if not leaf.label.strip("[]0123456789")] for group in groups.values()]
    for some in [*anonymous, *groups.values()]:  # names that are no gradient's say nothing
        like = [np.shape(leaf.value) for leaf in some] == [np.shape(targets[name]) for name in names]
        if some and len(some) == len(names) and (like or (asked and some in anonymous)):
            for name, leaf in zip(names, some, strict=True):
                take(name, leaf)
            return


def _by_shape(free: list[Leaf], targets: Mapping[str, Any], found: dict[str, Leaf], take: Any, who: str) -> None:
    """What has the shape of one input only."""
    left = [leaf for leaf in free if leaf not in found.values()]
    targets = {name: value for name, value in targets.items() if not TARGETS.match(last_name(name))} or targets
    fits = {
        id(leaf): [n for n, v in targets.items() if n not in found and np.shape(v) == np.shape(leaf.value)]
        for leaf in left
    }
    for leaf in left:
        names = [n for n in fits[id(leaf)] if n not in found]
        rivals = [o for o in left if o is not leaf and set(fits[id(o)]) & set(names)]
        if len(names) == 1 and not rivals:
            take(names[0], leaf)
    if found:
        return
    open_ = [leaf for leaf in left if fits[id(leaf)]]
    if open_:
        leaf, names = open_[0], fits[id(open_[0])]
        rivals = [o for o in open_ if names[0] in fits[id(o)]]
        key = names[0].split("[")[0] if len(leaf.path) > 1 else names[0]
        how = f"gradients={{{key!r}: {leaf.path[0]!r}}}" if leaf.path else f"wrt=({names[0]!r},)"
        which = (
            f"{leaf.label or _where(leaf)} {np.shape(leaf.value)} may be the gradient of any of {', '.join(names)}"
            if len(names) > 1
            else f"any of {listed(rivals)} may be the gradient of {names[0]}"
        )
        raise UsageError(f"{who}: {which}; say which by {how}")
