"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from generated import Trained, train

settings.register_profile("enecg", deadline=None)  # a busy machine is no defect
settings.load_profile("enecg")

# Subjects' tags are made with a key of the tests, not of whoever runs them.
os.environ["ENECG_SUBJECT_KEY"] = str(Path(tempfile.mkdtemp(prefix="enecg-tests-")) / "subject.key")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the real recordings, beside the checkout; `ENECG_DATA` names another place.

    Without them a test is skipped with the reason; with `ENECG_REQUIRE_DATA=1` it fails.
    """
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("ENECG_DATA", default))
    if not (path / "manifest.csv").is_file():
        reason = "the real recordings are not here: set ENECG_DATA to the folder that holds their manifest.csv"
        if os.environ.get("ENECG_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A generated cohort, its embeddings, and a bundle fitted on folds 1 to 7; to be left as it is."""
    return train(tmp_path_factory.mktemp("trained"))
