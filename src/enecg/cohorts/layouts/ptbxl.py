"""PTB-XL as published on PhysioNet (Wagner et al., Scientific Data 7:154, 2020, doi:10.1038/s41597-020-0495-6).

The worked example of a data set with a layout of its own.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from enecg.errors import InputError
from enecg.files import Place
from enecg.tasks import cell_text

NAME: Final = "PTB-XL"

_DATABASE: Final = "ptbxl_database.csv"
_STATEMENTS: Final = "scp_statements.csv"
_COLUMNS: Final = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_hr", "filename_lr")
_SEX: Final = {0: "M", 1: "F"}
_OLDEST: Final = 89  # above, ages are hidden behind the code 300


def recognises(at: Place, head: bytes) -> bool:
    """Return whether a folder has the two tables of PTB-XL."""
    folder = Path(at)
    return not head and (folder / _DATABASE).is_file() and (folder / _STATEMENTS).is_file()


def table(at: Place, content: bytes) -> pd.DataFrame:
    """Return one row a recording, at 500 Hz where the folder holds these records and else at 100 Hz.

    Columns: `record`, `subject_id`, `age` (missing above 89), `sex` (M, F), `rhythm` (the last of the rhythm
    statements that is not SR, else SR), `superclass` and `scp_codes` (separated by semicolons, as
    multilabel tasks read them; a superclass whatever the likelihood of its statements), `strat_fold` (train 1-8,
    validate 9, test 10), `ecg_id`, `dataset` (PTB-XL, for the warning about experts that have seen it).

    Raises:
        InputError: a column is missing, or a cell of the statements cannot be read.
    """
    folder = Path(at)
    source = _read(folder / _DATABASE, _COLUMNS)
    statements = _read(folder / _STATEMENTS, ("diagnostic_class", "rhythm"))
    statements = statements.set_index(statements.columns[0])
    superclass = statements["diagnostic_class"].dropna().to_dict()
    rhythms = set(statements.index[statements["rhythm"] == 1])
    try:
        codes = [list(ast.literal_eval(cell)) for cell in source["scp_codes"]]
    except (ValueError, SyntaxError) as error:
        raise InputError(f"{folder / _DATABASE}: a cell of scp_codes is no dictionary: {error}") from error
    high = (folder / f"{source['filename_hr'].iloc[0]}.hea").is_file()
    return pd.DataFrame(
        {
            "record": source["filename_hr" if high else "filename_lr"],
            "subject_id": "ptbxl-" + source["patient_id"].map(cell_text),
            "age": source["age"].where(source["age"] <= _OLDEST, np.nan),
            "sex": source["sex"].map(_SEX),
            "rhythm": [_rhythm(row, rhythms) for row in codes],
            "superclass": [";".join(dict.fromkeys(superclass[c] for c in row if c in superclass)) for row in codes],
            "scp_codes": [";".join(row) for row in codes],
            "strat_fold": source["strat_fold"],
            "ecg_id": source["ecg_id"],
            "dataset": "PTB-XL",
        }
    )


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise InputError(f"{path}: not a readable table: {' '.join(str(error).split())}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"{path}: columns missing: {', '.join(missing)}; is it PTB-XL's own table?")
    return table


def _rhythm(codes: list[str], rhythms: set[str]) -> str:
    """Sinus rhythm is written beside what interrupts it, and a general statement before a closer one."""
    found = [code for code in codes if code in rhythms]
    return next((code for code in reversed(found) if code != "SR"), "SR" if found else "")
