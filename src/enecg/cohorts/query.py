"""Row filters: pandas query syntax, restricted to what compares cells.

No expression runs code or touches a file, and none takes more time or memory than grows with the table: regular
expressions are RE2's, which need linear time, and arithmetic is for numbers.
"""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from enecg.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Attributes that an expression may use; pandas itself would allow `record.to_csv(...)`.
_ALLOWED: Final = frozenset(
    {"str", "startswith", "endswith", "contains", "match", "fullmatch", "lower", "upper", "strip", "len"}
    | {"isin", "isna", "isnull", "notna", "notnull", "between", "abs"}
)
_PATTERNS: Final = frozenset({"contains", "match", "fullmatch"})
_NODES: Final = (
    ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.Compare, ast.cmpop, ast.Call,
    ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr,
)  # fmt: skip
_LONGEST: Final = 5000  # characters of an expression
_DEEPEST: Final = 50  # nested parts
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
        if len(text) > _LONGEST:
            raise InputError(f"{name}: --where has {len(text)} characters; at most {_LONGEST} are read")
        tree = ast.parse(text, mode="eval")
        _check(tree, table, {new: old for old, new in quoted.items()}, told)
        # What was checked is what is evaluated: backticks are gone, and `@` and assignments do not parse.
        found = _Patterns(table.rename(columns=quoted))
        condition = ast.unparse(found.visit(tree))
        rows = found.table.eval(condition, engine="python")
        if not isinstance(rows, pd.Series):
            raise InputError(f"{told} compares no column; write a condition, such as `strat_fold <= 8`")
        return rows.astype("boolean").fillna(False).to_numpy(bool)
    except InputError:
        raise
    except _FAULTS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{told} cannot be read: {reason}") from error


class _Patterns(ast.NodeTransformer):
    """Puts a column of its own in the place of each regular expression: RE2 has matched it, in linear time."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        method = node.func
        if not (isinstance(method, ast.Attribute) and method.attr in _PATTERNS):
            return node
        text = method.value
        options = {str(word.arg): word.value for word in node.keywords}
        values = [*node.args[:1], *options.values()]
        if not (isinstance(text, ast.Attribute) and text.attr == "str") or not node.args[:1] or node.args[1:]:
            raise ValueError(f"write .str.{method.attr}('PATTERN')")
        if not options.keys() <= {"case", "regex"} or not all(isinstance(value, ast.Constant) for value in values):
            raise ValueError(f".str.{method.attr} takes a pattern, case=True or False, and regex=True or False")
        pattern, *_ = (str(value.value) for value in values if isinstance(value, ast.Constant))
        given = {key: bool(value.value) for key, value in options.items() if isinstance(value, ast.Constant)}
        name = f"matched_{len(self.table.columns)}_"
        column: Any = self.table.eval(ast.unparse(text.value), engine="python")
        self.table = self.table.assign(**{name: _matched(column, method.attr, pattern, **given)})
        return ast.Name(name, ast.Load())


def _matched(column: pd.Series, method: str, pattern: str, case: bool = True, regex: bool = True) -> pd.Series:
    """Whether each cell of a text column has a pattern; False for a cell without text."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(column, pd.Series) or pd.api.types.is_numeric_dtype(column):
        raise ValueError(f".str.{method} is for columns of text")
    texts = pa.array([cell if isinstance(cell, str) else None for cell in column], pa.string())
    if regex or method != "contains":
        body = pattern if regex else re.escape(pattern)
        pattern = {"contains": body, "match": rf"\A(?:{body})", "fullmatch": rf"\A(?:{body})\z"}[method]
        found = pc.match_substring_regex(texts, pattern, ignore_case=not case)
    else:
        found = pc.match_substring(texts, pattern, ignore_case=not case)
    return pd.Series(found.fill_null(False).to_numpy(zero_copy_only=False), index=column.index)


def _depth(node: ast.AST) -> int:
    return 1 + max(map(_depth, ast.iter_child_nodes(node)), default=0)


def _is_number(node: ast.expr, table: pd.DataFrame, quoted: dict[str, str]) -> bool:
    """Whether a part of arithmetic is a number or a column of numbers; a text times 10**9 would fill the memory."""
    import pandas as pd

    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.Name):
        column = table.get(quoted.get(node.id, node.id))
        return column is None or pd.api.types.is_numeric_dtype(column)  # one that is not there is named elsewhere
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("abs", "len")
    return isinstance(node, ast.UnaryOp | ast.BinOp)


def _check(tree: ast.Expression, table: pd.DataFrame, quoted: dict[str, str], told: str) -> None:
    columns = list(table.columns)
    if _depth(tree) > _DEEPEST:
        raise InputError(f"{told[:100]}: is nested too deeply; write a simpler condition")
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise InputError(f"{told} cannot be read: {type(node).__name__} is not allowed; compare columns")
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitAnd | ast.BitOr):
            for side in (node.left, node.right):
                if not _is_number(side, table, quoted):
                    raise InputError(f"{told} cannot be read: arithmetic is for numbers, and a part of it is none")
        if isinstance(node, ast.Attribute) and node.attr not in _ALLOWED:
            raise InputError(f"{told}: .{node.attr} is not allowed; allowed are {', '.join(sorted(_ALLOWED))}")
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            raise InputError(f"{told}: functions are not allowed; methods are {', '.join(sorted(_ALLOWED))}")
        if isinstance(node, ast.Name) and (column := quoted.get(node.id, node.id)) not in columns:
            near = difflib.get_close_matches(column, columns, n=3, cutoff=0.5)
            hint = f"nearest: {', '.join(near)}" if near else f"columns are {', '.join(columns)}"
            raise InputError(f"{told}: there is no column {column!r}; {hint}")
