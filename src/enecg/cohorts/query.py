"""Row filters: pandas query syntax, restricted to what compares cells. No expression runs code or touches a file."""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Final

import numpy as np

from enecg.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Attributes that an expression may use; pandas itself would allow `record.to_csv(...)`.
_ALLOWED: Final = frozenset(
    {"str", "startswith", "endswith", "contains", "match", "fullmatch", "lower", "upper", "strip", "len"}
    | {"isin", "isna", "isnull", "notna", "notnull", "between", "abs"}
)
_STRING_OR_QUOTED: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`([^`]*)`""")
_FAULTS: Final = (SyntaxError, NameError, TypeError, ValueError, KeyError, AttributeError, NotImplementedError,
                  OverflowError, RecursionError, MemoryError, re.error)  # fmt: skip


def matching(table: pd.DataFrame, where: str, name: str) -> np.ndarray:
    """Which rows of a table meet a condition.

    Args:
        table: its columns are the names in the expression; quote others in backticks, as in pandas.
        where: such as `strat_fold <= 8 and rhythm.isin(["AFIB", "SR"])` or `record.str.startswith("ludb/")`.
        name: of the table, for messages.

    Returns:
        bool `[row]`; a comparison with a missing cell is False.

    Raises:
        InputError: the expression cannot be read, names no column, is no condition, or goes beyond comparing cells.
    """
    import pandas as pd

    quoted: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        return quoted.setdefault(match[2], f"quoted_column_{len(quoted)}")

    text = _STRING_OR_QUOTED.sub(placeholder, where.strip())
    told = f"{name}: --where {where!r}"
    try:
        _check(ast.parse(text, mode="eval"), list(table.columns), {new: old for old, new in quoted.items()}, told)
        # What was checked is what is evaluated: backticks are gone, and `@` and assignments do not parse.
        rows = table.rename(columns=quoted).eval(text, engine="python")
        if not isinstance(rows, pd.Series):
            raise InputError(f"{told} compares no column; write a condition, such as `strat_fold <= 8`")
        return rows.astype("boolean").fillna(False).to_numpy(bool)
    except InputError:
        raise
    except _FAULTS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{told} cannot be read: {reason}") from error


def _check(tree: ast.Expression, columns: list[str], quoted: dict[str, str], told: str) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in _ALLOWED:
            raise InputError(f"{told}: .{node.attr} is not allowed; allowed are {', '.join(sorted(_ALLOWED))}")
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            raise InputError(f"{told}: functions are not allowed; methods are {', '.join(sorted(_ALLOWED))}")
        if isinstance(node, ast.Name) and (column := quoted.get(node.id, node.id)) not in columns:
            near = difflib.get_close_matches(column, columns, n=3, cutoff=0.5)
            hint = f"nearest: {', '.join(near)}" if near else f"columns are {', '.join(columns)}"
            raise InputError(f"{told}: there is no column {column!r}; {hint}")
