"""Fetching: from a hub and from links on the loopback, with the layout of the real ones; nothing leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Shelf, serve

from enecg.errors import InputError, MissingExtra, WeightsError
from enecg.experts import registry
from enecg.experts.base import Weights
from enecg.experts.published import catalogue as publishing
from enecg.experts.published import fetch as fetching
from enecg.experts.published.catalogue import Published, find, locate
from enecg.experts.published.fetch import fetch
from enecg.experts.weights import sha256_of

Offer = Callable[..., Published]
CONTENT = bytes(range(256)) * 64


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    with serve() as running:
        monkeypatch.setenv("ENECG_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("ENECG_EXPERTS", raising=False)
        yield running


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Make the expert clef-small one that has other weights, or another licence."""

    def make(weights: Weights, **card: str) -> Published:
        real = find("clef-small")
        assert real is not None
        published = replace(real, card=replace(real.card, weights=weights, **card))  # type: ignore[arg-type]
        monkeypatch.setitem(publishing._PUBLISHED, "clef-small", published)
        return published

    return make


class TestFromLink:
    def test_comes_is_recorded_and_does_not_come_twice(self, shelf: Shelf, offer: Offer, tmp_path: Path) -> None:
        shelf.files["/small.ckpt"] = CONTENT
        shelf.breaks = [5000]
        published = offer(Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt"))
        first = fetch("clef-small", progress=False)
        assert first.folder == tmp_path / "cache" / "weights" / "clef-small" == locate(published.card)
        assert (first.folder / "small.ckpt").read_bytes() == CONTENT
        assert "trusted on first fetch" in str(first.files[0])
        record = json.loads((first.folder / "fetched.json").read_text())
        assert record["files"]["small.ckpt"] == {"bytes": len(CONTENT), "sha256": first.files[0].sha256}
        assert (record["source"], record["licence"]) == (f"{shelf.url}/small.ckpt", published.card.licence)
        before = len(shelf.gets)
        again = fetch("clef-small", progress=False)
        assert not again.files[0].downloaded
        assert "as recorded" in again.files[0].trust
        assert len(shelf.gets) == before == 2

    def test_to_a_folder_that_is_carried_elsewhere(
        self, shelf: Shelf, offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelf.files["/small.ckpt"] = CONTENT
        published = offer(Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt"))
        fetch("clef-small", to=tmp_path / "stick", progress=False)
        assert locate(published.card) is None
        (tmp_path / "stick").rename(tmp_path / "hospital")
        monkeypatch.setenv("ENECG_EXPERTS", f"{tmp_path / 'nothing'}:{tmp_path / 'hospital'}")
        assert locate(published.card) == tmp_path / "hospital" / "clef-small"

    @pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"bytes": 7}])
    def test_another_file_than_the_card_says_is_not_kept(
        self, shelf: Shelf, offer: Offer, known: dict[str, object]
    ) -> None:
        shelf.files["/small.ckpt"] = CONTENT
        published = offer(Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt", **known))  # type: ignore[arg-type]
        with pytest.raises(WeightsError, match=r"small\.ckpt: .*(sha256|bytes).*not.*fetch again"):
            fetch("clef-small", progress=False)
        assert locate(published.card) is None

    def test_a_file_that_changed_since_the_first_fetch(self, shelf: Shelf, offer: Offer) -> None:
        shelf.files["/small.ckpt"] = CONTENT
        offer(Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt"))
        path = fetch("clef-small", progress=False).folder / "small.ckpt"
        path.write_bytes(b"something else")
        with pytest.raises(WeightsError, match="delete it and fetch again"):
            fetch("clef-small", progress=False)
        path.unlink()
        assert fetch("clef-small", progress=False).files[0].downloaded

    def test_damaged_record(self, shelf: Shelf, offer: Offer) -> None:
        shelf.files["/small.ckpt"] = CONTENT
        offer(Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt"))
        folder = fetch("clef-small", progress=False).folder
        (folder / "fetched.json").write_text("[]")
        with pytest.raises(WeightsError, match=r"fetched\.json: damaged"):
            fetch("clef-small", progress=False)


class TestFromHub:
    def test_weights_and_their_configuration(self, shelf: Shelf, offer: Offer) -> None:
        pytest.importorskip("huggingface_hub")
        revision = "9fea447e740eb968a9e8d80c7562ae122bdb5dde"
        base = f"/AutonLab/MOMENT-1-base/resolve/{revision}"
        shelf.files |= {f"{base}/model.safetensors": CONTENT, f"{base}/config.json": b"{}"}
        weights = Weights("model.safetensors", hub="AutonLab/MOMENT-1-base", revision=revision, config="config.json")
        offer(weights)
        fetched = fetch("clef-small", progress=False)
        assert [file.file for file in fetched.files] == ["model.safetensors", "config.json"]
        assert sorted(path.name for path in fetched.folder.iterdir()) == [
            "config.json",
            "fetched.json",
            "model.safetensors",
        ]
        assert fetched.files[0].sha256 == sha256_of(fetched.folder / "model.safetensors")

    def test_what_the_hub_does_not_have(self, shelf: Shelf, offer: Offer) -> None:
        pytest.importorskip("huggingface_hub")
        offer(Weights("small.ckpt", hub="some/model"))
        with pytest.raises(WeightsError, match=r"clef-small: small\.ckpt cannot be fetched from some/model: "):
            fetch("clef-small", progress=False)

    def test_without_the_hubs_client(self, shelf: Shelf, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(module: str, extra: str, purpose: str) -> None:
            raise MissingExtra(module, extra, purpose)

        offer(Weights("small.ckpt", hub="some/model"))
        monkeypatch.setattr(fetching, "require", absent)
        with pytest.raises(MissingExtra, match=r"pip install 'enecg\[hub\]'"):
            fetch("clef-small", progress=False)


class TestByHand:
    def test_says_where_and_then_records(self, shelf: Shelf, offer: Offer, tmp_path: Path) -> None:
        offer(Weights("small.ckpt", page="https://example.org/models"))
        with pytest.raises(WeightsError, match=r"by hand from https://example.org/models: put it into .*clef-small"):
            fetch("clef-small", progress=False)
        folder = tmp_path / "cache" / "weights" / "clef-small"
        folder.mkdir(parents=True)
        (folder / "small.ckpt").write_bytes(CONTENT)
        fetched = fetch("clef-small", progress=False)
        assert not fetched.files[0].downloaded
        assert (folder / "fetched.json").is_file()


@pytest.mark.parametrize("source", [{"hub": "some/model"}, {"url": "http://127.0.0.1:9/small.ckpt"}])
def test_offline_means_offline(
    shelf: Shelf, offer: Offer, monkeypatch: pytest.MonkeyPatch, source: dict[str, str]
) -> None:
    offer(Weights(file="small.ckpt", **source))  # type: ignore[arg-type]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE forbids.*--to DIR"):
        fetch("clef-small", progress=False)
    assert shelf.gets == []


def test_a_licence_that_restricts_is_accepted_by_name(shelf: Shelf, offer: Offer) -> None:
    shelf.files["/small.ckpt"] = CONTENT
    weights = Weights(file="small.ckpt", url=f"{shelf.url}/small.ckpt")
    offer(weights, licence="CC-BY-NC-4.0", licence_class="non-commercial")
    for accepted in (None, "", "yes", "MIT"):
        with pytest.raises(InputError, match=r"--accept-licence 'CC-BY-NC-4\.0'"):
            fetch("clef-small", accept_licence=accepted, progress=False)
    assert shelf.gets == []
    assert fetch("clef-small", accept_licence="cc-by-nc-4.0", progress=False).files[0].downloaded


def test_what_comes_with_the_package_is_not_fetched() -> None:
    with pytest.raises(InputError, match="rhythm: comes with the package"):
        fetch("rhythm")


def test_every_published_expert_says_where_its_weights_are() -> None:
    for name in registry.names():
        if (published := find(name)) is not None:
            weights = published.card.weights
            assert sum(map(bool, (weights.hub, weights.url, weights.page))) == 1, name
            assert "drive.google" not in (weights.url or ""), f"{name}: a page, not a link to the file itself"
            assert weights.file, name
