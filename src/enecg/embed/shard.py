"""One Parquet file of embeddings: written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from enecg import __version__
from enecg.errors import InputError
from enecg.experts.base import Expert

log = logging.getLogger(__name__)

KEYS: Final = ["record", "content", "stamp"]
STALE_SECONDS: Final = 3600.0  # writing takes far less: an older temporary file was left by a kill


@dataclass(frozen=True)
class Row:
    """One recording's embedding by one expert.

    Attributes:
        record: id as in the manifest.
        content: `Recording.content_hash()`.
        stamp: `enecg.embed.source.stamp` of its files.
        embedding: float32 `[dim]`; NaN marks a number that is not known.
    """

    record: str
    content: str
    stamp: str
    embedding: np.ndarray


@dataclass(frozen=True)
class Shard:
    """What a shard holds, apart from the embeddings: arrays of text `[row]`, and its place in the order of writing."""

    path: Path
    generation: int
    record: np.ndarray
    content: np.ndarray
    stamp: np.ndarray


class Damaged(Exception):
    """A file that does not hold what its name and its expert promise."""


def write(folder: Path, expert: Expert, rows: Sequence[Row], generation: int = 0) -> Path:
    """Write rows as one shard, and return its path.

    The file appears under its name when it is complete and on disk. The name follows from the expert and the rows'
    keys, so that whoever writes the same rows again replaces the file by its equal.
    """
    dim = expert.card.dim
    matrix = np.stack([row.embedding for row in rows]).astype(np.float32, copy=False)
    if matrix.shape != (len(rows), dim):
        raise ValueError(f"{expert.card.name}: embeddings of shape {matrix.shape}, the card says {dim} numbers")
    keys = {key: [getattr(row, key) for row in rows] for key in KEYS}
    values = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), dim)
    table = pa.table([*(pa.array(column, pa.string()) for column in keys.values()), values], schema=_schema(dim))
    facts = {
        "enecg": __version__,
        "expert": expert.card.name,
        "fingerprint": expert.fingerprint,
        "dim": dim,
        "title": expert.card.title,
        "generation": generation,
    }
    table = table.replace_schema_metadata({b"enecg": json.dumps(facts).encode()})

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _name(expert, generation, keys)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}-{time.monotonic_ns()}")
    try:
        with temporary.open("xb") as file:
            # Dictionaries and compression cost more than they save on embeddings; checksums find a flipped bit.
            pq.write_table(
                table, file, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_keys(path: Path, expert: Expert) -> Shard:
    """Read everything but the embeddings.

    Raises:
        Damaged: the file is not a whole shard of `expert`.
    """
    table, generation = _read(path, KEYS, expert)
    columns = {key: table[key].to_pylist() for key in KEYS}
    if path.name != _name(expert, generation, columns):
        raise Damaged("its rows do not match its name")
    record, content, stamp = (np.array(columns[key], dtype=object) for key in KEYS)
    return Shard(path, generation, record, content.astype("S64"), stamp.astype("S32"))


def read_embeddings(shard: Shard, expert: Expert) -> np.ndarray:
    """Read the embeddings, float32 `[row, dim]`, not writable.

    Raises:
        Damaged: the file is not a whole shard of `expert`.
    """
    table, _ = _read(shard.path, ["embedding"], expert)
    column = table["embedding"].combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=True)
    if values.size != len(shard.record) * expert.card.dim:
        raise Damaged("embeddings are missing")
    return values.reshape(-1, expert.card.dim)


def clean(folder: Path) -> None:
    """Remove temporary files that a killed writer left."""
    oldest = time.time() - STALE_SECONDS
    for path in folder.glob("shard-*.tmp-*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def set_aside(path: Path, why: Damaged) -> None:
    """Say in one line that a shard is damaged, and rename it so that it is neither read nor reported again."""
    aside = path.with_name(f"{path.name}.damaged")
    log.warning("%s: damaged, its recordings count as missing and will be embedded again (%s)", path, why)
    with suppress(OSError):  # a store that may only be read stays as it is
        path.replace(aside)


def _schema(dim: int) -> pa.Schema:
    return pa.schema([*((key, pa.string()) for key in KEYS), ("embedding", pa.list_(pa.float32(), dim))])


def _name(expert: Expert, generation: int, keys: dict[str, list[str]]) -> str:
    text = json.dumps([expert.fingerprint, generation, *(keys[key] for key in KEYS)])
    return f"shard-{hashlib.sha256(text.encode()).hexdigest()[:24]}.parquet"


def _read(path: Path, columns: Iterable[str], expert: Expert) -> tuple[pa.Table, int]:
    try:
        with path.open("rb") as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if not schema.equals(_schema(expert.card.dim)):
                raise Damaged("its columns are not those of a shard")
            facts = json.loads(schema.metadata[b"enecg"])
            if facts["fingerprint"] != expert.fingerprint:
                raise Damaged("it belongs to another expert")
            return file.read(columns=list(columns)), facts["generation"]
    except OSError as error:
        if error.errno is not None:  # the operating system refuses; Arrow's own complaints carry no number
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        raise Damaged(_line(error)) from None
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise Damaged(_line(error)) from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
