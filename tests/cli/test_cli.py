"""The program: what it answers, what it refuses, and that it is quick to say so."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import TRACE, done, python, refused, run, without
from enecg import NOTICE, __version__
from enecg.cohorts.manifest import Cohort
from enecg.embedding.pipeline import BATCH
from enecg.ensemble.serialization.folder import sealed
from enecg.experts import registry
from generated import EXPERTS, HELD_OUT, TASKS, TRAINING, Trained, read_rows, write_rows

HEAVY = ("torch", "transformers", "lightgbm", "pandas")


# Start


def test_help_names_every_command_and_the_purpose() -> None:
    told = done("--help").out
    for name in ("demo", "embed", "fit", "evaluate", "crossval", "predict", "pretrain", "doctor", "experts"):
        assert f" {name} " in told
    assert "Research use only" in told
    assert done("--version").out == f"enecg {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["experts", "list", "--json"], ["experts", "show", "rhythm"]])
def test_what_computes_nothing_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""import sys
try:
    if sys.argv[1:]:
        from enecg.cli import main
        main()
    else:
        import enecg
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    outcome = python(code, *arguments)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (0, "[]")


def test_a_closed_pipe_is_no_error() -> None:
    words = f"{sys.executable} -c 'from enecg.cli import main; main()' experts list --json | head -c 1"
    ended = subprocess.run(words, shell=True, capture_output=True, text=True, check=True)
    assert ended.stdout == "["
    assert TRACE not in ended.stderr


# Experts and machine


def test_cards_as_json_say_what_programs_need() -> None:
    cards = json.loads(done("experts", "list", "--json").out)
    wanted: dict[str, Any] = {
        "name": str, "title": str, "licence": str, "licence_class": str, "source": str, "dim": int, "parameters": int,
        "available": bool,
    }  # fmt: skip
    for card in cards:
        assert {key: type(card[key]) for key in wanted} == wanted
        assert card["licence_class"] in ("permissive", "attribution", "non-commercial", "restricted")
    names = [card["name"] for card in cards]
    assert len(set(names)) == len(names)
    assert {"rhythm", "morphology", "beat", "rocket", "tiny"} <= {card["name"] for card in cards if card["available"]}
    assert json.loads(done("experts", "show", "beat", "--json").out) == cards[names.index("beat")]


def test_the_list_for_people_has_every_expert_and_set() -> None:
    cards, told = json.loads(done("experts", "list", "--json").out), done("experts", "list").out
    assert all(card["name"] in told for card in cards)
    assert "set offline: rhythm, morphology, beat, rocket, tiny" in told
    assert "Apache-2.0" in done("experts", "show", "rhythm").out


def test_doctor_exits_with_1_when_something_must_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENECG_CACHE", "/proc/enecg")
    outcome = run("doctor", "--json")
    bad = [check["name"] for check in json.loads(outcome.out) if check["ok"] is False]
    assert (outcome.code, bad) == (1, ["cache folder"])


# Refusals


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--tasks age=aage", "no column 'aage' for task age; nearest: age"),
        ("--tasks stay", "'stay' is not one of rr_interval"),
        ("--tasks age:count", "'count' is no kind of task"),
        ("--tasks age,age", "age is named twice"),
        ("--tasks age=sex", "column sex has no label for task age; first:"),
        ("--tasks conduction:binary", "binary needs two classes"),
        ("--tasks age --where fold>99", "no recording meets --where 'fold>99'"),
        ("--tasks age --where flod>1", "there is no column 'flod'; nearest: fold"),
        ("--tasks age --where fold==1", "recordings of 10 subjects are too few to fit"),
        ("--tasks sex --where sex=='F'", "all training labels are F"),
        ("--tasks age --experts nobody", "no expert or set named 'nobody'; known: offline"),
        ("--tasks age --experts ,", "no expert is named"),
        ("--tasks age --recipe best", "there is no such recipe; choose one of default"),
        ("--tasks age --out {cohort}", "exists and is not a bundle"),
        ("--tasks age --store {manifest}", "a store is a folder, and this is a file"),
    ],
)
def test_fit_refuses_before_it_computes(arguments: str, told: str, trained: Trained, tmp_path: Path) -> None:
    words = arguments.format(cohort=trained.manifest.parent, manifest=trained.manifest).split()
    defaults = {"--experts": "rhythm", "--out": tmp_path / "bundle", "--store": tmp_path / "store"}
    given = [word for pair in defaults.items() if pair[0] not in words for word in pair]
    assert told in refused("fit", trained.manifest, *words, *given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"subject_id,age\np1,61\n", "there is no column 'record'; it has subject_id, age"),
        (b"record,age\n", "no recording is in it"),
        (b"record,age\na,1\na.hea/../a,2\n", "record a.hea/../a is in rows 2 and 3"),
        (b"\xff\xfe\x00record", "is neither Parquet nor UTF-8 text"),
        (b"PAR1 and no more", "not a readable table"),
        (b"", "not a readable table"),
    ],
)
def test_manifests_that_are_none(content: bytes | None, told: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    if content is not None:
        manifest.write_bytes(content)
    assert told in refused("embed", manifest, "--store", tmp_path / "store", "--experts", "rhythm")
    assert told in refused("crossval", manifest, "--tasks", "age", "--store", tmp_path / "store", "--experts", "rhythm")


def test_subjects_that_cannot_be_split(trained: Trained, tmp_path: Path) -> None:
    words = ["--tasks", "age", "--experts", "rhythm", "--store", tmp_path / "store", "--recipe", "light"]
    assert "cannot be split into 500 folds" in refused("crossval", trained.manifest, *words, "--folds", 500)
    same = trained.manifest.with_name("one-subject.csv")
    try:
        write_rows(same, [{**row, "subject_id": "everyone"} for row in read_rows(trained.manifest)])
        assert "1 subjects cannot be split into 5 folds" in refused("crossval", same, *words)
        assert "of 1 subjects are too few to fit" in refused("fit", same, *words, "--out", tmp_path / "bundle")
    finally:
        same.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--where age>200", "no recording meets --where"),
        ("--tasks age=years", "there is no column 'years' for task age"),
        ("--tasks stay:regression=age", "the bundle has no task 'stay'; it has rr_interval, age"),
        ("--json /proc/enecg/results.json", "/proc/enecg: No such file or directory"),
    ],
)
def test_evaluate_refuses(arguments: str, told: str, trained: Trained, tmp_path: Path) -> None:
    words = [trained.bundle, trained.manifest, "--store", tmp_path / "store", *arguments.split()]
    assert told in refused("evaluate", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_cohort_without_any_label_of_the_bundle(trained: Trained, tmp_path: Path) -> None:
    bare = trained.manifest.with_name("bare.csv")
    try:
        write_rows(bare, [{"record": row["record"], "stay": "3"} for row in read_rows(trained.manifest)])
        told = refused("evaluate", trained.bundle, bare, "--store", tmp_path / "store")
    finally:
        bare.unlink()
    assert "nothing to evaluate: bare.csv: there is no column 'rr_interval'" in told
    assert list(tmp_path.iterdir()) == []


def test_bundles_that_are_none(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = trained.manifest.parent / read_rows(trained.manifest)[0]["record"]
    assert "no bundle.json in it" in refused("predict", trained.manifest.parent, record)

    def spoilt(name: str, change: Any) -> str:
        bundle = shutil.copytree(trained.bundle, tmp_path / name)
        change(bundle)
        return refused("predict", bundle, record)

    def rewritten(**facts: object) -> Any:
        def change(bundle: Path) -> None:
            path = bundle / "bundle.json"
            document = {**json.loads(path.read_text()), **facts}
            path.write_text(sealed({key: value for key, value in document.items() if key != "sha256"}))

        return change

    def flipped(bundle: Path) -> None:
        path = bundle / "tensors.safetensors"
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)

    experts = json.loads((trained.bundle / "bundle.json").read_text())["experts"]
    other = [{**experts[0], "fingerprint": "0" * 64}, *experts[1:]]
    assert "format 99; this version of enecg reads" in spoilt("newer", rewritten(format=99))
    assert "tensors.safetensors: missing or changed" in spoilt("flipped", flipped)
    edited = spoilt("edited", lambda bundle: (bundle / "bundle.json").write_text(
        (bundle / "bundle.json").read_text().replace('"recipe"', '"recipes"', 1)))  # fmt: skip
    assert "bundle.json: changed since it was saved" in edited
    assert "README.md: missing or changed" in spoilt("lost", lambda bundle: (bundle / "README.md").unlink())
    assert "not readable as JSON" in spoilt("cut", lambda bundle: (bundle / "bundle.json").write_text("{"))
    assert "is not the one that the bundle was trained on" in spoilt("other", rewritten(experts=other))
    known, first = registry.names, experts[0]["name"]
    monkeypatch.setattr(registry, "names", lambda **given: [name for name in known(**given) if name != first])
    assert f"needs the expert '{first}'" in refused("predict", trained.bundle, record)


def test_an_older_bundle_is_replaced_and_nothing_else_is_left(trained: Trained, tmp_path: Path) -> None:
    words = ["fit", trained.manifest, "--tasks", "age", "--experts", "rhythm", "--store", trained.store]
    for seed in (0, 1):
        done(*words, "--recipe", "light", "--seed", seed, "--out", tmp_path / "bundle", "--quiet")
    assert json.loads((tmp_path / "bundle" / "bundle.json").read_text())["recipe"]["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--format xml", "--format xml: choose one of table, json, csv, parquet"),
        ("--format parquet", "say where with --out"),
        ("--out {folder}/table.txt", "a table is for the screen"),
    ],
)
def test_forms_of_prediction_that_there_are_not(arguments: str, told: str, trained: Trained, tmp_path: Path) -> None:
    assert told in refused("predict", trained.bundle, "nothing", *arguments.format(folder=tmp_path).split())


def test_a_missing_package_is_named_with_its_extra(trained: Trained, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    dicom = get_testdata_file("waveform_ecg.dcm", download=False)
    outcome = without("pydicom", "predict", trained.bundle, dicom)
    assert outcome.code == 2
    assert "pip install 'enecg[dicom]'" in outcome.err
    words = ["embed", trained.manifest, "--experts", "openecg", "--store", tmp_path / "store"]
    outcome = without("openecg", *words)
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert "pip install 'enecg[openecg]'" in outcome.errors[0]


# Recordings that are no good among many that are


@pytest.fixture
def damaged(trained: Trained, tmp_path: Path) -> tuple[Path, dict[str, str], int]:
    """Copies of the held-out recordings, some spoilt: the manifest, reason by spoilt record, number of good ones."""
    home = tmp_path / "damaged"
    rows = [row for row in read_rows(trained.manifest) if int(row["fold"]) > 7]
    for row in rows:
        for ending in (".hea", ".dat"):
            place = home / (row["record"] + ending)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(trained.manifest.parent / (row["record"] + ending), place)
    names = [row["record"] for row in rows]
    truncated, zeros, gone, garbled, outside = names[:5]
    signal_file = home / f"{truncated}.dat"
    signal_file.write_bytes(signal_file.read_bytes()[:-1001])
    (home / f"{zeros}.dat").write_bytes(bytes((home / f"{zeros}.dat").stat().st_size))
    header = home / f"{zeros}.hea"  # initial values and checksums fit, so that it is read and found to be flat
    header.write_text(re.sub(r"(\.dat 16 \S+ 16 0) -?\d+ -?\d+ 0 ", r"\1 0 0 0 ", header.read_text()))
    (home / f"{gone}.dat").unlink()
    (home / f"{garbled}.hea").write_text("this is no header\n")
    for ending in (".hea", ".dat"):
        shutil.copy(home / (outside + ending), tmp_path / ("x" + ending))
    rows[4]["record"] = "../x"
    rows[5]["age"] = "sixty"
    write_rows(home / "manifest.csv", rows)
    reasons = {truncated: "bytes", zeros: "flat", gone: ".dat", garbled: ".hea", "../x": "leaves the manifest's folder"}
    return home / "manifest.csv", reasons, len(rows) - len(reasons)


def test_bad_recordings_are_told_and_no_good_one_is_lost(
    damaged: tuple[Path, dict[str, str], int], trained: Trained, tmp_path: Path
) -> None:
    manifest, reasons, good = damaged
    file = tmp_path / "embedded.json"
    words = ["--store", tmp_path / "store", "--json", file, "--quiet"]
    told = done("embed", manifest, "--experts", "rhythm,beat", *words)
    found = json.loads(file.read_text())
    assert told.out == f"{good + 5} recordings: {good} computed, 0 in the store before, 5 skipped\n"
    assert (found["n_recordings"], found["computed"], found["reused"]) == (good + 5, good, 0)
    said = {each["record"]: each["reason"] for each in found["skipped"]}
    assert said.keys() == reasons.keys()
    for record, reason in reasons.items():
        assert reason in said[record]
        assert "\n" not in said[record]
        assert f"skipped {record}: {said[record]}" in told.err

    told = done("evaluate", trained.bundle, manifest, "--replicates", 20, *words)
    document = json.loads(file.read_text())
    assert (document["n_recordings"], document["tasks"]["age"]["n"]) == (good, good - 1)
    assert {each["record"] for each in document["skipped"]} == reasons.keys()
    assert "column age: 'sixty' is not a number" in told.err

    rows = [row for row in read_rows(manifest) if row["record"] in reasons]
    write_rows(manifest.with_name("bad.csv"), rows)
    for command in (["embed"], ["evaluate", trained.bundle]):
        assert "none of 5 recordings" in refused(*command, manifest.with_name("bad.csv"), "--store", tmp_path / "store")


def test_predict_skips_what_cannot_be_read_and_answers_the_rest(
    damaged: tuple[Path, dict[str, str], int], trained: Trained
) -> None:
    manifest, reasons, _ = damaged
    cohort = Cohort.load(manifest)
    spoilt = [str(manifest.parent / record) for record in reasons if record != "../x"]
    good = str(cohort.path(8))
    outcome = done("predict", trained.bundle, *spoilt, good, "--format", "json")
    document = json.loads(outcome.out)
    assert [each["record"] for each in document["skipped"]] == [spoilt[0], *spoilt[2:]]
    zeros, answered = document["predictions"]
    assert (zeros["record"], zeros["usable"], zeros["tasks"]) == (spoilt[1], False, {})
    assert any(finding["fatal"] for finding in zeros["quality"])
    assert (answered["record"], answered["usable"]) == (good, True)
    assert all(f"skipped {each['record']}: " in outcome.err for each in document["skipped"])
    outcome = run("predict", trained.bundle, *spoilt)
    assert outcome.code == 2
    assert outcome.errors == ["error: none of 4 files could be interpreted; the reasons are above"]
    assert "not interpreted" in outcome.out


# Interruption


_PATIENT = """
import os, signal, sys
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])  # so one batch is encoded at a time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background run is deaf to it, its children too
from small_experts import Summary
from enecg.cli import main
from enecg.experts import registry

