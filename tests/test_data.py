import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reclab import data, fetch


@pytest.fixture(scope="module")
def world():
    return data.load("world")


# --- the world ------------------------------------------------------------------------------------------------------


def test_columns_have_their_types(world):
    assert world.items["price"].dtype == np.float64
    assert world.items["released"].between("2015-01-01", "2026-12-31").all()
    assert world.items[["item", "title_en", "title_zh", "description_en", "description_zh"]].notna().all(axis=None)
    types = {"time": "datetime64[ns]", "dwell_s": "float64", "rating": "Int64", "position": "Int64", "session": "int64"}
    assert world.events.dtypes.astype(str).to_dict() == dict.fromkeys(world.events.columns, "string") | types
    assert world.events["time"].is_monotonic_increasing


def test_texts_come_in_two_languages(world):
    assert world.texts("zh")[0].startswith(world.items["title_zh"][0] + "。")
    with pytest.raises(ValueError, match='language must be "en" or "zh", got \'fr\''):
        world.texts("fr")


def test_said_gives_sentences_with_one_intent(world):
    rows = [world.said(split=split, lang=lang) for split in data.SPLITS for lang in ("en", "zh")]
    single = world.utterances["intents"].isin(data.INTENTS)
    assert sum(map(len, rows)) == single.sum()
    assert all(set(part["intents"]) == set(data.INTENTS) for part in rows)
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'dev'"):
        world.said(split="dev")


def test_unknown_actions_are_refused(world):
    with pytest.raises(ValueError, match=r"actions must be among impression, click, .*, got 'buy'"):
        world.interactions(["click", "buy"])


# --- interactions ---------------------------------------------------------------------------------------------------


def met(rows, people="abc", items="xyz"):
    """Interactions from "a x 3": person, item, day of January."""
    table = pd.DataFrame([row.split() for row in rows], columns=["person", "item", "time"])
    table["time"] = pd.to_datetime("2026-01-" + table["time"].str.zfill(2))
    return data.Interactions.of(table, people=list(people), items=list(items))


def pairs(interactions):
    names = zip(interactions.people[interactions.person], interactions.items[interactions.item], strict=True)
    return [
        f"{p} {i} {t.astype('datetime64[D]').item().day}" for (p, i), t in zip(names, interactions.time, strict=True)
    ]


def test_interactions_are_sorted_and_counted():
    some = met(["b y 5", "a x 2", "a x 9", "a z 1"])
    assert pairs(some) == ["a z 1", "a x 2", "b y 5", "a x 9"]
    np.testing.assert_array_equal(some.matrix().toarray(), [[2, 0, 1], [0, 1, 0], [0, 0, 0]])
    assert pairs(some.first()) == ["a z 1", "a x 2", "b y 5"]
    assert repr(some) == "Interactions(4 of 2 people with 3 items, 2026-01-01 to 2026-01-09, 33.3 % of all pairs)"


def test_take_keeps_people_items_and_order():
    some = met(["a x 1", "b y 2", "c z 3"])
    assert pairs(some.take([2, 0])) == ["a x 1", "c z 3"]
    assert pairs(some.take(np.array([False, True, False]))) == ["b y 2"]
    assert some.take([1]).matrix().shape == (3, 3)
    assert repr(some.take([])) == "Interactions(none of 3 people with 3 items)"


@pytest.mark.parametrize(
    ("rows", "people", "said"),
    [
        (["a x 1", "d x 2"], "abc", "1 events have an unknown person, the first is 'd'"),
        (["a w 1", "b v 2"], "abc", "2 events have an unknown item, the first is 'w'"),
        (["a x 1"], "aab", "people must be different ids, 'a' repeats"),
    ],
)
def test_unknown_ids_are_refused(rows, people, said):
    with pytest.raises(ValueError, match=said):
        met(rows, people)


