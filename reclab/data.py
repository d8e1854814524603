"""Load the RecLab world or a public dataset as tidy tables.

`load("world")` gives the world that is written for this course, `load("ml-latest-small")` the small MovieLens set,
`load(folder)` a world of the same form that a teacher brings. Every table is checked where it enters.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from reclab import fetch

INTENTS = (
    "shopping",
    "entertainment",
    "learning",
    "fitness",
    "food",
    "travel",
    "technology",
    "movies",
    "music",
    "books",
)
KINDS = ("search", "chat", "behaviour log")
SPLITS = ("train", "validation", "test")
SCENES = ("shop", "video", "music", "travel", "books", "news", "social", "games")

_INSTALLED = Path(__file__).parent / "world"
WORLD = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "data"


@dataclasses.dataclass(frozen=True, repr=False)
class World:
    """The RecLab world, bilingual.

    Attributes:
        items: item, scene, intent, title_en, title_zh, description_en, description_zh, brand, category, price (US
            dollars), released (a day), image and sound (files, or missing).
        themes: item, theme, weight; what people like about an item, hidden from models. An item's weights add up to 1.
        intents: intent, name_zh, description_en, description_zh.
        utterances: text, lang ("en", "zh"), intents (one, or several with ";" between), kind, split; what people say.
    """

    items: pd.DataFrame
    themes: pd.DataFrame
    intents: pd.DataFrame
    utterances: pd.DataFrame

    @property
    def titles(self) -> list[str]:
        return self.items["title_en"].tolist()

    def texts(self, language: str = "en") -> list[str]:
        """What an encoder reads of each item: title, category (which is English only) and description, in "en" or "zh".

        >>> load("world").texts()[1][:70]
        'Seven Pairs, No Sorting (socks). Because all seven pairs are the same '
        """
        items = self.items
        match language:
            case "en":
                return (items["title_en"] + " (" + items["category"] + "). " + items["description_en"]).tolist()
            case "zh":
                return (items["title_zh"] + "。" + items["description_zh"]).tolist()
        raise ValueError(f'language must be "en" or "zh", got {language!r}.')

    @property
    def descriptions(self) -> dict[str, str]:
        """What each intent means, in an English sentence."""
        return dict(zip(self.intents["intent"], self.intents["description_en"], strict=True))

    def __repr__(self):
        themes = self.themes["theme"].nunique()
        return f"World({len(self.items)} items, {themes} themes, {len(self.utterances)} utterances)"


@dataclasses.dataclass(frozen=True, repr=False)
class MovieLens:
    """MovieLens, from GroupLens (Harper and Konstan 2015, doi:10.1145/2827872); not for commercial use.

    Attributes:
        items: item, title, year (missing for a few), genres and tags (each a comma-separated text).
        ratings: person, item, rating (0.5 to 5 stars), time (UTC).
    """

    items: pd.DataFrame
    ratings: pd.DataFrame

    @property
    def titles(self) -> list[str]:
        return self.items["title"].tolist()

    def texts(self) -> list[str]:
        """What an encoder reads of each film: title, genres, and the words that people tagged it with."""
        items = self.items
        tags = items["tags"].where(items["tags"] == "", ". " + items["tags"])
        return (items["title"] + ". " + items["genres"] + tags).tolist()

    def __repr__(self):
        people = self.ratings["person"].nunique()
        return f"MovieLens({len(self.items)} items, {people} people, {len(self.ratings)} ratings)"


def load(name: str | Path = "world") -> World | MovieLens:
    """Load a dataset by name, or a world from a folder of CSV files.

    Raises:
        ValueError: the name is unknown, or a table breaks a rule; the message names both and shows rows.
        FileNotFoundError: a table is missing.
        fetch.FetchError: a public dataset could not be downloaded.

    >>> load("world")
    World(120 items, 40 themes, 63 utterances)
    """
    if name == "world":
        return _world(WORLD)
    if name == "ml-latest-small":
        return _movielens(fetch.folder(name))
    if Path(name).is_dir():
        return _world(Path(name))
    raise ValueError(f'name must be "world", "ml-latest-small" or a folder with CSV tables, got {str(name)!r}.')


def read_table(
    path: str | Path, columns: Mapping[str, str], *, key: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read a UTF-8 CSV file and check it.

    Args:
        path: the file.
        columns: name and pandas dtype ("datetime" for days) of each column that must be there; others are left out.
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
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
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


def _cast(path, table, column, dtype):
    if dtype == "datetime":
        values = pd.to_datetime(table[column], format="%Y-%m-%d", errors="coerce")
        refuse(path, table, values.isna() & table[column].notna(), f"{column} must be a day like 2024-05-31")
        return values
    values = pd.to_numeric(table[column], errors="coerce").astype("Float64")
    fits = values.notna() & ((values % 1 == 0) if dtype.startswith("int") else True)
    refuse(
        path,
        table,
        ~fits & table[column].notna(),
        f"{column} must be {'a whole number' if dtype.startswith('int') else 'a number'}",
    )
    return values.astype(dtype)


def _world(folder):
    text = dict.fromkeys(
        ("item", "scene", "intent", "title_en", "title_zh", "description_en", "description_zh", "brand", "category"),
        "string",
    )
    columns = text | {"price": "float64", "released": "datetime", "image": "string", "sound": "string"}
    path = folder / "items.csv"
    items = read_table(path, columns, key=("item",), optional=("price", "image", "sound"))
    refuse(path, items, ~items["intent"].isin(INTENTS), f"intent must be one of {', '.join(INTENTS)}")
    refuse(path, items, ~items["scene"].isin(SCENES), f"scene must be one of {', '.join(SCENES)}")
    refuse(path, items, items["price"] < 0, "price may not be negative")

    path = folder / "themes.csv"
    themes = read_table(path, {"item": "string", "theme": "string", "weight": "float64"}, key=("item", "theme"))
    refuse(path, themes, ~themes["item"].isin(items["item"]), "item must stand in items.csv")
    refuse(path, themes, ~themes["weight"].between(0, 1, inclusive="right"), "weight must be above 0 and at most 1")
    totals = themes.groupby("item")["weight"].transform("sum")
    refuse(path, themes, (totals - 1).abs() > 1e-6, "an item's weights must add up to 1")

    path = folder / "intents.csv"
    columns = dict.fromkeys(("intent", "name_zh", "description_en", "description_zh"), "string")
    intents = read_table(path, columns, key=("intent",))
    refuse(path, intents, ~intents["intent"].isin(INTENTS), f"intent must be one of {', '.join(INTENTS)}")

    path = folder / "utterances.csv"
    columns = dict.fromkeys(("text", "lang", "intents", "kind", "split"), "string")
    utterances = read_table(path, columns, key=("text",))
    for column, allowed in {"lang": ("en", "zh"), "kind": KINDS, "split": SPLITS}.items():
        refuse(path, utterances, ~utterances[column].isin(allowed), f"{column} must be one of {', '.join(allowed)}")
    known = utterances["intents"].map(lambda named: set(named.split(";")) <= set(INTENTS))
    refuse(path, utterances, ~known.astype(bool), f"intents must be among {', '.join(INTENTS)}")
    return World(items, themes, intents, utterances)


def _movielens(folder):
    movies = read_table(
        folder / "movies.csv", {"movieId": "int64", "title": "string", "genres": "string"}, key=("movieId",)
    )
    ratings = read_table(
        folder / "ratings.csv",
        {"userId": "int64", "movieId": "int64", "rating": "float64", "timestamp": "int64"},
        key=("userId", "movieId"),
    )
    tags = read_table(folder / "tags.csv", {"movieId": "int64", "tag": "string"})
    refuse(
        folder / "ratings.csv", ratings, ~ratings["movieId"].isin(movies["movieId"]), "movieId must stand in movies.csv"
    )

    words = tags.assign(tag=tags["tag"].str.lower()).drop_duplicates().groupby("movieId")["tag"].agg(", ".join)
    items = pd.DataFrame(
        {
            "item": movies["movieId"],
            "title": movies["title"].map(_plain_title).astype("string"),
            "year": movies["title"].str.extract(r"\((\d{4})\)\s*$")[0].astype("Int64"),
            "genres": movies["genres"].str.replace("|", ", ").where(movies["genres"] != "(no genres listed)", ""),
            "tags": movies["movieId"].map(words).fillna("").astype("string"),
        }
    )
    names = {"userId": "person", "movieId": "item", "rating": "rating", "timestamp": "time"}
    ratings = ratings.rename(columns=names).assign(time=pd.to_datetime(ratings["timestamp"], unit="s", utc=True))
    return MovieLens(items, ratings)


def _plain_title(title):
    """Undo the filing order: `Matrix, The (1999)` becomes `The Matrix (1999)`."""
    return re.sub(r"^(.*), (The|A|An)( \(.*)$", r"\2 \1\3", title)
