import re

import numpy as np
import pandas as pd
import pytest

from reclab import data, text


def test_batches_hold_every_position_once_and_keep_to_the_budget():
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = list(text.batches(lengths, budget=1024))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert all(len(batch) * lengths[batch].max() <= 1024 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()  # in the order given it would be nearly twice as much


def test_a_text_longer_than_the_budget_travels_alone():
    assert [batch.tolist() for batch in text.batches([5, 300, 5], budget=100)] == [[1], [0, 2]]


def test_padding_fills_and_masks():
    ids, mask = text.pad([[1], [2, 3, 4], []], value=9)
    assert ids.tolist() == [[1, 9, 9], [2, 3, 4], [9, 9, 9]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Don't stop, rock-'n'-roll!", ["Don't", "stop", "rock", "n", "roll"]),
        ("我想学jazz", ["我", "想", "学", "jazz"]),
        ("well-known café", ["well-known", "café"]),
        ("?!", []),
    ],
)
def test_words_of_a_sentence(sentence, words):
    assert [word for word, _ in text.words(sentence)] == words


def test_each_word_is_left_out_once():
    assert [rest for _, rest in text.words("我想学 jazz, now")] == [
        "想学 jazz, now",
        "我学 jazz, now",
        "我想 jazz, now",
        "我想学 , now",
        "我想学 jazz,",
    ]


# --- behaviour ------------------------------------------------------------------------------------------------------

ITEMS = pd.DataFrame(
    {
        "item": ["snake", "jazz", "film"],
        "title_en": ["Door Snake", "Double Six", "Compartment Nine"],
        "category": ["draught stopper", "album", "film"],
        "scene": ["shop", "music", "video"],
    }
)


def log(*rows):
    """Events from (person, session, item, time, action)."""
    events = pd.DataFrame(rows, columns=["person", "session", "item", "time", "action"])
    scene = events["item"].map(ITEMS.set_index("item")["scene"]).fillna("shop")
    return events.assign(time=pd.to_datetime(events["time"]), scene=scene)


DAYS = log(
    ("ann", 1, "jazz", "2026-07-01 04:59:59", "click"),
    ("ann", 1, "snake", "2026-07-01 05:00:00", "click"),
    ("ann", 1, "snake", "2026-07-01 05:00:40", "dwell"),
    ("ann", 1, "snake", "2026-07-01 05:00:44", "purchase"),
    ("ann", 1, "film", "2026-07-01 05:01:00", "impression"),
    ("bob", 2, "film", "2026-07-02 21:59:59", "click"),
    ("bob", 2, "film", "2026-07-02 22:04:00", "dwell"),
    ("bob", 2, "film", "2026-07-02 22:04:01", "like"),
    ("ann", 3, "snake", "2026-07-04 12:00:00", "click"),
    ("cy", 4, "film", "2026-07-05 12:00:00", "impression"),
)


def test_a_step_is_an_item_of_a_visit_told_by_its_strongest_action():
    steps = text.steps(DAYS)
    assert list(zip(steps["person"], steps["session"], steps["item"], steps["action"], strict=True)) == [
        ("ann", 3, "snake", "click"),
        ("bob", 2, "film", "like"),
        ("ann", 1, "snake", "purchase"),
        ("ann", 1, "jazz", "click"),
    ]
    assert steps["time"].iloc[2] == pd.Timestamp("2026-07-01 05:00:00")  # of its first action, not of the strongest
    assert steps["time"].is_monotonic_decreasing


def test_behaviour_in_each_form():
    told = {form: text.behaviour(DAYS, ITEMS, form=form) for form in text.FORMS}
    assert [list(texts.index) for texts in told.values()] == [["ann", "bob"]] * 3  # cy was shown something, no more
    assert told["titles"]["ann"] == "Door Snake (draught stopper); Door Snake (draught stopper); Double Six (album)"
    assert told["sentence"]["ann"] == (
        "Clicked Door Snake (draught stopper) in the shop section on Saturday afternoon. "
        "Bought Door Snake (draught stopper) in the shop section on Wednesday morning. "
        "Clicked Double Six (album) in the music section on Wednesday night."
    )
    assert told["sentence"]["bob"] == "Liked Compartment Nine (film) in the video section on Thursday evening."
    assert told["tags"]["bob"] == (
        "action=like scene=video day=thursday time=evening title=Compartment Nine category=film"
    )
    assert told["tags"]["ann"].count(" | ") == 2


