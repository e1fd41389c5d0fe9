"""The error tree. An `InputError` is the user's to mend: one line that says what, where and the remedy."""

from __future__ import annotations

import importlib
import struct
import zlib
from types import ModuleType
from typing import Final

# What other packages' parsers raise on files that break their format, besides errors of their own.
DAMAGE: Final = (ValueError, TypeError, LookupError, AttributeError, EOFError, RuntimeError, ArithmeticError,
                 MemoryError, struct.error, zlib.error)  # fmt: skip


class EnecgError(Exception):
    """Base of every error that enecg raises on purpose. The command line exits with code 1."""

    exit_code = 1


class InputError(EnecgError, ValueError):
    """A file, label, option or environment that the user can correct. Exit code 2, HTTP 4xx."""

    exit_code = 2


class ReadError(InputError):
    """A recording's file cannot be read or does not say what it must."""


class WeightsError(InputError):
    """Weights that are missing, changed, of another layout or not accepted."""


class MissingExtra(InputError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: install it with  pip install 'enecg[{extra}]'")
        self.package, self.extra = package, extra


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional `module`, or raise `MissingExtra` that names the `extra` to install.

    Args:
        module: dotted module name, such as `"pydicom"`.
        extra: the extra of this package that brings it.
        purpose: what it is needed for; the first words of the error.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == module.split(".")[0]:
            raise MissingExtra(module.split(".")[0], extra, purpose) from None
        raise
