"""Tables out of Excel and editors are read as they were meant, or refused with the reason."""

import gzip

import pytest

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.tables import read_rows

ROWS = [{"patient": "A", "time": "3"}, {"patient": "Bö", "time": ""}]
TEXT = "patient,time\nA,3\nBö,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_with_and_without_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode(encoding)))
    assert read_rows(tmp_path / "a.csv", "") == read_rows(tmp_path / "a.csv.gz", "") == ROWS


def test_cells_too_few_are_empty_and_empty_ones_too_many_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("patient,time,,\nA,3,,,,\nBö\n", "utf-8")
    assert read_rows(tmp_path / "a.csv", "") == ROWS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXT.encode("utf-16"), 'not text in UTF-8 .*; save it as "CSV UTF-8"'),
        (TEXT.encode("latin-1"), "not text in UTF-8"),
        (TEXT.replace(",", ";").encode(), "semicolons part its columns; save it with commas"),
        (b"patient,time,time\nA,3,4\n", "has the column 'time' twice"),
        (b"patient,time\nA,3,1\n", "line 2 has more cells than columns; put text that holds a comma into quotes"),
    ],
)
def test_what_would_be_misread_is_refused(tmp_path, data, said):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_rows(tmp_path / "a.csv", "give another")


def test_a_file_that_is_not_there_or_damaged(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    for name in ("a.csv.gz", "none.csv"):
        with pytest.raises(InputError, match=r"cannot be read \(.*\); give another"):
            read_rows(tmp_path / name, "give another")
