"""The results folder of a survival study: tables, figures, maps, model, and the page that says it in words."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..report import study as pages
from ..report.lines import curves
from ..report.page import Picture
from ..schema import run
from ..schema.events import Events
from ..schema.folder import RunFolder
from ..schema.studies import SurvivalSettings
from ..survival.cox import baseline_hazard
from ..survival.curves import kaplan_meier, logrank_p, numbers_at_risk
from ..survival.fit import fit, outcomes_of, risks_of, shrunk
from ..survival.saved import SavedRisk, save_risk
from ..training.intervals import resamples
from . import maps
from .cohort import Cohort
from .scores import write_scores
from .survival import ALONE, GRAPH, MEAN, NOBODY, Study, auc_of, verdict

FILES = {
    run.METRICS_CSV: "every score with its interval",
    run.PREDICTIONS: "each patient: fold, time, event, log-risk when in the test fold, group",
    "contributions/": "what each tile adds to the log-risk, by the model that never saw the patient",
    "overlays/": "the same as pictures, and as float32 TIFF",
    "model/": "the network fitted on all patients, for as many epochs as the folds took at the median",
    run.RESOLVED: "the settings, all of them",
}
LOW, HIGH = "low risk", "high risk"


def write_study(
    folder: RunFolder,
    study: Study,
    cohort: Cohort,
    rows: Sequence[dict[str, Any]],
    settings: SurvivalSettings,
    events: Events,
) -> None:
    """Stage everything except the run record."""
    _write_tables(folder, study, rows, settings)
    p_value = _draw_groups(folder, study, cohort.unit)
    _draw_times(folder, study, cohort.unit)
    drawn = _write_maps(folder, study, cohort, settings, events)
    _write_model(folder, study, settings)
    facts = {"seed": str(settings.seed), "epoch kept, by fold": ", ".join(str(each.epoch) for each in study.fitted)}
    _write_page(folder, study, rows, p_value, drawn, events.notes, facts)


def _write_tables(folder: RunFolder, study: Study, rows: Sequence[dict[str, Any]], settings: SurvivalSettings) -> None:
    write_scores(folder, rows, settings)
    with folder.stage(run.PREDICTIONS).open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("patient", "fold", "time", "event", "log_risk", "group"))
        for i, patient in enumerate(study.patients):
            group = HIGH if study.high[GRAPH][i] else LOW
            risk = f"{study.risk[GRAPH][i]:.6g}"
            lines.writerow((patient.name, study.fold[i], patient.time, int(patient.event), risk, group))


def _draw_groups(folder: RunFolder, study: Study, unit: str) -> float:
    """Kaplan-Meier of the two groups; returns the log-rank p."""
    time, event = outcomes_of(study.patients)
    high = study.high[GRAPH]
    ticks = _ticks(float(time.max()))
    groups = []
    for name, inside in ((LOW, ~high), (HIGH, high)):
        if inside.any():
            curve = kaplan_meier(name, time[inside], event[inside])
            at_risk = numbers_at_risk(time[inside], ticks).tolist()
            groups.append(pages.Steps(curve.name, curve.times, curve.survival, curve.low, curve.high, at_risk))
    p_value = logrank_p(time, event, high.astype(np.int64))
    note = f"log-rank p = {p_value:.2g}" if np.isfinite(p_value) else "one group only: the model parted nobody"
    path = folder.stage(run.figure_png("kaplan-meier"))
    pages.kaplan_meier(path, groups, ticks, "Groups by the training folds' median risk", unit, note)
    return p_value


def _ticks(longest: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """At most eight round times from 0 to the longest."""
    power = 10.0 ** np.floor(np.log10(max(longest, 1e-9)))
    step = next(s * power / 10 for s in (1, 2, 2.5, 5, 10, 20) if longest / (s * power / 10) <= 7)
    return np.arange(0, longest + 0.6 * step, step)


def _draw_times(folder: RunFolder, study: Study, unit: str) -> None:
    """AUC and Brier score over time; nothing where there are fewer than two times."""
    if len(study.times) < 2:
        return
    weights = resamples([patient.name for patient in study.patients], 500)
    xlabel = f"time ({unit})" if unit else "time"
    band = auc_of(study, GRAPH, weights)
    low, high = np.nanpercentile(band[1:], [2.5, 97.5], axis=0)
    lines: dict[str, Any] = {GRAPH: (band[0], low, high)}
    lines |= {model: auc_of(study, model)[0] for model in (ALONE, MEAN)}
    path = folder.stage(run.figure_png("auc"))
    curves(path, study.times, lines, "Who has the event by then?", xlabel, "AUC (0.5 is chance)")
    errors = {model: study.error[model].mean(0) for model in (GRAPH, ALONE, MEAN, NOBODY)}
    path = folder.stage(run.figure_png("brier"))
    curves(path, study.times, errors, "Error of the predicted chance", xlabel, "Brier score (0 is best)")


def _write_maps(
    folder: RunFolder, study: Study, cohort: Cohort, settings: SurvivalSettings, events: Events
) -> list[str]:
    """Contributions of every slide; pictures of those with the highest and the lowest risk, in turn."""
    above = study.risk[GRAPH] - np.array(study.cuts)[study.fold]
    order = np.argsort(-above, kind="stable")
    turns = [i for pair in zip(order, order[::-1], strict=True) for i in pair][: len(order)]
    wanted: list[str] = []
    for i in turns:
        wanted += list(study.patients[i].tiles) if len(wanted) < settings.maps else []
    drawn = []
    for i in events.track("maps", range(len(order)), len(order)):
        patient, fold = study.patients[i], int(study.fold[i])
        for name, values in maps.contributions(study.fitted[fold].network, patient, study.cuts[fold]).items():
            maps.write_contributions(folder.stage(run.contributions_csv(name)), cohort.slides[name], values)
            if name in wanted:
                title = f"{name}: log-risk {above[i]:+.2f} against the median"
                picture, numbers = (folder.stage(each(name)) for each in (_map_png, run.heatmap_tiff))
                known = maps.draw_map(picture, numbers, cohort.slides[name], values, title, settings.slides, events)
                drawn += [name] if known else []
    if wanted and not drawn:
        events.note("no map is drawn: the feature files have no microns per pixel; give slides, their folder")
    return [name for name in wanted if name in drawn]


def _map_png(slide: str) -> str:
    return run.overlay_png(slide, "contribution")


def _write_model(folder: RunFolder, study: Study, settings: SurvivalSettings) -> None:
    """The network on all patients, for the median of the folds' epochs, shrunk by the median of their slopes."""
    epochs = max(int(np.median([fitted.epoch for fitted in study.fitted])), 1)
    network = fit(study.patients, [], settings.risk.model_copy(update={"epochs": epochs}), settings.seed).network
    network = shrunk(network, float(np.median([fitted.slope for fitted in study.fitted])))
    risk = risks_of(network, study.patients)
    hazard = baseline_hazard(risk, *outcomes_of(study.patients), study.times)
    saved = SavedRisk(network, settings.risk, float(np.median(risk)), study.times, hazard)
    save_risk(folder.stage(run.RISK_WEIGHTS), folder.stage(run.RISK_FACTS), saved)


