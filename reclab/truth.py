"""What really drives the people of the RecLab world: the answer that models are judged against, never their input."""

import dataclasses
from functools import cached_property

import numpy as np
import pandas as pd

POWER = 2.0  # the main theme of an item counts for more than the others
MATCH = 9.0  # a person who likes exactly what an item is about, against one who likes nothing of it
LOVED_PALETTE, DISLIKED_PALETTE = 2.0, -2.0
LOVED_SHAPE, LOVED_TEXTURE, LOVED_TIMBRE = 1.2, 0.8, 2.0
TEMPO, TEMPO_WIDTH = 2.0, 20.0  # the right tempo, and how fast that fades, in beats a minute


@dataclasses.dataclass(frozen=True, repr=False)
class Truth:
    """What is hidden from models.

    Attributes:
        items: item, appeal, palette, shape, texture, timbre and tempo (beats a minute; both only for music).
        themes: item, theme, weight; an item's weights add up to 1.
        people: person, group, activity, thrift, variety, chronotype, favourite_scene, main_device, loved_palette,
            disliked_palette, loved_shape, loved_texture, loved_timbre, tempo, satisfaction (at the end), left (a day,
            or missing).
        tastes: person, theme, start, end; how much of a person's interest the theme holds on the log's first and last
            day. Each adds up to 1.
        days: the length of the log.
    """

    items: pd.DataFrame
    themes: pd.DataFrame
    people: pd.DataFrame
    tastes: pd.DataFrame
    days: int

    def __repr__(self):
        return f"Truth({len(self.people)} people, {len(self.items)} items, {self.days} days)"

    def liking(self, day: int, people: np.ndarray | None = None) -> np.ndarray:
        """How much each person likes each item on a day of the log, before time, company, price or boredom play in.

        `liking[u, i] = MATCH * match[u, i] + appeal[i] + looks[u, i] + sounds[u, i]`

        Args:
            day: 0 for the log's first day.
            people: rows of the people to tell about; everybody if left out.

        Returns:
            (people, items) float64; a difference of 1 multiplies the odds of a choice by e.
        """
        style = self.looks(people) + self.sounds(people)
        return MATCH * self.match(day, people) + self.items["appeal"].to_numpy() + style

    def match(self, day: int, people: np.ndarray | None = None) -> np.ndarray:
        """The cosine of a person's interests on a day and an item's theme weights ** POWER: (people, items), 0 to 1."""
        if not 0 <= day < self.days:
            raise ValueError(f"day must be between 0 and {self.days - 1}, got {day}.")
        start, end = (interests[_rows(people)] for interests in self._interests)
        interests = start + (end - start) * day / max(self.days - 1, 1)
        return _unit(interests) @ _unit(self.item_themes**POWER).T

    @cached_property
    def item_themes(self) -> np.ndarray:
        """The weight of each theme, in alphabetical order, in each item: (items, themes)."""
        return _wide(self.themes, "item", self.items, self._names, "weight")

    @cached_property
    def _interests(self):
        return [_wide(self.tastes, "person", self.people, self._names, which) for which in ("start", "end")]

    @property
    def _names(self):
        return sorted(set(self.themes["theme"]) | set(self.tastes["theme"]))

    def looks(self, people: np.ndarray | None = None) -> np.ndarray:
        """What pictures add: (people, items)."""
        people, items = self.people.iloc[_rows(people)], self.items
        return (
            LOVED_PALETTE * _same(people["loved_palette"], items["palette"])
            + DISLIKED_PALETTE * _same(people["disliked_palette"], items["palette"])
            + LOVED_SHAPE * _same(people["loved_shape"], items["shape"])
            + LOVED_TEXTURE * _same(people["loved_texture"], items["texture"])
        )

    def sounds(self, people: np.ndarray | None = None) -> np.ndarray:
        """What sounds add: (people, items), 0 where an item has none."""
        people = self.people.iloc[_rows(people)]
        apart = people["tempo"].to_numpy()[:, None] - self.items["tempo"].to_numpy()
        right = np.where(np.isnan(apart), 0, np.exp(-((apart / TEMPO_WIDTH) ** 2) / 2))
        return LOVED_TIMBRE * _same(people["loved_timbre"], self.items["timbre"]) + TEMPO * right


def _rows(people):
    return slice(None) if people is None else people


def _wide(table, key, rows, names, value):
    """A long table (key, theme, value) as a matrix with the rows of `rows[key]` and the columns of `names`."""
    wide = np.zeros((len(rows), len(names)))
    wide[pd.Index(rows[key]).get_indexer(table[key]), pd.Index(names).get_indexer(table["theme"])] = table[value]
    return wide


def _same(people, items):
    return (people.to_numpy(str)[:, None] == items.fillna("").to_numpy(str)).astype(float)


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
