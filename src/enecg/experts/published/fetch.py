"""Fetching published weights: from the Hugging Face hub or a plain link, resumed where they broke off, and checked.

What was fetched is written down beside it in `fetched.json`, with its hash: where nobody has published one, the first
fetch is trusted, and every later one must give the same.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enecg.errors import InputError, WeightsError, require
from enecg.experts.base import Card
from enecg.experts.published.catalogue import RECORD, Published, find, must_accept, own_folder, recorded

_OFFLINE: Final = ("1", "on", "yes", "true")


@dataclass(frozen=True)
class FetchedFile:
    """A file that is here now.

    Attributes:
        file: its name in the expert's folder.
        bytes: its size.
        sha256: of its content.
        trust: how we know that it is the right one, in words.
        downloaded: whether it came just now.
    """

    file: str
    bytes: int
    sha256: str
    trust: str
    downloaded: bool

    def __str__(self) -> str:
        """One line for people."""
        came = "fetched" if self.downloaded else "was here"
        return f"{self.file}: {came}, {self.bytes:,} bytes, sha256 {self.sha256[:12]}… ({self.trust})"


@dataclass(frozen=True)
class Fetched:
    """An expert whose files are here now.

    Attributes:
        name: of the expert.
        folder: where they are.
        files: the weights first.
    """

    name: str
    folder: Path
    files: tuple[FetchedFile, ...]


def fetch(name: str, to: Path | None = None, accept_licence: str | None = None, progress: bool = True) -> Fetched:
    """Bring the weights of an expert here. What is here already is checked, and not fetched again.

    Args:
        name: of the expert.
        to: a folder to carry to another machine, which names it in `ENECG_EXPERTS`; the user's own by default.
        accept_licence: the name of the expert's licence, where that restricts use.
        progress: whether a bar is shown on standard error.

    Raises:
        InputError: the expert has nothing to fetch, or its licence must be accepted first.
        WeightsError: the source cannot be reached, or gave something else than was expected.
    """
    published = find(name)
    if published is None:
        raise InputError(f"{name}: comes with the package; there is nothing to fetch")
    card = published.card
    if must_accept(card) and (accept_licence or "").strip().casefold() != card.licence.casefold():
        raise InputError(
            f"{card.name}: licence {card.licence} ({card.licence_class}) restricts use; read it where it is "
            f"published ({card.source}), then accept it with  --accept-licence '{card.licence}'"
        )
    folder = (to or own_folder()) / card.name
    before = recorded(folder)
    files = tuple(_bring(published, file, folder, before.get(file), progress) for file in _files(card))
    _record(card, folder, files)
    return Fetched(card.name, folder, files)


def _files(card: Card) -> tuple[str, ...]:
    """Return the files that are needed: the weights, and their configuration if it is a file of its own."""
    return (card.weights.file, card.weights.config) if card.weights.config else (card.weights.file,)


def _bring(published: Published, file: str, folder: Path, before: str | None, progress: bool) -> FetchedFile:
    """One file, fetched unless it is here, and checked."""
    from enecg.experts.weights import sha256_of

    card = published.card
    path = folder / file
    is_weights = file == card.weights.file
    wanted = (card.weights.sha256 if is_weights else None) or before
    missing = not path.is_file()
    if missing:
        _download(card, file, folder, progress)
    size, sha256 = path.stat().st_size, sha256_of(path)
    known_size = card.weights.bytes if is_weights else None
    for what, is_right in (
        (f"{size:,} bytes, not {known_size:,}" if known_size else "", known_size in (None, size)),
        (f"sha256 {sha256[:12]}…, not {(wanted or '')[:12]}…", wanted in (None, sha256)),
    ):
        if not is_right:
            if missing:
                path.unlink()
            raise WeightsError(
                f"{path}: {what}: damaged, or not the file that was published; delete it and fetch again"
            )
    trust = "as recorded when it was first fetched" if before else "recorded now: trusted on first fetch"
    if is_weights and card.weights.sha256:
        trust = "as the card says"
    return FetchedFile(file, size, sha256, trust, missing)


def _record(card: Card, folder: Path, files: tuple[FetchedFile, ...]) -> None:
    """Write down what is here: from where, under which licence, and with which hash."""
    from enecg.files import writing

    weights = card.weights
    about = {
        "expert": card.name,
        "source": weights.hub or weights.url or weights.page,
        "revision": weights.revision,
        "licence": card.licence,
        "files": {one.file: {"bytes": one.bytes, "sha256": one.sha256} for one in files},
    }
    with writing(folder / RECORD) as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())


def _download(card: Card, file: str, folder: Path, progress: bool) -> None:
    """Get one file from where the card says."""
    weights = card.weights
    if not weights.hub and not weights.url:
        where = weights.page or card.source
        raise WeightsError(
            f"{card.name}: {file} has to be fetched by hand from {where}: put it into {folder} and run "
            f"enecg experts fetch {card.name} again, which checks and records it"
        )
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _OFFLINE:
        raise WeightsError(
            f"{card.name}: {file} is not in {folder}, and HF_HUB_OFFLINE forbids to fetch it: fetch it on another "
            "machine with --to DIR, carry DIR over and set ENECG_EXPERTS=DIR"
        )
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    if weights.hub:
        _from_hub(card, file, folder, progress)
    else:
        from enecg.experts.published.download import download

        download(str(weights.url), folder / file, label=card.name, progress=progress)


def _from_hub(card: Card, file: str, folder: Path, progress: bool) -> None:
    """Through the hub's own client, which resumes and knows about tokens, mirrors and proxies."""
    hub = require("huggingface_hub", "hub", f"fetching {card.name}")
    errors = require("huggingface_hub.errors", "hub", f"fetching {card.name}")
    utils = require("huggingface_hub.utils", "hub", f"fetching {card.name}")
    weights = card.weights
    silenced = not progress and not utils.are_progress_bars_disabled()
    if silenced:
        utils.disable_progress_bars()
    try:
        hub.hf_hub_download(
            weights.hub,
            file,
            revision=weights.revision,
            local_dir=folder,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except errors.GatedRepoError:
        raise WeightsError(
            f"{card.name}: {weights.hub} is open to registered users only: accept its conditions at "
            f"https://huggingface.co/{weights.hub} and sign in with  hf auth login"
        ) from None
    except (errors.EntryNotFoundError, errors.HFValidationError, errors.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{card.name}: {file} cannot be fetched from {weights.hub}: {reason}") from None
    finally:
        if silenced:
            utils.enable_progress_bars()
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes on what it downloads
