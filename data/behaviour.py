"""Simulate what people do, day by day: visits, what is shown, what is chosen, and whether they come back."""

import dataclasses

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from tqdm import tqdm

from reclab.data import ACTIONS, DEVICES, INTENTS, SCENES
from reclab.truth import Truth

# What is shown
SLATE = 4  # items at a time
POPULAR, POPULAR_KEEPS = 1.0, 0.98  # how strongly it follows clicks, and how much of those is left a day later
PERSONAL = 1.0  # how strongly it follows the share of the intent among the person's past clicks
FRESH, FRESH_DAYS = 2.5, 7.0  # what an item released today gains, and in how many days that fades by e

# What is chosen
SEARCH, SHARPNESS = 0.4, 1.2  # share of steps that are a search; the item is drawn with weight e ** (SHARPNESS * worth)
EXAMINE = 0.8  # the item at position k is looked at with probability k ** -EXAMINE
BAR = 4.0  # the worth at which an item that is looked at is clicked every second time
FRIEND, TIP_KEEPS = 1.5, 0.8  # what a friend's like or purchase adds, and what is left of it a day later
BORED, BORED_KEEPS = 2.5, 0.75  # what one more item of a theme costs, and what is left of it a day later
AGAIN = {"music": 0.0, "games": -0.5, "video": -1.5}  # what having had an item costs; elsewhere:
AGAIN_ELSEWHERE = -3.0

# What is left behind
READ, DWELL_NOISE = 0.8, 0.7  # share of clicks that are more than a glance; spread of log dwell time
RATED, RATING_NOISE = 0.2, 0.6  # share of readings that are rated; spread in stars
THRIFT = 0.5  # what a unit of log price costs a person of thrift 1

# How people feel
VARIETY = 0.5  # what variety adds for a person of variety 1
KEEPS = 0.8  # what a visit leaves of the satisfaction from before
RETURN = 0.6  # satisfaction of 1 multiplies the odds of a visit by e ** RETURN
LEAVE = 0.03  # probability to leave for good after a visit that leaves satisfaction at 0

MAIN_DEVICE = 0.6  # share of visits with it; the others are with any
FAVOURITE = 2.0  # how much more often the favourite scene is visited
# When each scene is visited: hour of the peak, its width in hours, its share; then the factor at weekends.
HOURS = {
    "shop": (((13, 1.5, 0.4), (20.5, 2, 0.6)), 1.4),
    "video": (((12.5, 1, 0.2), (21.5, 1.8, 0.8)), 1.3),
    "music": (((8, 1.2, 0.4), (18, 1.5, 0.4), (23, 1.2, 0.2)), 0.8),
    "travel": (((12.5, 1.5, 0.4), (20, 2, 0.6)), 1.6),
    "books": (((7.5, 1, 0.2), (22.5, 1.3, 0.8)), 1.1),
    "news": (((7.5, 1.2, 0.7), (17.5, 1.5, 0.3)), 0.6),
    "social": (((12.5, 1.2, 0.35), (19.5, 2.5, 0.65)), 1.1),
    "games": (((16.5, 1.5, 0.3), (22, 2, 0.7)), 1.5),
}
VISITED = {"shop": 4, "video": 3, "music": 1.2, "travel": 1.2, "books": 1.4, "news": 1.4, "social": 2, "games": 1.4}
# When an intent is worth more than at other times: hours from and to, what it adds, on which days.
MOMENTS = {
    "food": ((11, 14, 0.8, "all"), (17, 20, 0.8, "all")),
    "fitness": ((6, 10, 0.8, "all"),),
    "learning": ((18, 22, 0.5, "weekdays"),),
    "movies": ((20, 24, 0.8, "all"),),
    "music": ((7, 10, 0.5, "all"), (17, 20, 0.5, "all")),
    "books": ((21, 24, 0.8, "all"),),
    "travel": ((9, 23, 0.5, "weekends"),),
    "shopping": ((12, 19, 0.5, "weekends"),),
    "entertainment": ((18, 24, 0.8, "weekends"),),
    "technology": ((9, 13, 0.4, "weekdays"),),
}
# Typical seconds spent on an item.
SECONDS = {"shop": 40, "video": 240, "music": 170, "travel": 70, "books": 110, "news": 80, "social": 50, "games": 200}


