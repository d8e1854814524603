"""Load the RecLab world or a public dataset as tidy tables, and split it without leaking the future.

`load("world")` gives the world that is written for this course, `load("ml-latest-small")` and others a public set,
`load(folder)` a world of the same form that a teacher brings. Every table is checked where it enters.
"""

import dataclasses
import json
import re
import tarfile
import wave
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from scipy import sparse

from reclab import fetch
from reclab.tables import read_table, refuse
from reclab.truth import Truth

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
OUT_OF_SCOPE = "out of scope"
KINDS = ("search", "chat", "behaviour log")
SPLITS = ("train", "validation", "test")
SCENES = ("shop", "video", "music", "travel", "books", "news", "social", "games")
ACTIONS = ("impression", "click", "dwell", "like", "purchase")
DEVICES = ("phone", "laptop", "tablet", "tv")
AGE_BANDS = ("16-24", "25-34", "35-49", "50-64", "65+")

_INSTALLED = Path(__file__).parent / "world"
WORLD = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "data"


@dataclasses.dataclass(frozen=True, repr=False)
class World:
    """The RecLab world, bilingual. The data card, data/README.md, tells how each table was made.

    Attributes:
        items: item, scene, intent, title_en, title_zh, description_en, description_zh, brand, category, price (US
            dollars), released (a day), image and sound (files, or missing).
        intents: intent, name_zh, description_en, description_zh.
        utterances: text, lang ("en", "zh"), intents (one, several with ";" between, or "out of scope"), kind, split.
        people: person, age_band, city, joined (a day), friends (ids with ";" between, or missing).
        events: person, item, time, scene, action, dwell_s (seconds; only of "dwell"), rating (1 to 5; only of some
            "dwell"), position (1 is the first; missing if the item was found by searching), device, session.
        truth: what really drives people, hidden from models; None in a folder without it.
        folder: where the files lie.
    """

    items: pd.DataFrame
    intents: pd.DataFrame
    utterances: pd.DataFrame
    people: pd.DataFrame
    events: pd.DataFrame
    truth: Truth | None
    folder: Path

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

    def said(self, *, split: str, lang: str = "en") -> pd.DataFrame:
        """The utterances of a split that have exactly one of the ten intents.

        >>> load("world").said(split="test")["intents"].nunique()
        10
        """
        rows = self.utterances
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        return rows[rows["intents"].isin(INTENTS) & (rows["split"] == split) & (rows["lang"] == lang)].reset_index(
            drop=True
        )

    def interactions(self, actions: Sequence[str] = ("click",)) -> "Interactions":
        """Who did one of these things with which item.

        >>> load("world").interactions(["like", "purchase"]).matrix().shape
        (2000, 600)
        """
        if unknown := set(actions) - set(ACTIONS):
            raise ValueError(f"actions must be among {', '.join(ACTIONS)}, got {min(unknown)!r}.")
        events = self.events[self.events["action"].isin(list(actions))]
        return Interactions.of(events, people=self.people["person"], items=self.items["item"])

    def raw_events(self) -> pd.DataFrame:
        """The log as it was recorded, dirty on purpose, every cell a text: for notebook 01."""
        path = self.folder / "events_raw.csv.gz"
        return read_table(path, dict.fromkeys((*_EVENTS, "price"), "string"), optional=(*_EVENTS, "price"))

    def pictures(self) -> np.ndarray:
        """The items' pictures, in the order of `items`: (items, 64, 64, 3) uint8.

        Raises:
            ValueError: an item has no picture, or a file is damaged or of another size.
        """
        return np.stack([self._file(row.item, row.image, _picture) for row in self.items.itertuples()])

    def sounds(self) -> dict[str, np.ndarray]:
        """The sound of each item that has one: (16000,) float32 from -1 to 1, two seconds at 8 kHz."""
        heard = self.items.dropna(subset="sound")
        return {row.item: self._file(row.item, row.sound, _sound) for row in heard.itertuples()}

    def _file(self, item, name, read):
        if pd.isna(name):
            raise ValueError(f"{self.folder / 'items.csv'} names no picture for {item}.")
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing, which items.csv names for {item}.")
        return read(path)

    def __repr__(self):
        return (
            f"World({len(self.items)} items, {len(self.people)} people, {len(self.events)} events, "
            f"{len(self.utterances)} utterances)"
        )


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

    def interactions(self) -> "Interactions":
        """Who rated which film, whatever the rating."""
        return Interactions.of(self.ratings, people=np.unique(self.ratings["person"]), items=self.items["item"])

    def __repr__(self):
        people = self.ratings["person"].nunique()
        return f"MovieLens({len(self.items)} items, {people} people, {len(self.ratings)} ratings)"


