"""Invent people: where they live, whom they know, and what they like. Their likes are hidden from models."""

import numpy as np
import pandas as pd
import pictures
import sounds
from scipy.special import expit

from reclab.data import AGE_BANDS, DEVICES, SCENES

# People who like one of these things tend to like the others: the reason why neighbours are worth asking.
GROUPS = {
    "early birds": (
        "trail running",
        "open-water swimming",
        "mountain walks",
        "plant-based cooking",
        "nature documentary",
    ),
    "kitchen": ("sourdough", "noodles", "tea", "plant-based cooking", "family drama"),
    "night desk": ("coding", "desks and keyboards", "ambient electronics", "space fiction", "escape puzzles"),
    "old souls": ("folk songs", "everyday history", "old towns", "second-hand finds", "tea"),
    "rain and neon": ("film noir", "detective stories", "bebop", "night trains", "escape puzzles"),
    "makers": ("handmade gifts", "drawing and painting", "home comfort", "animation", "poetry"),
    "students": ("languages", "everyday maths", "coding", "noodles", "stand-up comedy"),
    "stage": ("live shows", "stand-up comedy", "playing an instrument", "folk songs", "film scores"),
    "nest": ("home comfort", "everyday clothing", "smart home", "family drama", "board games"),
    "stargazers": ("night-sky photography", "space fiction", "mountain walks", "ambient electronics", "film scores"),
    "coast": ("quiet coasts", "open-water swimming", "yoga", "poetry", "bebop"),
    "gym": ("strength training", "yoga", "trail running", "everyday clothing", "animation"),
}
# How likely each age is in each group, in the order of AGE_BANDS.
AGES_OF = {
    "early birds": (1, 3, 4, 2, 1),
    "kitchen": (1, 2, 3, 3, 2),
    "night desk": (4, 4, 2, 1, 0.5),
    "old souls": (0.5, 1, 2, 4, 4),
    "rain and neon": (1, 2, 3, 3, 2),
    "makers": (2, 3, 3, 2, 1),
    "students": (7, 3, 1, 0.5, 0.5),
    "stage": (2, 3, 3, 2, 1),
    "nest": (0.5, 3, 4, 2, 1),
    "stargazers": (2, 3, 3, 2, 1),
    "coast": (1, 2, 3, 3, 2),
    "gym": (4, 4, 2, 1, 0.5),
}
CITIES = (
    "Shanghai", "Beijing", "Chengdu", "Guangzhou", "Xi'an", "Singapore", "Tokyo", "Seoul", "London", "Glasgow",
    "Dublin", "Berlin", "Lisbon", "Paris", "Toronto", "Chicago", "Mexico City", "Nairobi", "Melbourne", "Wellington",
)  # fmt: skip
ACTIVITY = -2.86, 0.8  # log odds of a visit on a day: mean and spread over people
DEVICE_SHARES = (0.55, 0.25, 0.12, 0.08)
NEW_PEOPLE = 0.1  # share of people who join during the log
HOMOPHILY = 0.6  # share of friendships within a group; a quarter is within a city, the rest anywhere


