"""Experts that know labels: what they give, and that nobody is judged by what they were told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.evaluation.leakage import replace_label_leaking_experts
from enecg.experts import registry
from enecg.experts.inputs import Batch, prepare
from enecg.experts.trained.supervised import KINDS, PACKAGED, SupervisedExpert
from enecg.pretraining.card import CardFacts
from enecg.pretraining.supervised import pretrain_supervised
from enecg.readers import read
from enecg.tasks import parse_tasks
from generated import Trained

TASKS = parse_tasks("age,sex")


@pytest.fixture(scope="module", params=KINDS)
def own(request: pytest.FixtureRequest, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An expert that was trained, very briefly, on the generated cohort."""
    folder = tmp_path_factory.mktemp("own") / f"my-{request.param}"
    cohort = Cohort.load(trained.manifest, "fold <= 3")
    pretrain_supervised(
        request.param, cohort, TASKS, folder, facts=CardFacts(corpora=("Made up",)), steps=3, progress=False
    )
    return folder


def test_the_folder_is_an_expert_that_says_what_it_knows(own: Path, trained: Trained) -> None:
    expert = SupervisedExpert.load(own)
    assert expert.card.label_corpora == ("Made up",)
    assert not (own / "work").exists()
    cohort = Cohort.load(trained.manifest)
    batch = prepare(read(cohort.path(0)), expert.card.input)
    embedding = expert.encode(batch)
    assert embedding.shape == (1, expert.card.dim)
    assert np.isfinite(embedding).all()
    facts = json.loads((own / "card.json").read_text())["pretraining"]
    assert facts["outputs"] == ["age: age", "sex: F"]
    assert embedding.shape[1] == expert.module.hidden + 2


def test_where_its_labels_are_known_networks_are_replace_label_leaking_experts(own: Path, trained: Trained) -> None:
    expert = SupervisedExpert.load(own)
    rhythm = registry.create("rhythm")
    known, told = replace_label_leaking_experts(Cohort.load(trained.manifest, "fold <= 2"), [rhythm, expert])
    assert [each.card.name for each in known] == ["rhythm", expert.trained_on]
    assert known[1].network_input
    assert len(told) == 1 and expert.card.name in told[0]
    other, told = replace_label_leaking_experts(Cohort.load(trained.manifest, "fold == 5"), [rhythm, expert])
    assert [each.card.name for each in other] == ["rhythm", expert.card.name]
    assert not told


def test_an_example_that_is_not_there_is_not_made_up() -> None:
    expert = SupervisedExpert.load(PACKAGED / "beat-cnn")
    silence = Batch(
        np.zeros((2, 12, 1000), np.float32), np.ones((2, 12), bool), np.ones((2, 12), np.float32), np.full(2, 1000), 100
    )
    assert np.isnan(expert.encode(silence)).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_packaged_networks_are_small_and_name_their_labels(name: str) -> None:
    expert = SupervisedExpert.load(PACKAGED / name)
    assert expert.card.label_corpora == ("PTB-XL",)
    assert (PACKAGED / name / "weights.safetensors").stat().st_size < 1_000_000
    assert len(expert.training["subject_hashes"]) > 1000


def test_refuses_what_it_cannot_learn(trained: Trained, tmp_path: Path) -> None:
    cohort = Cohort.load(trained.manifest)
    with pytest.raises(InputError, match="known: beat-cnn, resnet"):
        pretrain_supervised("transformer", cohort, TASKS, tmp_path / "a")
    with pytest.raises(InputError, match="nowhere"):
        pretrain_supervised("resnet", cohort, parse_tasks("potassium=nowhere"), tmp_path / "b")
