"""Read a CSV table and refuse a bad one: the rule, how many rows break it, and the first of them."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def read_table(
    path: str | Path, columns: Mapping[str, str], *, key: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read a UTF-8 CSV file and check it.

    Args:
        path: the file.
        columns: name and pandas dtype of each column that must be there, or "datetime" for days and "time" for times to
            the second; others are left out.
        key: columns that together may not repeat.
        optional: columns that may have empty cells.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it is not UTF-8, a column is missing, a cell is empty or of another type, or a key repeats.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it should be a CSV table with the columns {', '.join(columns)}.")
    try:
        raw = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""], encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}. Save it as UTF-8."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if missing := [column for column in columns if column not in raw.columns]:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; it has {', '.join(raw.columns)}.")
    table = raw[list(columns)]
    for column in columns:
        if column not in optional:
            refuse(path, table, table[column].isna(), f"{column} may not be empty")
    table = table.assign(
        **{column: _cast(path, table, column, dtype) for column, dtype in columns.items() if dtype != "string"}
    )
    if key:
        refuse(path, table, table.duplicated(list(key), keep=False), f"{' and '.join(key)} may not repeat")
    return table


def refuse(path: Path, table: pd.DataFrame, bad: pd.Series, rule: str) -> None:
    """Raise a ValueError that names the rule, counts the `bad` rows and shows the first three; if none is bad, pass."""
    if count := int(bad.sum()):
        shown = table[bad].head(3).to_string(index=False, max_colwidth=30)
        raise ValueError(f"{path}: {rule}; {count} of {len(table)} rows do not keep to it. The first:\n{shown}")


_TIMES = {
    "datetime": ("%Y-%m-%d", "a day like 2024-05-31"),
    "time": ("%Y-%m-%dT%H:%M:%S", "a time like 2024-05-31T09:30:00"),
}


def _cast(path, table, column, dtype):
    if dtype in _TIMES:
        form, like = _TIMES[dtype]
        values = pd.to_datetime(table[column], format=form, errors="coerce").dt.as_unit("ns")
        refuse(path, table, values.isna() & table[column].notna(), f"{column} must be {like}")
        return values
    values = pd.to_numeric(table[column], errors="coerce").astype("Float64")
    whole = dtype.lower().startswith("int")
    fits = values.notna() & (values.abs() < float("inf")) & ((values % 1 == 0) if whole else True)
    bad = ~fits.fillna(False).astype(bool) & table[column].notna()
    refuse(path, table, bad, f"{column} must be {'a whole number' if whole else 'a number'}")
    return values.astype(dtype)
