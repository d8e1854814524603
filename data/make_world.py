"""Make everything in this folder that is not written: people, what they do, pictures and sounds.

    python data/make_world.py                            # all of it, into this folder
    python data/make_world.py --people 60 --out small    # a small world elsewhere
    python data/make_world.py --only pictures            # one part

It reads the written tables (items.csv, themes.csv). The same seed gives the same bytes. No language model takes part.
"""

import argparse
import gzip
import zlib
from pathlib import Path

import behaviour
import dirt
import numpy as np
import pandas as pd
import people
import pictures
import sounds
from tqdm import tqdm

from reclab import fetch
from reclab.data import ACTIONS, DEVICES, SCENES
from reclab.truth import Truth

HERE = Path(__file__).resolve().parent
SEED = 20260701
FIRST_DAY = pd.Timestamp("2026-07-01")
DAYS = 90
APPEAL = 0.9  # spread of what makes an item liked by everybody


def main() -> None:
    """Read the command line and make what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into (default: this one)")
    parser.add_argument("--people", type=int, default=2000, help="how many people (default: %(default)s)")
    parser.add_argument("--days", type=int, default=DAYS, help="length of the log (default: %(default)s)")
    parser.add_argument("--items", type=int, help="take the first so many items of each intent (default: all)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=("log", "pictures", "sounds"), help="make one part")
    args = parser.parse_args()
    if args.people < 20 or args.days < 7:
        parser.error("a world needs at least 20 people and 7 days")
    items, themes = written(args.items)
    if args.out.resolve() != HERE:
        copy_written(args.out, items["item"])
    styles = invent_styles(items, args.seed)
    if args.only in (None, "log"):
        make_log(args.out, items, themes, styles, number=args.people, days=args.days, seed=args.seed)
    if args.only in (None, "pictures"):
        make_pictures(args.out, styles, args.seed)
    if args.only in (None, "sounds"):
        make_sounds(args.out, styles, args.seed)


def written(per_intent: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The written items and their themes."""
    items = pd.read_csv(HERE / "items.csv", parse_dates=["released"])
    if per_intent:
        items = items.groupby("intent", sort=False).head(per_intent).reset_index(drop=True)
    themes = pd.read_csv(HERE / "themes.csv")
    return items, themes[themes["item"].isin(items["item"])].reset_index(drop=True)


def copy_written(out: Path, kept: pd.Series) -> None:
    """The written tables as well, so that `reclab.data.load(out)` finds a whole world."""
    for name in ("items.csv", "themes.csv", "intents.csv", "utterances.csv"):
        table = pd.read_csv(HERE / name, dtype=str, keep_default_na=False)
        _save(out / name, table[table["item"].isin(kept)] if "item" in table else table)


def chance(seed: int, name: str) -> np.random.Generator:
    """Random numbers for one thing, whatever else is made before it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def invent_styles(items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """items_truth: what every eye and ear notices, and no text tells."""
    rows = []
    for item in items.itertuples():
        rng = chance(seed, f"style of {item.item}")
        palette = list(pictures.PALETTES)[rng.integers(len(pictures.PALETTES))]
        shape, texture = (kinds[rng.integers(len(kinds))] for kinds in (pictures.SHAPES, pictures.TEXTURES))
        appeal, timbre, tempo = rng.normal(0, APPEAL), sounds.TIMBRES[rng.integers(5)], rng.integers(*sounds.TEMPOS)
        heard = (timbre, tempo) if item.intent == "music" else ("", pd.NA)
        rows.append((item.item, round(appeal, 3), palette, shape, texture, *heard))
    table = pd.DataFrame(rows, columns=["item", "appeal", "palette", "shape", "texture", "timbre", "tempo"])
    return table.astype({"tempo": "Int64"})


def make_log(out: Path, items, themes, styles, *, number: int, days: int, seed: int) -> None:
    """log.csv, people.csv, people_truth.csv, tastes.csv, items_truth.csv, events.csv.gz and events_raw.csv.gz."""
    invented, hidden, tastes = people.invent(number, FIRST_DAY, days, chance(seed, "people"))
    truth = Truth(styles.assign(tempo=styles["tempo"].astype(float)), themes, hidden, tastes, days)
    world = behaviour.Behaviour(items, invented, truth, FIRST_DAY, chance(seed, "behaviour"))
    log = world.run(days)
    hidden = hidden.assign(
        satisfaction=world.satisfaction.round(3), left=FIRST_DAY + pd.to_timedelta(world.left, unit="D")
    )
    hidden["left"] = hidden["left"].where(world.left >= 0)
    events = _readable(log[log["time"] < days * 86400], items, invented)
    raw = dirt.soil(events, items, chance(seed, "dirt"))
    _save(out / "log.csv", pd.DataFrame({"first_day": [FIRST_DAY], "days": [days]}))
    _save(out / "items_truth.csv", styles)
    _save(out / "people.csv", invented)
    _save(out / "people_truth.csv", hidden)
    _save(out / "tastes.csv", tastes)
    _save(out / "events.csv.gz", events)
    _save(out / "events_raw.csv.gz", raw)


def make_pictures(out: Path, styles, seed: int) -> None:
    """images/ITEM.png"""
    for row in tqdm(styles.itertuples(), total=len(styles), desc="pictures", disable=None):
        picture = pictures.draw(row.palette, row.shape, row.texture, chance(seed, f"picture of {row.item}"))
        with fetch.writing(out / "images" / f"{row.item}.png") as file:
            picture.save(file, "PNG", optimize=True)


def make_sounds(out: Path, styles, seed: int) -> None:
    """sounds/ITEM.wav"""
    for row in tqdm(styles[styles["timbre"] != ""].itertuples(), desc="sounds", disable=None):
        with fetch.writing(out / "sounds" / f"{row.item}.wav") as file:
            sounds.write(file, sounds.play(row.timbre, row.tempo, chance(seed, f"sound of {row.item}")))


def _readable(log, items, invented):
    """The log with names instead of numbers."""
    position = log["position"].astype("Int64")
    return pd.DataFrame(
        {
            "person": invented["person"].to_numpy()[log["person"]],
            "item": items["item"].to_numpy()[log["item"]],
            "time": FIRST_DAY + pd.to_timedelta(log["time"], unit="s"),
            "scene": np.array(SCENES)[log["scene"]],
            "action": np.array(ACTIONS)[log["action"]],
            "dwell_s": log["dwell_s"],
            "rating": log["rating"].astype("Int64"),
            "position": position.where(position > 0),
            "device": np.array(DEVICES)[log["device"]],
            "session": log["session"],
        }
    )


def _save(path, table):
    """As UTF-8 CSV, days as 2026-07-01, times as 2026-07-01T09:30:00; compressed if the name ends so."""
    table = table.copy()
    for column in table.select_dtypes("datetime"):
        days = (table[column].dropna() == table[column].dropna().dt.normalize()).all()
        table[column] = table[column].dt.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S")
    text = table.to_csv(index=False, lineterminator="\n").encode()
    fetch.write(path, gzip.compress(text, compresslevel=9, mtime=0) if path.suffix == ".gz" else text)


if __name__ == "__main__":
    main()
