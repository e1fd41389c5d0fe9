"""Files of one WFDB record go together in a request, whatever their names are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from starlette.datastructures import UploadFile

from enecg.serve.uploads import _recordings, _store


def stored(sent: dict[str, bytes], folder: Path) -> dict[Path, str]:
    """Store files as a request does: path -> name."""
    for name, content in sent.items():
        _store(UploadFile(BytesIO(content), filename=name), folder / name)
    return {folder / name: name for name in sent}


def test_a_record_whose_name_is_beyond_ascii(tmp_path: Path) -> None:
    sent = {"Ü1.hea": "Ü1 1 250 2\nÜ1.dat 16 1000(0)/mV 16 0 1 3 0 I\n".encode(), "Ü1.dat": b"\x01\0\x02\0"}
    shown = stored(sent, tmp_path)
    assert [upload.shown for upload in _recordings(shown)] == ["Ü1.hea"]
    assert {path.name for path in shown} == set(sent)


def test_segments_belong_to_their_record(tmp_path: Path) -> None:
    sent = {
        "r.hea": b"r/1 1 250 2\ns 2\n",
        "s.hea": b"s 1 250 2\ns.dat 16 1000/mV 16 0 1 3 0 I\n",
        "s.dat": b"\1\0\2\0",
    }
    shown = stored(sent, tmp_path)
    assert [upload.shown for upload in _recordings(shown)] == ["r.hea"]
