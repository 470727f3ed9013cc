"""What are a result's rows? The one table that JSON, CSV, pandas and a notebook all show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from prunescope.errors import printable
from prunescope.extras import require

if TYPE_CHECKING:
    from pandas import DataFrame

# Column → value; every row of a result has the same columns in the same order.
Row: TypeAlias = Mapping[str, Any]


class Tabular(ABC):
    """A result that is a table, too."""

    __slots__ = ()

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each row, column → value; None where a column does not apply."""

    def columns(self) -> Sequence[str] | None:
        """The names of the columns, where a result may have no row to tell them by."""
        return None

    def to_dataframe(self) -> DataFrame:
        """The rows as a pandas DataFrame with an index from 0.

        A column `layer` or `pruned_layer` is of pandas' nullable `Int64`: what lies outside the
        layers has no number.

        Raises:
            MissingExtra: pandas is not installed.
        """
        frame: DataFrame = require("pandas", "dataframe").DataFrame(
            self.rows(), columns=self.columns()
        )
        numbered = {name: "Int64" for name in ("layer", "pruned_layer") if name in frame}
        return frame.astype(numbered)


def dimensions(shape: Sequence[int] | None) -> str:
    """A weight's shape as the tables and the CSV print it: `4096 × 4096`; `-` where absent."""
    return "-" if shape is None else " × ".join(map(str, shape))


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A row of a nested record: `{"decode": {"flops": 1}}` becomes `{"decode_flops": 1}`."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        row |= flat(value, f"{name}_") if isinstance(value, Mapping) else {prefix + name: value}
    return row


def html_table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for a notebook; what a file says in it stays text."""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<table><caption>{_text(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _text(cell: str) -> str:
    # Its table of entities is for notebooks alone.
    from html import escape

    return escape(printable(cell, limit=2000))
