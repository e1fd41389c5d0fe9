"""An expert that takes its time and leaves word of where it was: so that a node can be lost in the middle of work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from small_experts import Summary

from enecg.experts.inputs import Batch


class Slow(Summary):
    """`Summary`, after a pause; with `watched`, each call leaves a file named by its parent process there.

    On a Ray node, the parent of all worker processes is the node's own raylet.
    """

    def __init__(self, name: str, seconds: float, watched: Path | None = None) -> None:
        super().__init__(name)
        self.seconds, self.watched = seconds, watched

    def encode(self, batch: Batch) -> np.ndarray:
        if self.watched is not None:
            (self.watched / str(os.getppid())).touch()
            time.sleep(self.seconds)
        return super().encode(batch)
