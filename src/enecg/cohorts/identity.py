"""What makes two recordings, or two subjects, the same, and how a bundle can know its subjects without naming them.

A subject's id is short (a number of seven digits, say). Any hash that everybody can compute names every subject within
minutes: one tries all ids. A slow hash only makes this dearer. So the tags here are keyed: HMAC-SHA256 with a secret of
32 random bytes that stays on the machine of whoever fits, outside of every bundle. A tag without the secret says
nothing. The price: on another machine subjects cannot be compared, unless the secret is brought there.

A recording's content hash needs no secret: nobody guesses 50,000 samples.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enecg.errors import InputError

KEY_BYTES = 32
_ENDINGS = re.compile(r"\.(hea|dat|mat)$", re.IGNORECASE)  # of the files of one WFDB record
_WHOLE_NUMBER = re.compile(r"0*(\d+)(?:\.0*)?")


def plain_id(text: str) -> str:
    """Return an id in one spelling: `3`, `3.0` and `00003`, as tables write one number, are `3`."""
    match = _WHOLE_NUMBER.fullmatch(text.strip())
    return match[1] if match else text.strip()


def plain_record(record: str) -> str:
    """Return a record's name in one spelling: `x`, `./x`, `x.hea` and `x.dat` are `x`."""
    return _ENDINGS.sub("", os.path.normpath(record)) if record else record


def pack_contents(contents: Iterable[str]) -> str:
    """Return the first 64 bits of content hashes (hexadecimal), sorted, as one text."""
    return base64.b64encode(_leading(contents).astype(">u8").tobytes()).decode()


def shared_contents(packed: str, contents: Sequence[str]) -> np.ndarray:
    """Return which recordings are among those of `pack_contents`, bool `[recording]`; an empty hash is not."""
    known = np.frombuffer(base64.b64decode(packed), ">u8").astype(np.uint64)
    here = np.array([int(text[:16], 16) if text else 0 for text in contents], np.uint64)
    return np.asarray(np.isin(here, known) & np.array([bool(text) for text in contents], bool))


def _leading(contents: Iterable[str]) -> np.ndarray:
    return np.unique(np.array([int(text[:16], 16) for text in contents if text], np.uint64))


@dataclass(frozen=True)
class SubjectKey:
    """The secret that turns subjects' ids into tags.

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes

    @classmethod
    def own(cls, create: bool = False) -> SubjectKey | None:
        """Return this user's key, from the file that `ENECG_SUBJECT_KEY` names or the user's folder of settings.

        Args:
            create: make one where there is none. Where the folder cannot be written, the result is None.

        Raises:
            InputError: the file is no key.
        """
        path = key_file()
        if create and not path.exists():
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(secrets.token_hex(KEY_BYTES) + "\n")
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except OSError:
            return None
        except ValueError:
            secret = b""
        if len(secret) != KEY_BYTES:
            raise InputError(f"{path}: not a key of {2 * KEY_BYTES} hexadecimal digits; bring the right one")
        return cls(secret)

    @property
    def name(self) -> str:
        """Return what a bundle says of the key, to be known again: 16 hexadecimal digits."""
        return hmac.new(self.secret, b"enecg subject key", hashlib.sha256).hexdigest()[:16]

    def tags(self, subjects: Iterable[str], salt: str) -> dict[str, str]:
        """Return the tag of each subject: tag -> subject. Tags with another salt (a cohort's digest) are others."""
        return {
            hmac.new(self.secret, f"{salt}|{subject}".encode(), hashlib.sha256).hexdigest()[:16]: subject
            for subject in subjects
        }


def key_file() -> Path:
    """Return where this user's key is kept."""
    named = os.environ.get("ENECG_SUBJECT_KEY")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "enecg" / "subject.key"
