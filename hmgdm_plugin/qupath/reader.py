"""GeoJSON read feature by feature: a collection of a million objects never stands in memory as a whole."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from ..schema.errors import InputError

_BLOCK = 1 << 16
_LONGEST_TOKEN = 64  # a number or literal cut at the end of a block fails at most this far before the end
_DECODER = json.JSONDecoder()
_SHAPES = {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
_EXPORT_AGAIN = "export the objects from QuPath again as GeoJSON (File > Export objects as GeoJSON)"


def read_features(path: Path) -> Iterator[dict[str, Any]]:
    """Features of a ``.geojson``, ``.json``, ``.gz`` or ``.zip`` file, one after the other.

    The file may hold a FeatureCollection, a list, a single Feature or a bare geometry, which is wrapped as a
    Feature. Compression is told from the first bytes, not from the name.

    Parameters
    ----------
    path : Path
        The file to read.

    Yields
    ------
    dict
        A GeoJSON Feature as it stands in the file; its geometry is not checked.

    Raises
    ------
    InputError
        While iterating: the file cannot be read, is not JSON, or is not GeoJSON.
    """
    path = Path(path)
    try:
        with _opened(path) as text:
            for number, value in enumerate(_values(_Scanner(text), path), 1):
                yield _as_feature(value, f"{path}: feature {number}")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "give the path of a GeoJSON file") from error
    except (zlib.error, zipfile.BadZipFile, EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: damaged archive ({error})", _EXPORT_AGAIN) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "give the path of a GeoJSON file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})", _EXPORT_AGAIN) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with ExitStack() as stack:
        raw: Any = stack.enter_context(path.open("rb"))
        magic = raw.read(4)
        raw.seek(0)
        if magic[:2] == b"\x1f\x8b":
            raw = stack.enter_context(gzip.open(raw, "rb"))
        elif magic == b"PK\x03\x04":
            raw = stack.enter_context(_member(stack.enter_context(zipfile.ZipFile(raw)), path))
        yield stack.enter_context(io.TextIOWrapper(raw, "utf-8-sig"))


def _member(archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
    names = [n for n in archive.namelist() if n.lower().endswith((".geojson", ".json")) and "__MACOSX" not in n]
    if len(names) != 1:
        raise InputError(f"{path}: holds {len(names)} GeoJSON files", "give an archive with exactly one")
    return archive.open(names[0])


def _values(scan: _Scanner, path: Path) -> Iterator[Any]:
    """Members of the outermost list or collection, or the whole when it is a single object."""
    members: dict[str, Any] = {}
    collection = False
    if scan.peek() == "[":
        yield from scan.items()
    else:
        for name in scan.names():
            if name == "features" and scan.peek() == "[":
                collection = True
                yield from scan.items()
            else:
                members[name] = scan.value()
        if collection != (members.get("type") == "FeatureCollection"):
            raise InputError(f"{path}: not a GeoJSON FeatureCollection", _EXPORT_AGAIN)
        if not collection:
            yield members
    if scan.peek():
        raise scan.unexpected("the end of the file")


def _as_feature(value: Any, where: str) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "Feature":
        return value
    if isinstance(kind, str) and kind in _SHAPES:
        return {"type": "Feature", "geometry": value, "properties": {}}
    raise InputError(f"{where} is not GeoJSON", _EXPORT_AGAIN)


class _Scanner:
    """Walks through JSON text, holding little more than the value that is being read."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._before = 0  # characters already dropped from the buffer
        self._ended = False

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in " \t\r\n":
                    return self._buffer[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def take(self, wanted: str) -> None:
        """Step over `wanted`, which must come next."""
        if self.peek() != wanted:
            raise self.unexpected(repr(wanted))
        self._at += 1

    def items(self) -> Iterator[Any]:
        """Values of the list that starts here."""
        for _ in self._between("[", "]"):
            yield self.value()

    def names(self) -> Iterator[str]:
        """Names in the object that starts here; the caller reads the value of each."""
        for _ in self._between("{", "}"):
            if self.peek() != '"':
                raise self.unexpected("a name in quotes")
            name: str = self.value()
            self.take(":")
            yield name

    def value(self) -> Any:
        """The value that starts here, of any kind."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                if end + len("e-") < len(self._buffer) or self._ended:  # "1.5" may go on as "1.5e-7"
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if self._ended or self._is_wrong(error):
                    raise ValueError(f"{error.msg} at character {self._before + error.pos}") from error
            self._more()

    def unexpected(self, wanted: str) -> ValueError:
        """The error to raise when something other than `wanted` comes next."""
        return ValueError(f"expected {wanted} at character {self._before + self._at}")

    def _between(self, first: str, last: str) -> Iterator[None]:
        self.take(first)
        if self.peek() != last:
            yield
            while self.peek() != last:
                self.take(",")
                yield
        self.take(last)

    def _is_wrong(self, error: json.JSONDecodeError) -> bool:
        """Whether more text cannot help: the fault lies well before the end of what was read."""
        return not error.msg.startswith("Unterminated") and error.pos < len(self._buffer) - _LONGEST_TOKEN

    def _more(self) -> None:
        rest = self._buffer[self._at :]
        block = self._text.read(max(_BLOCK, len(rest)))  # doubling keeps one long value from costing its square
        self._before += self._at
        self._buffer, self._at, self._ended = rest + block, 0, not block
