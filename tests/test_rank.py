"""Rankers keep one contract and find what is known to be there; each is compared with its formula, written plainly."""

import numpy as np
import pandas as pd
import pytest

from reclab import rank
from reclab.data import Interactions

ITEMS = [f"I{i:02d}" for i in range(24)]
PEOPLE = [f"P{i:02d}" for i in range(40)]
COLD = "I23"  # nobody has met it
LONER = "P39"  # has met nothing

# Three groups of people who meet only their own eight items; texts of one group point one way.
GROUP = np.arange(24) // 8


def vectors():
    rng = np.random.default_rng(0)
    return np.eye(3)[GROUP].repeat(4, axis=1) + rng.normal(0, 0.15, (24, 12))


def met(seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        (person, ITEMS[item])
        for i, person in enumerate(PEOPLE[:-1])
        for item in rng.choice(np.flatnonzero(GROUP[:23] == i % 3), 4, replace=False)
    ]
    table = pd.DataFrame(rows, columns=["person", "item"]).sample(frac=1, random_state=seed)
    table["time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(table)), "h")
    return Interactions.of(table, people=PEOPLE, items=ITEMS)


def small_tower():
    return rank.TwoTower(vectors(), epochs=5, batch_size=32, progress=False)


BY_ID = {"ItemKNN": rank.ItemKNN, "EASE": lambda: rank.EASE(l2=20.0), "ALS": lambda: rank.ALS(factors=3, l2=1.0)}
BY_TEXT = {
    "TextProfile mean": lambda: rank.TextProfile(vectors()),
    "TextProfile recent": lambda: rank.TextProfile(vectors(), "recent"),
    "TextProfile attention": lambda: rank.TextProfile(vectors(), "attention"),
    "TwoTower": small_tower,
}
PERSONAL = {
    **BY_ID,
    **BY_TEXT,
    "Blend": lambda: rank.Blend({"ids": rank.EASE(l2=20.0), "texts": rank.TextProfile(vectors())}),
}
ALL = {**PERSONAL, "Popularity": rank.Popularity}


@pytest.fixture(params=ALL)
def ranker(request):
    return ALL[request.param]().fit(met())


# --- one contract ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PERSONAL)
def test_people_get_the_rest_of_their_group(name):
    found, _ = PERSONAL[name]().fit(met()).recommend(PEOPLE[:-1], k=3)
    group = dict(zip(ITEMS, GROUP.tolist(), strict=True))
    right = np.mean([[group[item] == i % 3 for item in row] for i, row in enumerate(found)])
    assert right == 1


def test_a_list_holds_the_best_scores_in_order_without_what_was_seen(ranker):
    people = ["P07", "P00", "P13", "P07"]
    scores = ranker.score(people)
    assert scores.shape == (4, 24) and scores.dtype == np.float32
    seen = ranker.seen_[[7, 0, 13, 7]].toarray() > 0
    open_ = np.where(seen | ~ranker.servable_, -np.inf, scores)
    order = np.argsort(-open_, axis=1, kind="stable")[:, :5]
    items, best = ranker.recommend(people, k=5)
    np.testing.assert_array_equal(items, np.array(ITEMS)[order])
    np.testing.assert_allclose(best, np.take_along_axis(open_, order, 1), rtol=1e-5)
    np.testing.assert_array_equal(items[0], items[3])


def test_what_was_seen_can_be_asked_for(ranker):
    items, _ = ranker.recommend(["P00"], k=int(ranker.servable_.sum()), exclude_seen=False)
    assert sorted(items[0]) == [item for item, can in zip(ITEMS, ranker.servable_, strict=True) if can]


def test_blocks_do_not_change_a_list(ranker, monkeypatch):
    whole = ranker.recommend(PEOPLE[:30], k=4)
    monkeypatch.setattr(rank, "BLOCK", 24 * 7)
    parts = ranker.recommend(PEOPLE[:30], k=4)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-5)


def test_equal_data_gives_equal_lists(ranker):
    again = type(ranker).__name__
    first = ranker.score(PEOPLE[:5])
    np.testing.assert_allclose(ranker.fit(met()).score(PEOPLE[:5]), first, rtol=1e-4, atol=1e-5, err_msg=again)