@dataclasses.dataclass(frozen=True, repr=False)
class IntentSet:
    """A public set of sentences, each labelled with one intent.

    Attributes:
        name: as `load` knows it.
        intents: all labels, sorted.
        utterances: text, intents (one label, named as in the world), split.
    """

    name: str
    intents: tuple[str, ...]
    utterances: pd.DataFrame

    def said(self, *, split: str) -> pd.DataFrame:
        """The utterances of a split."""
        there = self.utterances["split"].unique().tolist()
        if split not in there:
            raise ValueError(f"split must be one of {', '.join(there)}, got {split!r}.")
        return self.utterances[self.utterances["split"] == split].reset_index(drop=True)

    def __repr__(self):
        splits = ", ".join(f"{n} {split}" for split, n in self.utterances["split"].value_counts(sort=False).items())
        return f"IntentSet({self.name!r}, {len(self.intents)} intents, {splits})"


@dataclasses.dataclass(frozen=True, repr=False)
class Interactions:
    """Who met which item, and when: what rankers learn from.

    Attributes:
        people: the ids of all people, one row of the matrix each, also of those without an interaction.
        items: the ids of all items, one column each.
        person: (n,) row of each interaction.
        item: (n,) column of each interaction.
        time: (n,) datetime64, never decreasing; UTC where the events have a time zone.

    >>> events = pd.DataFrame({"person": ["ann", "bob", "ann"], "item": ["tea", "tea", "jazz"],
    ...                        "time": pd.to_datetime(["2026-07-02", "2026-07-01", "2026-07-03"])})
    >>> met = Interactions.of(events, people=["ann", "bob", "cy"], items=["jazz", "tea"])
    >>> met
    Interactions(3 of 2 people with 2 items, 2026-07-01 to 2026-07-03, 50.0 % of all pairs)
    >>> met.matrix().toarray()
    array([[1., 1.],
           [0., 1.],
           [0., 0.]], dtype=float32)
    """

    people: pd.Index
    items: pd.Index
    person: np.ndarray
    item: np.ndarray
    time: np.ndarray

    @classmethod
    def of(cls, events: pd.DataFrame, *, people: Sequence, items: Sequence) -> "Interactions":
        """From a table with the columns person, item and time; rows of equal time keep their order.

        Raises:
            ValueError: a column is missing, an id repeats, is unknown or missing, or a time is missing.
        """
        if missing := [column for column in ("person", "item", "time") if column not in events.columns]:
            raise ValueError(f"events must have the columns person, item and time; {missing[0]} is missing.")
        people, items = pd.Index(people), pd.Index(items)
        for name, ids in {"people": people, "items": items}.items():
            if not ids.is_unique:
                raise ValueError(f"{name} must be different ids, {ids[ids.duplicated()][0]!r} repeats.")
        if events["time"].isna().any():
            raise ValueError(f"every event must have a time, {events['time'].isna().sum()} have none.")
        events = events.sort_values("time", kind="stable")
        person, item = people.get_indexer(events["person"]), items.get_indexer(events["item"])
        for name, rows in {"person": person, "item": item}.items():
            if (rows < 0).any():
                first = events[name].iloc[np.argmax(rows < 0)]
                raise ValueError(f"{(rows < 0).sum()} events have an unknown {name}, the first is {first!r}.")
        time = pd.to_datetime(events["time"], utc=True).dt.tz_localize(None).dt.as_unit("ns")
        return cls(people, items, person, item, time.to_numpy())

    def take(self, rows: np.ndarray) -> "Interactions":
        """Some of the interactions, by a mask or by positions, with the same people and items."""
        rows = np.sort(np.arange(len(self))[rows])
        return dataclasses.replace(self, person=self.person[rows], item=self.item[rows], time=self.time[rows])

    def matrix(self) -> sparse.csr_array:
        """How often each person met each item: (people, items) float32."""
        ones = np.ones(len(self), np.float32)
        return sparse.coo_array((ones, (self.person, self.item)), shape=(len(self.people), len(self.items))).tocsr()

    def first(self) -> "Interactions":
        """Of each person and item only the first meeting."""
        return self.take(~pd.DataFrame({"person": self.person, "item": self.item}).duplicated().to_numpy())

    def __len__(self):
        return len(self.person)

    def __repr__(self):
        if not len(self):
            return f"Interactions(none of {len(self.people)} people with {len(self.items)} items)"
        pairs = self.matrix().nnz / (len(self.people) * len(self.items))
        first, last = (np.datetime_as_string(time, "D") for time in (self.time[0], self.time[-1]))
        people, items = len(np.unique(self.person)), len(np.unique(self.item))
        met = f"{len(self)} of {people} people with {items} items"
        return f"Interactions({met}, {first} to {last}, {100 * pairs:.1f} % of all pairs)"


