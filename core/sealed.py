"""Tensors in a safetensors file that says its version and would show that it was altered."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from handgrad.errors import DataError, HandgradError, reason_of

Array = npt.NDArray[Any]


def sealed(tensors: Mapping[str, Array], version: int, about: Mapping[str, Any]) -> bytes:
    """A safetensors file of tensors, with a format version, what they mean, and a checksum of both: always the same."""
    arrays = {name: np.ascontiguousarray(V).reshape(V.shape) for name, V in tensors.items()}
    metadata = {"format": str(version)} | {key: json.dumps(value) for key, value in about.items()}
    return _in_order(save(arrays, metadata | {"sha256": _checksum(arrays, metadata)}))


def unsealed(path: Path, version: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors and what they mean.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is damaged, altered, or of a newer format.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            found = int(metadata.get("format", "0"))
            if found > version:
                raise DataError(f"{path}: found format {found}; this handgrad reads {version}; upgrade handgrad")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        checksum = metadata.pop("sha256", None)
        if checksum != _checksum(tensors, metadata):
            raise ValueError("its checksum is not that of its content: it was altered or damaged")
        del metadata["format"]
        return tensors, {key: json.loads(value) for key, value in metadata.items()}
    except (FileNotFoundError, HandgradError):
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: is no whole file of handgrad: {reason_of(error)}; make it again") from None


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata in alphabetical order, which `save` leaves to chance.

    It begins with the length of its header, 8 bytes, and the header, JSON that spaces fill up to a multiple of 8.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def _checksum(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        V = tensors[name]
        digest.update(json.dumps([name, str(V.dtype), V.shape]).encode() + V.tobytes())
    return digest.hexdigest()
