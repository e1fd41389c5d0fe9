"""Tasks: how they are named, and how a column's cells become labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enecg.errors import InputError
from enecg.tasks import BUILT_IN, Task, parse_tasks, read_labels

SEX, AGE, POTASSIUM = BUILT_IN["sex"], BUILT_IN["age"], BUILT_IN["potassium"]


def test_parsing() -> None:
    tasks = parse_tasks("rr_interval=rr_mean_ms, age ,superclass:multilabel, los:regression=days,dx:multiclass=code")
    assert [(task.name, task.kind, task.column) for task in tasks] == [
        ("rr_interval", "regression", "rr_mean_ms"),
        ("age", "regression", "age"),
        ("superclass", "multilabel", "superclass"),
        ("los", "regression", "days"),
        ("dx", "multiclass", "code"),
    ]
    assert (tasks[0].unit, tasks[0].loss, tasks[0].metric) == ("ms", "l1", "mae")
    assert (tasks[2].loss, tasks[2].metric) == ("log", "auroc")
    assert parse_tasks(["age", "sex"]) == [AGE, SEX]


def test_a_row_condition_may_hold_commas_and_brackets() -> None:
    tasks = parse_tasks("rr_interval=rr_mean_ms[rr_ok == 1 and site.isin(['a', 'b'])],age[age > 18],sex")
    assert [(task.name, task.column, task.where) for task in tasks] == [
        ("rr_interval", "rr_mean_ms", "rr_ok == 1 and site.isin(['a', 'b'])"),
        ("age", "age", "age > 18"),
        ("sex", "sex", ""),
    ]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("", "no task is named"),
        (" , ", "no task is named"),
        ("weight", "'weight' is not one of rr_interval, age"),
        ("age,age", "age is named twice"),
        ("x:ordinal", "'ordinal' is no kind"),
        ("a b", "cannot read 'a b'"),
        ("x:binary=c=d", "cannot read"),
    ],
)
def test_parsing_refuses(spec: str, told: str) -> None:
    with pytest.raises(InputError, match="--tasks: ") as caught:
        parse_tasks(spec)
    assert told in str(caught.value)


@pytest.mark.parametrize("task", [*BUILT_IN.values(), *parse_tasks("x:multilabel=y,z:regression")])
def test_a_task_survives_json(task: Task) -> None:
    assert Task.from_dict(json.loads(json.dumps(task.as_dict()))) == task


def test_sex_in_its_spellings() -> None:
    target = read_labels(SEX, ["M", "f", "Male", "FEMALE", "", None, float("nan"), "unknown", "x"])
    np.testing.assert_array_equal(target.y[:, 0], [0, 1, 0, 1, *[np.nan] * 5])
    assert target.problems == ("manifest: row 10, column sex: 'x' is none of M, F",)
    assert target.known.tolist() == [True] * 4 + [False] * 5


def test_zero_and_one_do_not_say_which_sex() -> None:
    with pytest.raises(InputError, match="0/1 does not say which is which"):
        read_labels(SEX, [0, 1, 1])


def test_potassium_in_its_spellings() -> None:
    target = read_labels(POTASSIUM, ["normal", "high", 0, 1.0, "low", "Abnormal"])
    assert target.y[:, 0].tolist() == [0, 1, 0, 1, 1, 1]
    assert not target.problems


def test_sentinels_are_no_labels() -> None:
    target = read_labels(
        BUILT_IN["rr_interval"], [800, "29999", 65535.0, "0", "abc", " 750.5 "], "m.csv", list("abcdef")
    )
    np.testing.assert_array_equal(target.y[:, 0], [800, np.nan, np.nan, np.nan, np.nan, 750.5])
    assert target.problems == (
        "m.csv: b, column rr_interval: '29999' is outside 150 to 6000 ms",
        "m.csv: c, column rr_interval: '65535' is outside 150 to 6000 ms",
        "m.csv: d, column rr_interval: '0' is outside 150 to 6000 ms",
        "m.csv: e, column rr_interval: 'abc' is not a number",
    )


@pytest.mark.parametrize("text", ["inf", "-inf", "1e999"])
def test_infinity_is_no_label_even_without_limits(text: str) -> None:
    target = read_labels(parse_tasks("x:regression")[0], ["1", text])
    np.testing.assert_array_equal(target.y[:, 0], [1, np.nan])
    assert "not a finite number" in target.problems[0]


def test_multiclass_takes_its_classes_from_the_labels_most_frequent_first() -> None:
    task = parse_tasks("r:multiclass")[0]
    target = read_labels(task, ["SR", "AF", "SR", "", "B", "A"])
    assert target.task.classes == ("SR", "A", "AF", "B")
    assert target.y[1].tolist() == [0, 0, 1, 0]
    assert np.isnan(target.y[3]).all()
    later = read_labels(target.task, ["AF", "new"])
    assert later.y[0].tolist() == [0, 0, 1, 0]
    assert np.isnan(later.y[1]).all()
    assert later.problems == ("manifest: row 3, column r: 'new' is none of SR, A, AF, B",)


def test_multilabel() -> None:
    task = parse_tasks("dx:multilabel")[0]
    target = read_labels(task, ["MI;CD", " MI ", "", "CD; ;MI", "MI;MI"])
    assert target.task.classes == ("MI", "CD")
    np.testing.assert_array_equal(target.y, [[1, 1], [1, 0], [np.nan, np.nan], [1, 1], [1, 0]])
    later = read_labels(target.task, ["HYP", "HYP;CD"])  # known, and none or one of those asked for
    np.testing.assert_array_equal(later.y, [[0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("spec", "cells", "told"),
    [
        ("x:binary", ["a", "b", "c"], r"binary needs two classes, found \['a', 'b', 'c'\]"),
        ("x:binary", ["a", "a"], r"binary needs two classes, found \['a'\]"),
        ("x:binary", ["", None], "binary needs two classes, found none"),
        ("x:multiclass", ["a", ""], r"at least two classes, found \['a'\]"),
        ("x:multilabel", [""], "at least two classes, found none"),
        ("x:regression", ["", "NA"], "column x has no label for task x"),
        ("x:regression", ["a"], "no label for task x; first: m: row 2, column x: 'a' is not a number"),
    ],
)
def test_too_few_labels(spec: str, cells: list[str], told: str) -> None:
    with pytest.raises(InputError, match=f"^m: .*{told}"):
        read_labels(parse_tasks(spec)[0], cells, "m")


def test_a_flag_column_with_gaps_arrives_as_floats() -> None:
    target = read_labels(parse_tasks("x:binary")[0], pd.Series([0.0, 1.0, np.nan]))
    assert target.task.classes == ("0", "1")
    np.testing.assert_array_equal(target.y[:, 0], [0, 1, np.nan])


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "", "NA"])), min_size=1, max_size=30))
def test_one_hot_rows(cells: list[str | None]) -> None:
    task = Task("x", "multiclass", "x", classes=("a", "b", "c"))
    if not any(cell in task.classes for cell in cells):
        with pytest.raises(InputError):
            read_labels(task, cells)
        return
    target = read_labels(task, cells)
    assert target.y.shape == (len(cells), 3)
    for row, cell in zip(target.y, cells, strict=True):
        assert np.isnan(row).all() if cell in (None, "", "NA") else row.tolist() == [cell == name for name in "abc"]
    rows = np.flatnonzero(target.known)
    assert target.take(rows).known.all()


def test_outputs() -> None:
    assert (AGE.outputs, AGE.output_names) == (1, ("age",))
    assert (SEX.outputs, SEX.output_names) == (1, ("F",))
    three = Task("x", "multilabel", "x", classes=("a", "b", "c"))
    assert (three.outputs, three.output_names) == (3, ("a", "b", "c"))


def test_none_is_a_class_unless_the_task_says_that_it_is_missing() -> None:
    cells = ["none", "LVH", "None", "RVH", "unknown", ""]
    (task,) = parse_tasks("hyp:multiclass")
    target = read_labels(task, ["none", "LVH", "none", "RVH", "unknown", ""])
    assert target.task.classes == ("none", "LVH", "RVH")
    assert target.known.tolist() == [True] * 4 + [False] * 2
    assert target.notes == ("manifest: column hyp: 1 cells count as missing ('unknown' 1 times)",)
    (told,) = parse_tasks("hyp:multiclass=h~none~refused[a == 1]")
    assert (told.column, told.missing, told.where) == ("h", ("none", "refused"), "a == 1")
    assert Task.from_dict(told.as_dict()) == told
    target = read_labels(told, [*cells, "refused"])
    assert target.task.classes == ("LVH", "RVH")
    assert target.known.sum() == 2
    assert "4 cells count as missing" in target.notes[0] and "'refused' 1 times" in target.notes[0]


def test_a_task_of_an_earlier_version_has_no_words_of_its_own() -> None:
    data = Task("x", "binary", "x").as_dict()
    del data["missing"]
    assert Task.from_dict(data).missing == ()


def test_an_absence_is_the_negative_class() -> None:
    (task,) = parse_tasks("hyp:binary")
    target = read_labels(task, ["LVH", "none", "none"])
    assert target.task.classes == ("none", "LVH")
    assert target.y[:, 0].tolist() == [1, 0, 0]
    with pytest.raises(InputError, match=r"binary needs two classes, found \['LVH'\]; 2 cells count as missing"):
        read_labels(replace(task, missing=("none",)), ["LVH", "none", "none"])


def test_a_multilabel_cell_can_say_that_no_finding_is_there() -> None:
    (task,) = parse_tasks("f:multilabel")
    target = read_labels(task, ["none", "AF;LBBB", "AF", "", "none;AF"])
    assert target.task.classes == ("AF", "LBBB")
    np.testing.assert_array_equal(target.y, [[0, 0], [1, 1], [1, 0], [np.nan] * 2, [np.nan] * 2])
    assert target.problems == ("manifest: row 6, column f: 'none' stands beside AF",)
    (silent,) = parse_tasks("f:multilabel~none")
    assert read_labels(silent, ["none", "AF;LBBB", "AF"]).known.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("spec", "cells", "note"),
    [
        ("x:binary", ["a"] * 59 + ["b"], "only 1 of 60 labels are b, too few to learn from or to judge by"),
        ("x:regression", [5.0] * 60, "all 60 labels are 5; nothing can be learned from them"),
    ],
)
def test_labels_that_teach_little_are_told(spec: str, cells: list[object], note: str) -> None:
    (task,) = parse_tasks(spec)
    assert read_labels(task, cells).notes == (f"manifest: column x: {note}",)
    assert read_labels(task, [*cells, *cells[-12:], *"ab" * 12] if "binary" in spec else [*cells, 6.0]).notes == ()


@pytest.mark.parametrize(
    "cells", [[*map(float, range(60)), 1e30], [5.0] * 60 + [1e30], [*map(float, range(60)), -1e15]]
)
def test_a_label_out_of_all_proportion_is_missing(cells: list[float]) -> None:
    target = read_labels(parse_tasks("x:regression")[0], cells)
    assert target.known.tolist() == [True] * 60 + [False]
    assert "lies out of all proportion to the median" in target.problems[0]