def split_by_time(
    interactions: Interactions, *, at: pd.Timestamp | str | None = None, share: float = 0.2
) -> tuple[Interactions, Interactions]:
    """What happened before a moment, and from then on. Nothing of the future is in the first part.

    Args:
        interactions: what to split.
        at: the moment; without it the one that leaves the given `share` to the second part. Interactions of one and the
            same time stay together, in the second part.
        share: above 0 and below 1.

    Raises:
        ValueError: a part would be empty.

    >>> before, after = split_by_time(load("world").interactions(), at="2026-09-15")
    >>> before.time.max() < after.time.min()
    np.True_
    """
    if at is None:
        if not 0 < share < 1:
            raise ValueError(f"share must be above 0 and below 1, got {share}.")
        at = interactions.time[int(np.ceil(len(interactions) * (1 - share)))] if len(interactions) > 1 else None
    later = interactions.time >= np.datetime64(pd.Timestamp(at))
    if later.all() or not later.any():
        raise ValueError(f"a split at {at} leaves one part empty: {interactions!r}.")
    return interactions.take(~later), interactions.take(later)


def split_last(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Each person's newest item for the test, and what the person met before it for training.

    The newest item is the one met last for the first time. What a person did with known items after that is in neither
    part, since it happened later. People with a single item stay in training.

    >>> train, test = split_last(load("world").interactions())
    >>> train.matrix().multiply(test.matrix()).nnz  # nothing of the test was met before
    0
    """
    table = pd.DataFrame({"person": interactions.person, "item": interactions.item})
    fresh = ~table.duplicated()
    newest = table.index.to_series()[fresh].groupby(table["person"][fresh]).agg(["max", "count"])
    newest = newest["max"].where(newest["count"] > 1, len(table))
    cut = table["person"].map(newest).to_numpy()
    place = np.arange(len(table))
    return interactions.take(place < cut), interactions.take(place == cut)


@dataclasses.dataclass(frozen=True, repr=False)
class ProductSearch:
    """A shop's products, what people searched for, and how well the products answer it.

    Attributes:
        items: item, title, description (may be empty), supplier, attributes (such as "product colour: Black; ...").
        judgements: query, item, rating (0 is wrong, 3 is what was meant). Products that are not judged count as wrong.
    """

    items: pd.DataFrame
    judgements: pd.DataFrame

    @property
    def titles(self) -> list[str]:
        return self.items["title"].tolist()

    def texts(self) -> list[str]:
        """What an encoder reads of each product: title and description."""
        return (self.items["title"] + ". " + self.items["description"]).str.removesuffix(". ").tolist()

    @property
    def queries(self) -> list[str]:
        return self.judgements["query"].unique().tolist()

    def relevant(self) -> list[dict[str, int]]:
        """For each of the `queries` the products with a rating above 0, and the rating: gains for `evaluate`."""
        good = self.judgements[self.judgements["rating"] > 0]
        found = {query: dict(zip(rows["item"], rows["rating"], strict=True)) for query, rows in good.groupby("query")}
        return [found.get(query, {}) for query in self.queries]

    def __repr__(self):
        return f"ProductSearch({len(self.items)} items, {len(self.queries)} queries, {len(self.judgements)} judgements)"


@dataclasses.dataclass(frozen=True, repr=False)
class GroceryStore:
    """What a grocery sells, and photographs that were taken in the shop.

    Attributes:
        items: item, group (a coarser kind of thing), description, icon (the shop's own picture of it).
        photographs: file, item, split.
        folder: where the files lie.
    """

    items: pd.DataFrame
    photographs: pd.DataFrame
    folder: Path

    @property
    def titles(self) -> list[str]:
        return self.items["item"].str.replace("-", " ").tolist()

    def texts(self) -> list[str]:
        """What an encoder reads of each product: title and description."""
        return [f"{title}. {text}" for title, text in zip(self.titles, self.items["description"], strict=True)]

    def taken(self, *, split: str) -> pd.DataFrame:
        """The photographs of a split."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        return self.photographs[self.photographs["split"] == split].reset_index(drop=True)

    def pictures(self, files: Sequence[str], *, size: int = 64) -> np.ndarray:
        """The middle square of each named picture, (files, size, size, 3) uint8.

        Raises:
            ValueError: a file is not there, or cannot be read as a picture.
        """
        from PIL import ImageOps

        path, found = self.folder / "images.tar", np.empty((len(files), size, size, 3), np.uint8)
        with tarfile.open(path) as packed:
            members = {str(PurePosixPath(member.name)): member for member in packed}
            for i, file in enumerate(files):
                if file not in members:
                    raise ValueError(f"files[{i}] must be a picture in {path}, got {file!r}.")
                picture = _rgb(packed.extractfile(members[file]), f"{file} in {path}")
                found[i] = ImageOps.fit(picture, (size, size))
        return found

    def __repr__(self):
        groups = self.items["group"].nunique()
        return f"GroceryStore({len(self.items)} items in {groups} groups, {len(self.photographs)} photographs)"


def load(name: str | Path = "world") -> World | MovieLens | IntentSet | ProductSearch | GroceryStore:
    """Load a dataset by name, or a world from a folder of CSV files.

    Raises:
        ValueError: the name is unknown, or a table breaks a rule; the message names both and shows rows.
        FileNotFoundError: a table is missing.
        fetch.FetchError: a public dataset could not be downloaded.

    >>> load("world")
    World(600 items, 2000 people, 146526 events, 5760 utterances)
    """
    if name == "world":
        return _world(WORLD)
    if name in _PUBLIC:
        return _PUBLIC[name](fetch.folder(name))
    if Path(name).is_dir():
        return _world(Path(name))
    names = ", ".join(f'"{known}"' for known in ("world", *_PUBLIC))
    raise ValueError(f"name must be {names} or a folder with CSV tables, got {str(name)!r}.")


# --- the world's tables ----------------------------------------------------------------------------------------------

_EVENTS = ("person", "item", "time", "scene", "action", "dwell_s", "rating", "position", "device", "session")


def _world(folder):
    items = _items(folder)
    intents = _intents(folder)
    utterances = _utterances(folder)
    first_day, days = _log(folder)
    people = _people(folder)
    events = _events(folder, items, people, first_day, days)
    truth = _truth(folder, items, people, days) if (folder / "items_truth.csv").exists() else None
    return World(items, intents, utterances, people, events, truth, folder)


def _items(folder):
    path = folder / "items.csv"
    text = _strings("item scene intent title_en title_zh description_en description_zh brand category")
    columns = text | {"price": "float64", "released": "datetime", "image": "string", "sound": "string"}
    items = read_table(path, columns, key=("item",), optional=("price", "image", "sound"))
    _among(path, items, intent=INTENTS, scene=SCENES)
    refuse(path, items, items["price"] < 0, "price may not be negative")
    for column in ("image", "sound"):
        outside = items[column].str.contains(r"^/|\\|\.\.|:", na=False)
        refuse(path, items, outside, f"{column} must be a file below this folder")
    return items


def _intents(folder):
    path = folder / "intents.csv"
    intents = read_table(path, _strings("intent name_zh description_en description_zh"), key=("intent",))
    _among(path, intents, intent=INTENTS)
    return intents


def _utterances(folder):
    path = folder / "utterances.csv"
    utterances = read_table(path, _strings("text lang intents kind split"), key=("text",))
    _among(path, utterances, lang=("en", "zh"), kind=KINDS, split=SPLITS)
    known = utterances["intents"].map(lambda named: named == OUT_OF_SCOPE or set(named.split(";")) <= set(INTENTS))
    refuse(path, utterances, ~known.astype(bool), f'intents must be among {", ".join(INTENTS)}, or "{OUT_OF_SCOPE}"')
    return utterances


def _log(folder):
    path = folder / "log.csv"
    log = read_table(path, {"first_day": "datetime", "days": "int64"})
    refuse(path, log, pd.Series(len(log) != 1, log.index), "there must be one row")
    refuse(path, log, log["days"] < 1, "days must be at least 1")
    return log["first_day"].iloc[0], int(log["days"].iloc[0])


def _people(folder):
    path = folder / "people.csv"
    columns = _strings("person age_band city") | {"joined": "datetime", "friends": "string"}
    people = read_table(path, columns, key=("person",), optional=("friends",))
    _among(path, people, age_band=AGE_BANDS)
    pairs = people.assign(friend=people["friends"].str.split(";")).explode("friend").dropna(subset="friend")
    refuse(path, pairs, ~pairs["friend"].isin(people["person"]), "friends must be people of this table")
    known = pd.MultiIndex.from_frame(pairs[["person", "friend"]])
    mutual = pd.MultiIndex.from_frame(pairs[["friend", "person"]]).isin(known)
    refuse(path, pairs, pd.Series(~mutual, pairs.index), "friendship must stand in both rows")
    return people


def _events(folder, items, people, first_day, days):
    path = folder / "events.csv.gz"
    path = path if path.exists() else folder / "events.csv"
    numbers = {"dwell_s": "float64", "rating": "Int64", "position": "Int64", "session": "int64"}
    columns = dict.fromkeys(_EVENTS, "string") | {"time": "time"} | numbers
    optional = ("dwell_s", "rating", "position")
    events = read_table(path, columns, key=("person", "item", "time", "action"), optional=optional)
    _among(path, events, scene=SCENES, action=ACTIONS, device=DEVICES)
    item = items.set_index("item").reindex(events["item"])
    joined = people.set_index("person")["joined"].reindex(events["person"])
    after = first_day + pd.Timedelta(days=days)
    rules = {
        "person must stand in people.csv": joined.isna(),
        "item must stand in items.csv": item["scene"].isna(),
        "scene must be the item's": item["scene"].fillna("").to_numpy() != events["scene"].to_numpy(),
        f"time must be within the log, {first_day:%Y-%m-%d} and {days} days": ~events["time"].between(
            first_day, after, inclusive="left"
        ),
        "time may not be before the person joined": events["time"].to_numpy() < joined.to_numpy(),
        "time may not be before the item was released": events["time"].to_numpy() < item["released"].to_numpy(),
        "dwell_s must be above 0 and at most 86400": ~events["dwell_s"].dropna().between(0, 86400, inclusive="right"),
        "dwell_s must stand with the action dwell, and only there": events["dwell_s"].isna()
        == (events["action"] == "dwell"),
        "rating must be 1 to 5": ~events["rating"].dropna().between(1, 5),
        "position must be at least 1": events["position"].dropna() < 1,
        "a session must be of one person": events.groupby("session")["person"].transform("nunique") > 1,
    }
    for rule, bad in rules.items():
        bad = pd.Series(np.asarray(bad), bad.index if len(bad) < len(events) else events.index)
        refuse(path, events, bad.reindex(events.index, fill_value=False), rule)
    return events


def _truth(folder, items, people, days):
    themes_path, tastes_path = folder / "themes.csv", folder / "tastes.csv"
    themes = read_table(themes_path, {"item": "string", "theme": "string", "weight": "float64"}, key=("item", "theme"))
    refuse(themes_path, themes, ~themes["item"].isin(items["item"]), "item must stand in items.csv")
    _shares(themes_path, themes, "item", "weight")

    shares = {"start": "float64", "end": "float64"}
    tastes = read_table(tastes_path, _strings("person theme") | shares, key=("person", "theme"))
    refuse(tastes_path, tastes, ~tastes["person"].isin(people["person"]), "person must stand in people.csv")
    for column in shares:
        _shares(tastes_path, tastes, "person", column, zero=True)

    path = folder / "items_truth.csv"
    columns = {"appeal": "float64"} | _strings("palette shape texture timbre") | {"tempo": "float64"}
    hidden_items = read_table(path, {"item": "string"} | columns, key=("item",), optional=("timbre", "tempo"))
    path = folder / "people_truth.csv"
    columns = (
        _strings("person group")
        | dict.fromkeys(("activity", "thrift", "variety", "chronotype"), "float64")
        | _strings("favourite_scene main_device loved_palette disliked_palette loved_shape loved_texture loved_timbre")
        | {"tempo": "float64", "satisfaction": "float64", "left": "datetime"}
    )
    hidden_people = read_table(path, columns, key=("person",), optional=("left",))
    for name, hidden, seen, key in (
        ("items_truth.csv", hidden_items, items, "item"),
        ("people_truth.csv", hidden_people, people, "person"),
    ):
        same = len(hidden) == len(seen) and (hidden[key].to_numpy() == seen[key].to_numpy()).all()
        if not same:
            raise ValueError(f"{folder / name} must have the rows of {key}s that the open table has, in its order.")
    return Truth(hidden_items, themes, hidden_people, tastes, days)


def _strings(names):
    return dict.fromkeys(names.split(), "string")


def _among(path, table, **allowed):
    for column, values in allowed.items():
        refuse(path, table, ~table[column].isin(values), f"{column} must be one of {', '.join(values)}")


def _shares(path, table, of, column, zero=False):
    """Each part between 0 and 1, and together 1."""
    inclusive = "both" if zero else "right"
    low = "0" if zero else "above 0"
    refuse(path, table, ~table[column].between(0, 1, inclusive=inclusive), f"{column} must be {low} and at most 1")
    totals = table.groupby(of)[column].transform("sum")
    refuse(
        path, table, (totals - 1).abs() > 1e-6, f"{'an' if of[0] in 'aeiou' else 'a'} {of}'s {column}s must add up to 1"
    )


def _picture(path):
    picture = np.asarray(_rgb(path, path))
    if picture.shape != (64, 64, 3):
        raise ValueError(f"{path} must be 64 x 64 pixels, it is {picture.shape[1]} x {picture.shape[0]}.")
    return picture


def _rgb(file, name):
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name} cannot be read as a picture: {error}") from error


def _sound(path):
    try:
        with wave.open(str(path), "rb") as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()
            samples = np.frombuffer(file.readframes(form[3]), "<i2")
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a WAV file: {error}") from error
    if form != (1, 2, 8000, 16000) or len(samples) != 16000:
        raise ValueError(f"{path} must be 2 s of one channel, 16 bit, 8000 Hz; it has {form}.")
    return samples.astype(np.float32) / 32768


# --- MovieLens --------------------------------------------------------------------------------------------------------


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


# --- sets of intents --------------------------------------------------------------------------------------------------


def _banking77(folder):
    """Casanueva et al. 2020, arXiv:2003.04807: questions to a bank."""
    tables = {
        split: read_table(folder / f"{split}.csv", _strings("text category"), key=("text",))
        for split in ("train", "test")
    }
    return _intent_set("banking77", tables, "category")


def _massive(folder):
    """FitzGerald et al. 2022, arXiv:2204.08582: sentences to a voice assistant, the English part."""
    tables = {split: _json_lines(folder / f"{split}.jsonl", ("text", "label_text")) for split in SPLITS}
    return _intent_set("massive-en", tables, "label_text")


def _intent_set(name, tables, label):
    utterances = pd.concat([table.assign(split=split) for split, table in tables.items()], ignore_index=True)
    utterances = utterances.rename(columns={label: "intents"})[["text", "intents", "split"]]
    return IntentSet(name, tuple(sorted(utterances["intents"].unique())), utterances)


def _json_lines(path, columns):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it should have a JSON object with {', '.join(columns)} a line.")
    try:
        table = pd.read_json(path, lines=True, dtype=False, encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON lines: {error}") from error
    if missing := [column for column in columns if column not in table.columns]:
        raise ValueError(f"{path} lacks the field {missing[0]!r}; it has {', '.join(table.columns)}.")
    for column in columns:
        texts = table[column].map(lambda value: isinstance(value, str) and value != "").astype(bool)
        refuse(path, table, ~texts, f"{column} must be a text that is not empty")
    return table[list(columns)].astype("string")


# --- product search ---------------------------------------------------------------------------------------------------


def _chorus(folder):
    """The Chorus project's electronics shop: https://github.com/querqy/chorus."""
    products = [product for part in range(1, 5) for product in _zipped_json(folder / f"{part}.json.zip")]
    items = pd.DataFrame(
        {
            "item": [product["id"] for product in products],
            "title": [product["title"] for product in products],
            "description": [product.get("short_description") or "" for product in products],
            "supplier": [product["supplier"] for product in products],
            "attributes": [_attributes(product) for product in products],
        },
        dtype="string",
    )
    path = folder / "Broad_Query_Set_rated.csv"
    columns = {"query": "string", "docid": "string", "rating": "int64"}
    judgements = read_table(path, columns, key=("query", "docid")).rename(columns={"docid": "item"})
    refuse(path, judgements, ~judgements["item"].isin(items["item"]), "docid must be a product's id")
    refuse(path, judgements, ~judgements["rating"].between(0, 3), "rating must be 0 to 3")
    return ProductSearch(items, judgements)


def _zipped_json(path):
    try:
        with zipfile.ZipFile(path) as packed:
            return json.loads(packed.read(path.name.removesuffix(".zip")))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: it should hold a JSON list of products.") from None
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a zipped JSON list: {error}") from error


def _attributes(product):
    named = {key[7:].replace("_", " "): value for key, value in product.items() if key.startswith("attr_")}
    return "; ".join(f"{name}: {value}" for name, value in sorted(named.items()))


# --- grocery photographs ----------------------------------------------------------------------------------------------


def _grocery(folder):
    """Klasson, Zhang and Kjellström 2019, arXiv:1901.00711: 81 products in shops in Sweden."""
    columns = {
        "Class Name (str)": "item",
        "Class ID (int)": "number",
        "Coarse Class Name (str)": "group",
        "Iconic Image Path (str)": "icon",
        "Product Description Path (str)": "description",
    }
    kinds = dict.fromkeys(columns, "string") | {"Class ID (int)": "int64"}
    items = read_table(folder / "classes.csv", kinds, key=("Class ID (int)",)).rename(columns=columns)
    described = [(folder / path.lstrip("/")).read_text(encoding="utf-8").strip() for path in items["description"]]
    items = items.assign(icon=items["icon"].str.lstrip("/"), description=pd.array(described, "string"))
    files = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}
    photographs = pd.concat([_photographs(folder / file, items).assign(split=split) for split, file in files.items()])
    return GroceryStore(items.drop(columns="number"), photographs.reset_index(drop=True), folder)


def _photographs(path, items):
    table = pd.read_csv(path, names=["file", "number", "group"], skipinitialspace=True, dtype={"file": "string"})
    refuse(path, table, ~table["number"].isin(items["number"]), "the second number must stand in classes.csv")
    return table.assign(item=table["number"].map(items.set_index("number")["item"]))[["file", "item"]]


_PUBLIC = {
    "ml-latest-small": _movielens,
    "banking77": _banking77,
    "massive-en": _massive,
    "chorus-icecat": _chorus,
    "grocery-store-multimodal": _grocery,
}
