"""The manifest: what is read from it, who belongs together, and one clear line for all that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg.cohorts.manifest import Cohort, leakage
from enecg.errors import InputError
from enecg.tasks import parse_tasks


def manifest(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def cohort(**columns: object) -> Cohort:
    return Cohort.from_table(pd.DataFrame(columns), Path(), "table")


class TestReading:
    def test_the_real_manifest(self, shared_data: Path) -> None:
        whole = Cohort.load(shared_data / "manifest.csv")
        assert (len(whole), whole.name, whole.root) == (2033, "manifest.csv", shared_data)
        assert len(whole.records) == len(set(whole.records)) == len(whole.subjects) == 2033
        assert whole.path(0).with_suffix(".hea").is_file()
        train = Cohort.load(
            shared_data / "manifest.csv", 'record.str.startswith("ptbxl_filtered_100hz/") and strat_fold <= 8'
        )
        assert len(train) == 1442
        targets = [train.target(t) for t in parse_tasks("rr_interval=rr_mean_ms,age,sex,arrhythmia=rhythm")]
        assert [int(target.known.sum()) for target in targets] == [1442, 1426, 1442, 1408]
        assert all(not target.problems for target in targets)

    def test_ids_stay_text_and_numbers_become_numbers(self, tmp_path: Path) -> None:
        rows = "007,01,003,1234567890123456,40,1.50,II\n8,2,010,2,NA,-3e-2,III\n"
        text = "record,subject_id,site,dx,age,score,grade\n" + rows
        table = Cohort.load(manifest(tmp_path, text)).table
        assert table["record"].tolist() == ["007", "8"]
        assert table["subject_id"].tolist() == ["1", "2"]  # tables write one number as 01, 1 or 1.0
        assert table["site"].tolist() == ["003", "010"]
        assert table["dx"].tolist() == ["1234567890123456", "2"]
        assert table["grade"].tolist() == ["II", "III"]
        np.testing.assert_array_equal(table["age"], [40.0, np.nan])
        assert table["score"].tolist() == [1.5, -0.03]

    def test_blank_cells_are_missing(self, tmp_path: Path) -> None:
        table = Cohort.load(manifest(tmp_path, "record,age,rhythm\na,,\nb,50,SR\n")).table
        assert table.isna().to_numpy().tolist() == [[False, True, True, False], [False, False, False, False]]

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_separators_and_the_mark_of_windows(self, tmp_path: Path, separator: str) -> None:
        text = "\ufeff" + "record,age\r\na,50\r\nb,60\r\n".replace(",", separator)
        table = Cohort.load(manifest(tmp_path, text)).table
        assert (table["record"].tolist(), table["age"].tolist()) == (["a", "b"], [50, 60])

    def test_parquet_by_content(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(
            {"record": [7, 8], "subject_id": [1.0, np.nan], "dx": [["MI", "CD"], ["NORM"]], "age": [50, 60]}
        )
        frame.to_parquet(tmp_path / "manifest.csv")
        whole = Cohort.load(tmp_path / "manifest.csv", "age > 55 or dx.str.contains('MI')")
        assert whole.records == ["7", "8"]
        assert whole.subjects.tolist() == ["1", "8"]
        assert whole.table["dx"].tolist() == ["MI;CD", "NORM"]

    def test_csv_and_parquet_are_one_cohort(self, tmp_path: Path, shared_data: Path) -> None:
        whole = Cohort.load(shared_data / "manifest.csv")
        whole.table.to_parquet(tmp_path / "m.parquet")
        assert Cohort.load(tmp_path / "m.parquet").digest() == whole.digest()

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "not a readable table: No columns to parse"),
            ("file,age\na,50\n", "there is no column 'record'; it has file, age"),
            ("record,age\n", "no recording is in it"),
            ("record\na\nb\na\n", "record a is in rows 2 and 4; keep one"),
            ("record\nx/a\nb\nx//./a\n", "in rows 2 and 4"),
            ("record,age\na,50,60\nb,1\n", "rows have more cells than"),
            ("record,age\na,50\nb,1,2\n", "Expected 2 fields in line 3, saw 3"),
            ("record, age,age \na,50,60\n", "two columns are named 'age'"),
        ],
    )
    def test_what_is_no_manifest(self, tmp_path: Path, text: str, told: str) -> None:
        with pytest.raises(InputError) as caught:
            Cohort.load(manifest(tmp_path, text))
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read: No such file"):
            Cohort.load(tmp_path / "none.csv")
        (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00record")
        with pytest.raises(InputError, match="neither Parquet nor UTF-8"):
            Cohort.load(tmp_path / "m.csv")
        (tmp_path / "m.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(InputError, match="not a readable table"):
            Cohort.load(tmp_path / "m.parquet")
        with pytest.raises(InputError, match=r"none of the known data sets \(.*PTB-XL\)"):
            Cohort.load(tmp_path)

    def test_nothing_left_by_the_filter(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no recording meets --where 'age > 200'"):
            Cohort.load(manifest(tmp_path, "record,age\na,50\n"), "age > 200")


class TestPaths:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A manifest's folder with a record, and one outside that links lead to."""
        (tmp_path / "outside").mkdir()
        inside = tmp_path / "inside"
        (inside / "sub").mkdir(parents=True)
        for place in (tmp_path / "outside", inside, inside / "sub"):
            (place / "r.hea").touch()
            (place / "r.dat").touch()
        (inside / "link").symlink_to(tmp_path / "outside")
        (inside / "linked.hea").symlink_to(tmp_path / "outside" / "r.hea")
        (inside / "half.hea").touch()
        (inside / "half.dat").symlink_to(tmp_path / "outside" / "r.dat")
        (inside / "fine.hea").symlink_to(inside / "r.hea")
        (inside / "loop.hea").symlink_to(inside / "loop.hea")
        return inside

    @pytest.mark.parametrize("record", ["r", "r.hea", "sub/r", "sub/../r", "./r", "fine", "not-there", "..r", "loop"])
    def test_inside(self, folder: Path, record: str) -> None:
        place = Cohort.from_table(pd.DataFrame({"record": [record]}), folder, "m.csv").path(0)
        assert place.resolve().is_relative_to(folder.resolve())

    @pytest.mark.parametrize(
        "record",
        ["../outside/r", "..", "sub/../../outside/r", "/etc/passwd", "link/r", "sub/../link/r", "linked", "linked.hea",
         "half", "half.hea", "half.dat"],
    )  # fmt: skip
    def test_outside(self, folder: Path, record: str) -> None:
        whole = Cohort.from_table(pd.DataFrame({"record": ["r", record]}), folder, "m.csv")
        assert whole.path(0) == folder / "r"
        with pytest.raises(InputError, match=r"m\.csv: .* leaves the manifest's folder"):
            whole.path(1)

    def test_a_manifest_named_from_within_its_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for place in (folder, folder / "sub"):
            monkeypatch.chdir(place)
            assert Cohort.load(manifest(Path(), "record\nr\n")).path(0).with_suffix(".hea").is_file()

    @pytest.mark.parametrize("record", ["", "a\0b"])
    def test_no_name(self, folder: Path, record: str) -> None:
        with pytest.raises(InputError, match="recording 1 has no name"):
            Cohort.from_table(pd.DataFrame({"record": [record]}), folder, "m.csv").path(0)


