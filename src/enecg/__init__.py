"""EnECG: ensembles of frozen ECG experts with small trained heads. Research use only, not a medical device.

Everything that the command line does can be had here under the same names; `enecg.api` describes the verbs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enecg.answers import load as load
    from enecg.answers import predict as predict
    from enecg.api import crossval as crossval
    from enecg.api import embed as embed
    from enecg.api import evaluate as evaluate
    from enecg.api import fit as fit
    from enecg.cohort.manifest import Cohort as Cohort
    from enecg.errors import EnecgError as EnecgError
    from enecg.errors import InputError as InputError
    from enecg.readers import read as read
    from enecg.recording import Recording as Recording

__version__ = "0.1.0"
NOTICE = "Research use only. Not a medical device."

_HOMES = {
    **dict.fromkeys(("crossval", "embed", "evaluate", "fit"), "enecg.api"),
    **dict.fromkeys(("load", "predict"), "enecg.answers"),
    "Cohort": "enecg.cohort.manifest",
    "EnecgError": "enecg.errors",
    "InputError": "enecg.errors",
    "Recording": "enecg.recording",
    "read": "enecg.readers",
}
__all__ = ["NOTICE", "Cohort", "EnecgError", "InputError", "Recording", "crossval", "embed", "evaluate", "fit", "load",
           "predict", "read"]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `import enecg` stays fast."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'enecg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Importing the package `enecg.embed` would put it in the place of the function of that name; so for `evaluate`."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
