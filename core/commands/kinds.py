"""What a file or a folder is, and which command takes it: for words that stand where they do not belong."""

from pathlib import Path

from handgrad.commands.output import word

TAKEN = {
    "a Python file": "handgrad check {}",
    "a run": "handgrad evaluate {} DATA",
    "a data set": "handgrad train {} --run RUN",
    "a photograph": "handgrad predict RUN {}",
    "a zip": "handgrad prepare {} DATA",
    "a folder": "handgrad prepare {} DATA, if it holds photographs",
    "the model of a run": "handgrad evaluate {parent} DATA",
    "a part of a run": "handgrad evaluate {parent} DATA",
    "a part of a data set": "handgrad train {parent} --run RUN",
    "an array of photographs": "handgrad prepare {parent} DATA",
    "a result of handgrad bench": "handgrad bench --compare {} NEW.json",
}
"""What each kind is called, and the command to type."""


def kinds_of(path: Path) -> list[str]:
    """What it is, of `TAKEN`, the best first; nothing where it is not there, or of no kind that a command takes."""
    from handgrad.data.arrays import holds_arrays
    from handgrad.data.source import SUFFIXES
    from handgrad.run import CHECKPOINT, MODEL, RUN

    if path.is_dir():
        by_file = dict.fromkeys([RUN, MODEL, CHECKPOINT], "a run") | {"dataset.json": "a data set"}
        found = [kind for name, kind in by_file.items() if (path / name).is_file()]
        return found if found and not holds_arrays(path) else [*found, "a folder"]
    by_ending = dict.fromkeys(SUFFIXES, "a photograph") | {
        ".py": "a Python file",
        ".zip": "a zip",
        ".safetensors": "the model of a run",
        ".npz": "an array of photographs",
        ".h5": "an array of photographs",
        ".json": "a result of handgrad bench",
    }
    by_name = {RUN: "a part of a run", "dataset.json": "a part of a data set"}
    kind = by_name.get(path.name) or by_ending.get(path.suffix.lower())
    return [kind] if kind and path.is_file() else []


def command_for(kind: str, path: Path) -> str:
    """The command to type for a path of that kind."""
    return TAKEN[kind].format(word(path), parent=word(path.parent))