def invent(people: int, first_day: pd.Timestamp, days: int, rng: np.random.Generator):
    """Three tables: people, as anyone may see them; people_truth and tastes, which are hidden."""
    names = np.array([f"p{number:0{max(4, len(str(people)))}d}" for number in range(1, people + 1)])
    groups = rng.integers(0, len(GROUPS), people)
    cities = rng.choice(len(CITIES), people, p=_shares(1 / np.arange(2, len(CITIES) + 2)))
    ages = [rng.choice(len(AGE_BANDS), p=_shares(AGES_OF[list(GROUPS)[group]])) for group in groups]
    new = rng.random(people) < NEW_PEOPLE
    joined = np.where(new, rng.integers(days // 3, max(days - 3, days // 3 + 1), people), -rng.integers(1, 900, people))
    table = pd.DataFrame(
        {
            "person": names,
            "age_band": np.array(AGE_BANDS)[ages],
            "city": np.array(CITIES)[cities],
            "joined": first_day + pd.to_timedelta(joined, unit="D"),
            "friends": _friends(names, groups, cities, rng),
        }
    )
    palettes = np.array(list(pictures.PALETTES))
    loved = rng.integers(0, len(palettes), people)
    disliked = (loved + rng.integers(1, len(palettes), people)) % len(palettes)
    truth = pd.DataFrame(
        {
            "person": names,
            "group": np.array(list(GROUPS))[groups],
            "activity": np.round(expit(rng.normal(*ACTIVITY, people)).clip(0.005, 0.95), 3),
            "thrift": np.round(rng.gamma(4, 0.25, people), 2),
            "variety": np.round(rng.gamma(4, 0.25, people), 2),
            "chronotype": np.round(rng.normal(0, 1.2, people), 2),
            "favourite_scene": np.array(SCENES)[rng.integers(0, len(SCENES), people)],
            "main_device": np.array(DEVICES)[rng.choice(len(DEVICES), people, p=DEVICE_SHARES)],
            "loved_palette": palettes[loved],
            "disliked_palette": palettes[disliked],
            "loved_shape": np.array(pictures.SHAPES)[rng.integers(0, len(pictures.SHAPES), people)],
            "loved_texture": np.array(pictures.TEXTURES)[rng.integers(0, len(pictures.TEXTURES), people)],
            "loved_timbre": np.array(sounds.TIMBRES)[rng.integers(0, len(sounds.TIMBRES), people)],
            "tempo": rng.integers(*sounds.TEMPOS, people),
        }
    )
    return table, truth, _tastes(names, groups, rng)


def _tastes(names, groups, rng):
    """Two or three themes of the person's group, sometimes another; by the last day one fades and a new one grows."""
    themes = sorted({theme for liked in GROUPS.values() for theme in liked})
    rows = []
    for name, group in zip(names, groups, strict=True):
        near = list(GROUPS.values())[group]
        own = [near[i] for i in rng.permutation(len(near))[: rng.integers(2, 4)]]
        others = [theme for theme in themes if theme not in own]
        own += [others[i] for i in rng.permutation(len(others))[: rng.integers(0, 2)]]
        start = rng.dirichlet(np.full(len(own), 2.0))
        end = start.copy()
        end[rng.integers(len(own))] *= 0.2
        grown = rng.choice([theme for theme in others if theme not in own])
        end = np.append(end, rng.uniform(0.2, 0.6))
        start = np.append(start, 0)
        hundredths = _hundredths(start), _hundredths(end / end.sum())
        rows += [(name, theme, s, e) for theme, s, e in zip([*own, grown], *hundredths, strict=True)]
    return pd.DataFrame(rows, columns=["person", "theme", "start", "end"])


def _hundredths(shares):
    """Shares rounded to 0.01 that still add up to 1: the largest takes what is left over."""
    rounded = np.round(shares, 2)
    rounded[shares.argmax()] += 1 - rounded.sum()
    return np.round(rounded, 2)


def _friends(names, groups, cities, rng):
    """Who knows whom, both ways, as ids with ";" between; mostly within a group, sometimes within a city."""
    people = len(names)
    of_group = [np.flatnonzero(groups == group) for group in range(len(GROUPS))]
    of_city = [np.flatnonzero(cities == city) for city in range(len(CITIES))]
    known = [set() for _ in range(people)]
    for person, (wanted, reasons) in enumerate(zip(rng.poisson(2.5, people), rng.random((people, 16)), strict=True)):
        for reason in reasons[:wanted]:
            if reason < HOMOPHILY:
                pool = of_group[groups[person]]
            elif reason < HOMOPHILY + 0.25:
                pool = of_city[cities[person]]
            else:
                pool = np.arange(people)
            friend = int(rng.choice(pool))
            if friend != person:
                known[person].add(friend)
                known[friend].add(person)
    return [";".join(names[sorted(friends)]) for friends in known]


def _shares(weights):
    weights = np.asarray(weights, float)
    return weights / weights.sum()
