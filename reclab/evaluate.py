"""Score recommendations, one number per person, and say whether a difference is real.

Lists come in as `recommended`: for each person items, best first, as the rows of an array (n, k) or as n sequences of
any lengths. What was right comes in as `relevant`: for each person a collection of items, or a mapping from items to
gains. A person to whom nothing is relevant cannot be served rightly or wrongly: the value is NaN, and means leave it
out (`interval`, `surely` and `compare` do).
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

REPEATS = 10_000  # of resampling; the ends of an interval then move by about 1 % of its width
BLOCK = 2**22  # random numbers that are held at once while resampling


# --- Were the right items found? ------------------------------------------------------------------------------------


def precision_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """The share of the first k places that hold a relevant item, (n,). A place that the list leaves empty holds none.

    >>> precision_at_k([["a", "b"], ["c"]], [{"b"}, {"c", "d"}], k=2).tolist()
    [0.5, 0.5]
    """
    return _each(recommended, relevant, k, lambda gains, _: (gains > 0).sum() / k)


def recall_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """The share of the relevant items that are among the first k, (n,).

    >>> recall_at_k([["a", "b"], ["c"]], [{"b"}, {"c", "d"}], k=2).tolist()
    [1.0, 0.5]
    """
    return _each(recommended, relevant, k, lambda gains, ideal: (gains > 0).sum() / len(ideal))


def hit_rate_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """1 if any relevant item is among the first k, else 0, (n,).

    >>> hit_rate_at_k([["a", "b"], ["c"]], [{"b"}, {"c", "d"}], k=1).tolist()
    [0.0, 1.0]
    """
    return _each(recommended, relevant, k, lambda gains, _: float((gains > 0).any()))


def reciprocal_rank_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """1 / the place of the first relevant item, 0 if the first k have none, (n,). Its mean is the MRR.

    >>> reciprocal_rank_at_k([["a", "b"], ["c"]], [{"b"}, {"c", "d"}], k=2).tolist()
    [0.5, 1.0]
    """
    return _each(recommended, relevant, k, lambda gains, _: 1 / (1 + np.argmax(gains > 0)) if gains.any() else 0.0)


def average_precision_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """The precision at each place that holds a relevant item, summed, over the number of relevant items, (n,).

    Its mean is the MAP. As in trec_eval's `map_cut`, all relevant items count below the line, also when k is smaller.

    >>> average_precision_at_k([["a", "b", "c"]], [{"a", "c"}], k=3).round(3).tolist()
    [0.833]
    """

    def average(gains, ideal):
        places = np.flatnonzero(gains > 0)
        return (np.arange(1, len(places) + 1) / (places + 1)).sum() / len(ideal)

    return _each(recommended, relevant, k, average)


def ndcg_at_k(recommended: Sequence, relevant: Sequence, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain, (n,): Σ gain / log2(place + 1), over the same sum for the best order.

    With `relevant` a collection every gain is 1; with a mapping the gains are its values, taken as they are (Järvelin
    and Kekäläinen 2002, doi:10.1145/582415.582418).

    >>> ndcg_at_k([["a", "b", "c"]], [{"a", "c"}], k=3).round(3).tolist()
    [0.92]
    >>> ndcg_at_k([["a", "b", "c"]], [{"a": 1, "c": 3}], k=3).round(3).tolist()
    [0.689]
    """
    return _each(recommended, relevant, k, lambda gains, ideal: _discounted(gains) / _discounted(-np.sort(-ideal)[:k]))


def _discounted(gains):
    return (gains / np.log2(np.arange(2, len(gains) + 2))).sum()


