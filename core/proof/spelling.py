"""A subject of `check` as source: by its name in the file that it comes from, or else written out."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any

from handgrad.errors import UsageError


@dataclass
class Spelling:
    """How things are named in a test of their own.

    Attributes:
        files: the files that are loaded, by the name of the variable that each is loaded into.
        inline: the functions that are written out.
    """

    files: dict[str, Path] = field(default_factory=dict)
    inline: list[Any] = field(default_factory=list)

    def of(self, thing: Any) -> str:
        """An expression that gives the thing.

        Raises:
            UsageError: there is none, as for an object that no file holds.
        """
        if isinstance(thing, list | tuple) and self._global(thing) is None:
            inside = ", ".join(map(self.of, thing))
            return f"[{inside}]"
        found = self._global(thing)
        if found is not None:
            module, name = found
            return f"{self._loaded(module)}.{name}"
        if isinstance(thing, types.FunctionType) and thing.__name__ != "<lambda>":
            self.inline.append(thing)
            return thing.__name__
        what = "a lambda" if isinstance(thing, types.FunctionType) else f"an object, {type(thing).__name__},"
        raise UsageError(
            f"no counterexample: {what} cannot be written down in a test; only functions, classes made of inputs, and "
            "what a file holds under a name of its own can"
        )

    def _loaded(self, module: types.ModuleType) -> str:
        path = Path(str(module.__file__)).resolve()
        for name, known in self.files.items():
            if known == path:
                return name
        stem = "".join(c if c.isalnum() else "_" for c in path.stem)
        taken = stem in ("np", "numpy", "check", "sys", "importlib", "inf", "nan", "loaded") or stem.startswith("test")
        name = stem if stem.isidentifier() and not iskeyword(stem) and not taken else f"mine_{stem}"
        name = name if name not in self.files else f"{name}_{len(self.files)}"
        self.files[name] = path
        return name

    @staticmethod
    def _global(thing: Any) -> tuple[types.ModuleType, str] | None:
        """The module with a file, and the name in it, that give just this thing."""
        if isinstance(thing, types.FunctionType | type):
            module = sys.modules.get(thing.__module__)
            found: Any = module
            for part in thing.__qualname__.split("."):
                found = getattr(found, part, None)
            return (module, thing.__qualname__) if found is thing and module is not None and _has_file(module) else None
        if isinstance(thing, types.MethodType):
            owner = Spelling._global(thing.__self__)
            return (owner[0], f"{owner[1]}.{thing.__name__}") if owner is not None else None
        items = thing if isinstance(thing, list | tuple) else [thing]
        for item in items:
            module = sys.modules.get(type(item).__module__)
            if module is not None and _has_file(module):
                for name, value in vars(module).items():
                    if value is thing:
                        return module, name
        return None


def _has_file(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and file.endswith(".py") and Path(file).is_file()


def keywords(options: Mapping[str, Any], spelling: Spelling) -> str:
    """The keywords that are not None, as they are written in a call."""
    said = ""
    for key, value in options.items():
        if value is not None:
            said += f", {key}={spelling.of(value) if callable(value) else repr(_plain(value))}"
    return said


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | tuple) else value


def loading(spelling: Spelling) -> str:
    """The lines that load the files."""
    if not spelling.files:
        return ""
    lines = [
        "",
        "",
        "def loaded(file):",
        "    for folder in Path(file).parents:  # for the imports of its neighbours",
        "        sys.path.append(str(folder))",
        "        if not (folder / '__init__.py').is_file():",
        "            break",
        '    spec = importlib.util.spec_from_file_location(f"checked_{Path(file).stem}", file)',
        "    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)",
        "    spec.loader.exec_module(module)",
        "    return module",
        "",
        "",
        *(f"{name} = loaded({str(path)!r})" for name, path in spelling.files.items()),
    ]
    return "\n".join(lines)
