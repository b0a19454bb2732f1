"""What a table says follows from its intervals; the page holds the command, the table and the paper's numbers."""

from __future__ import annotations

from pathlib import Path

from hmgdm_plugin.evaluation.cost import Cost, fresh_peak, peak_mb
from hmgdm_plugin.evaluation.judging import Row
from hmgdm_plugin.evaluation.page import Made, page
from hmgdm_plugin.evaluation.reading import Table, sentences
from hmgdm_plugin.schema.evaluation import EvaluateSettings
from hmgdm_plugin.training.intervals import Interval

ROWS = ("ours", "weak", "strong", "pixels")


def _row(task: str, name: str, value: float, low: float | None = None, high: float | None = None) -> Row:
    difference = None if low is None or high is None else Interval((low + high) / 2, low, high)
    return Row(task, "R2", name, 8, Interval(value, value - 0.1, value + 0.1), difference, 40, 10)


SCORED = (
    _row("count", "ours", 0.5),
    _row("count", "weak", 0.2, -0.5, -0.1),
    _row("count", "strong", 0.8, 0.1, 0.5),
    _row("count", "pixels", 0.5, -0.1, 0.1),
    _row("graphs", "ours", 0.6),
    _row("graphs", "weak", 0.5, -0.2, 0.0),
    _row("graphs", "strong", 0.5, -0.2, 0.0),
)


def test_sentences_follow_from_intervals() -> None:
    whole, weak, strong, pixels = sentences(Table.of(ROWS, SCORED, "ours"))
    assert whole == "**ours** is better than weak somewhere and nowhere worse; somewhere worse than strong."
    assert weak == (
        "Against *weak*, **ours** is better on count, worse on none, and not to be told apart on 1 (graphs)."
    )
    assert "better on none, worse on count" in strong
    assert pixels.endswith("not to be told apart on 1 (count).")  # what it cannot be asked is left out


def test_the_page_holds_table_paper_and_command() -> None:
    rows = [{"name": name, "kind": "statistics"} for name in ROWS]
    rows[0] |= {"paper": "H-MGDM"}
    tasks = [{"name": "count", "label": "count", "kind": "regression", "note": "counted"}]
    tasks += [{"name": "graphs", "shuffled": True, "kind": "classification"}]
    settings = EvaluateSettings.model_validate(
        {"recipe": Path("r.toml"), "reference": "ours", "row": rows, "yardstick": tasks}
    )
    made = Made("hmgdm evaluate e.toml", "images/e.png", "e.csv", "2026-01-01", "Linux", "torch 2", 99)
    text = page(settings, SCORED, dict.fromkeys(ROWS, Cost(61.0, 0.0123, 512.0, 1_500_000)), made, "It held.")
    assert text.startswith("# What the encoder is worth\n\n```bash\nhmgdm evaluate e.toml\n```")
    assert "| **ours** | 0.500 | 0.600 | 61 s | 12 ms | 512 MB | 1.50 M |" in text
    assert "| weak | 0.200 ▼ | 0.500 |" in text
    assert "| pixels | 0.500 | - |" in text
    assert (
        "| H-MGDM | G M D | 82.06±1.17 | 72.41±1.36 | 74.51±1.13 | 67.32±1.40 | 86.23±2.31 | 78.92±1.79 | ours |"
        in text
    )
    assert "\n\nIt held.\n\n" in text
    assert "from the same 99 tiles" in text
    assert "| count | R2 | 40 | 10 patients | 6, 5 | counted |" in text


def test_the_peak_of_memory_counts_from_where_it_is_asked_to() -> None:
    fresh_peak()
    before = peak_mb()
    held = b"x" * 60_000_000
    assert peak_mb() > before + 50
    assert len(held) == 60_000_000
