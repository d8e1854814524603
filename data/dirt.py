"""Spoil a clean log the way real ones are spoilt, in known places and amounts."""

import numpy as np
import pandas as pd

TWICE = 0.015  # share of rows that arrive a second time, as they are
RETRIED = 0.005  # share of clicks that are sent again, one to three seconds later
NO_CLOCK = 0.004  # share of sessions whose device says 1970
YEAR_AHEAD = 0.006  # share of sessions whose device is a year ahead
NO_PRICE = 0.06  # share of rows without the price that was shown
IN_CENTS = 0.02  # share of rows whose price is in cents
GONE = 0.003  # share of rows about items that are no longer in the catalogue
STUCK = 0.006  # share of dwell times that are -1 or a whole day
SPELLED = 0.03  # share of actions that are written otherwise
BOTS, BOT_CLICKS = 8, 400  # programs among the people, and about how often each clicks


def soil(events: pd.DataFrame, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The log as it was recorded: all cells text, with a column `price`, in the order in which rows arrived."""
    raw = pd.concat([events, _bots(events, items, rng)], ignore_index=True)
    again = (raw["action"] == "click") & (rng.random(len(raw)) < RETRIED)
    late = raw[again].assign(time=raw["time"][again] + pd.to_timedelta(rng.integers(1, 4, again.sum()), unit="s"))
    raw = pd.concat([raw, late], ignore_index=True)
    price = raw["item"].map(items.set_index("item")["price"])
    sessions = raw["session"].unique()
    luck = pd.Series(rng.random(len(sessions)), index=sessions)[raw["session"]].to_numpy()
    time = raw["time"].where(luck >= NO_CLOCK, pd.Timestamp("1970-01-01"))
    time = time.where((luck < NO_CLOCK) | (luck >= NO_CLOCK + YEAR_AHEAD), raw["time"] + pd.Timedelta(days=365))

    gone = rng.random(len(raw)) < GONE
    stuck = raw["dwell_s"].notna() & (rng.random(len(raw)) < STUCK)
    spelled = rng.random(len(raw)) < SPELLED
    text = pd.DataFrame(
        {
            "person": raw["person"],
            "item": raw["item"].where(~gone, "old" + raw["item"].str[-2:]),
            "time": _written(time, raw["device"]),
            "scene": raw["scene"],
            "action": raw["action"].where(~spelled, raw["action"].map(OTHERWISE)),
            "dwell_s": raw["dwell_s"].where(~stuck, rng.choice([-1.0, 86400.0], len(raw))),
            "rating": raw["rating"].where(raw["rating"].notna() | (raw["action"] != "dwell"), 0),
            "position": raw["position"],
            "device": raw["device"],
            "session": raw["session"],
            "price": _priced(price, rng),
        }
    )
    rows = np.r_[np.arange(len(text)), np.flatnonzero(rng.random(len(text)) < TWICE)]
    arrived = raw["time"].iloc[rows] + pd.to_timedelta(rng.exponential(20, len(rows)), unit="s")
    return text.iloc[rows[np.argsort(arrived.to_numpy(), kind="stable")]].reset_index(drop=True)


OTHERWISE = {"impression": "view", "click": "CLICK", "dwell": "Dwell ", "like": "Like", "purchase": "buy"}


def _written(time, device):
    """Televisions write seconds since 1970, tablets day/month/year, the rest ISO 8601."""
    iso, slashes = time.dt.strftime("%Y-%m-%dT%H:%M:%S"), time.dt.strftime("%d/%m/%Y %H:%M:%S")
    seconds = ((time - pd.Timestamp(0)) // pd.Timedelta(seconds=1)).astype(str)
    return iso.where(device != "tablet", slashes).where(device != "tv", seconds)


def _priced(price, rng):
    """Dollars with two decimals; some with the sign, some in cents, some not at all."""
    luck = rng.random(len(price))
    dollars = price.map("{:.2f}".format)
    shown = dollars.where(luck >= 0.2, "US$" + dollars)
    shown = shown.where((luck < 0.2) | (luck >= 0.2 + IN_CENTS), (price * 100).round().astype(int).astype(str) + "c")
    return shown.where(luck < 1 - NO_PRICE, "")


def _bots(events, items, rng):
    """Programs that click every two seconds, all night, on whatever stands first."""
    people = events["person"].str[1:].astype(int).max()
    session = events["session"].max()
    rows = []
    for bot in range(BOTS):
        clicks = rng.poisson(BOT_CLICKS)
        chosen = items.iloc[rng.integers(0, len(items), clicks)]
        start = events["time"].min().normalize() + pd.Timedelta(
            days=int(rng.integers(0, (events["time"].max() - events["time"].min()).days)), hours=2
        )
        rows.append(
            pd.DataFrame(
                {
                    "person": f"p{people + 1 + bot:0{len(events['person'].iloc[0]) - 1}d}",
                    "item": chosen["item"].to_numpy(),
                    "time": start + pd.to_timedelta(2 * np.arange(clicks), unit="s"),
                    "scene": chosen["scene"].to_numpy(),
                    "action": "click",
                    "position": 1,
                    "device": "laptop",
                    "session": session + 1 + bot,
                }
            )
        )
    return pd.concat(rows).astype({"position": "Int64"})
