"""Adapters: the same change as peft's, in peft's files, both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from synthetic import make

import enecg
from enecg.ensemble.heads.feed_forward import FeedForward, FittedFeedForward
from enecg.ensemble.heads.feed_forward_training import Trunk
from enecg.ensemble.heads.lora import CONFIG, Adapter
from enecg.errors import InputError
from generated import TRAINING, Trained


@pytest.fixture(scope="module")
def fitted() -> FittedFeedForward:
    """A head of five tasks, each with an adapter of rank 4."""
    embeddings, targets, subjects = make(120)
    small = FeedForward(hidden=16, epochs=3, lora_rank=4, lora_epochs=2)
    head = small.fit(embeddings["shapes"], targets, subjects, seed=0)
    assert isinstance(head, FittedFeedForward)
    return head


def _through_peft(head: FittedFeedForward, folder: Path, task: int, x: np.ndarray) -> np.ndarray:
    """What peft makes of the trunk and of the adapter in `folder`."""
    model = peft.PeftModel.from_pretrained(Trunk.of(head.trunk), str(folder)).eval()
    with torch.no_grad():
        scores: np.ndarray = model(torch.from_numpy(head.standard(x)))[task].numpy()
    return scores * head.scales[task] + head.means[task]


def test_peft_reads_an_adapter_and_answers_alike(fitted: FittedFeedForward, tmp_path: Path) -> None:
    x = make(50, seed=1)[0]["shapes"]
    expected = fitted.predict(x)
    for task, adapter in enumerate(fitted.adapters):
        assert np.abs(adapter.change("first")).max() > 0
        adapter.save(tmp_path / str(task))
        np.testing.assert_allclose(_through_peft(fitted, tmp_path / str(task), task, x), expected[task], rtol=1e-4,
                                   atol=1e-4)  # fmt: skip


def test_alpha_counts_as_in_peft(fitted: FittedFeedForward, tmp_path: Path) -> None:
    x = make(50, seed=1)[0]["shapes"]
    strong = Adapter(4 * fitted.adapters[0].alpha, fitted.adapters[0].layers)
    strong.save(tmp_path / "strong")
    head = replace(fitted, adapters=[strong, *fitted.adapters[1:]])
    assert np.abs(head.predict(x)[0] - fitted.predict(x)[0]).max() > 0.01
    np.testing.assert_allclose(_through_peft(fitted, tmp_path / "strong", 0, x), head.predict(x)[0], rtol=1e-4)


def test_an_adapter_that_peft_has_trained_and_written_is_read(fitted: FittedFeedForward, tmp_path: Path) -> None:
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["first", "second"])
    model = peft.get_peft_model(Trunk.of(fitted.trunk), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(str(tmp_path))
    read = Adapter.load(tmp_path)
    assert (read.rank, read.alpha, set(read.layers)) == (2, 6, {"first", "second"})
    same = Adapter.of(model, 6)
    for layer in read.layers:
        np.testing.assert_array_equal(read.change(layer), same.change(layer))
    merged = model.merge_and_unload().state_dict()["first.weight"].numpy()
    added = fitted.trunk["first.weight"] + read.change("first")
    np.testing.assert_allclose(added, merged, atol=1e-6)


def test_writing_and_reading_changes_no_bit(fitted: FittedFeedForward, tmp_path: Path) -> None:
    adapter = fitted.adapters[1]
    adapter.save(tmp_path)
    again = Adapter.load(tmp_path)
    assert (again.rank, again.alpha, again.parameters) == (4, 4, 4 * (20 + 16) + 4 * (16 + 16))
    for layer in adapter.layers:
        for one, other in zip(adapter.layers[layer], again.layers[layer], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_no_plain_lora_is_refused(fitted: FittedFeedForward, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter as peft writes it"):
        Adapter.load(tmp_path)
    fitted.adapters[0].save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text("utf-8"))
    for change in ({"r": 8}, {"use_dora": True}, {"use_rslora": True}, {"peft_type": "LOHA"}):
        (tmp_path / CONFIG).write_text(json.dumps({**config, **change}), "utf-8")
        with pytest.raises(InputError, match="not a plain LoRA"):
            Adapter.load(tmp_path)


def test_a_bundle_holds_its_adapters_as_files_of_peft(trained: Trained, tmp_path: Path) -> None:
    bundle = enecg.fit(trained.manifest, "age,sex", "beat", trained.store, where=TRAINING, recipe="paper")
    bundle.save(tmp_path / "bundle")
    homes = sorted(path.parent for path in (tmp_path / "bundle" / "adapters").rglob(CONFIG))
    assert len(homes) == 2 * 2  # for each task, those of the expert's head and of the gate
    for home in homes:
        config = peft.PeftConfig.from_pretrained(str(home))
        assert (config.peft_type, config.r, config.lora_alpha) == ("LORA", 8, 32)  # type: ignore[attr-defined]
        assert Adapter.load(home).rank == 8
