"""Published models as experts: the facts of a model's file, its place on this machine, and strict loading.

A family of models says all of it in one `Published` for each file, and calls `publish`. The file itself comes by
`enecg experts fetch`, or was carried here in a folder that the environment variable `ENECG_EXPERTS` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from enecg.errors import WeightsError
from enecg.experts.base import Card
from enecg.experts.network import NetworkExpert
from enecg.experts.registry import Entry, register

if TYPE_CHECKING:
    import torch

    from enecg.experts.weights import State

RECORD: Final = "fetched.json"  # beside the weights: what was fetched, from where, with which hash


@dataclass(frozen=True)
class Published:
    """One published file of weights, and how it becomes an expert.

    Attributes:
        card: what the expert declares. `card.weights` says where the file is: `hub` with `revision`, or `url` when a
            plain link gives the file itself, or `page` when a person must fetch it by hand. `card.weights.config` names
            the side-car with the network's configuration (`"config.json"`), if the authors publish one.
        build: the network, strictly loaded (`load_strict`), from the tensors and the configuration. It does no I/O,
            works on the meta device, and raises `WeightsError` where tensors and configuration contradict each other.
        layout: name of the file's layout in `enecg/experts/data/layouts`.
        inside: key of a torch file that holds the tensors (`"model"`, `"state_dict"`).
        strip: prefix that is cut off the keys (`"backbone."`).
        config_inside: key of a torch file that holds the configuration (`"cfg.model"`).
        config: the configuration that the authors' file holds, as far as `build` reads it; for generated weights.
        version: raised whenever the same input would give other numbers.
        chunk: windows at a time.
        package: the optional package that `build` imports, if any.
    """

    card: Card
    build: Callable[[State, Mapping[str, Any]], torch.nn.Module]
    layout: str
    inside: str = ""
    strip: str = ""
    config_inside: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    chunk: int = 8
    package: str = ""


class PublishedExpert(NetworkExpert):
    """A published model with its weights.

    Args:
        published: what is known of it.
        folder: where its files are.
        device: where to compute; a GPU when there is one by default.
        cache: where converted weights are kept; the user's cache by default.

    Raises:
        WeightsError: the weights are missing, changed, need code to run, or are of another layout.
    """

    def __init__(
        self,
        published: Published,
        folder: Path,
        device: str | None = None,
        cache: Path | None = None,
    ) -> None:
        self.published = published
        self.chunk = published.chunk  # type: ignore[misc]
        state, config, self.sha256 = read(published, folder, cache)
        super().__init__(published.card, _built(published, folder, state, config), device)

    @override
    def state_hash(self) -> str:
        """sha256 of the file, with the recipe's version."""
        return f"{self.sha256}|{self.published.version}"