def test_events_without_time_are_refused():
    table = pd.DataFrame({"person": ["a", "a"], "item": ["x", "y"]})
    with pytest.raises(ValueError, match="the columns person, item and time; time is missing"):
        data.Interactions.of(table, people="a", items="xy")
    table["time"] = [pd.Timestamp("2026-01-01"), pd.NaT]
    with pytest.raises(ValueError, match="every event must have a time, 1 have none"):
        data.Interactions.of(table, people=["a"], items=["x", "y"])


def test_split_by_time_by_hand():
    some = met(["a x 1", "b x 2", "a y 3", "c x 3", "b z 4"])
    before, after = data.split_by_time(some, at="2026-01-03")
    assert pairs(before) == ["a x 1", "b x 2"]
    assert pairs(after) == ["a y 3", "c x 3", "b z 4"], "equal times stay together"
    assert [len(part) for part in data.split_by_time(some, share=0.4)] == [2, 3], "the tie goes to the second part"
    assert [len(part) for part in data.split_by_time(some, share=0.2)] == [4, 1]


@pytest.mark.parametrize(("at", "share"), [("2025-01-01", 0.2), ("2027-01-01", 0.2), (None, 0), (None, 1)])
def test_an_empty_part_is_refused(at, share):
    with pytest.raises(ValueError, match=r"leaves one part empty|share must be above 0 and below 1"):
        data.split_by_time(met(["a x 1", "b x 2"]), at=at, share=share)


def test_split_last_by_hand():
    train, test = data.split_last(met(["a x 1", "a y 2", "a x 3", "b z 1", "c x 2", "c y 5", "c z 5"]))
    assert pairs(test) == ["a y 2", "c z 5"], "the newest item, not the newest event; of a tie the later row"
    assert pairs(train) == ["a x 1", "b z 1", "c x 2", "c y 5"], "what came after the newest item is in neither part"


def test_splits_of_the_world_leak_nothing(world):
    clicks = world.interactions()
    before, after = data.split_by_time(clicks)
    assert len(before) + len(after) == len(clicks)
    assert before.time.max() < after.time.min()
    train, test = data.split_last(clicks)
    assert len(np.unique(test.person)) == len(test)
    assert train.matrix().multiply(test.matrix()).nnz == 0
    latest = pd.Series(train.time).groupby(train.person).max()
    assert (latest.reindex(test.person).to_numpy() <= test.time).all()


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_world(tmp_path_factory):
    out = tmp_path_factory.mktemp("world")
    command = [sys.executable, str(data.WORLD / "make_world.py"), "--people", "40", "--days", "10", "--items", "4"]
    subprocess.run([*command, "--only", "log", "--out", str(out)], check=True, capture_output=True)
    return out


@pytest.fixture
def folder(tmp_path, small_world):
    for path in small_world.iterdir():
        if path.suffix == ".gz":
            (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, tmp_path)
    return tmp_path


def test_a_teachers_own_folder_is_loaded(folder):
    whole = data.load(folder)
    assert repr(whole).startswith("World(40 items, 40 people, ")
    for name in ("themes.csv", "tastes.csv", "items_truth.csv", "people_truth.csv", "events_raw.csv"):
        (folder / name).unlink()
    plain = data.load(folder)
    assert plain.truth is None
    pd.testing.assert_frame_equal(plain.events, whole.events)


def edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("items.csv", lambda s: s.replace(",price,", ",cost,", 1), "items.csv lacks the column 'price'; it has item,"),
        ("items.csv", lambda s: s.replace("sho02,", "sho01,", 1), r"item may not repeat; 2 of 40 rows"),
        (
            "items.csv",
            lambda s: s.replace("sho02,shop,shopping", "sho02,shop,", 1),
            "intent may not be empty; 1 of 40",
        ),
        (
            "items.csv",
            lambda s: s.replace("sho02,shop,shopping", "sho02,shop,buying", 1),
            "intent must be one of shopping",
        ),
        ("items.csv", lambda s: s.replace("sho02,shop,", "sho02,mall,", 1), "scene must be one of shop"),
        ("items.csv", lambda s: s.replace(",29.00,", ",-29.00,", 1), "price may not be negative"),
        ("items.csv", lambda s: s.replace(",29.00,", ",cheap,", 1), "price must be a number; 1 of 40 rows"),
        ("items.csv", lambda s: s.replace("2024-09-02", "02/09/2024", 1), "released must be a day like 2024-05-31"),
        ("items.csv", lambda s: s.replace("2024-09-02", "2024-13-02", 1), "released must be a day like 2024-05-31"),
        ("items.csv", lambda s: "", "cannot be read as CSV"),
        ("items.csv", lambda s: s + "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o\n", "cannot be read as CSV"),
        ("themes.csv", lambda s: s.replace("sho02,", "xxx99,", 1), "item must stand in items.csv"),
        (
            "themes.csv",
            lambda s: s.replace("sho01,everyday clothing,0.7", "sho01,everyday clothing,0.6", 1),
            "must add up to 1",
        ),
        ("themes.csv", lambda s: s.replace(",0.7\n", ",1.7\n", 1), "weight must be above 0 and at most 1"),
        ("utterances.csv", lambda s: s.replace(",en,food,", ",en,food;drink,", 1), "intents must be among shopping"),
        ("utterances.csv", lambda s: s.replace(",en,food,", ",fr,food,", 1), "lang must be one of en, zh"),
        (
            "utterances.csv",
            lambda s: s.replace(",test\n", ",exam\n", 1),
            "split must be one of train, validation, test",
        ),
        ("intents.csv", lambda s: s.replace("\nfood,", "\nmusic,", 1), "intent may not repeat"),
    ],
)
def test_damage_is_named(folder, name, change, said):
    edit(folder, name, change)
    with pytest.raises(ValueError, match=said):
        data.load(folder)


def of(events, action):
    """The first row of an action."""
    return int(np.argmax(events["action"] == action))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("people.csv", lambda t: t["age_band"].where(t.index != 3, "teen"), "age_band must be one of 16-24"),
        ("people.csv", lambda t: t["joined"].where(t.index != 3, "last May"), "joined must be a day like"),
        ("people.csv", lambda t: t["friends"].where(t.index != 3, "p9999"), "friends must be people of this table"),
        ("people.csv", lambda t: t["friends"].where(t.index != 3, "p0004"), "friendship must stand in both rows"),
        ("people.csv", lambda t: t["person"].where(t.index != 3, "p0001"), "person may not repeat; 2 of 40"),
        ("events.csv", lambda t: t["person"].where(t.index != 3, "p9999"), "person must stand in people.csv; 1 of"),
        ("events.csv", lambda t: t["item"].where(t.index != 3, "xyz01"), "item must stand in items.csv; 1 of"),
        ("events.csv", lambda t: t["time"].where(t.index != 3, "2026-13-01T00:00:00"), "time must be a time like"),
        ("events.csv", lambda t: t["time"].where(t.index != 3, "2026-06-30T23:59:59"), "time must be within the log"),
        ("events.csv", lambda t: t["time"].where(t.index != 3, "2026-07-11T00:00:00"), "time must be within the log"),
        ("events.csv", lambda t: t["scene"].where(t.index != 3, "mall"), "scene must be one of shop"),
        ("events.csv", lambda t: t["scene"].map(lambda s: "news" if s == "shop" else s), "scene must be the item's"),
        ("events.csv", lambda t: t["action"].where(t.index != 3, "view"), "action must be one of impression"),
        ("events.csv", lambda t: t["dwell_s"].where(t.index != of(t, "dwell"), "-1"), "dwell_s must be above 0"),
        ("events.csv", lambda t: t["dwell_s"].where(t.index != of(t, "dwell"), "inf"), "dwell_s must be a number"),
        (
            "events.csv",
            lambda t: t["dwell_s"].where(t.index != of(t, "dwell"), ""),
            "dwell_s must stand with the action",
        ),
        (
            "events.csv",
            lambda t: t["dwell_s"].where(t.index != of(t, "click"), "9"),
            "dwell_s must stand with the action",
        ),
        ("events.csv", lambda t: t["rating"].where(t.index != of(t, "dwell"), "6"), "rating must be 1 to 5; 1 of"),
        ("events.csv", lambda t: t["rating"].where(t.index != of(t, "dwell"), "4.5"), "rating must be a whole number"),
        ("events.csv", lambda t: t["position"].where(t.index != 3, "0"), "position must be at least 1; 1 of"),
        ("events.csv", lambda t: t["device"].where(t.index != 3, "fridge"), "device must be one of phone"),
        ("events.csv", lambda t: t["session"].map(lambda s: "1"), "a session must be of one person"),
        ("log.csv", lambda t: t["days"].map(lambda d: "0"), "days must be at least 1"),
        ("tastes.csv", lambda t: t["person"].where(t.index != 3, "p9999"), "person must stand in people.csv"),
        ("tastes.csv", lambda t: t["end"].where(t.index != 3, "0.999"), "a person's ends must add up to 1"),
        (
            "items.csv",
            lambda t: t["image"].where(t.index != 3, "../secret.png"),
            "image must be a file below this folder",
        ),
    ],
)
def test_damaged_cells_are_named(folder, name, change, said):
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    changed = change(table)
    assert not changed.equals(table[changed.name]), "the case damages something"
    table.assign(**{changed.name: changed}).to_csv(folder / name, index=False)
    with pytest.raises(ValueError, match=re.escape(said)):
        data.load(folder)