class Patient(Summary):
    def encode(self, batch):
        if len(self.seen) == 3:
            print("fourth batch", flush=True)
            sys.stdin.read()
        return super().encode(batch)

expert = Patient("patient")
registry.register(registry.Entry("patient", card=lambda: expert.card, create=lambda: expert))
main()
"""


def test_ctrl_c_keeps_what_was_done(trained: Trained, tmp_path: Path) -> None:
    """The expert waits at its fourth batch, which it is given when the results of the first are with the writer."""
    rows = sorted(row["record"] for row in read_rows(trained.manifest))[:60]
    where = f"record <= '{rows[-1]}'"
    words = ["embed", trained.manifest, "--experts", "patient", "--store", tmp_path / "store", "--where", where]
    command = [sys.executable, "-c", _PATIENT, *map(str, words), "--quiet"]
    places = [str(Path(__file__).parents[1] / "embedding"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fourth batch\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted; the store keeps its embeddings, run the command again to continue\n"

    again = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert again.returncode == 0
    told = re.search(r"60 recordings: (\d+) computed, (\d+) in the store before, 0 skipped", again.stdout)
    assert told is not None
    computed, reused = map(int, told.groups())
    assert computed + reused == 60
    assert BATCH <= reused <= 3 * BATCH  # the first batch, and the next two where they were still taken


# What is printed


def test_every_place_with_results_says_what_they_are_for(trained: Trained, tmp_path: Path) -> None:
    files = [tmp_path / "new" / name for name in ("results.json", "report.html", "tables.md")]
    flags = [word for pair in zip(("--json", "--html", "--markdown"), files, strict=True) for word in pair]
    words = ["--where", HELD_OUT, "--store", trained.store, "--replicates", 20, "--quiet"]
    told = done("evaluate", trained.bundle, trained.manifest, *words, *flags)
    squeezed = " ".join(told.out.split())
    assert NOTICE in squeezed
    assert "GENERATED ECGs" in squeezed
    assert all(NOTICE in file.read_text("utf-8") for file in files)
    assert NOTICE in (trained.bundle / "README.md").read_text("utf-8")
    assert told.err == "" or all(line.startswith("label taken as missing") for line in told.err.splitlines())


def test_a_cheaper_version_is_evaluated_by_itself(trained: Trained, tmp_path: Path) -> None:
    weights = {}
    for setting in ("", "--budget 0.75", "--top-k 1"):
        files = ["--json", tmp_path / "r.json", "--html", tmp_path / "r.html", *setting.split()]
        words = ["--where", HELD_OUT, "--store", trained.store, "--replicates", 20, "--quiet", *files]
        done("evaluate", trained.bundle, trained.manifest, *words)
        assert f"One bundle on one cohort{', ' if setting else ''}{setting}." in (tmp_path / "r.html").read_text(
            "utf-8"
        )
        document = json.loads((tmp_path / "r.json").read_text("utf-8"))
        assert document["tasks"]["sex"]["ensemble"]["auroc"]["value"] is not None
        weights[setting] = document["tasks"]["sex"]["weights"]
    (dear,) = (name for name, weight in weights["--top-k 1"].items() if not weight)
    assert 0 < weights["--budget 0.75"][dear] < weights[""][dear]
    told = refused("evaluate", trained.bundle, trained.manifest, "--store", trained.store, "--budget", 0.001)
    assert "no version of this ensemble costs at most 0%" in told


def test_fit_shows_what_it_trusts(trained: Trained, tmp_path: Path) -> None:
    words = ["--tasks", TASKS, "--experts", EXPERTS, "--where", TRAINING, "--recipe", "light", "--store", trained.store]
    told = done("fit", trained.manifest, *words, "--out", tmp_path / "bundle")
    assert NOTICE in told.out
    assert all(name.split(":")[0] in told.out for name in TASKS.split(","))
    assert "  head rhythm/kernel" in told.err
    assert "class PVC has" in told.err
    same = [folder / "bundle.json" for folder in (trained.bundle, tmp_path / "bundle")]
    assert same[0].read_bytes() == same[1].read_bytes()  # the same training, by the command and from Python
