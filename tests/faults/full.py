"""The fault suite at full size, with its counts: ``python -m tests.faults.full [pytest arguments]``; takes an hour."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    os.environ["HMGDM_FAULTS"] = "full"
    sys.exit(pytest.main([str(Path(__file__).parent), "-p", "no:cacheprovider", *sys.argv[1:]]))