def test_rows_that_repeat_are_counted(folder):
    edit(folder, "events.csv", lambda s: s + s.splitlines()[5] + "\n")
    with pytest.raises(ValueError, match="person and item and time and action may not repeat; 2 of"):
        data.load(folder)


def test_events_before_somebody_joined_or_something_came_out_are_refused(folder, tmp_path):
    for name, column, said in (
        ("items.csv", "released", "time may not be before the item was released"),
        ("people.csv", "joined", "time may not be before the person joined"),
    ):
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        table.assign(**{column: "2026-07-10"}).to_csv(folder / name, index=False)
        with pytest.raises(ValueError, match=said):
            data.load(folder)


def test_truth_about_others_is_refused(folder):
    edit(folder, "people_truth.csv", lambda s: s.replace("p0003,", "p0300,", 1))
    with pytest.raises(ValueError, match=r"people_truth\.csv must have the rows of persons that the open table has"):
        data.load(folder)


def test_a_truncated_log_is_named(folder, small_world):
    (folder / "events.csv").unlink()
    whole = (small_world / "events.csv.gz").read_bytes()
    (folder / "events.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"events\.csv\.gz cannot be read as CSV"):
        data.load(folder)


@pytest.fixture
def drawn(tmp_path, small_world):
    """A world whose first item has a picture, and whose music has sounds."""
    out = tmp_path / "drawn"
    shutil.copytree(small_world, out)
    for name in ("images", "sounds"):
        shutil.copytree(data.WORLD / name, out / name)
    return data.load(out)


def test_pictures_and_sounds_come_in_order(drawn, world):
    places = pd.Index(world.items["item"]).get_indexer(drawn.items["item"])
    np.testing.assert_array_equal(drawn.pictures(), world.pictures()[places])
    assert list(drawn.sounds()) == ["mus01", "mus02", "mus03", "mus04"]


def test_damaged_pictures_and_sounds_are_named(drawn):
    picture, sound = drawn.folder / "images" / "sho01.png", drawn.folder / "sounds" / "mus01.wav"
    whole = picture.read_bytes()
    for bad in (whole[:200], b"", b"not a picture"):
        picture.write_bytes(bad)
        with pytest.raises(ValueError, match=r"sho01\.png cannot be read as a picture"):
            drawn.pictures()
    Image.new("RGB", (32, 64)).save(picture)
    with pytest.raises(ValueError, match=r"sho01\.png must be 64 x 64 pixels, it is 32 x 64"):
        drawn.pictures()
    picture.unlink()
    with pytest.raises(FileNotFoundError, match=r"sho01\.png is missing, which items\.csv names for sho01"):
        drawn.pictures()
    whole = sound.read_bytes()
    sound.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"mus01\.wav must be 2 s of one channel"):
        drawn.sounds()
    sound.write_bytes(whole[:20])
    with pytest.raises(ValueError, match=r"mus01\.wav cannot be read as a WAV file"):
        drawn.sounds()