def _built(published: Published, folder: Path, state: State, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network from its tensors; an error says which file they are from, and what to do."""
    try:
        return published.build(state, config)
    except WeightsError as error:
        remedy = "" if "fetch" in str(error) else f"; delete it and run  enecg experts fetch {published.card.name}"
        raise WeightsError(f"{folder / published.card.weights.file}: {error}{remedy}") from None


_PUBLISHED: dict[str, Published] = {}


def publish(published: Published) -> None:
    """Register a published model as an expert."""
    name = published.card.name
    _PUBLISHED[name] = published
    register(
        Entry(
            name,
            card=lambda: published.card,
            create=lambda: load(published),
            available=lambda: installed(published) and locate(published.card) is not None,
        )
    )


def installed(published: Published) -> bool:
    """Whether the optional package is there that the model needs, found without importing it; True if it needs none."""
    return not published.package or find_spec(published.package) is not None


def find(name: str) -> Published | None:
    """What is known of the published model of that name; None for an expert that has nothing to fetch."""
    from enecg.experts import registry

    return _PUBLISHED.get(registry.entry(name).name)


def load(published: Published, device: str | None = None) -> PublishedExpert:
    """Return the expert with the weights of this machine; `WeightsError` says how to fetch them when there are none."""
    return PublishedExpert(published, here(published.card), device)


def here(card: Card) -> Path:
    """The folder with an expert's files.

    Raises:
        WeightsError: they are not on this machine, or their licence restricts use and was not accepted; the message
            says what to do.
    """
    folder = locate(card)
    if folder is None:
        accept = f" --accept-licence '{card.licence}'" if must_accept(card) else ""
        raise WeightsError(
            f"{card.name}: its weights ({card.weights.file}) are not here: run  enecg experts fetch {card.name}{accept}"
            "  (for a machine without network add --to DIR elsewhere, carry DIR over and set ENECG_EXPERTS=DIR)"
        )
    if must_accept(card) and _notes(folder).get("licence") != card.licence:
        raise WeightsError(
            f"{card.name}: licence {card.licence} ({card.licence_class}) restricts use, and {folder} does not say that "
            f"it was accepted: run  enecg experts fetch {card.name} --to {folder.parent} "
            f"--accept-licence '{card.licence}', which fetches nothing that is there"
        )
    return folder


def must_accept(card: Card) -> bool:
    """Whether the licence restricts use, so that it must be accepted by name."""
    return card.licence_class in ("non-commercial", "restricted")


def own_folder() -> Path:
    """Where fetched weights are kept, one folder for each expert."""
    from enecg.experts.weights import cache_folder

    return cache_folder() / "weights"


def locate(card: Card) -> Path | None:
    """The folder with an expert's files: in one of `ENECG_EXPERTS`, else in the user's; None when they are nowhere."""
    folders = [Path(home) for home in os.environ.get("ENECG_EXPERTS", "").split(os.pathsep) if home]
    for home in [*folders, own_folder()]:
        if (home / card.name / card.weights.file).is_file():
            return home / card.name
    return None


def recorded(folder: Path) -> dict[str, str]:
    """sha256 of the files in `folder` as they were when fetched; empty when nothing was recorded."""
    try:
        return {str(name): str(about["sha256"]) for name, about in _notes(folder).get("files", {}).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / RECORD, error) from None


def _notes(folder: Path) -> dict[str, Any]:
    """What was written down when the files in `folder` were fetched; empty when nothing was."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _damaged(path, error) from None
    if not isinstance(notes, dict):
        raise _damaged(path, TypeError("no object"))
    return notes


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path}: damaged ({error}); delete it and fetch the expert again")


def expected(card: Card, folder: Path) -> str | None:
    """sha256 that the weights in `folder` must have: the card's, else the one recorded when they were fetched."""
    return card.weights.sha256 or recorded(folder).get(card.weights.file)


def read(published: Published, folder: Path, cache: Path | None = None) -> tuple[State, dict[str, Any], str]:
    """Tensors and configuration of a published file, checked.

    A torch file is converted once, and read from the copy in the cache from then on.

    Returns:
        Tensors by key, the authors' configuration (empty when there is none), and sha256 of the file.

    Raises:
        WeightsError: missing, truncated or changed, needing code to run, or without what it must hold.
    """
    from enecg.experts.weights import cache_folder, is_safetensors, load_state, read_config, sha256_of

    weights = published.card.weights
    path = folder / weights.file
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights; run  enecg experts fetch {published.card.name}")
    size, found, wanted = path.stat().st_size, sha256_of(path), expected(published.card, folder)
    if weights.bytes is not None and size != weights.bytes:
        raise WeightsError(f"{path}: has {size:,} bytes, not {weights.bytes:,}; delete it and fetch it again")
    if wanted is not None and found != wanted:
        raise WeightsError(f"{path}: sha256 is {found[:12]}…, not {wanted[:12]}…; delete it and fetch it again")
    kept = None if is_safetensors(path) else cache or cache_folder()
    state = load_state(path, sha256=found if kept else None, inside=published.inside, strip=published.strip, cache=kept)
    config: dict[str, Any] = {}
    if weights.config:
        config = _side_car(folder / weights.config, recorded(folder).get(weights.config))
    elif published.config_inside:
        config = read_config(path, published.config_inside)
    return state, config, found


def _side_car(path: Path, sha256: str | None) -> dict[str, Any]:
    """Read the configuration in the JSON file beside the weights."""
    from enecg.experts.weights import check_sha256

    if sha256 is not None:
        check_sha256(path, sha256)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); fetch the expert again") from None
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON ({error}); delete it and fetch the expert again") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: holds {type(config).__name__}, not a configuration; fetch the expert again")
    return config


def require_equal(name: str, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise `WeightsError` where a configuration contradicts the network that is built: both must be of one model.

    Args:
        name: of the expert.
        config: the authors' configuration; a key that it does not have is passed over.
        wanted: what the network is.
    """
    faults = [f"{key} {config[key]!r} instead of {value!r}" for key, value in wanted.items()
              if key in config and config[key] != value]  # fmt: skip
    if faults:
        raise WeightsError(
            f"{name}: the configuration contradicts the weights: {', '.join(faults)}; is it stale, or another model's?"
        )