def test_nobody_asked_nothing_given(ranker):
    items, scores = ranker.recommend([], k=2)
    assert items.shape == scores.shape == (0, 2)


@pytest.mark.parametrize("name", BY_ID)
def test_ids_say_nothing_of_an_item_that_nobody_met(name):
    ranker = BY_ID[name]().fit(met())
    assert ranker.servable_.tolist() == [item != COLD for item in ITEMS]
    assert (ranker.score(["P02"])[0] == -np.inf).tolist() == [item == COLD for item in ITEMS]
    items, _ = ranker.recommend(["P02"], k=19)
    assert COLD not in items
    with pytest.raises(ValueError, match=rf"got 20: {name} can serve 23 of 24 items, and people\[0\] \('P02'\) has 19"):
        ranker.recommend(["P02"], k=20)


@pytest.mark.parametrize("name", BY_TEXT)
def test_texts_serve_an_item_that_nobody_met(name):
    items, _ = BY_TEXT[name]().fit(met()).recommend(["P02"], k=4)
    assert COLD in items


def test_a_blend_serves_what_any_of_its_parts_can():
    items, _ = PERSONAL["Blend"]().fit(met()).recommend(["P02"], k=20)
    assert COLD in items


@pytest.mark.parametrize("name", PERSONAL)
def test_who_has_no_history_is_named(name):
    ranker = PERSONAL[name]().fit(met())
    with pytest.raises(ValueError, match=r"people\[1\] \('P39'\) has no history in training"):
        ranker.recommend(["P00", LONER])


def test_popularity_serves_anyone():
    items, _ = rank.Popularity().fit(met()).recommend([LONER], k=24)
    assert sorted(items[0]) == ITEMS


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"people": ["P00", "nobody"]}, ValueError, r"people\[1\] must be a known id, got 'nobody'"),
        ({"people": "P00"}, TypeError, "sequence of ids, got the string 'P00'"),
        ({"people": ["P00"], "k": 0}, ValueError, "k must be a whole number of at least 1, got 0"),
        ({"people": ["P00"], "k": 2.0}, ValueError, "k must be a whole number of at least 1, got 2.0"),
        ({"people": ["P00"], "k": 21}, ValueError, "k must be at most the number of items that are left, got 21"),
    ],
)
def test_what_cannot_be_served_is_refused(ranker, arguments, error, said):
    with pytest.raises(error, match=said):
        ranker.recommend(**arguments)


