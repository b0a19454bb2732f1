"""Folds by patient: what is learnt on some patients is judged on others, and nobody sits on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError

Ints = NDArray[np.int64]


def patient_folds(
    patients: Sequence[str], n_folds: int, seed: int, classes: Sequence[str | float] | None = None
) -> Ints:
    """Deal the patients to folds, each patient whole.

    Parameters
    ----------
    patients : (n,) patient of each row
    n_folds : int
    seed : int
        Another seed is another shuffle.
    classes : (n,), optional
        Deal the patients of each class evenly; a patient counts as the commonest class of its rows.

    Returns
    -------
    (n,) int64 fold of each row, 0..n_folds - 1.

    Raises
    ------
    InputError
        Fewer patients than folds.
    """
    unique, rows = np.unique(np.asarray(patients, str), return_inverse=True)
    if len(unique) < n_folds:
        raise InputError(f"{len(unique)} patients do not fill {n_folds} folds", "give more patients or fewer folds")
    strata = np.zeros(len(unique), np.int64) if classes is None else _class_of(rows, classes)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(unique))
    dealt = order[np.argsort(strata[order], kind="stable")]  # class after class, shuffled within
    fold = np.empty(len(unique), np.int64)
    fold[dealt] = rng.permutation(n_folds)[np.arange(len(unique)) % n_folds]
    return fold[rows]


def check_leaks(
    patients: Sequence[str],
    slides: Sequence[str] | None,
    pixel_hashes: Sequence[str] | None,
    folds: NDArray[np.integer],
) -> None:
    """Refuse folds that share something.

    Raises
    ------
    InputError
        The same patient, slide or identical pixels sit in two folds.
    """
    for what, values in (("patient", patients), ("slide", slides), ("pixels", pixel_hashes)):
        leak = None if values is None else _first_leak(values, folds)
        if leak is not None:
            value, some = leak
            raise InputError(
                f"{what} {value!r} is in folds {some}", "make folds with patient_folds, one name per patient"
            )


@dataclass(frozen=True)
class Split:
    """Rows to train on, to choose by, and to judge on."""

    fold: int
    train: Ints
    validation: Ints
    test: Ints


def splits(folds: NDArray[np.integer], patients: Sequence[str]) -> Iterator[Split]:
    """Each fold once for testing, the next for validation, the rest for training.

    Raises
    ------
    InputError
        Fewer than three folds, or a patient on two sides.
    """
    check_leaks(patients, None, None, folds)
    every = np.unique(folds)
    if len(every) < 3:
        raise InputError(f"{len(every)} folds leave none to train on", "ask for three folds or more")
    for test, validation in zip(every, np.roll(every, -1), strict=True):
        train = np.flatnonzero((folds != test) & (folds != validation))
        yield Split(int(test), train, np.flatnonzero(folds == validation), np.flatnonzero(folds == test))


def _first_leak(values: Sequence[str], folds: NDArray[np.integer]) -> tuple[str, list[int]] | None:
    unique, rows = np.unique(np.asarray(values, str), return_inverse=True)
    first = np.full(len(unique), -1, np.int64)
    first[rows] = folds  # any one fold of each value
    wrong = np.flatnonzero(first[rows] != folds)
    if wrong.size == 0:
        return None
    value = rows[wrong[0]]
    return str(unique[value]), sorted({int(f) for f in folds[rows == value]})


def _class_of(rows: Ints, classes: Sequence[str | float]) -> Ints:
    """Commonest class of each patient, as a number."""
    labels, codes = np.unique(np.asarray(classes), return_inverse=True)
    votes = np.zeros((rows.max() + 1, len(labels)), np.int64)
    np.add.at(votes, (rows, codes), 1)
    return votes.argmax(axis=1)