class TestSubjects:
    def test_blank_means_the_recording_itself(self) -> None:
        assert cohort(record=["a", "b", "c"], subject_id=["p", None, ""]).subjects.tolist() == ["p", "b", "c"]
        assert cohort(record=["a", "b"]).subjects.tolist() == ["a", "b"]

    def test_recordings_held_twice_have_one_subject(self) -> None:
        whole = cohort(
            record=["a", "b", "c", "d", "e", "f"],
            subject_id=["p", None, "q", None, None, "r"],
            same_recording_as=[None, "a", "x", "x", "d", None],  # b is a; c and d are some x; e is d
        )
        assert whole.subjects.tolist() == ["p", "p", "q", "q", "q", "r"]

    def test_a_copy_that_is_filtered_away_still_binds(self) -> None:
        table = pd.DataFrame(
            {"record": ["a", "b", "c"], "subject_id": ["p", "", ""], "same_recording_as": ["", "a", "a"]}
        )
        train = Cohort.from_table(table, Path(), "m", "record == 'b'")
        test = Cohort.from_table(table, Path(), "m", "record == 'c'")
        assert leakage(train.subjects, test.subjects) == ["p"]

    def test_real_copies(self, shared_data: Path) -> None:
        whole = Cohort.load(shared_data / "manifest.csv")
        rows = whole.table[whole.table["same_recording_as"] != ""]
        by_record = dict(zip(whole.records, whole.subjects, strict=True))
        held_here = [link for link in rows["same_recording_as"] if link in by_record]
        assert len(rows) == 39
        assert len(held_here) == 5
        for row in rows.itertuples():
            if row.same_recording_as in by_record:
                assert by_record[row.record] == by_record[row.same_recording_as]

    @given(st.permutations(range(8)))
    def test_whatever_the_order(self, order: list[int]) -> None:
        table = pd.DataFrame(
            {
                "record": list("abcdefgh"),
                "subject_id": ["p", "", "q", "", "", "r", "q", ""],
                "same_recording_as": ["", "a", "x", "x", "d", "", "b", "h"],
            }
        )
        expected = dict(zip(table["record"], Cohort.from_table(table, Path(), "m").subjects, strict=True))
        shuffled = Cohort.from_table(table.iloc[order], Path(), "m")
        assert dict(zip(shuffled.records, shuffled.subjects, strict=True)) == expected


