"""What the data card promises can be found in the world by somebody who only looks at it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from reclab import data


@pytest.fixture(scope="module")
def world():
    return data.load("world")


@pytest.fixture(scope="module")
def clicks(world):
    events = world.events[world.events["action"] == "click"]
    people, items = pd.Index(world.people["person"]), pd.Index(world.items["item"])
    day = (events["time"] - pd.Timestamp("2026-07-01")).dt.days
    return events.assign(u=people.get_indexer(events["person"]), i=items.get_indexer(events["item"]), day=day)


@pytest.fixture(scope="module")
def item_vectors(world, minilm):
    return minilm.encode(world.texts())


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_counts_right(world):
    card = (data.WORLD / "README.md").read_text(encoding="utf-8")
    counted = {name: int(rows) for name, rows in re.findall(r"^\| `(\w+)\.csv(?:\.gz)?` \| (\d+) \|", card, re.M)}
    assert counted == {
        "items": len(world.items),
        "intents": len(world.intents),
        "utterances": len(world.utterances),
        "log": 1,
        "people": len(world.people),
        "events": len(world.events),
        "events_raw": len(world.raw_events()),
        "themes": len(world.truth.themes),
        "items_truth": len(world.truth.items),
        "people_truth": len(world.truth.people),
        "tastes": len(world.truth.tastes),
    }
    english, chinese = world.items["description_en"].str.split().str.len(), world.items["description_zh"].str.len()
    spans = f"{english.min()}–{english.max()} English words, {chinese.min()}–{chinese.max()} Chinese characters"
    assert spans in card
    assert f"from {world.items['released'].dt.year.min()} to {world.items['released'].dt.year.max()}" in card


def test_the_card_quotes_the_constants(monkeypatch):
    monkeypatch.syspath_prepend(str(data.WORLD))
    import behaviour
    import dirt
    import make_world
    import people

    from reclab import truth

    modules = {"behaviour": behaviour, "dirt": dirt, "make_world": make_world, "people": people, "truth": truth}
    card = (data.WORLD / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([A-Z_]+)` \| (-?[\d.]+) \| (\w+) \|", card, re.M)
    assert len(quoted) > 40
    assert [(name, value) for name, value, module in quoted if getattr(modules[module], name) != float(value)] == []


def test_the_folder_stays_small():
    size = sum(path.stat().st_size for path in data.WORLD.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert size <= 15e6


# --- items ------------------------------------------------------------------------------------------------------------


def test_sixty_items_an_intent(world):
    assert world.items.groupby("intent").size().to_dict() == dict.fromkeys(data.INTENTS, 60)
    assert set(world.items["scene"]) == set(data.SCENES)
    assert world.truth.themes["theme"].nunique() == 40
    assert world.truth.themes.groupby("item").size().between(2, 4).all()
    assert world.truth.themes.groupby("theme")["item"].size().min() >= 20
    assert list(world.descriptions) == list(data.INTENTS)
    assert world.items["title_en"].is_unique and world.items["title_zh"].is_unique


def test_descriptions_do_not_name_their_themes(world):
    texts = dict(zip(world.items["item"], world.items["description_en"].str.lower(), strict=True))
    themes = world.truth.themes
    named = [(row.item, row.theme) for row in themes.itertuples() if re.search(rf"\b{row.theme}\b", texts[row.item])]
    assert named == []


def test_chinese_is_chinese(world):
    for texts in (world.items["description_zh"], world.utterances.query("lang == 'zh'")["text"]):
        assert not texts.str.contains(r"[,;:?!]").any()
        assert (texts.str.count(r"[\u4e00-\u9fff]") >= 0.25 * texts.str.len()).all()
    han = world.items["description_zh"].str.count(r"[\u4e00-\u9fff]")
    assert (han >= 0.6 * world.items["description_zh"].str.len()).all()


def test_no_two_descriptions_are_near_duplicates(world, minilm):
    assert closest(minilm.encode(world.items["description_en"].tolist())) < 0.95
    assert closest(characters(world.items["description_zh"])) < 0.5


def closest(vectors):
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    return cosines.max()


def characters(texts):
    """Unit vectors of the pairs and triples of characters, for texts that the English encoder cannot read."""
    return TfidfVectorizer(analyzer="char", ngram_range=(2, 3)).fit_transform(texts).toarray()


def test_text_carries_themes(world, item_vectors):
    """A linear probe, fitted on nine tenths of the items, names the themes of the rest far above chance."""
    weights = world.truth.item_themes
    found = np.zeros_like(weights)
    for seen, unseen in KFold(10, shuffle=True, random_state=0).split(item_vectors):
        found[unseen] = Ridge(alpha=3).fit(item_vectors[seen], weights[seen]).predict(item_vectors[unseen])
    precision = np.mean([average_precision_score(weights[:, t] > 0, found[:, t]) for t in range(40)])
    chance = (weights > 0).mean()
    assert chance < 0.07
    assert 0.45 < precision < 0.9, f"mean average precision {precision:.3f}"


def test_text_does_not_tell_styles(world, item_vectors):
    palettes = world.truth.items["palette"].to_numpy(str)
    right = np.zeros(len(palettes), bool)
    for seen, unseen in KFold(10, shuffle=True, random_state=0).split(item_vectors):
        probe = LogisticRegression(max_iter=1000).fit(item_vectors[seen], palettes[seen])
        right[unseen] = probe.predict(item_vectors[unseen]) == palettes[unseen]
    assert right.mean() < 1 / 6 + 3 * np.sqrt(1 / 6 * 5 / 6 / 600)


def test_pictures_tell_styles(world):
    """Even the mean colour of the border gives the palette away, so that a small network can learn it."""
    pictures = world.pictures().astype(float)
    palettes = world.truth.items["palette"].to_numpy(str)
    mean = pictures.mean(axis=(1, 2)) / 255
    right = np.zeros(len(palettes), bool)
    for seen, unseen in KFold(10, shuffle=True, random_state=0).split(mean):
        probe = LogisticRegression(C=100, max_iter=2000).fit(mean[seen], palettes[seen])
        right[unseen] = probe.predict(mean[unseen]) == palettes[unseen]
    assert right.mean() > 0.7


def test_every_music_item_sounds(world):
    heard = world.sounds()
    assert set(heard) == set(world.items.query("intent == 'music'")["item"])
    assert all(sound.shape == (16000,) and 0.3 < np.abs(sound).max() <= 1 for sound in heard.values())


# --- utterances -------------------------------------------------------------------------------------------------------


def test_enough_is_said(world):
    said = world.utterances
    english, chinese = said[said["lang"] == "en"], said[said["lang"] == "zh"]
    assert len(english) >= 1900 and len(chinese) >= 900
    assert all((lang["intents"] == data.OUT_OF_SCOPE).sum() >= 200 for lang in (english, chinese))
    assert said["intents"].str.contains(";").sum() >= 300
    for rows in (english, chinese):
        assert set(rows["kind"]) == set(data.KINDS)
        assert rows["kind"].value_counts(normalize=True).min() > 0.15
        assert (rows["intents"].str.split(";").explode().value_counts() >= 75).all()


def test_splits_are_alike(world):
    shares = world.utterances["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.6, abs=0.01) and shares["test"] == pytest.approx(0.25, abs=0.01)
    for column in ("lang", "kind"):
        by_split = pd.crosstab(world.utterances["split"], world.utterances[column], normalize="index")
        assert (by_split.max() - by_split.min()).max() < 0.03


def test_no_sentence_is_a_rewording(world, minilm):
    english = world.utterances.query("lang == 'en'")["text"].tolist()
    assert closest(minilm.encode(english)) < 0.85
    assert closest(characters(world.utterances.query("lang == 'zh'")["text"])) < 0.7
    for _, rows in world.utterances.groupby(["lang", "split"]):
        assert closest(minilm.encode(rows["text"].tolist())) < 0.95, "even where the encoder reads [UNK] for most"


def test_intents_are_neither_badly_labelled_nor_too_easy(world, minilm):
    train, test = world.said(split="train"), world.said(split="test")
    vectors = minilm.encode(train["text"].tolist()), minilm.encode(test["text"].tolist())
    head = LogisticRegression(C=3, max_iter=2000).fit(vectors[0], train["intents"])
    words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC()).fit(train["text"], train["intents"])
    by_meaning, by_words = head.score(vectors[1], test["intents"]), words.score(test["text"], test["intents"])
    assert 0.85 <= by_meaning <= 0.96, f"frozen head {by_meaning:.3f}"
    assert by_words <= by_meaning - 0.06, f"TF-IDF {by_words:.3f}"


# --- behaviour --------------------------------------------------------------------------------------------------------


def test_the_tail_is_long(world):
    interactions = world.events[world.events["action"] != "impression"]["item"].value_counts()
    assert 0.55 < interactions.head(len(world.items) // 5).sum() / interactions.sum() < 0.75


def test_taste_drifts(world, clicks):
    """The theme that grows in a person is clicked more from month to month."""
    tastes, themes = world.truth.tastes, world.truth.themes
    grown = tastes.query("start == 0 and end > 0.1").set_index("person")["theme"]
    of_item = themes.groupby("item")["theme"].agg(set)
    hit = np.array([grown[p] in of_item[i] for p, i in zip(clicks["person"], clicks["item"], strict=True)])
    first, second, third = (hit[clicks["day"] // 30 == month].mean() for month in range(3))
    assert second > 1.4 * first and third > 1.3 * second


def test_scenes_have_their_hours(world):
    visits = world.events.drop_duplicates("session")
    hours = visits.groupby("scene")["time"].agg(lambda time: time.dt.hour.median())
    assert hours["news"] <= 9 and hours["video"] >= 19 and hours["books"] >= 21
    weekend = visits["time"].dt.day_of_week >= 5
    ratio = visits[weekend]["scene"].value_counts(normalize=True) / visits[~weekend]["scene"].value_counts(
        normalize=True
    )
    assert ratio["news"] < 0.65 and ratio["games"] > 1.1 and ratio["travel"] > 1.1


def test_friends_are_followed(world, clicks):
    """People click what a friend liked in the last five days more often than what strangers of the same group did."""
    told = world.events[world.events["action"].isin(["like", "purchase"])]
    when = told.groupby(["person", "item"])["time"].agg(list).to_dict()
    groups = world.truth.people.set_index("person")["group"]
    members = {group: rows.index.to_numpy() for group, rows in groups.groupby(groups)}
    friends = dict(zip(world.people["person"], world.people["friends"].fillna("").str.split(";"), strict=True))
    rng = np.random.default_rng(0)

    def told_by(company, item, time):
        return any(
            0 <= (time - then).total_seconds() < 5 * 86400 for name in company for then in when.get((name, item), ())
        )

    rows = clicks[["person", "item", "time"]].itertuples(index=False)
    hits = [
        (told_by(friends[p], i, t), told_by([rng.choice(members[groups[f]]) for f in friends[p] if f], i, t))
        for p, i, t in rows
    ]
    followed, by_chance = np.mean(hits, axis=0)
    assert followed > 1.25 * by_chance


def test_places_further_down_are_clicked_less(world):
    shown, clicked = (
        world.events[world.events["action"] == a]["position"].value_counts() for a in ("impression", "click")
    )
    rate = (clicked / shown).sort_index()
    assert list(rate.index) == [1, 2, 3, 4]
    assert (rate.diff().dropna() < 0).all()
    assert rate[1] > 2 * rate[3]


def test_the_same_again_bores(world, clicks):
    """Within a visit the next item shares fewer themes with the last one than from visit to visit in the same scene."""
    themes = world.truth.item_themes / np.linalg.norm(world.truth.item_themes, axis=1, keepdims=True)
    rows = clicks.sort_values(["person", "time"], kind="stable")
    last = rows.groupby("person")[["i", "session", "scene"]].shift()
    pair = (last["scene"] == rows["scene"]) & (last["i"] != rows["i"])
    rows, last = rows[pair], last[pair]
    shared = (themes[rows["i"]] * themes[last["i"].astype(int)]).sum(axis=1)
    same_visit = (rows["session"] == last["session"]).to_numpy()
    people_who_bore_fast = (world.truth.people["variety"] > 1).to_numpy()[rows["u"]]
    assert shared[same_visit & people_who_bore_fast].mean() < 0.95 * shared[~same_visit & people_who_bore_fast].mean()


def test_pictures_and_sounds_matter(world):
    """With the truth about style beside the truth about themes, a probe tells clicks from passed-by items better."""
    events = world.events
    clicked = events[events["action"] == "click"].set_index(["session", "item", "position"]).index
    shown = events[events["action"] == "impression"]
    click = pd.MultiIndex.from_frame(shown[["session", "item", "position"]]).isin(clicked)
    u = pd.Index(world.people["person"]).get_indexer(shown["person"])
    i = pd.Index(world.items["item"]).get_indexer(shown["item"])
    position = np.log(shown["position"].astype(float).to_numpy())
    themes = world.truth.match(45)[u, i]
    style = (world.truth.looks() + world.truth.sounds())[u, i]
    held_out = u % 5 == 0

    def area(*features):
        rows = np.stack([*features, position], axis=1)
        probe = LogisticRegression().fit(rows[~held_out], click[~held_out])
        return roc_auc_score(click[held_out], probe.predict_proba(rows[held_out])[:, 1])

    assert area(themes, style) > area(themes) + 0.08


def test_people_and_items_arrive_late(world):
    new = world.items["released"] >= "2026-07-01"
    assert new.groupby(world.items["intent"]).sum().eq(18).all()
    assert 150 < (world.people["joined"] >= "2026-07-01").sum() < 250
    first = world.events.groupby("person")["time"].min()
    joined = world.people.set_index("person")["joined"].reindex(first.index)
    late = joined >= "2026-07-01"
    assert (first[late].dt.normalize() == joined[late]).all(), "who joins comes on that day"


def test_dwell_and_rating_are_noisy_witnesses(world):
    liking = world.truth.liking(45)
    rated = world.events.dropna(subset="rating")
    dwelt = world.events.dropna(subset="dwell_s")
    people, items = pd.Index(world.people["person"]), pd.Index(world.items["item"])

    def witness(rows, values):
        liked = liking[people.get_indexer(rows["person"]), items.get_indexer(rows["item"])]
        return np.corrcoef(liked, values)[0, 1]

    assert 0.5 < witness(rated, rated["rating"].astype(float)) < 0.9
    assert 0.2 < witness(dwelt, np.log(dwelt["dwell_s"])) < 0.6


def test_the_dissatisfied_leave(world):
    people = world.truth.people
    left = people["left"].notna().groupby(pd.qcut(people["satisfaction"], 4), observed=True).mean()
    assert (left.diff().dropna() < 0).all()
    assert left.iloc[0] > 3 * left.iloc[-1]
    last = world.events.groupby("person")["time"].max().dt.normalize()
    gone = people.set_index("person")["left"].dropna()
    assert (last.reindex(gone.index) <= gone + pd.Timedelta(days=1)).all()


def test_the_programs_are_small():
    """A program that a student cannot read in one sitting explains nothing."""
    longest = max(len(path.read_text(encoding="utf-8").splitlines()) for path in Path(data.WORLD).glob("*.py"))
    assert longest < 400
