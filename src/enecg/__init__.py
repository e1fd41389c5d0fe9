"""EnECG: ensembles of frozen ECG experts with small trained heads. Research use only, not a medical device."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enecg.errors import EnecgError as EnecgError
    from enecg.errors import InputError as InputError
    from enecg.readers import read as read
    from enecg.recording import Recording as Recording

__version__ = "0.1.0"
NOTICE = "Research use only. Not a medical device."

_HOMES = {
    "EnecgError": "enecg.errors",
    "InputError": "enecg.errors",
    "Recording": "enecg.recording",
    "read": "enecg.readers",
}
__all__ = ["NOTICE", "EnecgError", "InputError", "Recording", "__version__", "read"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `import enecg` stays fast."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'enecg' has no attribute {name!r}")