@pytest.mark.parametrize("name", ALL)
def test_a_ranker_must_learn_first_and_from_something(name):
    ranker = ALL[name]()
    with pytest.raises(ValueError, match="must be fitted first"):
        ranker.recommend(["P00"])
    with pytest.raises(ValueError, match="interactions must not be empty"):
        ranker.fit(met().take(np.zeros(0, int)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: rank.Popularity(half_life=0),
        lambda: rank.ItemKNN(neighbours=0),
        lambda: rank.ItemKNN(shrink=-1),
        lambda: rank.EASE(l2=0),
        lambda: rank.EASE(half_life=0),
        lambda: rank.ALS(factors=0),
        lambda: rank.ALS(alpha=0),
        lambda: rank.TextProfile(vectors(), "median"),
        lambda: rank.TextProfile(vectors(), half_life=0),
        lambda: rank.TextProfile(np.full((24, 2), np.nan)),
        lambda: rank.TextProfile(np.ones(24)),
        lambda: rank.TextProfile(np.ones((23, 2))).fit(met()),
        lambda: rank.TwoTower(np.ones((25, 2))).fit(met()),
        lambda: rank.TwoTower(vectors(), epochs=0),
        lambda: rank.TwoTower(vectors(), scale=0),
        lambda: rank.Blend({}),
        lambda: rank.Blend({"a": rank.Popularity()}, {"b": 1.0}),
        lambda: rank.Blend({"a": rank.Popularity()}, {"a": 0.0}),
        lambda: rank.Blend({"a": rank.Popularity(), "b": rank.EASE()}, {"a": 1.0, "b": -1.0}),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must (be|have|name)"):
        make()


# --- each by its formula --------------------------------------------------------------------------------------------


def test_popularity_counts_and_forgets():
    times = pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-01", "2026-01-11", "2026-01-11"])
    table = pd.DataFrame({"person": list("abcab"), "item": list("xxxyy"), "time": times})
    interactions = Interactions.of(table, people=list("abc"), items=list("xyz"))
    assert rank.Popularity().fit(interactions).score(["a"]).tolist() == [[3, 2, 0]]
    assert rank.Popularity(half_life=10).fit(interactions).score(["a"]).tolist() == [[1.5, 2, 0]]


def test_ease_is_the_regression_of_each_item_on_the_others():
    interactions = met(seed=1)
    x = (interactions.matrix().toarray() > 0).astype(float)
    expected = np.zeros((24, 24))
    for j in range(24):  # ridge regression without the item itself
        others = np.delete(np.arange(24), j)
        a = x[:, others]
        expected[others, j] = np.linalg.solve(a.T @ a + 2.5 * np.eye(23), a.T @ x[:, j])
    ours = rank.EASE(l2=2.5).fit(interactions)
    np.testing.assert_allclose(ours.weights_, expected, atol=1e-5)
    np.testing.assert_allclose(ours.score(PEOPLE[:3])[:, :23], (x[:3] @ expected)[:, :23], atol=1e-5)


def test_ease_may_look_more_at_what_was_met_last():
    interactions = met(seed=1)
    mine = interactions.item[interactions.person == 3]  # oldest first
    ours = rank.EASE(l2=2.5, half_life=1.0).fit(interactions)
    counts = 0.5 ** np.arange(len(mine))[::-1]
    expected = counts / counts.sum() @ ours.weights_[mine]
    np.testing.assert_allclose(ours.score([PEOPLE[3]])[0, ours.servable_], expected[ours.servable_], atol=1e-6)
    np.testing.assert_array_equal(ours.weights_, rank.EASE(l2=2.5).fit(interactions).weights_)


def test_the_mirror_works_across_blocks():
    whole = np.random.default_rng(2).normal(size=(1100, 1100)).astype(np.float32)
    whole += whole.T
    np.testing.assert_array_equal(rank._mirror(np.asfortranarray(np.tril(whole))), whole)


def test_meeting_twice_is_meeting_once_to_neighbours_and_ease():
    once = met(seed=3)
    twice = once.take(np.repeat(np.arange(len(once)), 2))
    for make in (BY_ID["ItemKNN"], BY_ID["EASE"]):
        np.testing.assert_allclose(make().fit(once).score(["P05"]), make().fit(twice).score(["P05"]), rtol=1e-5)


@pytest.mark.parametrize("block", [24, 24 * 5, 10**6])
def test_item_neighbours_by_counting(block, monkeypatch):
    monkeypatch.setattr(rank, "BLOCK", block)
    interactions = met(seed=4)
    x = (interactions.matrix().toarray() > 0).astype(float)
    n = x.sum(axis=0)
    near = (x.T @ x) / (np.sqrt(np.outer(n, n)) + 3.0)
    np.fill_diagonal(near, 0)
    for row in near:
        row[np.argsort(-row, kind="stable")[4:]] = 0
    ours = rank.ItemKNN(neighbours=4, shrink=3.0).fit(interactions)
    np.testing.assert_allclose(ours.score(PEOPLE[:6])[:, :23], (x @ near.T)[:6, :23], atol=1e-6)


def als_cost(matrix, people, items, alpha, l2):
    wanted, weight = matrix > 0, 1 + alpha * matrix
    return (weight * (wanted - people @ items.T) ** 2).sum() + l2 * ((people**2).sum() + (items**2).sum())


def test_als_stands_where_no_single_vector_can_do_better():
    interactions = met(seed=5)
    matrix = interactions.matrix().toarray()
    ours = rank.ALS(factors=4, alpha=5.0, l2=2.0, iterations=30).fit(interactions)
    people, items = ours.person_vectors_.astype(float), ours.vectors_.astype(float)
    lowest = als_cost(matrix, people, items, 5.0, 2.0)
    rng = np.random.default_rng(6)
    for _ in range(50):
        moved = items.copy()
        moved[rng.integers(23)] += rng.normal(0, 0.02, 4)
        assert als_cost(matrix, people, moved, 5.0, 2.0) > lowest - 1e-3
    fewer = rank.ALS(factors=4, alpha=5.0, l2=2.0, iterations=1).fit(interactions)
    assert als_cost(matrix, fewer.person_vectors_, fewer.vectors_, 5.0, 2.0) > lowest


def history(item_lists):
    rows = [(person, item) for person, items in item_lists.items() for item in items]
    table = pd.DataFrame(rows, columns=["person", "item"])
    table["time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(table)), "h")
    return Interactions.of(table, people=list(item_lists), items=["x", "y", "z"])


def test_profiles_by_hand():
    texts = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    met_in_order = history({"a": ["x", "y"]})
    mean = rank.TextProfile(texts).fit(met_in_order).score(["a"])[0]
    np.testing.assert_allclose(mean, [0.5**0.5, 0.5**0.5, 1.4 * 0.5**0.5], rtol=1e-6)
    recent = rank.TextProfile(texts, "recent", half_life=1.0).fit(met_in_order).score(["a"])[0]
    np.testing.assert_allclose(recent, np.array([1, 2, 0.6 + 1.6]) / 5**0.5, rtol=1e-6)
    attention = rank.TextProfile(texts, "attention").fit(met_in_order).score(["a"])[0]
    share = 1 / (1 + np.exp(-10 * (0.8 - 0.6)))
    np.testing.assert_allclose(attention[2], share * 0.8 + (1 - share) * 0.6, rtol=1e-5)


def test_the_newest_counts_most_whoever_else_was_there():
    texts = np.eye(3)
    recent = rank.TextProfile(texts, "recent", half_life=1.0).fit(history({"a": ["x", "y", "z"], "b": ["z", "y"]}))
    np.testing.assert_allclose(recent.shares_.toarray(), [[1 / 7, 2 / 7, 4 / 7], [0, 2 / 3, 1 / 3]], rtol=1e-6)


def test_two_towers_learn_what_texts_do_not_say():
    """Whoever met an item of one kind likes the other kind too; to the texts the kinds are as strange as any."""
    rng = np.random.default_rng(7)
    kinds = np.repeat(np.arange(4), 10)
    texts = np.eye(4)[kinds] + rng.normal(0, 0.1, (40, 4))
    rows = []
    for person in range(200):
        pair = (0, 1) if person % 2 else (2, 3)
        rows += [(person, item) for item in rng.choice(np.flatnonzero(np.isin(kinds, pair)), 6, replace=False)]
    table = pd.DataFrame(rows, columns=["person", "item"]).assign(time=pd.Timestamp("2026-01-01"))
    ids = {"people": range(201), "items": range(40)}
    asked = table[(table["person"] == 1) & (table["item"] < 10)].assign(person=200)  # met of the first kind alone
    interactions = Interactions.of(pd.concat([table, asked]), **ids)
    margins = []
    for ranker in (rank.TextProfile(texts), rank.TwoTower(texts, epochs=40, batch_size=64, progress=False)):
        scores = ranker.fit(interactions).score([200])[0]
        margins.append(scores[kinds == 1].mean() - scores[kinds > 1].mean())
    assert abs(margins[0]) < 0.1
    assert margins[1] > 0.3
    assert ranker.history_[-1]["loss"] < ranker.history_[0]["loss"] - 0.2


def test_corrected_towers_know_what_is_popular_and_others_ask_what_is_special():
    """Two groups with a dozen items each; one item of each dozen is met by all of the group, the others by few."""
    rng = np.random.default_rng(8)
    rows = [(person, 12 * (person % 2) + item) for person in range(200) for item in [0, *rng.choice(11, 2) + 1]]
    table = pd.DataFrame(rows, columns=["person", "item"]).assign(time=pd.Timestamp("2026-01-01"))
    interactions = Interactions.of(table, people=range(200), items=range(24))
    leads = []
    for corrected in (True, False):
        settings = {"epochs": 30, "batch_size": 64, "corrected": corrected, "progress": False}
        scores = rank.TwoTower(np.eye(24), **settings).fit(interactions).score([0])[0]
        leads.append(scores[0] - scores[1:12].mean())
        assert scores[:12].mean() > scores[12:].mean() + 0.3  # both tell the groups apart
    assert leads[0] > leads[1] + 0.2


def test_an_item_is_not_in_the_history_that_it_is_predicted_from():
    tower, interactions = small_tower(), met()
    tower.fit(interactions)
    shares = rank.history_shares(interactions, np.inf)
    rows = np.array([3, 50, 100])
    histories, items, ids, _ = tower._batch(interactions, shares, np.zeros(24, np.float32), rows)
    for history_, item, person, own in zip(histories, items, interactions.person[rows], ids, strict=True):
        others = [i for i in interactions.item[interactions.person == person] if i != own]
        np.testing.assert_allclose(history_, tower.vectors[others].sum(axis=0) / (len(others) + 1), atol=1e-6)
        np.testing.assert_array_equal(item, tower.vectors[own])


# --- together -------------------------------------------------------------------------------------------------------


def test_a_blend_adds_what_each_thinks_on_one_scale():
    interactions = met(seed=8)
    parts = {"text": rank.TextProfile(vectors()), "popular": rank.Popularity()}
    blend = rank.Blend(parts, {"text": 2.0, "popular": 0.5}).fit(interactions)
    expected = 0
    for name, weight in blend.weights.items():
        scores = parts[name].score(["P04"])[0]
        expected = expected + weight * (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(blend.score(["P04"])[0], expected, rtol=1e-4, atol=1e-5)


def test_a_blend_is_moved_neither_by_the_scale_nor_by_the_zero_of_a_part():
    class Stretched(rank.Popularity):
        def _score(self, rows):
            return 1000 * super()._score(rows) - 7

    interactions = met(seed=9)
    for_one, for_other = (
        rank.Blend({"text": rank.TextProfile(vectors()), "popular": part}).fit(interactions).score(["P01"])
        for part in (rank.Popularity(), Stretched())
    )
    np.testing.assert_allclose(for_one, for_other, atol=1e-3)


def test_tuning_finds_the_part_that_knows_and_keeps_the_best():
    class Wrong(rank.Popularity):
        def _score(self, rows):
            return np.tile(np.arange(24.0) % 2, (len(rows), 1))

    blend = rank.Blend({"wrong": Wrong(), "right": rank.EASE(l2=20.0)}).fit(met())
    group = dict(zip(ITEMS, GROUP.tolist(), strict=True))

    def measure(ranker):
        found, _ = ranker.recommend(PEOPLE[:-1], k=3)
        return np.mean([[group[item] == i % 3 for item in row] for i, row in enumerate(found)])

    assert rank.Blend({"wrong": Wrong(), "right": rank.EASE(l2=20.0)}, {"wrong": 1.0, "right": 0.0})
    assert blend.tune(measure, draws=10) is blend
    assert blend.weights["right"] > blend.weights["wrong"]
    assert measure(blend) == 1


def test_mmr_by_hand():
    texts = np.array([[1.0, 0.0], [0.99, 0.01], [0.0, 1.0], [0.7, 0.7]])
    scores = np.array([1.0, 0.9, 0.5, -np.inf])
    assert rank.mmr(scores, texts, k=3, variety=0).tolist() == [0, 1, 2]
    assert rank.mmr(scores, texts, k=3, variety=0.6).tolist() == [0, 2, 1]
    assert rank.mmr(scores, texts, k=1, variety=1).tolist() == [0]


def test_mmr_trades_score_for_variety():
    rng = np.random.default_rng(10)
    scores, texts = rng.uniform(size=200), rng.normal(size=(200, 8))
    unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    worth, alike = [], []
    for variety in (0, 0.5, 1):
        picked = rank.mmr(scores, texts, k=10, variety=variety)
        assert len(set(picked)) == 10
        worth.append(scores[picked].mean())
        alike.append((unit[picked] @ unit[picked].T)[np.triu_indices(10, 1)].mean())
    assert worth[0] > worth[1] > worth[2]
    assert alike[0] > alike[1] > alike[2]


@pytest.mark.parametrize(
    ("k", "variety", "said"),
    [
        (0, 0.5, "k must be between 1 and the 2 candidates"),
        (3, 0.5, "candidates with a finite score, got 3"),
        (1, 2, "from 0 to 1, got 2"),
    ],
)
def test_mmr_refuses(k, variety, said):
    with pytest.raises(ValueError, match=said):
        rank.mmr([1.0, 0.5, -np.inf], np.eye(3), k, variety=variety)