@dataclasses.dataclass
class Visits:
    """The visits of one day, one row each."""

    day: int
    who: np.ndarray
    scene: np.ndarray
    device: np.ndarray
    session: np.ndarray
    clock: np.ndarray  # seconds since the log began
    liking: np.ndarray  # (visits, items); -inf where an item is not on offer
    clicks: np.ndarray
    fit: np.ndarray  # how far the clicked items were above BAR, added up
    themes: np.ndarray  # (visits, themes) of the clicked items, added up


class Behaviour:
    """People, items, and all that changes while they meet.

    `items` has item, scene, intent, price, released; `people` has person, joined, friends; `truth` what is hidden.
    """

    def __init__(self, items: pd.DataFrame, people: pd.DataFrame, truth: Truth, first_day, rng: np.random.Generator):
        self.truth, self.first_day, self.rng = truth, first_day, rng
        n, m = len(people), len(items)
        self.scene = pd.Index(SCENES).get_indexer(items["scene"])
        self.intent = np.eye(len(INTENTS))[pd.Index(INTENTS).get_indexer(items["intent"])]
        self.again = np.array([AGAIN.get(scene, AGAIN_ELSEWHERE) for scene in items["scene"]])
        self.price = items["price"].to_numpy()
        self.released = (items["released"] - first_day).dt.days.to_numpy()
        self.joined = (people["joined"] - first_day).dt.days.to_numpy()
        self.friends = _friendships(people)
        self.themes = truth.item_themes
        self.activity = logit(truth.people["activity"].to_numpy())
        self.variety, self.thrift, self.chronotype = truth.people[["variety", "thrift", "chronotype"]].to_numpy().T
        self.favourite = pd.Index(SCENES).get_indexer(truth.people["favourite_scene"])
        self.device = pd.Index(DEVICES).get_indexer(truth.people["main_device"])

        self.popularity = 10 * np.exp(truth.items["appeal"].to_numpy())  # before the log begins; then recent clicks
        self.had = np.zeros((n, m), bool)
        self.intents_had = np.zeros((n, len(INTENTS)))
        self.bored = np.zeros((n, self.themes.shape[1]))
        self.tips = np.zeros((n, m), np.float32)  # what friends liked or bought of late
        self.satisfaction = np.zeros(n)
        self.left = np.full(n, -1)
        self.rows, self.sessions = [], 0

    def run(self, days: int) -> pd.DataFrame:
        """Live through the days; the log, in order of time."""
        for day in tqdm(range(days), desc="days", disable=None):
            weekend = (self.first_day + pd.Timedelta(days=day)).day_of_week >= 5
            visitors = self._visitors(day, weekend)
            if len(visitors):
                self._spend(self._arrive(day, weekend, visitors))
            self.tips *= TIP_KEEPS
            self.bored *= BORED_KEEPS
            self.popularity *= POPULAR_KEEPS
        log = pd.DataFrame({c: np.concatenate([rows[c] for rows in self.rows]) for c in self.rows[0]})
        return log.sort_values(["time", "session", "order"], kind="stable", ignore_index=True)

    def _visitors(self, day, weekend):
        """Who comes: more often when active and satisfied; everybody on the day of joining."""
        here = (self.joined <= day) & (self.left < 0)
        chance = expit(self.activity + RETURN * self.satisfaction + 0.2 * weekend)
        return np.flatnonzero(here & ((self.rng.random(len(here)) < chance) | (self.joined == day)))

    def _arrive(self, day, weekend, who):
        """Where, when and with what each visitor comes, and what is on offer there."""
        rng, n = self.rng, len(who)
        stocked = np.isin(np.arange(len(SCENES)), self.scene[self.released <= day])
        factors = stocked * [VISITED[s] * (HOURS[s][1] if weekend else 1) for s in SCENES]
        factors = np.where(np.arange(len(SCENES)) == self.favourite[who, None], FAVOURITE, 1) * factors
        with np.errstate(divide="ignore"):
            scene = _choose(np.log(factors), rng)
        hours = self._hours(who, scene, weekend)
        other = rng.integers(0, len(DEVICES), n)
        liking = self.truth.liking(day, who) + self._moment(hours, weekend) @ self.intent.T
        liking[:, self.released > day] = -np.inf
        liking[self.scene != scene[:, None]] = -np.inf
        self.sessions += n
        return Visits(
            day=day,
            who=who,
            scene=scene,
            device=np.where(rng.random(n) < MAIN_DEVICE, self.device[who], other),
            session=self.sessions - n + 1 + np.arange(n),
            clock=np.round(day * 86400 + hours * 3600).astype(int),
            liking=liking,
            clicks=np.zeros(n),
            fit=np.zeros(n),
            themes=np.zeros((n, self.themes.shape[1])),
        )

    def _spend(self, visits):
        """Everyone takes the first step, then all who go on the second, and so on; then they feel how it was."""
        steps = 1 + self.rng.geometric(0.5, len(visits.who)).clip(max=7)
        for step in range(steps.max()):
            self._step(visits, np.flatnonzero(steps > step))
        self._feel(visits)

    def _step(self, visits, going):
        """Some of the visits, `going`, search and take what they find, or look at a slate and click or not."""
        rng, who = self.rng, visits.who[going]
        worth = (
            visits.liking[going]
            + FRIEND * np.minimum(self.tips[who], 1)
            - BORED * self.variety[who, None] * (self.bored[who] @ self.themes.T)
            + self.again * self.had[who]
        )
        began = visits.clock[going]
        visits.clock[going] += rng.integers(4, 25, len(going))
        search = rng.random(len(going)) < SEARCH

        shown = self._slates(visits.day, who, worth)
        value = np.take_along_axis(worth, shown, 1)
        offered = np.isfinite(value) & ~search[:, None]
        position = np.tile(np.arange(1, shown.shape[1] + 1), (len(going), 1))
        look = rng.random(shown.shape) < position**-EXAMINE
        click = offered & look & (rng.random(shown.shape) < expit(value - BAR))
        row, _ = np.nonzero(offered)
        self._write(visits, going[row], "impression", shown[offered], began[row], position[offered])
        row, _ = np.nonzero(click)
        self._click(visits, going[row], shown[click], position[click], value[click])

        row = np.flatnonzero(search)
        item = _choose(SHARPNESS * worth[row], rng)
        self._click(visits, going[row], item, np.zeros(len(row), int), worth[row, item])

    def _slates(self, day, who, worth):
        """What is shown: drawn without replacement (Plackett-Luce) by popularity, novelty and the person's intents."""
        past = self.intents_had[who]
        past = past / np.maximum(past.sum(1, keepdims=True), 1)
        fresh = FRESH * np.exp(-np.maximum(day - self.released, 0) / FRESH_DAYS)
        score = POPULAR * np.log1p(self.popularity) + fresh + PERSONAL * past @ self.intent.T
        score = np.where(np.isfinite(worth), score, -np.inf) + self.rng.gumbel(size=worth.shape)
        return np.argsort(-score, axis=1, kind="stable")[:, :SLATE]

    def _click(self, visits, rows, item, position, value):
        """Clicks, and what follows: reading, a rating, a like, a purchase; then all that remembers them."""
        rng, n, above = self.rng, len(rows), value - BAR
        read = rng.random(n) < READ
        typical = np.array([SECONDS[s] for s in SCENES])[visits.scene[rows]]
        dwell = typical * np.exp(0.2 * above + DWELL_NOISE * rng.normal(size=n))
        dwell = np.where(read, dwell, rng.uniform(1, 5, n)).clip(1, 3600).round(1)
        stars = np.rint(3 + 0.5 * above + RATING_NOISE * rng.normal(size=n)).clip(1, 5)
        rating = np.where(read & (rng.random(n) < RATED), stars, np.nan)
        like = read & (rng.random(n) < 0.6 * expit(above - 0.5))
        cost = THRIFT * self.thrift[visits.who[rows]] * np.log1p(self.price[item])
        buy = read & (self.price[item] > 0) & (rng.random(n) < expit(1.1 * above - cost))

        took = np.ceil(dwell).astype(int) + 6
        ends = visits.clock[rows] + pd.Series(took).groupby(rows).cumsum().to_numpy()  # one item after the other
        self._write(visits, rows, "click", item, ends - took, position)
        self._write(visits, rows[read], "dwell", item[read], ends[read], position[read], dwell[read], rating[read])
        self._write(visits, rows[like], "like", item[like], ends[like] + 1, position[like])
        self._write(visits, rows[buy], "purchase", item[buy], ends[buy] + 4, position[buy])
        self._remember(visits, rows, item, above, like | buy)
        np.add.at(visits.clock, rows, took)

    def _remember(self, visits, rows, item, above, told):
        who = visits.who[rows]
        np.add.at(self.popularity, item, 1)
        np.add.at(self.intents_had, who, self.intent[item])
        np.add.at(self.bored, who, self.themes[item])
        self.had[who, item] = True
        for person, thing in zip(who[told], item[told], strict=True):
            self.tips[self.friends[person], thing] += 1
        np.add.at(visits.clicks, rows, 1)
        np.add.at(visits.fit, rows, above)
        np.add.at(visits.themes, rows, self.themes[item])

    def _feel(self, visits):
        """Satisfaction: how well the items fitted, how varied they were, and luck. The dissatisfied leave for good."""
        rng, clicked = self.rng, visits.clicks > 0
        fit = np.where(clicked, np.tanh(visits.fit / np.maximum(visits.clicks, 1) / 1.5), -0.7)
        shares = visits.themes / np.maximum(visits.clicks, 1)[:, None]
        varied = np.where(clicked, 0.5 - (shares**2).sum(1), 0)
        luck = 0.3 * rng.normal(size=len(clicked))
        visit = fit + VARIETY * self.variety[visits.who] * varied + luck
        self.satisfaction[visits.who] = KEEPS * self.satisfaction[visits.who] + (1 - KEEPS) * visit
        leave = rng.random(len(clicked)) < LEAVE * np.exp(-3 * self.satisfaction[visits.who])
        self.left[visits.who[leave]] = visits.day

    def _hours(self, who, scene, weekend):
        """The hour of each visit, 0 to 24: its scene's peak, the person's habit, chance; later at weekends."""
        hours = np.zeros(len(who))
        for number, name in enumerate(SCENES):
            of = np.flatnonzero(scene == number)
            peaks = np.array(HOURS[name][0])
            peak = peaks[self.rng.choice(len(peaks), len(of), p=peaks[:, 2])]
            hours[of] = self.rng.normal(peak[:, 0], peak[:, 1])
        late = hours + self.chronotype[who] + 0.8 * weekend
        return 23.7 - np.abs(23.7 - np.abs(late))  # nobody stays up beyond midnight: they come as much earlier

    def _moment(self, hours, weekend):
        """(visits, intents): what the hour and the day add to each intent."""
        moment = np.zeros((len(hours), len(INTENTS)))
        for number, intent in enumerate(INTENTS):
            for start, end, adds, days in MOMENTS[intent]:
                if days == "all" or (days == "weekends") == weekend:
                    moment[:, number] += adds * ((hours >= start) & (hours < end))
        return moment

    def _write(self, visits, rows, action, item, clock, position, dwell=np.nan, rating=np.nan):
        self.rows.append(
            {
                "person": visits.who[rows],
                "item": item,
                "time": clock,
                "scene": visits.scene[rows],
                "action": np.full(len(rows), ACTIONS.index(action)),
                "dwell_s": np.broadcast_to(dwell, len(rows)),
                "rating": np.broadcast_to(rating, len(rows)),
                "position": position,
                "device": visits.device[rows],
                "session": visits.session[rows],
                "order": np.full(len(rows), len(self.rows)),
            }
        )


def _choose(scores, rng):
    """One column of each row, with probability proportional to exp(score)."""
    return np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)


def _friendships(people):
    """For each person the rows of the friends."""
    index = pd.Index(people["person"])
    return [index.get_indexer([name for name in names.split(";") if name]) for names in people["friends"]]
