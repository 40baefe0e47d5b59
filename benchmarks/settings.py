"""What a benchmark is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What is asked for; as the options of ``handgrad bench``."""

    arms: tuple[str, ...] = ("numba", "numpy", "torch", "jax", "article")
    device: str = "cpu"
    features: tuple[int, ...] = (12_288,)
    examples: tuple[int, ...] = (1_000, 5_000, 20_000)
    dtype: str = "float32"
    input: str = "uint8"
    loss: str = "cross_entropy"
    rounds: int = 50
    threads: int = 1
    data: Path | None = None
    seed: int = 0
