"""Turn behaviour into sentences and sentences into padded token ids."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd


def check(texts: Sequence[str]) -> list[str]:
    """The texts as a list; a TypeError says where one is not a string.

    >>> check(["a", 3])
    Traceback (most recent call last):
    TypeError: texts[1] must be a string, got int.
    """
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list of strings, got one string: {texts[:40]!r}.")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a string, got {type(text).__name__}.")
    return texts


def tokenize(tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, with [CLS] and [SEP], cut after `max_length`.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        texts: any strings; halves of surrogate pairs, which no tokenizer can read, become question marks.
        max_length: in tokens, [CLS] and [SEP] included.
    """
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    return tokenizer(readable, truncation=True, max_length=max_length, padding=False)["input_ids"] if readable else []


def pad(sequences: Sequence[Sequence[int]], value: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one length and the mask that tells tokens (1) from padding (0), both (n, longest) int32.

    >>> ids, mask = pad([[5, 6, 7], [8]])
    >>> ids.tolist(), mask.tolist()
    ([[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]])
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int32)
    ids = np.full(mask.shape, value, np.int32)
    ids[mask == 1] = np.concatenate([np.asarray(sequence, np.int32) for sequence in sequences])
    return ids, mask


def batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Positions of texts, longest first, in batches whose padded size stays within `budget` tokens.

    Neighbours in length share a batch, so that little is padded. A text longer than the budget gets a batch of its own.

    >>> [batch.tolist() for batch in batches([3, 9, 4, 2], budget=10)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, budget // int(lengths[order[start]]))
        yield order[start:stop]
        start = stop


_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")


def words(text: str) -> list[tuple[str, str]]:
    """Each word of the text beside the text without it; a Chinese character counts as a word.

    >>> words("jazz for free")
    [('jazz', 'for free'), ('for', 'jazz free'), ('free', 'jazz for')]
    """
    return [
        (found.group(), " ".join((text[: found.start()] + text[found.end() :]).split()))
        for found in _WORD.finditer(text)
    ]


FORMS = ("titles", "sentence", "tags")
STRENGTH = ("click", "dwell", "like", "purchase")  # from the weakest sign of interest to the strongest
_VERBS = {"click": "Clicked", "dwell": "Looked at", "like": "Liked", "purchase": "Bought"}
_JOINTS = {"titles": "; ", "sentence": " ", "tags": " | "}
_PART_STARTS, _PARTS = (0, 5, 12, 17, 22), ("night", "morning", "afternoon", "evening", "night")
_STEP = ["person", "session", "item", "time", "scene", "action"]


def steps(events: pd.DataFrame) -> pd.DataFrame:
    """What was done: one row for each item in a visit, newest first.

    Of all that was done with an item in one visit only the strongest action counts (`STRENGTH`), at the time of the
    first. What was merely shown (`impression`) is left out. Of equal times the lower row is the newer.

    Args:
        events: person, session, item, time, scene and action, as in `World.events`; other columns are left out.

    Raises:
        ValueError: a column is missing, or an action is unknown.
    """
    _need("events", events, _STEP)
    done = events.loc[events["action"] != "impression", _STEP].sort_values("time", kind="stable")
    if unknown := set(done["action"]) - set(STRENGTH):
        raise ValueError(f"action must be one of impression, {', '.join(STRENGTH)}, got {min(unknown)!r}.")
    visited = ["person", "session", "item"]
    strength = done["action"].map(STRENGTH.index).groupby([done[key] for key in visited]).transform("max")
    strongest = strength.map(dict(enumerate(STRENGTH)))
    return done.assign(action=strongest).drop_duplicates(visited).iloc[::-1].reset_index(drop=True)


def behaviour(
    events: pd.DataFrame, items: pd.DataFrame, *, form: str = "sentence", by: str = "person", last: int | None = None
) -> pd.Series:
    """What each person did, as one text for an encoder; newest first, so that cutting the text loses the oldest.

    Each of the `steps` becomes a clause. The forms are

        titles     Door Snake (draught stopper); ...
        sentence   Bought Door Snake (draught stopper) in the shop section on Friday evening. ...
        tags       action=purchase scene=shop day=friday time=evening title=Door Snake category=draught stopper | ...

    Night begins at 22 o'clock, morning at 5, afternoon at 12, evening at 17.

    Args:
        events: as `World.events`, or some rows of it.
        items: as `World.items`; item, title_en and category are read.
        form: "titles", "sentence" or "tags".
        by: "person", or "session" for one text a visit.
        last: how many steps to tell at most, the newest; all if left out.

    Returns:
        The texts, indexed by person or session, in sorted order; who did nothing has none.

    Raises:
        ValueError: form, by or last is none of these, a column is missing, or an item or action is unknown.

    >>> events = pd.DataFrame({"person": "ann", "session": 1, "item": "sho11", "scene": "shop",
    ...     "time": pd.to_datetime(["2026-07-03 20:00:00", "2026-07-03 20:01:00"]), "action": ["click", "purchase"]})
    >>> items = pd.DataFrame({"item": ["sho11"], "title_en": ["Door Snake"], "category": ["draught stopper"]})
    >>> behaviour(events, items)["ann"]
    'Bought Door Snake (draught stopper) in the shop section on Friday evening.'
    >>> behaviour(events, items, form="titles", by="session").to_dict()
    {1: 'Door Snake (draught stopper)'}
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    if by not in ("person", "session"):
        raise ValueError(f"by must be person or session, got {by!r}.")
    if last is not None and last < 1:
        raise ValueError(f"last must be at least 1, got {last}.")
    needed = ["item", "title_en", "category"]
    _need("items", items, needed)
    told = steps(events)
    if last is not None:
        told = told.groupby(by).head(last)
    if unknown := set(told["item"]) - set(items["item"]):
        raise ValueError(f"every item of events must stand in items, {min(unknown)!r} does not.")
    clauses = pd.Series(_clauses(told.merge(items[needed], on="item", how="left"), form), told.index, dtype=object)
    return clauses.groupby(told[by]).agg(_JOINTS[form].join).rename(form)


def _clauses(told, form):
    titles, categories = told["title_en"], told["category"]
    if form == "titles":
        return [f"{title} ({category})" for title, category in zip(titles, categories, strict=True)]
    parts = [_PARTS[place - 1] for place in np.searchsorted(_PART_STARTS, told["time"].dt.hour, side="right")]
    fields = zip(told["action"], told["scene"], told["time"].dt.day_name(), parts, titles, categories, strict=True)
    if form == "sentence":
        return [f"{_VERBS[a]} {t} ({c}) in the {s} section on {d} {p}." for a, s, d, p, t, c in fields]
    return [f"action={a} scene={s} day={d.lower()} time={p} title={t} category={c}" for a, s, d, p, t, c in fields]


def _need(name, table, columns):
    if missing := [column for column in columns if column not in table.columns]:
        raise ValueError(f"{name} must have the columns {', '.join(columns)}; {missing[0]} is missing.")
