"""How a training ended, said at its end or read from the run that it left."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from handgrad.descent import DivergedError
from handgrad.errors import DataError, HandgradError, reason_of
from handgrad.run import RUN
from handgrad.settings import Settings


class DivergedBeforeError(HandgradError):
    """Of a run that ended so before."""

    exit_code = DivergedError.exit_code


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        settings: with which it was begun.
        result: what run.json says; None where it was stopped before its end.
        epochs: how many were taken.
        diverged: the error, where it did.
    """

    settings: Settings
    result: dict[str, Any] | None
    epochs: int
    diverged: HandgradError | None = None

    @property
    def exit_code(self) -> int:
        """Of a command: 0 for a training that came to its end."""
        if self.result is None:
            return 130
        return self.diverged.exit_code if self.diverged else 0


def finished(run: Path) -> Outcome:
    """What a run was, that is over.

    Raises:
        DataError: run.json is missing or damaged.
    """
    path = run / RUN
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        said = result | {"epochs": result["epochs_asked"]}
        settings = Settings(**{field.name: said[field.name] for field in fields(Settings)})
        diverged = (
            DivergedBeforeError(f"{run}: diverged after {result['epochs']} epochs") if result["diverged"] else None
        )
        return Outcome(settings, result, int(result["epochs"]), diverged)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; expected what handgrad train wrote") from None
