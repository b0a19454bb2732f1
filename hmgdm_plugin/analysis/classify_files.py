"""The results folder of a classification study: tables, figures, the page in words, and a model that predicts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..qupath.overlay import palette
from ..report import study as pages
from ..report.page import Picture
from ..schema import run
from ..schema.folder import RunFolder
from ..schema.studies import ClassifySettings
from ..training.calibration import reliability
from ..zoo.card import Card, Head, HeadClass
from ..zoo.measured import Score
from ..zoo.save import save_model
from .classify import Fitting, Study, final
from .scores import write_scores

if TYPE_CHECKING:
    from ..zoo.load import LoadedModel

NAMES = {"linear": "linear probe", "knn": "nearest neighbours", "finetune": "fine-tuned"}
FEW = 20  # patients


def write_study(
    folder: RunFolder,
    study: Study,
    fitting: Fitting,
    rows: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> None:
    """Stage everything except the run record."""
    settings = fitting.settings
    write_scores(folder, rows, settings)
    _write_predictions(folder, study, fitting)
    for method in study.guess:
        name = NAMES[method]
        path = folder.stage(run.figure_png(f"confusion-{method}"))
        pages.confusion(path, confusion(study, method), study.classes, name.capitalize())
        bins = {
            "as it comes": reliability(study.target, study.plain[method]),
            "after temperature": reliability(study.target, study.guess[method]),
        }
        pages.reliability(folder.stage(run.figure_png(f"reliability-{method}")), bins, name.capitalize())
    _write_model(folder, study, fitting, rows)
    _write_page(folder, study, settings, rows, notes)


def model_name(model: LoadedModel, settings: ClassifySettings) -> str:
    """Name of the model that results."""
    return f"{model.card.name}-{settings.name}"[:60].rstrip("-")


def confusion(study: Study, method: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each class (rows) was taken for each (columns)."""
    counts = np.zeros((len(study.classes),) * 2, np.int64)
    np.add.at(counts, (study.target, study.guess[method].argmax(1)), 1)
    return counts


def _write_predictions(folder: RunFolder, study: Study, fitting: Fitting) -> None:
    with folder.stage(run.PREDICTIONS).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        chances = [f"{method}: {name}" for method in study.guess for name in study.classes]
        table.writerow(("example", "slide", "patient", "fold", "label", *chances))
        for k, example in enumerate(fitting.gathered.examples):
            found = [f"{value:.5f}" for guess in study.guess.values() for value in guess[k]]
            table.writerow((example.name, example.slide, example.patient, study.fold[k], example.label, *found))


def _write_model(folder: RunFolder, study: Study, fitting: Fitting, rows: Sequence[dict[str, Any]]) -> None:
    degrees = float(np.median(study.temperatures[fitting.settings.save]))
    encoder, head = final(study, fitting, degrees)
    model = fitting.model
    name = model_name(model, fitting.settings)
    card = _card(name, model.card, study, fitting.settings, rows, degrees)
    heads = {fitting.settings.name: head}
    save_model(folder.stage(run.model_folder(name)), card, model.features, encoder, heads, model.novelty)


def _card(
    name: str, card: Card, study: Study, settings: ClassifySettings, rows: Sequence[dict[str, Any]], degrees: float
) -> Card:
    classes = tuple(
        HeadClass(name=each, rgb=rgb) for each, rgb in zip(study.classes, palette(len(study.classes)), strict=True)
    )
    head = Head(
        name=settings.name,
        title=settings.title,
        kind="classification",
        classes=classes,
        default=True,
        caution=settings.caution,
        temperature=round(degrees, 4),
    )
    scores = tuple(
        Score(
            task=settings.name,
            metric=row["metric"],
            embedding=NAMES[row["method"]],
            value=round(row["value"], 4),
            low=round(row["low"], 4),
            high=round(row["high"], 4),
            patients=row["patients"],
            tiles=row["examples"],
            note="out of fold; counted by example"
            if row["method"] == settings.save
            else "not the method of this model",
        )
        for row in rows
        if np.isfinite([row["value"], row["low"], row["high"]]).all()
    )
    tuned = " Its encoder was trained on with these examples." if settings.save == "finetune" else ""
    what = {
        "name": name,
        "title": f"{settings.title}, on {card.name}",
        "description": f"{card.description} One prediction was added by `train classify`: {settings.title}.{tuned}",
        "licence": settings.licence or card.licence,
        "limits": (f"{len(set(study.patients))} patients with {len(study.target)} examples.", *card.limits),
        "head": (head,),
        "evaluation": scores,
    }
    return card.model_copy(update=what)


def _write_page(
    folder: RunFolder, study: Study, settings: ClassifySettings, rows: Sequence[dict[str, Any]], notes: Sequence[str]
) -> None:
    columns = ("score", "method", "value (95 % interval over patients)", f"minus {NAMES[settings.methods[0]]}")
    cells = [(row["metric"], NAMES[row["method"]], _value(row), row["minus_first"]) for row in rows]
    note = "Accuracy, macro-F1, AUROC: higher is better. ECE, the error of the probabilities: lower is better."
    counts = np.bincount(study.target, minlength=len(study.classes))
    whose = [len({p for p, t in zip(study.patients, study.target, strict=True) if t == k}) for k in range(len(counts))]
    tables = [
        pages.Table("Scores on patients that the model never saw", columns, cells, note),
        pages.Table(
            "Examples", ("class", "examples", "patients"), list(zip(study.classes, counts, whose, strict=True))
        ),
    ]
    pictures = {
        "What was taken for what": [_picture(folder, f"confusion-{method}") for method in study.guess],
        "Are the probabilities true?": [_picture(folder, f"reliability-{method}") for method in study.guess],
    }
    patients = len(set(study.patients))
    subject = f"{len(study.target)} examples of {patients} patients, {settings.folds} folds by patient"
    page = pages.StudyPage(
        settings.title, subject, _summary(study, settings, rows), notes, tables, pictures, _files(), _facts(study)
    )
    pages.write_study(folder.stage(run.REPORT), page)


def _summary(study: Study, settings: ClassifySettings, rows: Sequence[dict[str, Any]]) -> str:
    saved = next(row for row in rows if row["metric"] == "accuracy" and row["method"] == settings.save)
    common = float(np.bincount(study.target).max() / len(study.target))
    patients = len(set(study.patients))
    few = f" {patients} patients are few: read the interval, not the value." if patients < FEW else ""
    better = "" if saved["low"] > common else " That is not clearly better than always naming the commonest class."
    return (
        f"{NAMES[settings.save].capitalize()}: accuracy {_value(saved)}; always naming the commonest class gives "
        f"{common:.3f}.{better}{few}"
    )


def _files() -> Mapping[str, str]:
    return {
        run.METRICS_CSV: "every score with its interval",
        run.PREDICTIONS: "each example: fold, class, probabilities when in the test fold",
        "model/": "a model that `hmgdm predict --model` takes",
        run.RESOLVED: "the settings, all of them",
    }


def _facts(study: Study) -> Mapping[str, str]:
    facts = {f"temperature, {NAMES[m]}": _listed(each) for m, each in study.temperatures.items()}
    facts["encoder at the start of every fold"] = ", ".join(sorted({each[:16] for each in study.started_from}))
    return facts | ({"epoch kept, by fold": ", ".join(map(str, study.epochs))} if study.epochs else {})


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _value(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["value"]):
        return "undefined"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _picture(folder: RunFolder, what: str) -> Picture:
    return Picture(folder.stage(run.figure_png(what)).read_bytes())