def _each(recommended: Sequence, relevant: Sequence, k: int, score: Callable) -> np.ndarray:
    """`score(gains of the first k places, gains of all relevant items)` for each person; NaN where nothing is."""
    if not (isinstance(k, int | np.integer) and k >= 1):
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}.")
    if len(recommended) != len(relevant):
        counts = f"got {len(recommended)} and {len(relevant)}"
        raise ValueError(f"recommended and relevant must have one entry a person, {counts}.")
    values = np.full(len(recommended), np.nan)
    for person, (items, wanted) in enumerate(zip(recommended, relevant, strict=True)):
        items = _items(items, person)
        gains = _gains(wanted, person)
        if gains:
            found = np.array([gains.get(item, 0.0) for item in items[:k]], float)
            values[person] = score(found, np.fromiter(gains.values(), float))
    return values


def _items(items: Iterable, person: int) -> list[Hashable]:
    items = items.tolist() if isinstance(items, np.ndarray) else list(items)
    if len(set(items)) < len(items):
        twice = next(item for i, item in enumerate(items) if item in items[:i])
        raise ValueError(f"recommended[{person}] must name each item once, got {twice!r} twice.")
    return items


def _gains(wanted: Iterable | Mapping, person: int) -> dict[Hashable, float]:
    """The items with a gain above 0."""
    if isinstance(wanted, str):
        raise TypeError(f"relevant[{person}] must be a collection of items, got the string {wanted!r}.")
    if not isinstance(wanted, Mapping):
        return dict.fromkeys(wanted.tolist() if isinstance(wanted, np.ndarray) else wanted, 1.0)
    for item, gain in wanted.items():
        if not (gain >= 0 and np.isfinite(gain)):
            raise ValueError(f"relevant[{person}] must have gains of at least 0, got {gain} for {item!r}.")
    return {item: float(gain) for item, gain in wanted.items() if gain > 0}


# --- How far is a predicted rating from the given one? ---------------------------------------------------------------


def rmse(given: np.ndarray, predicted: np.ndarray) -> float:
    """The root of the mean squared error, in the ratings' own unit.

    >>> rmse([3, 4, 5], [3, 5, 3])
    1.2909944487358056
    """
    return float(np.sqrt((_errors(given, predicted) ** 2).mean()))


def mae(given: np.ndarray, predicted: np.ndarray) -> float:
    """The mean absolute error, in the ratings' own unit.

    >>> mae([3, 4, 5], [3, 5, 3])
    1.0
    """
    return float(np.abs(_errors(given, predicted)).mean())


def r2(given: np.ndarray, predicted: np.ndarray) -> float:
    """The share of the ratings' variance that the predictions explain: 1 is perfect, 0 as good as the mean rating.

    Raises:
        ValueError: all given ratings are equal; there is nothing to explain.

    >>> r2([3, 4, 5], [3, 4, 4])
    0.5
    """
    errors, spread = _errors(given, predicted), np.var(given)
    if spread == 0:
        raise ValueError(f"given must hold at least two different ratings, got only {np.ravel(given)[0]}.")
    return float(1 - (errors**2).mean() / spread)


def _errors(given, predicted):
    given, predicted = np.asarray(given, float), np.asarray(predicted, float)
    if given.shape != predicted.shape or given.ndim != 1 or not given.size:
        raise ValueError(f"given and predicted must be equally many, got shapes {given.shape} and {predicted.shape}.")
    errors = predicted - given
    if not np.isfinite(errors).all():
        row = int(np.flatnonzero(~np.isfinite(errors))[0])
        raise ValueError(f"ratings must be finite numbers, got {given[row]} and {predicted[row]} at {row}.")
    return errors


# --- Is there something else in the list? ----------------------------------------------------------------------------


