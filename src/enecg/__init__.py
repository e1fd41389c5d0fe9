"""EnECG: ensembles of frozen ECG experts with small trained heads. Research use only, not a medical device.

Everything that the command line does is here under the same names; `enecg.api` describes the functions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from enecg import _moved

if TYPE_CHECKING:
    from enecg.api import crossval as crossval
    from enecg.api import embed as embed
    from enecg.api import evaluate as evaluate
    from enecg.api import fit as fit
    from enecg.bundle import load as load
    from enecg.bundle import predict as predict
    from enecg.cohorts.manifest import Cohort as Cohort
    from enecg.errors import EnecgError as EnecgError
    from enecg.errors import InputError as InputError
    from enecg.readers import read as read
    from enecg.recording import Recording as Recording

__version__ = "0.2.0"
NOTICE = "Research use only. Not a medical device."

_HOMES = {
    **dict.fromkeys(("crossval", "embed", "evaluate", "fit"), "enecg.api"),
    **dict.fromkeys(("load", "predict"), "enecg.bundle"),
    "Cohort": "enecg.cohorts.manifest",
    "EnecgError": "enecg.errors",
    "InputError": "enecg.errors",
    "Recording": "enecg.recording",
    "read": "enecg.readers",
}
__all__ = ["NOTICE", "Cohort", "EnecgError", "InputError", "Recording", "crossval", "embed", "evaluate", "fit", "load",
           "predict", "read"]  # fmt: skip

_moved.install()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import enecg` stays fast."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'enecg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