class TestFolds:
    @given(st.lists(st.integers(0, 12), min_size=4, max_size=60), st.integers(2, 4), st.integers(0, 3))
    @settings(deadline=None)
    def test_whole_subjects_in_balanced_folds(self, people: list[int], n: int, seed: int) -> None:
        whole = cohort(record=[f"r{i}" for i in range(len(people))], subject_id=[f"p{person}" for person in people])
        if len(set(people)) < n:
            with pytest.raises(InputError, match="subjects cannot be split"):
                whole.folds(n, seed)
            return
        folds = whole.folds(n, seed)
        sizes = np.bincount(folds, minlength=n)
        assert sizes.min() > 0
        assert sizes.max() - sizes.min() <= max(np.bincount(people))
        for fold in range(n):
            assert leakage(whole.subjects[folds == fold], whole.subjects[folds != fold]) == []
        order = np.random.default_rng(seed).permutation(len(people))
        np.testing.assert_array_equal(whole.take(order).folds(n, seed), folds[order])

    def test_real_folds(self, shared_data: Path) -> None:
        whole = Cohort.load(shared_data / "manifest.csv", "strat_fold <= 9")
        folds = whole.folds(5)
        assert np.ptp(np.bincount(folds)) <= 1
        assert (whole.folds(5, seed=1) != folds).any()

    def test_one_subject_only(self) -> None:
        with pytest.raises(InputError, match="1 subjects cannot be split into 5 folds"):
            cohort(record=["a", "b"], subject_id=["p", "p"]).folds(5)

    def test_leakage(self) -> None:
        assert leakage(np.array(["b", "a", "c"]), np.array(["c", "d", "a", "a"])) == ["a", "c"]


class TestDigest:
    def test_what_it_covers(self) -> None:
        columns = {"record": ["a", "b"], "subject_id": ["p", "q"], "age": [50, 60]}
        digest = cohort(**columns).digest()
        assert len(digest) == 64
        assert cohort(**{name: columns[name][::-1] for name in reversed(columns)}).digest() == digest
        assert cohort(**columns).take([1]).digest() == cohort(**columns).digest(np.array([False, True]))
        for name, cells in {"record": ["a", "c"], "subject_id": ["p", "p"], "age": [50, 61]}.items():
            assert cohort(**{**columns, name: cells}).digest() != digest
        assert cohort(**columns, sex=["M", "F"]).digest() != digest


class TestTargets:
    def test_a_missing_column_names_the_nearest(self) -> None:
        whole = cohort(record=["a"], superclass=["MI"], sub_class=["x"])
        with pytest.raises(InputError, match=r"no column 'superclas' for task dx; nearest: superclass, sub_class"):
            whole.target(parse_tasks("dx:multilabel=superclas")[0])
        with pytest.raises(InputError, match="it has record, superclass, sub_class, subject_id"):
            whole.target(parse_tasks("zzz:binary")[0])

    def test_a_bad_label_is_told_by_record(self) -> None:
        target = cohort(record=["a", "b", "c"], age=["50", "old", "300"]).target(parse_tasks("age")[0])
        np.testing.assert_array_equal(target.y[:, 0], [50, np.nan, np.nan])
        assert target.problems == (
            "table: b, column age: 'old' is not a number",
            "table: c, column age: '300' is outside 0 to 120 years",
        )

    def test_labels_under_a_condition(self) -> None:
        whole = cohort(record=["a", "b", "c"], rr=[800, 900, 1000], ok=[1, 0, 1])
        target = whole.target(parse_tasks("rr_interval=rr[ok == 1]")[0])
        np.testing.assert_array_equal(target.y[:, 0], [800, np.nan, 1000])
        with pytest.raises(InputError, match="there is no column 'good'; "):
            whole.target(parse_tasks("rr_interval=rr[good == 1]")[0])

    def test_numeric_labels_read_as_they_were_written(self, tmp_path: Path) -> None:
        whole = Cohort.load(manifest(tmp_path, "record,flag\na,0\nb,1\nc,\n"))
        target = whole.target(parse_tasks("flag:binary")[0])
        assert target.task.classes == ("0", "1")
        np.testing.assert_array_equal(target.y[:, 0], [0, 1, np.nan])


def test_take(shared_data: Path) -> None:
    whole = Cohort.load(shared_data / "manifest.csv")
    some = whole.take(np.array([5, 3]))
    assert some.records == [whole.records[5], whole.records[3]]
    assert isinstance(some.table.index, pd.RangeIndex)
    mask = whole.table["sex"].to_numpy() == "F"
    assert len(whole.take(mask)) == mask.sum()


def test_one_recording_with_contrary_labels_is_told() -> None:
    table = pd.DataFrame({"record": ["a", "b", "c", "d"], "same_recording_as": ["", "a", "", "c"],
                          "x": ["yes", "no", "yes", "yes"]})  # fmt: skip
    target = Cohort.from_table(table, Path(), "m").target(parse_tasks("x:binary")[0])
    assert target.notes == ("m: column x: a and b are one recording with contrary labels",)


@pytest.mark.parametrize(
    ("spec", "classes"),
    [
        ("hyp:multiclass", ("LVH", "RVH", "none")),
        ("findings:multilabel", ("AF", "LBBB")),
        ("isch:binary", ("none", "present")),
    ],
)
def test_a_manifest_in_which_none_means_something(shared_data: Path, spec: str, classes: tuple[str, ...]) -> None:
    cohort = Cohort.load(shared_data.parent / "cases" / "words-that-mean-no-finding" / "none.csv")
    target = cohort.target(parse_tasks(spec)[0])
    assert (set(target.task.classes), int(target.known.sum())) == (set(classes), len(cohort))
