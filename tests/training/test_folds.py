import numpy as np
import pytest

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.training.folds import check_leaks, patient_folds, splits

PATIENTS = [f"p{i % 14}" for i in range(140)]
BENIGN = [float(int(p[1:]) < 4) for p in PATIENTS]


def test_each_patient_is_whole_and_every_fold_is_used():
    folds = patient_folds(PATIENTS, 4, seed=3)
    assert set(folds) == {0, 1, 2, 3}
    assert all(len({f for f, p in zip(folds, PATIENTS, strict=True) if p == name}) == 1 for name in set(PATIENTS))


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_dealt_evenly(seed):
    folds = patient_folds(PATIENTS, 4, seed, BENIGN)
    for fold in range(4):
        inside = {p for p, f in zip(PATIENTS, folds, strict=True) if f == fold}
        assert sum(int(p[1:]) < 4 for p in inside) == 1
        assert len(inside) in (3, 4)


def test_the_seed_alone_decides():
    assert (patient_folds(PATIENTS, 4, 1) == patient_folds(PATIENTS, 4, 1)).all()
    assert any((patient_folds(PATIENTS, 4, 1) != patient_folds(PATIENTS, 4, s)).any() for s in (2, 3))


def test_too_few_patients_are_refused():
    with pytest.raises(InputError, match="2 patients do not fill 3 folds"):
        patient_folds(["a", "b", "a"], 3, 0)


@pytest.mark.parametrize("leaking", ["patient", "slide", "pixels"])
def test_leaks_are_refused_by_name(leaking):
    columns = {"patient": list("abcd"), "slide": list("efgh"), "pixels": list("ijkl")}
    folds = np.array([0, 0, 1, 1])
    check_leaks(*columns.values(), folds)
    columns[leaking][3] = columns[leaking][0]
    with pytest.raises(InputError, match=rf"{leaking} '{columns[leaking][0]}' is in folds \[0, 1\]"):
        check_leaks(*columns.values(), folds)


def test_22_patients_to_train_choose_and_judge_on_are_disjoint() -> None:
    patients = [f"p{k % 11}" for k in range(60)]
    folds = patient_folds(patients, 5, 0)
    names = np.array(patients)
    tested: list[int] = []
    for split in splits(folds, patients):
        sides = [set(names[rows]) for rows in (split.train, split.validation, split.test)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert set.union(*sides) == set(patients)
        tested += split.test.tolist()
    assert sorted(tested) == list(range(60))


def test_22_splits_refuse_a_patient_on_two_sides_and_too_few_folds() -> None:
    with pytest.raises(InputError, match="patient 'a' is in folds"):
        list(splits(np.array([0, 1, 2]), ["a", "a", "b"]))
    with pytest.raises(InputError, match="three folds"):
        list(splits(np.array([0, 1]), ["a", "b"]))