def _write_page(
    folder: RunFolder,
    study: Study,
    rows: Sequence[dict[str, Any]],
    p_value: float,
    drawn: Sequence[str],
    notes: Sequence[str],
    facts: dict[str, str],
) -> None:
    together = [row for row in rows if row["fold"] == "all"]
    single = [row for row in rows if row["fold"] != "all" and row["model"] == GRAPH]
    columns = ("score", "model", "value (95 % interval over patients)", "slide graph minus this")
    note = "C-index and AUC: 0.5 is chance, 1 is perfect. Brier score: lower is better. Pairs count within a fold."
    tables = [
        pages.Table("Scores on patients that the model never saw", columns, [_cells(r) for r in together], note),
        pages.Table(
            "C-index of the slide graph, fold by fold",
            ("fold", "patients", "events", "value (95 % interval)"),
            [(r["fold"], r["patients"], r["events"], _value(r)) for r in single],
        ),
    ]
    figures = [name for name in ("kaplan-meier", "auc", "brier") if folder.stage(run.figure_png(name)).exists()]
    shown = {"Curves": [_picture(folder, run.figure_png(name)) for name in figures]}
    if drawn:
        shown["What raised (red) and lowered (blue) the risk"] = [_picture(folder, _map_png(name)) for name in drawn]
    first = next(row for row in together if row["metric"] == "C-index" and row["model"] == GRAPH)
    parted = f" Log-rank p of the two groups: {p_value:.2g}." if np.isfinite(p_value) else ""
    summary = f"{verdict(study.patients)} C-index {_value(first)}.{parted}"
    subject = f"{len(study.patients)} patients, {first['events']} events, {len(np.unique(study.fold))} folds by patient"
    page = pages.StudyPage("Survival", subject, summary, notes, tables, shown, FILES, facts)
    pages.write_study(folder.stage(run.REPORT), page)


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["metric"], row["model"], _value(row), row["graph_minus_this"]


def _value(row: dict[str, Any]) -> str:
    if not np.isfinite(row["value"]):
        return "undefined: no comparable pair"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _picture(folder: RunFolder, name: str) -> Picture:
    return Picture(folder.stage(name).read_bytes())
