"""Scores and settings of a study as files that other programs read."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import tomli_w

from ..schema import run
from ..schema.folder import RunFolder
from ..schema.settings import Settings


def write_scores(folder: RunFolder, rows: Sequence[dict[str, Any]], settings: Settings) -> None:
    """Stage the scores as CSV and as JSON, where what is undefined is null, and the settings as TOML."""
    finite = [{k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()} for row in rows]
    folder.stage(run.METRICS_JSON).write_text(json.dumps(finite, indent=2) + "\n", "utf-8")
    with folder.stage(run.METRICS_CSV).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    resolved = settings.model_dump(mode="json", exclude_none=True)
    folder.stage(run.RESOLVED).write_text(tomli_w.dumps(resolved), "utf-8")
