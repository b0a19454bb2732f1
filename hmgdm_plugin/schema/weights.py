"""Tensors on disk: safetensors, written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` beside `path`, then rename.

    Raises
    ------
    OSError
        The disk is full or read-only; safetensors hides the error's number in a text of its own.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    whole = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    try:
        save_file(whole, temporary, dict(metadata or {}))
        temporary.chmod(0o666 & ~_umask())  # safetensors writes it for its owner only
        os.replace(temporary, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
