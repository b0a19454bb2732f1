"""SHA-256 of every file of a model: written last, checked before anything else is read.

The names in ``SHA256SUMS`` are compared with the files that are there and never opened as paths.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..schema.errors import InputError

SUMS = "SHA256SUMS"
LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")
AGAIN = "copy the model folder again from where it came"


def sums_of(folder: Path) -> str:
    """Text of ``SHA256SUMS`` for the files now in `folder`, as ``sha256sum -c`` reads it."""
    return "".join(f"{_sha256(path)}  {name}\n" for name, path in sorted(_files(folder).items()))


def verify(folder: Path) -> str:
    """Check that `folder` holds exactly the files of its ``SHA256SUMS``, unchanged.

    Returns
    -------
    str
        Digest of the model: SHA-256 of ``SHA256SUMS`` itself, 64 hexadecimal digits.

    Raises
    ------
    InputError
        A file is missing, was added, or was changed; the sentence names it.
    """
    expected = _read_sums(folder / SUMS)
    found = _files(folder)
    for name in sorted(expected.keys() - found.keys()):
        raise InputError(f"{folder / SUMS}: {name!r} is listed but is not a file of the folder", AGAIN)
    for name in sorted(found.keys() - expected.keys()):
        raise InputError(f"{found[name]}: is not listed in {SUMS}", "remove it, or " + AGAIN)
    for name, path in sorted(found.items()):
        if _sha256(path) != expected[name]:
            raise InputError(f"{path}: has been changed (its SHA-256 differs from {SUMS})", AGAIN)
    return _sha256(folder / SUMS)


def _files(folder: Path) -> dict[str, Path]:
    """Every entry of `folder` but the sums; hidden files of the desktop are passed over."""
    return {path.name: path for path in folder.iterdir() if path.name != SUMS and not path.name.startswith(".")}


def _read_sums(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read, so the model cannot be checked", AGAIN) from error
    sums = {}
    for line in lines:
        match = LINE.match(line)
        if match is None:
            raise InputError(f"{path}: {line[:40]!r} is not a digest and a name", AGAIN)
        sums[match[2]] = match[1]
    return sums


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: is not a file", AGAIN)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
