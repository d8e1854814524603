"""Answers to the exercises of 06_evaluate: (exercise, code, what its check says; None if it is right)."""

GRADED = """
def graded(items, gains, k):
    def discounted(values):
        return sum(v / np.log2(place + 1) for place, v in enumerate(values[:k], start=1))

    found = [gains.get(item, 0) for item in items]
    return discounted(found) / discounted(sorted(gains.values(), reverse=True))
"""
WITH_ARRAYS = """
def graded(items, gains, k):
    found = np.array([gains.get(item, 0) for item in items[:k]], float)
    best = np.sort(list(gains.values()))[::-1][:k]
    places = np.arange(2, k + 2)
    return (found / np.log2(places[: len(found)])).sum() / (best / np.log2(places[: len(best)])).sum()
"""
OF_THE_RETURNED = GRADED.replace("sorted(gains.values(), reverse=True)", "sorted(found, reverse=True)")
OF_THE_FIRST_K = OF_THE_RETURNED.replace("for item in items", "for item in items[:k]")
UNCUT_IDEAL = GRADED.replace("values[:k]", "values").replace("for item in items", "for item in items[:k]")
NOT_RETURNED = GRADED.replace("return discounted(found)", "discounted(found)")

PAIRED = """
def paired_interval(ours, theirs):
    gap, rng = ours - theirs, np.random.default_rng(7)
    means = [rng.choice(gap, len(gap)).mean() for _ in range(2000)]
    return np.percentile(means, [2.5, 97.5])
"""
BY_ROWS = """
def paired_interval(ours, theirs):
    rng, means = np.random.default_rng(1), []
    for _ in range(2000):
        rows = rng.integers(0, len(ours), len(ours))
        means.append(ours[rows].mean() - theirs[rows].mean())
    return np.quantile(means, 0.025), np.quantile(means, 0.975)
"""
UNPAIRED = BY_ROWS.replace("theirs[rows]", "theirs[rng.integers(0, len(ours), len(ours))]")
OF_PEOPLE = """
def paired_interval(ours, theirs):
    gap = ours - theirs
    return gap.mean() - 1.96 * gap.std(), gap.mean() + 1.96 * gap.std()
"""

ANSWERS = [
    (0, GRADED, None),
    (0, WITH_ARRAYS, None),
    (0, GRADED.replace("start=1", "start=2"), "off by one place"),
    (0, GRADED.replace("place + 1", "place"), "no finite number"),
    (0, OF_THE_RETURNED, "only what was returned"),
    (0, OF_THE_FIRST_K, "only what was returned"),
    (0, UNCUT_IDEAL, "cut it at k"),
    (0, GRADED.replace("values[:k]", "values"), "k is not used"),
    (0, GRADED.replace("sum(v /", "sum((2**v - 1) /"), "not 2 to their power"),
    (0, GRADED.replace("sum(v /", "sum((v > 0) /"), "a hit is not just 1"),
    (0, NOT_RETURNED, "return one number"),
    (0, "graded = None", "write a function"),
    (1, PAIRED, None),
    (1, BY_ROWS, None),
    (1, UNPAIRED, "draw the same people for both"),
    (1, OF_PEOPLE, "single people differ"),
    (1, PAIRED.replace("[2.5, 97.5]", "[5, 100]"), "at each end"),
    (1, PAIRED.replace("[2.5, 97.5]", "[0, 95]"), "at each end"),
    (1, PAIRED.replace("[2.5, 97.5]", "[5, 95]"), "too narrow"),
    (1, PAIRED.replace("[2.5, 97.5]", "[0.5, 99.5]"), "too wide"),
    (1, PAIRED.replace("ours - theirs", "theirs - ours"), "theirs - ours"),
    (1, PAIRED.replace("[2.5, 97.5]", "2.5"), "a pair"),
    (1, PAIRED.replace("[2.5, 97.5]", "[97.5, 2.5]"), "low before high"),
    (1, "paired_interval = 0.1", "a pair"),
]
