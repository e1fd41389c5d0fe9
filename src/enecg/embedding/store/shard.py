"""One Parquet file of embeddings: written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from enecg import __version__, files
from enecg.embedding.store.source import Source
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.files import Place

log = logging.getLogger(__name__)

KEYS: Final = ["record", "content", "stamp"]
QUALITY: Final = ["quality", "notes"]  # of the recording; since version 0.2
STALE_SECONDS: Final = 3600.0  # writing takes far less: an older temporary file was left by a kill


@dataclass(frozen=True)
class Origin:
    """What made the embeddings of a shard, from the expert's card."""

    expert: str
    title: str = field(compare=False)
    fingerprint: str
    dim: int

    @classmethod
    def of(cls, expert: Expert) -> Origin:
        """The origin of embeddings that `expert` makes."""
        return cls(expert.card.name, expert.card.title, expert.fingerprint, expert.card.dim)


@dataclass(frozen=True)
class Shard:
    """What a shard holds, apart from the embeddings: arrays of text `[row]`, and its place in the order of writing."""

    path: Place
    generation: int
    record: np.ndarray
    content: np.ndarray
    stamp: np.ndarray


class Damaged(Exception):
    """A file that does not hold what its name and its expert promise."""


class Vanished(Damaged):
    """A file that is no longer there: another process has put its rows elsewhere (`enecg store prune`)."""


def write(folder: Place, origin: Origin, sources: Sequence[Source], matrix: np.ndarray, generation: int = 0) -> Place:
    """Write one shard, and return its place.

    The file appears under its name when it is complete and on disk. The name follows from what is in it, so that
    whoever writes the same rows again replaces the file by its equal.

    Args:
        folder: made if it is not there.
        origin: what made the embeddings.
        sources: of the rows.
        matrix: embeddings, float32 `[row, dim]`; NaN marks a number that is not known.
        generation: of several rows of one recording, the one of the highest generation counts.

    Raises:
        InputError: the operating system refuses.
    """
    dim = origin.dim
    if matrix.shape != (len(sources), dim) or matrix.dtype != np.float32:
        raise ValueError(f"{origin.expert}: {matrix.dtype} embeddings {matrix.shape}, not float32 {len(sources), dim}")
    keys = {key: [getattr(source, key) for source in sources] for key in KEYS}
    values = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), dim)
    texts = [pa.array(column, pa.string()) for column in keys.values()]
    lists = [pa.array([getattr(source, key) for source in sources], pa.list_(pa.string())) for key in QUALITY]
    table = pa.table([*texts, *lists, values], schema=_schema(dim))
    facts = {"enecg": __version__, **asdict(origin), "generation": generation}
    table = table.replace_schema_metadata({b"enecg": json.dumps(facts).encode()})

    path = files.join(folder, _name(origin, generation, keys))
    try:
        with files.writing(path) as file:
            # Dictionaries and compression cost more than they save on embeddings; checksums find a flipped bit.
            pq.write_table(
                table, file, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
            )
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def read_origin(path: Place) -> tuple[Origin, int]:
    """What made a shard, and how many rows it has.

    Raises:
        Damaged: the file is not a shard.
    """
    with _opened(path) as (file, origin, _):
        return origin, file.metadata.num_rows


def read_keys(path: Place, origin: Origin) -> Shard:
    """Read everything but the embeddings.

    Raises:
        Damaged: the file is not a whole shard of this origin.
    """
    table, generation = _read(path, KEYS, origin)
    columns: dict[str, list[Any]] = {key: table[key].to_pylist() for key in KEYS}
    if files.name_of(path) != _name(origin, generation, columns):
        raise Damaged("its rows do not match its name")
    record, content, stamp = (np.array(columns[key], dtype=object) for key in KEYS)
    return Shard(path, generation, record, content.astype("S64"), stamp.astype("S32"))


def read_embeddings(shard: Shard, origin: Origin) -> np.ndarray:
    """Read the embeddings, float32 `[row, dim]`, not writable.

    Raises:
        Damaged: the file is not a whole shard of this origin.
    """
    table, _ = _read(shard.path, ["embedding"], origin)
    column: Any = table["embedding"].combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=True)
    if values.size != len(shard.record) * origin.dim:
        raise Damaged("embeddings are missing")
    return values.reshape(-1, origin.dim)


def read_quality(shard: Shard, origin: Origin) -> list[tuple[tuple[str, ...], tuple[str, ...]] | None]:
    """Read what the quality check found in each recording, and its notes; None where the shard does not say it.

    Raises:
        Damaged: the file is not a whole shard of this origin.
    """
    table, _ = _read(shard.path, QUALITY, origin)
    if table.num_columns < len(QUALITY):  # written by version 0.1
        return [None] * len(shard.record)
    columns = (table[key].to_pylist() for key in QUALITY)
    return [
        None if codes is None or notes is None else (tuple(codes), tuple(notes))
        for codes, notes in zip(*columns, strict=True)
    ]


def leftovers(folder: Place) -> list[Place]:
    """Temporary files that a killed writer left. By URL there are none."""
    oldest, found = time.time() - STALE_SECONDS, list[Place]()
    for path in files.files(folder, "shard-*.tmp-*"):
        with suppress(FileNotFoundError):
            if isinstance(path, Path) and path.stat().st_mtime < oldest:
                found.append(path)
    return found


def set_aside(path: Place, why: Damaged) -> None:
    """Say in one line that a shard is damaged, and rename it so that it is neither read nor reported again."""
    if isinstance(why, Vanished):
        return
    log.warning("%s: damaged, its recordings count as missing and will be embedded again (%s)", path, why)
    with suppress(OSError):  # a store that may only be read stays as it is
        files.rename(path, f"{files.name_of(path)}.damaged")


def _schema(dim: int, quality: Sequence[str] = QUALITY) -> pa.Schema:
    texts = [(key, pa.string()) for key in KEYS]
    lists = [(key, pa.list_(pa.string())) for key in quality]
    return pa.schema([*texts, *lists, ("embedding", pa.list_(pa.float32(), dim))])


def _name(origin: Origin, generation: int, keys: dict[str, list[str]]) -> str:
    text = json.dumps([origin.fingerprint, generation, *(keys[key] for key in KEYS)])
    return f"shard-{hashlib.sha256(text.encode()).hexdigest()[:24]}.parquet"


def _read(path: Place, columns: Sequence[str], origin: Origin) -> tuple[pa.Table, int]:
    with _opened(path) as (file, made_by, generation):
        if made_by != origin:
            raise Damaged("it belongs to another expert")
        if not any(file.schema_arrow.equals(_schema(origin.dim, quality)) for quality in (QUALITY, ())):
            raise Damaged("its columns are not those of a shard")
        return file.read(columns=[name for name in columns if name in file.schema_arrow.names]), generation


@contextmanager
def _opened(path: Place) -> Iterator[tuple[pq.ParquetFile, Origin, int]]:
    """The open file, its origin and generation; whatever is wrong with its bytes becomes `Damaged`."""
    try:
        with files.reading(path) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
            facts = json.loads(file.schema_arrow.metadata[b"enecg"])
            yield file, Origin(**{each.name: facts[each.name] for each in fields(Origin)}), facts["generation"]
    except InputError:
        raise
    except FileNotFoundError as error:
        raise Vanished(_line(error)) from None
    except OSError as error:
        if error.errno is not None:  # the operating system refuses; Arrow's own complaints carry no number
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        raise Damaged(_line(error)) from None
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise Damaged(_line(error)) from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