def entropy(groups: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """How evenly each list is spread over groups, in bits, (n,): 0 if all are of one group, log2(k) if all differ.

    `groups[i]` holds the group of each item that person i was recommended; an empty list gives NaN.

    >>> entropy([["film", "film"], ["film", "book"], ["film", "book", "book", "song"]]).tolist()
    [0.0, 1.0, 1.5]
    """
    return np.array([abs(-(p * np.log2(p)).sum()) if p.size else np.nan for p in map(_shares, groups)])


def simpson(groups: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """The chance that two draws from a list are of different groups, 1 - Σ p², (n,); an empty list gives NaN.

    >>> simpson([["film", "film"], ["film", "book"]]).tolist()
    [0.0, 0.5]
    """
    return np.array([1 - (p**2).sum() if p.size else np.nan for p in map(_shares, groups)])


def _shares(groups):
    return np.unique(np.asarray(list(groups)), return_counts=True)[1] / max(len(groups), 1)


def intra_list_distance(recommended: Sequence[Sequence[int]], vectors: np.ndarray) -> np.ndarray:
    """The mean of 1 - cosine over all pairs of a list, (n,); a list of fewer than two items gives NaN.

    Args:
        recommended: for each person rows of `vectors`.
        vectors: (items, dim); the space in which variety is judged. A vector of zeros has cosine 0 with everything.

    >>> intra_list_distance([[0, 1], [0, 2]], np.array([[1, 0], [0, 1], [2, 0]])).tolist()
    [1.0, 0.0]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    values = np.full(len(recommended), np.nan)
    for person, items in enumerate(recommended):
        items = _items(items, person)
        if len(items) > 1:
            rows = unit[items]
            pairs = np.triu_indices(len(items), k=1)
            values[person] = 1 - (rows @ rows.T)[pairs].mean()
    return values


def coverage(recommended: Sequence[Sequence[Hashable]], items: int) -> float:
    """The share of the catalogue's `items` that anybody was recommended.

    >>> coverage([[3, 5], [3, 6]], items=10)
    0.3
    """
    named = {item for person, row in enumerate(recommended) for item in _items(row, person)}
    if len(named) > items:
        raise ValueError(f"items must be at least the {len(named)} that were recommended, got {items}.")
    return len(named) / items


def novelty(recommended: Sequence[Sequence[int]], counts: np.ndarray) -> np.ndarray:
    """How surprising a list's items are to somebody who only knows what is popular, in bits, (n,).

    The mean of -log2 p(item), where p is the item's share of all interactions; one is added to every count, so that
    an item nobody has touched has a share, too. (Zhou et al. 2010, doi:10.1073/pnas.1000488107.)

    Args:
        recommended: for each person indices into `counts`; an empty list gives NaN.
        counts: (items,) how often each item was interacted with.

    >>> novelty([[0], [1], [0, 1]], counts=np.array([2, 0])).tolist()
    [0.4150374992788438, 2.0, 1.207518749639422]
    """
    counts = np.asarray(counts, float)
    if (counts < 0).any():
        raise ValueError(f"counts must be at least 0, got {counts.min()}.")
    bits = -np.log2((counts + 1) / (counts + 1).sum())
    rows = (_items(row, person) for person, row in enumerate(recommended))
    return np.array([bits[row].mean() if row else np.nan for row in rows])


def serendipity_at_k(recommended: Sequence, relevant: Sequence, obvious: Sequence, k: int) -> np.ndarray:
    """The share of the first k places with a relevant item that an obvious recommender would not have shown, (n,).

    Args:
        recommended: as everywhere.
        relevant: as everywhere.
        obvious: for each person the list of a recommender without any art, such as the most popular items; its first k
            count.
        k: places.

    >>> serendipity_at_k([["a", "b"]], [{"a", "b"}], obvious=[["a", "z"]], k=2).tolist()
    [0.5]
    """
    if len(obvious) != len(recommended):
        raise ValueError(f"obvious must have one list a person, got {len(obvious)} for {len(recommended)}.")
    known = [set(_items(row, person)[:k]) for person, row in enumerate(obvious)]
    new = [[(item, item in seen) for item in row] for row, seen in zip(map(list, recommended), known, strict=True)]
    wanted = [[(item, False) for item in _gains(row, person)] for person, row in enumerate(relevant)]
    return precision_at_k(new, wanted, k)


# --- What did people do? ---------------------------------------------------------------------------------------------


def click_through(events: pd.DataFrame) -> pd.Series:
    """CTR: the clicks on shown items over the items shown, one value a person, from a log as `World.events`.

    An item that was searched for (its `position` is missing) was not shown, so its click does not count.

    >>> log = {"person": ["P1", "P1", "P1"], "action": ["impression", "impression", "click"], "position": [1, 2, 2]}
    >>> click_through(pd.DataFrame(log)).to_dict()
    {'P1': 0.5}
    """
    shown = events[events["position"].notna()]
    return _ratio(_count(shown, "click"), _count(shown, "impression"))


def conversion(events: pd.DataFrame) -> pd.Series:
    """CVR: purchases over clicks, one value a person.

    >>> log = {"person": ["P1", "P1", "P1", "P2"], "action": ["click", "click", "purchase", "click"]}
    >>> conversion(pd.DataFrame(log)).to_dict()
    {'P1': 0.5, 'P2': 0.0}
    """
    return _ratio(_count(events, "purchase"), _count(events, "click"))


def satisfaction(events: pd.DataFrame) -> pd.Series:
    """The mean rating that each person gave, 1 to 5; people who gave none are absent.

    >>> satisfaction(pd.DataFrame({"person": ["P1", "P1", "P2"], "rating": [5, 4, np.nan]})).to_dict()
    {'P1': 4.5}
    """
    return events.dropna(subset="rating").groupby("person")["rating"].mean()


def watch_time(events: pd.DataFrame) -> pd.Series:
    """Seconds spent with items, one sum a person.

    >>> watch_time(pd.DataFrame({"person": ["P1", "P1"], "dwell_s": [30.0, 12.0]})).to_dict()
    {'P1': 42.0}
    """
    return events.groupby("person")["dwell_s"].sum()


def repeat_views(events: pd.DataFrame) -> pd.Series:
    """The share of clicks on an item that the person had clicked before, one value a person.

    >>> log = {"person": ["P1"] * 4, "item": ["I1", "I2", "I1", "I1"], "action": ["click"] * 4}
    >>> repeat_views(pd.DataFrame(log)).to_dict()
    {'P1': 0.5}
    """
    clicks = events[events["action"] == "click"]
    return clicks.duplicated(["person", "item"]).groupby(clicks["person"]).mean()


def friend_interaction(events: pd.DataFrame, friends: Mapping[str, Iterable[str]], *, days: float = 7) -> pd.Series:
    """The share of clicks on an item that a friend had clicked in the `days` before, one value a person.

    Args:
        events: a log with person, item, time and action.
        friends: for each person the ids of friends; who is not in it has none.
        days: how long a friend's click can be felt.

    >>> log = {"person": ["P1", "P2", "P2"], "item": ["I1", "I1", "I2"], "action": ["click"] * 3}
    >>> log["time"] = pd.to_datetime(["2026-01-01", "2026-01-03", "2026-01-03"])
    >>> friend_interaction(pd.DataFrame(log), {"P2": ["P1"]}).to_dict()
    {'P1': 0.0, 'P2': 0.5}
    """
    clicks = events.loc[events["action"] == "click", ["person", "item", "time"]]
    ties = pd.DataFrame([(a, b) for a, others in friends.items() for b in others], columns=["person", "friend"])
    theirs = clicks.rename(columns={"person": "friend", "time": "theirs"})
    pairs = clicks.reset_index().merge(ties, on="person").merge(theirs, on=["friend", "item"])
    before = pairs["time"] - pairs["theirs"]
    felt = pairs.loc[(before > pd.Timedelta(0)) & (before <= pd.Timedelta(days=days)), "index"]
    return pd.Series(clicks.index.isin(felt), clicks.index).groupby(clicks["person"]).mean()


def retention(events: pd.DataFrame, *, days: float = 7) -> pd.Series:
    """1 for who came back in the last `days` of the log, else 0; one value a person who was there before them.

    >>> log = {"person": ["P1", "P2", "P1"], "time": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-12"])}
    >>> retention(pd.DataFrame(log)).to_dict()
    {'P1': 1.0, 'P2': 0.0}
    """
    last = events["time"] > events["time"].max() - pd.Timedelta(days=days)
    earlier, later = events.loc[~last, "person"].unique(), events.loc[last, "person"].unique()
    return pd.Series(np.isin(earlier, later).astype(float), pd.Index(earlier, name="person")).sort_index()


def spend(events: pd.DataFrame, prices: pd.Series) -> pd.Series:
    """What each person's purchases cost, in the unit of `prices` (indexed by item); 0 for who bought nothing.

    >>> log = pd.DataFrame({"person": ["P1", "P1"], "item": ["I1", "I2"], "action": ["purchase", "click"]})
    >>> spend(log, pd.Series({"I1": 9.5, "I2": 100})).to_dict()
    {'P1': 9.5}
    """
    bought = events["item"].map(prices).where(events["action"] == "purchase", 0.0)
    return bought.groupby(events["person"]).sum()


def _count(events, action):
    return (events["action"] == action).groupby(events["person"]).sum()


def _ratio(above, below):
    """The quotient for each person; who has nothing below the line is left out."""
    below = below[below > 0]
    return above.reindex(below.index, fill_value=0) / below


# --- What would people have done? ------------------------------------------------------------------------------------


def inverse_propensity(
    rewards: np.ndarray, shown: np.ndarray, wanted: np.ndarray, *, normalised: bool = True, clip: float | None = None
) -> float:
    """The mean reward under a policy that was not in use, from a log of the one that was.

    Each reward counts with the weight wanted / shown. Without `normalised` the weights are divided by the number of
    rows: right on average, but wild if some `shown` are small. With it they are divided by their own sum (Swaminathan
    and Joachims 2015, "The Self-Normalized Estimator for Counterfactual Learning"): a little biased, much calmer.

    Args:
        rewards: (n,) what came of each row of the log, such as 1 for a click.
        shown: (n,) the probability with which the log's policy chose what it showed; above 0, at most 1.
        wanted: (n,) the probability with which the other policy would have.
        normalised: as told.
        clip: no weight counts for more than this.

    >>> inverse_propensity([1, 0, 1, 0], shown=[0.8, 0.8, 0.2, 0.8], wanted=[0.2, 0.2, 0.8, 0.2], normalised=False)
    1.0625
    """
    rewards, shown, wanted = (np.asarray(column, float) for column in (rewards, shown, wanted))
    if not rewards.shape == shown.shape == wanted.shape or rewards.ndim != 1 or not rewards.size:
        shapes = f"{rewards.shape}, {shown.shape} and {wanted.shape}"
        raise ValueError(f"rewards, shown and wanted must be equally many, got shapes {shapes}.")
    if not ((shown > 0) & (shown <= 1)).all():
        bad = int(np.flatnonzero(~((shown > 0) & (shown <= 1)))[0])
        raise ValueError(f"shown must be above 0 and at most 1, got {shown[bad]} at {bad}.")
    weights = np.minimum(wanted / shown, np.inf if clip is None else clip)
    return float((weights * rewards).sum() / (weights.sum() if normalised else len(weights)))


# --- Is a difference real? -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean and where it would lie with other people: the interval from `low` to `high`."""

    mean: float
    low: float
    high: float

    def __str__(self):
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclasses.dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference, its interval, and `p`: how often chance alone makes one as large."""

    p: float

    def __str__(self):
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}], p = {self.p:.4f}"


def interval(values: np.ndarray, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """The mean of one value per person, with its bootstrap interval (Efron 1979, doi:10.1214/aos/1176344552).

    People are drawn again with replacement, 10,000 times; the interval holds the middle `level` of the means.

    Args:
        values: (n,); NaN is left out.
        level: above 0 and below 1.
        seed: of the draws.

    Raises:
        ValueError: fewer than two values remain, or level is out of range.

    >>> print(interval(np.array([0, 1, 1, 0, 1, 1, np.nan])))
    0.6667 [0.3333, 1.0000]
    """
    values = _remaining(np.asarray(values, float))
    return Estimate(float(values.mean()), *_ends(values, level, seed))


def surely(ours: np.ndarray, theirs: np.ndarray | float = 0.0) -> float:
    """What the mean of `ours - theirs` exceeds in 99 % of the bootstrap's draws: the low end of `interval` at 0.98.

    Args:
        ours: (n,) one value per person, or per sentence.
        theirs: (n,) of the same people, in the same order; or one number.

    >>> ours = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.8])
    >>> round(surely(ours), 2), surely(ours, 0.5) > 0.1, surely(ours, ours[::-1]) > 0
    (0.68, True, False)
    """
    return interval(np.asarray(ours, float) - theirs, level=0.98).low


def compare(ours: np.ndarray, theirs: np.ndarray, *, level: float = 0.95, seed: int = 0) -> Difference:
    """The mean of `ours - theirs`, person by person, with its bootstrap interval and a two-sided p.

    If the two were alike, each person's difference could as well have had the other sign. p is how often random signs
    make a mean difference at least as large; it is never below 1 / 10,001 (Phipson and Smyth, arXiv:1603.05766).

    Args:
        ours: (n,) one value per person; a person with NaN on either side is left out.
        theirs: (n,) of the same people, in the same order.
        level: of the interval.
        seed: of the draws.

    >>> rng = np.random.default_rng(0)
    >>> theirs = rng.uniform(size=200)
    >>> print(compare(theirs + rng.normal(0.1, 0.2, 200), theirs))
    +0.0821 [+0.0537, +0.1102], p = 0.0001
    """
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape:
        raise ValueError(f"ours and theirs must be of the same people, got shapes {ours.shape} and {theirs.shape}.")
    differences = _remaining(ours - theirs)
    mean, rng = abs(differences.mean()), np.random.default_rng(seed)
    flipped = [rng.choice([-1.0, 1.0], (rows, len(differences))) @ differences for rows in _blocks(len(differences))]
    as_large = np.abs(np.concatenate(flipped)) / len(differences) >= mean * (1 - 1e-12)
    p = (1 + as_large.sum()) / (1 + REPEATS)
    return Difference(float(differences.mean()), *_ends(differences, level, seed), float(p))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Give p values that may be read side by side: the chance of *any* false alarm stays below the level.

    The smallest of m is multiplied by m, the next by m - 1 and so on, never falling below the one before (Holm 1979,
    "A Simple Sequentially Rejective Multiple Test Procedure").

    >>> holm({"a": 0.01, "b": 0.03, "c": 0.02})
    {'a': 0.03, 'b': 0.04, 'c': 0.04}
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p values must be between 0 and 1, got {p} for {name!r}.")
    adjusted, floor = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        floor = max(floor, min(1.0, p * (len(p_values) - i)))
        adjusted[name] = floor
    return {name: adjusted[name] for name in p_values}


def _remaining(values):
    if values.ndim != 1 or (~np.isnan(values)).sum() < 2:
        raise ValueError(f"there must be at least two people with a value, got the shape {values.shape} of {values}.")
    return values[~np.isnan(values)]


def _ends(values, level, seed):
    if not 0 < level < 1:
        raise ValueError(f"level must be above 0 and below 1, got {level}.")
    rng, n = np.random.default_rng(seed), len(values)
    means = [values[rng.integers(n, size=(rows, n))].mean(axis=1) for rows in _blocks(n)]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _blocks(n):
    """How many repetitions to do at a time, so that about `BLOCK` numbers are held."""
    size = max(1, BLOCK // n)
    return [min(size, REPEATS - done) for done in range(0, REPEATS, size)]