def test_the_first_bad_rows_are_shown(folder):
    edit(folder, "items.csv", lambda s: s.replace("sho02,", "sho01,", 1))
    with pytest.raises(ValueError, match=r"(?s)items\.csv: item may not repeat.*Harbour Grey Overshirt.*Seven Pairs"):
        data.load(folder)


def test_another_encoding_is_named(folder):
    path = folder / "items.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    with pytest.raises(ValueError, match=r"items\.csv must be UTF-8 text: byte \d+ is 0x[0-9a-f]{2}. Save it as UTF-8"):
        data.load(folder)


def test_a_missing_table_is_named(folder):
    (folder / "themes.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"themes\.csv is missing: .* item, theme, weight"):
        data.load(folder)


def test_an_unknown_name_is_refused():
    names = '"world", "ml-latest-small", "banking77", "massive-en", "chorus-icecat", "grocery-store-multimodal"'
    with pytest.raises(ValueError, match=f"name must be {names} or a folder with CSV tables, got 'wrld'"):
        data.load("wrld")


# --- MovieLens ------------------------------------------------------------------------------------------------------


def public(name):
    try:
        return data.load(name)
    except fetch.FetchError as error:
        pytest.skip(f"{name} cannot be had here: {str(error).splitlines()[0]}")


@pytest.fixture(scope="module")
def movielens():
    return public("ml-latest-small")


def test_movielens_is_whole(movielens):
    assert repr(movielens) == "MovieLens(9742 items, 610 people, 100836 ratings)"
    assert movielens.ratings["rating"].between(0.5, 5).all()
    assert movielens.ratings["time"].between("1996-01-01", "2018-12-31").all()
    assert movielens.items["year"].isna().sum() == 13


def test_movielens_interactions(movielens):
    assert repr(movielens.interactions()).startswith(
        "Interactions(100836 of 610 people with 9724 items, 1996-03-29 to "
    )
    train, test = data.split_last(movielens.interactions())
    assert len(test) == 610 and len(train) == 100836 - 610


def test_movielens_texts_read_as_people_speak(movielens):
    texts = dict(zip(movielens.items["item"], movielens.texts(), strict=True))
    assert texts[2571].startswith("The Matrix (1999). Action, Sci-Fi, Thriller. ")
    assert "philosophy" in texts[2571]
    assert texts[6] == "Heat (1995). Action, Crime, Thriller"


# --- sets of intents ------------------------------------------------------------------------------------------------


def test_banking77_is_whole():
    bank = public("banking77")
    assert repr(bank) == "IntentSet('banking77', 77 intents, 10003 train, 3080 test)"
    test = bank.said(split="test")
    assert (test["intents"].value_counts() == 40).all()
    assert test.iloc[0].tolist() == ["How do I locate my card?", "card_arrival", "test"]
    assert not set(test["text"]) & set(bank.said(split="train")["text"])
    with pytest.raises(ValueError, match="split must be one of train, test, got 'validation'"):
        bank.said(split="validation")


def test_massive_is_whole():
    massive = public("massive-en")
    assert repr(massive) == "IntentSet('massive-en', 60 intents, 11514 train, 2033 validation, 2974 test)"
    assert massive.said(split="test").iloc[0].tolist() == ["wake me up at five am this week", "alarm_set", "test"]
    assert len(massive.intents) == 60 and "alarm_set" in massive.intents


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """A folder that `load("massive-en")` reads, with three sound files."""
    monkeypatch.setattr(fetch, "folder", lambda name: tmp_path)
    for split, label in (("train", "a"), ("validation", "b"), ("test", "a")):
        (tmp_path / f"{split}.jsonl").write_text(f'{{"text": "to {split}", "label": 3, "label_text": "{label}"}}\n')
    return tmp_path


def test_json_lines_are_read_as_they_stand(publisher):
    (publisher / "test.jsonl").write_text(
        '{"text": "7", "label_text": "a"}\n{"text": "caf\u00e9", "label_text": "c"}\n'
    )
    found = data.load("massive-en")
    assert found.intents == ("a", "b", "c")
    assert found.said(split="test")["text"].tolist() == ["7", "café"]
    assert found.said(split="train")["intents"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "to', r"test\.jsonl cannot be read as JSON lines"),
        ('{"text": "to"}', r"test\.jsonl lacks the field 'label_text'; it has text"),
        ('{"text": "to", "label_text": ""}', r"(?s)test\.jsonl: label_text must be a text that is not empty; 1 of 1"),
        ('{"text": null, "label_text": "a"}', r"test\.jsonl: text must be a text that is not empty"),
        ('{"text": 7, "label_text": "a"}', r"test\.jsonl: text must be a text that is not empty"),
        ("", r"test\.jsonl lacks the field 'text'"),
    ],
)
def test_damaged_json_lines_are_named(publisher, content, said):
    (publisher / "test.jsonl").write_text(content)
    with pytest.raises(ValueError, match=said):
        data.load("massive-en")


