import re
import shutil

import numpy as np
import pandas as pd
import pytest

from reclab import data, fetch


@pytest.fixture(scope="module")
def world():
    return data.load("world")


# --- the world ------------------------------------------------------------------------------------------------------


def test_the_world_has_twelve_items_an_intent(world):
    assert world.items.groupby("intent").size().to_dict() == dict.fromkeys(data.INTENTS, 12)
    assert set(world.items["scene"]) == set(data.SCENES)
    assert world.themes["theme"].nunique() == 40
    assert world.themes.groupby("item").size().between(2, 4).all()
    assert list(world.descriptions) == list(data.INTENTS)


def test_columns_have_their_types(world):
    assert world.items["price"].dtype == np.float64
    assert world.items["released"].between("2015-01-01", "2026-12-31").all()
    assert world.items[["item", "title_en", "title_zh", "description_en", "description_zh"]].notna().all(axis=None)


def test_descriptions_do_not_name_their_themes(world):
    texts = dict(zip(world.items["item"], world.items["description_en"].str.lower(), strict=True))
    named = [(row.item, row.theme) for row in world.themes.itertuples() if row.theme in texts[row.item]]
    assert named == []


def test_chinese_is_chinese(world):
    han = world.items["description_zh"].str.count(r"[\u4e00-\u9fff]")
    assert (han >= 0.6 * world.items["description_zh"].str.len()).all()
    assert not world.items["description_zh"].str.contains(r"[,;:?!]").any()


def test_no_two_descriptions_are_near_duplicates(world, minilm):
    vectors = minilm.encode(world.items["description_en"].tolist())
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    assert cosines.max() < 0.95


def test_texts_come_in_two_languages(world):
    assert world.texts("zh")[0].startswith("港口灰亚麻外搭。")
    with pytest.raises(ValueError, match='language must be "en" or "zh", got \'fr\''):
        world.texts("fr")


def test_utterances_come_in_both_languages_and_all_intents(world):
    english = world.utterances.query("lang == 'en'")
    assert set(english["intents"]) == set(world.utterances.query("lang == 'zh'")["intents"]) == set(data.INTENTS)
    assert set(english["kind"]) == set(data.KINDS)


def test_the_data_card_counts_right(world):
    card = (data.WORLD / "README.md").read_text(encoding="utf-8")
    counted = dict(re.findall(r"^\| `(\w+)\.csv` \| (\d+)", card, re.M))
    assert counted == {name: str(len(getattr(world, name))) for name in ("items", "themes", "intents", "utterances")}
    english, chinese = world.items["description_en"].str.split().str.len(), world.items["description_zh"].str.len()
    spans = f"{english.min()}–{english.max()} English words, {chinese.min()}–{chinese.max()} Chinese characters"
    assert spans in card
    assert f"from {world.items['released'].dt.year.min()} to {world.items['released'].dt.year.max()}" in card


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name in ("items.csv", "themes.csv", "intents.csv", "utterances.csv"):
        shutil.copy(data.WORLD / name, tmp_path)
    return tmp_path


def test_a_teachers_own_folder_is_loaded(folder, world):
    pd.testing.assert_frame_equal(data.load(folder).items, world.items)


def edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("items.csv", lambda s: s.replace(",price,", ",cost,", 1), "items.csv lacks the column 'price'; it has item,"),
        ("items.csv", lambda s: s.replace("sho02,", "sho01,", 1), r"item may not repeat; 2 of 120 rows"),
        (
            "items.csv",
            lambda s: s.replace("sho02,shop,shopping", "sho02,shop,", 1),
            "intent may not be empty; 1 of 120",
        ),
        (
            "items.csv",
            lambda s: s.replace("sho02,shop,shopping", "sho02,shop,buying", 1),
            "intent must be one of shopping",
        ),
        ("items.csv", lambda s: s.replace("sho02,shop,", "sho02,mall,", 1), "scene must be one of shop"),
        ("items.csv", lambda s: s.replace(",29.00,", ",-29.00,", 1), "price may not be negative"),
        ("items.csv", lambda s: s.replace(",29.00,", ",cheap,", 1), "price must be a number; 1 of 120 rows"),
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
    with pytest.raises(
        ValueError, match='name must be "world", "ml-latest-small" or a folder with CSV tables, got \'wrld\''
    ):
        data.load("wrld")


# --- MovieLens ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movielens():
    try:
        return data.load("ml-latest-small")
    except fetch.FetchError as error:
        pytest.skip(f"MovieLens cannot be had here: {str(error).splitlines()[0]}")


def test_movielens_is_whole(movielens):
    assert repr(movielens) == "MovieLens(9742 items, 610 people, 100836 ratings)"
    assert movielens.ratings["rating"].between(0.5, 5).all()
    assert movielens.ratings["time"].between("1996-01-01", "2018-12-31").all()
    assert movielens.items["year"].isna().sum() == 13


def test_movielens_texts_read_as_people_speak(movielens):
    texts = dict(zip(movielens.items["item"], movielens.texts(), strict=True))
    assert texts[2571].startswith("The Matrix (1999). Action, Sci-Fi, Thriller. ")
    assert "philosophy" in texts[2571]
    assert texts[6] == "Heat (1995). Action, Crime, Thriller"