PARTS = ["night", "night", "morning", "morning", "afternoon", "afternoon", "evening", "evening", "night", "night"]


@pytest.mark.parametrize(("hour", "part"), list(zip((0, 4, 5, 11, 12, 16, 17, 21, 22, 23), PARTS, strict=True)))
def test_parts_of_the_day(hour, part):
    events = log(("ann", 1, "jazz", f"2026-07-01 {hour:02d}:30:00", "dwell"))
    assert (
        text.behaviour(events, ITEMS)["ann"]
        == f"Looked at Double Six (album) in the music section on Wednesday {part}."
    )


def test_behaviour_of_visits_and_of_the_newest_steps():
    assert text.behaviour(DAYS, ITEMS, form="titles", by="session").to_dict() == {
        1: "Door Snake (draught stopper); Double Six (album)",
        2: "Compartment Nine (film)",
        3: "Door Snake (draught stopper)",
    }
    assert text.behaviour(DAYS, ITEMS, last=1)["ann"].startswith("Clicked Door Snake (draught stopper) in the shop")
    assert text.behaviour(DAYS, ITEMS, form="titles", by="session", last=1)[1] == "Door Snake (draught stopper)"


@pytest.mark.parametrize("form", text.FORMS)
def test_newest_first_so_that_fewer_steps_are_the_beginning_of_more(form):
    whole, two, one = (text.behaviour(DAYS, ITEMS, form=form, last=last)["ann"] for last in (None, 2, 1))
    assert whole.startswith(two)
    assert two.startswith(one)
    assert len(one) < len(two) < len(whole)


def test_behaviour_does_not_depend_on_the_order_or_the_labels_of_the_rows():
    shuffled = DAYS.sample(frac=1, random_state=0).rename(index=lambda i: 100 + i % 3)
    pd.testing.assert_series_equal(text.behaviour(shuffled, ITEMS[::-1]), text.behaviour(DAYS, ITEMS))


def test_of_equal_times_the_lower_row_is_the_newer():
    rows = [("ann", 1, item, "2026-07-01 12:00:00", "click") for item in ("jazz", "film")]
    assert text.steps(log(*rows))["item"].tolist() == ["film", "jazz"]
    assert text.steps(log(*rows[::-1]))["item"].tolist() == ["jazz", "film"]


def test_nothing_done_is_no_text():
    assert text.behaviour(DAYS[DAYS["action"] == "impression"], ITEMS).to_dict() == {}
    assert text.behaviour(DAYS[:0], ITEMS, form="tags").to_dict() == {}


def test_the_whole_log_against_a_loop():
    world = data.load("world")
    events = world.events[world.events["person"] < "p0040"]
    named = world.items.set_index("item")
    expected = {}
    for person, rows in events[events["action"] != "impression"].groupby("person"):
        seen = []
        for row in rows.itertuples():
            if (row.session, row.item) not in seen:
                seen.append((row.session, row.item))
        titles = [f"{named['title_en'][item]} ({named['category'][item]})" for _, item in reversed(seen)]
        expected[person] = "; ".join(titles)
    assert text.behaviour(events, world.items, form="titles").to_dict() == expected


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"form": "haiku"}, "form must be one of titles, sentence, tags, got 'haiku'."),
        ({}, {"by": "item"}, "by must be person or session, got 'item'."),
        ({}, {"last": 0}, "last must be at least 1, got 0."),
        ({"action": "view"}, {}, "action must be one of impression, click, dwell, like, purchase, got 'view'."),
        ({"item": "gone"}, {}, "every item of events must stand in items, 'gone' does not."),
    ],
)
def test_what_behaviour_refuses(change, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        text.behaviour(DAYS.assign(**change), ITEMS, **options)


def test_a_missing_column_is_named():
    message = "events must have the columns person, session, item, time, scene, action; session is missing."
    with pytest.raises(ValueError, match=re.escape(message)):
        text.behaviour(DAYS.drop(columns="session"), ITEMS)
    with pytest.raises(ValueError, match="items must have the columns item, title_en, category; category is missing"):
        text.behaviour(DAYS, ITEMS.drop(columns="category"))
