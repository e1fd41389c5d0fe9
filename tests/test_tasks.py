"""Tasks: how they are named, and how a column's cells become labels."""

from __future__ import annotations

import json

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
