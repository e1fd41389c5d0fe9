"""Leakage is found whatever recordings and subjects are called, and a bundle names nobody."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import enecg
from enecg.cohorts.identity import SubjectKey, pack_contents, plain_id, plain_record, shared_contents
from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.evaluation.leakage import shared_subjects
from enecg.simulation import make_cohort
from generated import TRAINING, Trained, read_rows, write_rows


@pytest.mark.parametrize(
    ("text", "plain"),
    [("3", "3"), ("3.0", "3"), ("00003", "3"), (" 3. ", "3"), ("0", "0"), ("000", "0"), ("3.5", "3.5"),
     ("a-03", "a-03"), ("12345678901234567890", "12345678901234567890"), ("1e3", "1e3"), ("", ""), ("-3", "-3")],
)  # fmt: skip
def test_an_id_has_one_spelling(text: str, plain: str) -> None:
    assert plain_id(text) == plain == plain_id(plain)


def test_a_record_has_one_spelling() -> None:
    names = ["a/x", "./a/x", "a//x", "a/b/../x", "a/x.hea", "a/x.dat", "a/x.HEA", "a/x.mat"]
    assert {plain_record(name) for name in names} == {"a/x"}
    assert plain_record("a/x.csv") == "a/x.csv"


def test_a_link_may_name_a_file_of_the_record() -> None:
    table = pd.DataFrame({"record": ["x", "./y"], "subject_id": ["1", "2"], "same_recording_as": ["", "x.hea"]})
    assert Cohort.from_table(table, Path(), "m").subjects.tolist() == ["1", "1"]


class Made:
    """A bundle fitted on 30 subjects, and manifests of the same recordings under other names."""

    def __init__(self, folder: Path) -> None:
        self.manifest = make_cohort(folder / "c", 30, seed=1)
        self.rows = read_rows(self.manifest)
        self.store = folder / "store"
        numbers = {subject: i for i, subject in enumerate(sorted({row["subject_id"] for row in self.rows}))}
        self.numbered = [{**row, "subject_id": f"{1000 + numbers[row['subject_id']]}"} for row in self.rows]
        self.bundle = folder / "bundle"
        enecg.fit(self.write("a.csv", self.numbered), "age", "rhythm", self.store, recipe="light").save(self.bundle)

    def write(self, name: str, rows: list[dict[str, str]]) -> Path:
        path = self.manifest.parent / name
        write_rows(path, rows)
        return path

    def leakage(self, manifest: Path) -> dict[str, Any]:
        found = enecg.evaluate(self.bundle, manifest, self.store, replicates=5)
        return dict(found.document["leakage"])

    def copied(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        """Copy recordings under other names, of other subjects."""
        copies = []
        for row in rows:
            old = self.manifest.parent / row["record"]
            for ending in (".hea", ".dat"):
                new = old.with_name(f"copy_{old.name}{ending}")
                content = old.with_name(old.name + ending).read_bytes()
                new.write_bytes(
                    content.replace(old.name.encode(), f"copy_{old.name}".encode()) if ending == ".hea" else content
                )
            record = str(Path(row["record"]).with_name(f"copy_{old.name}"))
            copies.append({**row, "record": record, "subject_id": f"other-{row['subject_id']}"})
        return copies


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("leakage"))


@pytest.mark.parametrize("spelling", ["{}", "{}.0", "0000{}"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_subjects_are_found_in_every_spelling(made: Made, spelling: str, kind: str) -> None:
    rows = [{**row, "subject_id": spelling.format(row["subject_id"])} for row in made.numbered]
    path = made.manifest.parent / f"b.{kind}"
    table = pd.DataFrame(rows)
    if kind == "csv":
        made.write("b.csv", rows)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        if spelling == "{}.0":
            table = table.assign(subject_id=table["subject_id"].astype(float))
        table.to_parquet(path)
    assert made.leakage(path)["shared_subjects"] == 30


def test_copies_under_other_names_are_found(made: Made) -> None:
    copies = made.copied(made.rows)
    assert made.leakage(made.write("copies.csv", copies)) == {"shared_subjects": 0, "shared_recordings": len(copies)}


def test_other_recordings_are_not(made: Made, tmp_path: Path) -> None:
    other = make_cohort(tmp_path / "other", 5, seed=2)
    rows = [{**row, "subject_id": f"new-{row['subject_id']}"} for row in read_rows(other)]
    write_rows(other, rows)
    assert made.leakage(other) == {"shared_subjects": 0, "shared_recordings": 0}


def test_one_record_named_by_its_files_is_refused(made: Made) -> None:
    row = made.rows[0]
    rows = [row, {**row, "record": row["record"] + ".hea", "subject_id": "x"}]
    with pytest.raises(InputError, match="rows 2 and 3"):
        enecg.Cohort.load(made.write("s.csv", rows))


def test_copies_in_one_cohort_stay_in_one_fold_and_contrary_labels_are_named(made: Made) -> None:
    copies = [{**row, "age": str(float(row["age"]) + 1)} for row in made.copied(made.rows[:4])]
    manifest, lines = made.write("twice.csv", made.rows + copies), []
    found = enecg.crossval(
        manifest, "age", "rhythm", made.store, folds=3, recipe="light", replicates=5, say=lines.append
    )
    assert found.document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}
    assert sum("are one recording under two subjects" in line for line in lines) == 4
    assert "4; first: " in found.document["provenance"]["Recordings under two subjects"]
    assert "contrary labels" in found.document["provenance"]["Recordings with contrary labels"]
    assert found.folds
    subjects = {row["record"]: row["subject_id"] for row in made.rows}
    assert found.document["n_subjects"] == len(set(subjects.values()))


def test_a_bundle_names_nobody(trained: Trained) -> None:
    cohort, bundle = enecg.Cohort.load(trained.manifest), enecg.load(trained.bundle)
    training = bundle.ensemble.training
    inside = set(enecg.Cohort.load(trained.manifest, TRAINING).subjects)
    assert set(shared_subjects(training, cohort.subjects) or ()) == inside
    text = "".join(path.read_text("latin-1") for path in trained.bundle.rglob("*") if path.is_file())
    assert not [name for name in (*cohort.subjects, *cohort.records) if name in text]
    # Who has the bundle alone and tries the right ids with all that is in it finds none.
    for salt in (training["digest"], training["subject_key"], bundle.digest, ""):
        for subject in inside:
            message = f"{salt}|{subject}".encode()
            assert hashlib.sha256(message).hexdigest()[:16] not in text
            assert hmac.new(str(salt).encode(), subject.encode(), hashlib.sha256).hexdigest()[:16] not in text


def test_tags_of_two_cohorts_cannot_be_joined() -> None:
    key = SubjectKey(b"k" * 32)
    assert not key.tags(["a", "b"], "one").keys() & key.tags(["a", "b"], "two").keys()


def test_without_the_key_subjects_are_not_compared(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENECG_SUBJECT_KEY", str(tmp_path / "another.key"))
    lines: list[str] = []
    found = enecg.evaluate(trained.bundle, trained.manifest, trained.store, replicates=5, say=lines.append)
    assert found.document["leakage"]["shared_subjects"] is None
    assert found.document["leakage"]["shared_recordings"] > 0
    assert any("ENECG_SUBJECT_KEY" in line for line in lines)
    SubjectKey.own(create=True)
    assert (tmp_path / "another.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "another.key").write_text("zz")
    with pytest.raises(InputError, match="not a key"):
        SubjectKey.own()


def test_contents_are_packed_and_found_again() -> None:
    rng = np.random.default_rng(0)
    hashes = [hashlib.sha256(rng.bytes(8)).hexdigest() for _ in range(100)]
    found = shared_contents(pack_contents([*hashes[:50], ""]), [*hashes, ""])
    assert found.tolist() == [True] * 50 + [False] * 51
    assert not shared_contents(pack_contents([]), hashes).any()


def test_a_second_evaluation_reads_no_samples(tmp_path: Path) -> None:
    """Quality and embeddings come from the store: samples that were spoilt without a trace are not seen."""
    made = Made(tmp_path)
    manifest = made.write("again.csv", made.numbered)
    first = enecg.evaluate(made.bundle, manifest, made.store, replicates=2).document
    signals = sorted(manifest.parent.rglob("*.dat"))
    assert len(signals) == len(made.rows)
    for file in signals:
        before = file.stat()
        file.write_bytes(bytes(before.st_size))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert enecg.evaluate(made.bundle, manifest, made.store, replicates=2).document == first