def test_a_missing_split_is_named(publisher):
    (publisher / "train.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl is missing: .* text, label_text a line"):
        data.load("massive-en")


# --- product search -------------------------------------------------------------------------------------------------


def test_chorus_is_whole():
    shop = public("chorus-icecat")
    assert repr(shop) == "ProductSearch(19406 items, 135 queries, 3668 judgements)"
    assert shop.titles[0] == "Xerox 006R90321 toner cartridge Original Black 6 pc(s)"
    assert shop.texts()[0] == shop.titles[0] + ". Toner (6 Per Box) for CopyCentre C65 Digital Copier"
    assert "printing colours: Black; quantity per pack: 6.0" in shop.items["attributes"][0]
    assert sum(len(gains) for gains in shop.relevant()) == 1472 + 105 + 238
    assert set().union(*(gains.values() for gains in shop.relevant())) == {1, 2, 3}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder that `load("chorus-icecat")` reads: four products, three judgements."""
    monkeypatch.setattr(fetch, "folder", lambda name: tmp_path)
    for part in range(1, 5):
        product = {"id": str(part), "title": f"lamp {part}", "supplier": "x", "attr_t_wall_mount": "Y", "price": "9"}
        write_products(tmp_path, part, [product | ({"short_description": "bright"} if part == 2 else {})])
    (tmp_path / "Broad_Query_Set_rated.csv").write_text("query,docid,rating\nlamp,2,3\nlamp,4,0\ndesk,1,0\n")
    return tmp_path


def write_products(folder, part, products):
    with zipfile.ZipFile(folder / f"{part}.json.zip", "w") as packed:
        packed.writestr(f"{part}.json", json.dumps(products))


def test_products_and_judgements_are_read(shop):
    found = data.load("chorus-icecat")
    assert found.texts() == ["lamp 1", "lamp 2. bright", "lamp 3", "lamp 4"]
    assert found.items["attributes"].unique().tolist() == ["wall mount: Y"]
    assert found.queries == ["lamp", "desk"]
    assert found.relevant() == [{"2": 3}, {}]


@pytest.mark.parametrize(
    ("row", "said"),
    [("lamp,9,1", "docid must be a product's id"), ("lamp,1,4", "rating must be 0 to 3"), ("lamp,2,1", "docid")],
)
def test_a_wrong_judgement_is_named(shop, row, said):
    with (shop / "Broad_Query_Set_rated.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(ValueError, match=said):
        data.load("chorus-icecat")


def test_damaged_products_are_named(shop):
    write_products(shop, 3, "no list")
    (shop / "3.json.zip").write_bytes((shop / "3.json.zip").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"3\.json\.zip cannot be read as a zipped JSON list"):
        data.load("chorus-icecat")
    (shop / "3.json.zip").unlink()
    with pytest.raises(FileNotFoundError, match=r"3\.json\.zip is missing"):
        data.load("chorus-icecat")


# --- grocery photographs --------------------------------------------------------------------------------------------


def test_the_grocery_store_is_whole():
    store = public("grocery-store-multimodal")
    assert repr(store) == "GroceryStore(81 items in 43 groups, 5421 photographs)"
    assert store.titles[1] == "Granny Smith"
    assert store.texts()[1].startswith("Granny Smith. Granny Smith is a green apple")
    assert (store.items["description"].str.len() > 20).all()
    assert [len(store.taken(split=split)) for split in data.SPLITS] == [2640, 296, 2485]
    icons = store.pictures(store.items["icon"].tolist(), size=32)
    assert icons.shape == (81, 32, 32, 3)
    green, red = icons[1, 12:20, 12:20].mean(axis=(0, 1)), icons[3, 12:20, 12:20].mean(axis=(0, 1))
    assert green[1] > green[0]  # a Granny Smith is green
    assert red[0] > red[1]  # a Red Delicious is red


@pytest.fixture
def grocery(tmp_path, monkeypatch):
    """A folder that `load("grocery-store-multimodal")` reads: two products, a photograph in each split."""
    monkeypatch.setattr(fetch, "folder", lambda name: tmp_path)
    head = "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),"
    rows = [f"{name},{i},Fruit,0,/icons/{name}.jpg,/texts/{name}.txt" for i, name in enumerate(("Red-Pear", "Fig"))]
    (tmp_path / "classes.csv").write_text("\n".join([head + "Product Description Path (str)", *rows]) + "\n")
    (tmp_path / "texts").mkdir()
    for name in ("Red-Pear", "Fig"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"Sweet {name}.\n")
    for split, number in (("train", 0), ("val", 1), ("test", 0)):
        (tmp_path / f"{split}.txt").write_text(f"{split}/1.jpg, {number}, 0\n")
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = 200  # the middle square
    with tarfile.open(tmp_path / "images.tar", "w") as packed:
        for name, content in {"./train/1.jpg": wide, "test/1.jpg": None}.items():
            write_member(packed, name, content)
    return tmp_path


def write_member(packed, name, picture):
    stored = io.BytesIO(b"no picture")
    if picture is not None:
        Image.fromarray(picture).save(stored := io.BytesIO(), "PNG")
    described = tarfile.TarInfo(name)
    described.size = len(stored.getvalue())
    packed.addfile(described, io.BytesIO(stored.getvalue()))


def test_groceries_and_photographs_are_read(grocery):
    store = data.load("grocery-store-multimodal")
    assert store.texts() == ["Red Pear. Sweet Red-Pear.", "Fig. Sweet Fig."]
    assert store.items["icon"].tolist() == ["icons/Red-Pear.jpg", "icons/Fig.jpg"]
    assert store.photographs.to_numpy().tolist() == [
        ["train/1.jpg", "Red-Pear", "train"],
        ["val/1.jpg", "Fig", "validation"],
        ["test/1.jpg", "Red-Pear", "test"],
    ]
    assert store.taken(split="validation")["item"].tolist() == ["Fig"]
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'val'"):
        store.taken(split="val")


def test_the_middle_square_of_a_photograph_is_taken(grocery):
    assert (data.load("grocery-store-multimodal").pictures(["train/1.jpg"], size=20) == 200).all()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("val/1.jpg", "files\\[0\\] must be a picture in .*images.tar, got 'val/1.jpg'"),
        ("test/1.jpg", "cannot be read as"),
    ],
)
def test_a_photograph_that_is_missing_or_damaged_is_named(grocery, file, said):
    with pytest.raises(ValueError, match=said):
        data.load("grocery-store-multimodal").pictures([file])


def test_a_photograph_of_an_unknown_product_is_named(grocery):
    (grocery / "val.txt").write_text("val/1.jpg, 7, 0\n")
    with pytest.raises(ValueError, match="the second number must stand in classes"):
        data.load("grocery-store-multimodal")
