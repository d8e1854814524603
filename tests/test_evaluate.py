"""Measures by hand, against trec_eval, scikit-learn and SciPy, and on input that must be refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from scipy import stats
from sklearn import metrics

from reclab import evaluate

ACCURACY = {
    "P": evaluate.precision_at_k,
    "recall": evaluate.recall_at_k,
    "success": evaluate.hit_rate_at_k,
    "map_cut": evaluate.average_precision_at_k,
    "ndcg_cut": evaluate.ndcg_at_k,
}
PLACES = (1, 3, 5, 10, 50)

# Five people; what each was shown, and what each then chose.
SHOWN = [["a", "b", "c"], ["b", "a", "d"], ["c", "d", "a"], ["e", "c", "b"], []]
CHOSEN = [{"a"}, {"d", "x"}, {"e"}, {"b", "c", "e"}, {"a"}]


def random_cases(seed, n=1000):
    """Lists of 0 to 40 items with tied scores, and gains of 0 to 3 for 0 to 12 of them and of others."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        items = rng.choice(60, rng.integers(0, 41), replace=False)
        scores = rng.integers(0, 8, len(items)) / 8
        wanted = rng.choice(60, rng.integers(0, 13), replace=False)
        yield items, scores, dict(zip(wanted.tolist(), rng.integers(0, 4, len(wanted)).tolist(), strict=True))


# --- accuracy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        (evaluate.precision_at_k, [1 / 3, 1 / 3, 0, 1, 0]),
        (evaluate.recall_at_k, [1, 1 / 2, 0, 1, 0]),
        (evaluate.hit_rate_at_k, [1, 1, 0, 1, 0]),
        (evaluate.reciprocal_rank_at_k, [1, 1 / 3, 0, 1, 0]),
        (evaluate.average_precision_at_k, [1, 1 / 6, 0, 1, 0]),
        (evaluate.ndcg_at_k, [1, 0.5 / (1 + 1 / np.log2(3)), 0, 1, 0]),
    ],
)
def test_five_people_by_hand(measure, by_hand):
    np.testing.assert_allclose(measure(SHOWN, CHOSEN, 3), by_hand, atol=1e-12)


def test_a_thousand_random_cases_agree_with_trec_eval():
    cases = list(random_cases(seed=1))
    # trec_eval breaks ties by the later name; we rank ties by the lower index, so the names count downward.
    ranked = [items[np.lexsort((items, -scores))] for items, scores, _ in cases]
    wanted = [gains for _, _, gains in cases]
    run = {
        str(i): {f"{999 - item:03d}": score for item, score in zip(items.tolist(), scores.tolist(), strict=True)}
        for i, (items, scores, _) in enumerate(cases)
    }
    truth = {str(i): {f"{999 - item:03d}": gain for item, gain in gains.items()} for i, gains in enumerate(wanted)}
    asked = {f"{name}.{','.join(map(str, PLACES))}" for name in ACCURACY}
    theirs = pytrec_eval.RelevanceEvaluator(truth, asked | {"recip_rank"}).evaluate(run)
    judged = [i for i, gains in enumerate(wanted) if any(gains.values())]
    assert sum(len(ranked[i]) == 0 for i in judged) > 5
    assert sum(len(ranked[i]) < 10 for i in judged) > 100
    assert any(len(set(scores)) < len(scores) for _, scores, _ in cases)
    for (name, measure), k in itertools.product(ACCURACY.items(), PLACES):
        expected = [theirs[str(i)][f"{name}_{k}"] if len(ranked[i]) else 0.0 for i in judged]
        np.testing.assert_allclose(measure(ranked, wanted, k)[judged], expected, atol=1e-9, err_msg=f"{name}@{k}")
    expected = [theirs[str(i)]["recip_rank"] if len(ranked[i]) else 0.0 for i in judged]
    np.testing.assert_allclose(evaluate.reciprocal_rank_at_k(ranked, wanted, 60)[judged], expected, atol=1e-9)
    unjudged = [i for i in range(len(cases)) if i not in judged]
    assert unjudged
    for measure in (*ACCURACY.values(), evaluate.reciprocal_rank_at_k):
        assert np.isnan(measure(ranked, wanted, 10)[unjudged]).all()


def test_ndcg_agrees_with_scikit_learn_where_everything_is_ranked():
    rng = np.random.default_rng(2)
    for _ in range(200):
        gains, scores = rng.integers(0, 4, 12), rng.permutation(12)
        gains[rng.integers(12)] = 1
        ours = evaluate.ndcg_at_k([np.argsort(-scores)], [dict(enumerate(gains.tolist()))], 5)
        assert ours[0] == pytest.approx(metrics.ndcg_score([gains], [scores], k=5), abs=1e-12)


def test_average_precision_agrees_with_scikit_learn_where_everything_is_ranked():
    rng = np.random.default_rng(3)
    for _ in range(200):
        wanted, scores = rng.permutation(12) < 4, rng.permutation(12)
        ours = evaluate.average_precision_at_k([np.argsort(-scores)], [np.flatnonzero(wanted)], 12)
        assert ours[0] == pytest.approx(metrics.average_precision_score(wanted, scores), abs=1e-12)


@pytest.mark.parametrize("measure", [*ACCURACY.values(), evaluate.reciprocal_rank_at_k])
def test_accuracy_lies_between_0_and_1_and_a_list_of_the_wanted_alone_has_all_of_it(measure):
    for items, _, gains in random_cases(seed=4, n=100):
        value = measure([items], [gains], 10)[0]
        assert np.isnan(value) or 0 <= value <= 1
    assert measure([[3, 1, 2]], [{1, 2, 3}], 3)[0] == pytest.approx(1)
    assert measure([[4, 5]], [{1}], 3)[0] == 0


def test_k_cuts_the_list():
    assert evaluate.hit_rate_at_k([["a", "b", "c"]], [{"c"}], 2)[0] == 0
    assert evaluate.hit_rate_at_k([["a", "b", "c"]], [{"c"}], 3)[0] == 1


def test_arrays_and_lists_are_alike():
    recommended, relevant = np.array([[3, 1, 2], [1, 2, 3]]), [np.array([1]), np.array([3, 9])]
    expected = evaluate.ndcg_at_k(recommended.tolist(), [{1}, {3, 9}], 3)
    np.testing.assert_array_equal(evaluate.ndcg_at_k(recommended, relevant, 3), expected)


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", None])
def test_k_must_be_a_whole_number_of_at_least_1(k):
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, got"):
        evaluate.ndcg_at_k(SHOWN, CHOSEN, k)


@pytest.mark.parametrize(
    ("recommended", "relevant", "error", "said"),
    [
        ([["a"]], [], ValueError, "one entry a person, got 1 and 0"),
        ([["a"], ["b", "c", "b"]], [{"a"}, {"b"}], ValueError, r"recommended\[1\] must name each item once, got 'b'"),
        ([["a"]], ["a"], TypeError, r"relevant\[0\] must be a collection of items, got the string 'a'"),
        ([["a"]], [{"a": -1}], ValueError, r"relevant\[0\] must have gains of at least 0, got -1 for 'a'"),
        ([["a"]], [{"a": float("nan")}], ValueError, "got nan for 'a'"),
        ([["a"]], [{"a": float("inf")}], ValueError, "got inf for 'a'"),
    ],
)
def test_lists_that_cannot_be_scored_are_refused(recommended, relevant, error, said):
    with pytest.raises(error, match=said):
        evaluate.precision_at_k(recommended, relevant, 1)


# --- ratings --------------------------------------------------------------------------------------------------------


def test_rating_errors_agree_with_scikit_learn():
    rng = np.random.default_rng(5)
    given, predicted = rng.integers(1, 6, 300), rng.normal(3, 1, 300)
    assert evaluate.rmse(given, predicted) == pytest.approx(metrics.root_mean_squared_error(given, predicted))
    assert evaluate.mae(given, predicted) == pytest.approx(metrics.mean_absolute_error(given, predicted))
    assert evaluate.r2(given, predicted) == pytest.approx(metrics.r2_score(given, predicted))


@pytest.mark.parametrize("measure", [evaluate.rmse, evaluate.mae, evaluate.r2])
@pytest.mark.parametrize(
    ("given", "predicted", "said"),
    [
        ([1, 2], [1], "equally many"),
        ([], [], "equally many"),
        ([1, 2], [1, np.nan], "finite numbers, got 2.0 and nan at 1"),
    ],
)
def test_ratings_that_cannot_be_compared_are_refused(measure, given, predicted, said):
    with pytest.raises(ValueError, match=said):
        measure(given, predicted)


def test_variance_that_is_not_there_cannot_be_explained():
    with pytest.raises(ValueError, match="at least two different ratings, got only 4"):
        evaluate.r2([4, 4], [3, 4])


# --- variety --------------------------------------------------------------------------------------------------------


def test_entropy_and_simpson_agree_with_scipy_and_with_counting_pairs():
    rng = np.random.default_rng(6)
    groups = [rng.integers(0, 4, rng.integers(1, 12)).tolist() for _ in range(200)]
    expected = [stats.entropy(np.bincount(row), base=2) for row in groups]
    np.testing.assert_allclose(evaluate.entropy(groups), expected, atol=1e-12)
    expected = [np.mean([a != b for a in row for b in row]) for row in groups]
    np.testing.assert_allclose(evaluate.simpson(groups), expected, atol=1e-12)


@pytest.mark.parametrize("measure", [evaluate.entropy, evaluate.simpson])
def test_an_empty_list_has_no_variety_to_measure(measure):
    assert np.isnan(measure([[], ["a"]])).tolist() == [True, False]


def test_intra_list_distance_is_the_mean_over_pairs():
    vectors = np.random.default_rng(7).normal(size=(9, 4)) * np.arange(1, 10)[:, None]
    lists = [[0, 4, 7], [8, 1, 2, 3], [5], []]
    ours = evaluate.intra_list_distance(lists, vectors)
    for value, row in zip(ours[:2], lists[:2], strict=True):
        pairs = metrics.pairwise.cosine_distances(vectors[row])[np.triu_indices(len(row), 1)]
        assert value == pytest.approx(pairs.mean())
    assert np.isnan(ours[2:]).all()


def test_coverage_counts_each_item_once():
    assert evaluate.coverage([[0, 1], [1, 2], []], items=6) == 0.5
    with pytest.raises(ValueError, match="items must be at least the 3 that were recommended, got 2"):
        evaluate.coverage([[0, 1, 2]], items=2)


def test_novelty_grows_as_an_item_is_rarer():
    counts = np.array([1000, 100, 10, 0])
    values = evaluate.novelty([[0], [1], [2], [3], [0, 3], []], counts)
    assert (np.diff(values[:4]) > 0).all()
    assert values[0] == pytest.approx(-np.log2(1001 / 1114))
    assert values[4] == pytest.approx((values[0] + values[3]) / 2)
    assert np.isnan(values[5])
    with pytest.raises(ValueError, match="counts must be at least 0, got -1"):
        evaluate.novelty([[0]], [-1, 2])


def test_serendipity_counts_what_is_wanted_and_not_obvious():
    recommended, relevant = [["a", "b", "c", "d"]] * 2, [{"a", "c", "z"}, set()]
    obvious = [["c", "x", "a"], ["a"]]
    values = evaluate.serendipity_at_k(recommended, relevant, obvious, k=2)
    assert values[0] == 0.5  # a: wanted, and not among the first two obvious ones
    assert np.isnan(values[1])
    assert evaluate.serendipity_at_k(recommended, relevant, obvious, k=4)[0] == 0
    with pytest.raises(ValueError, match="obvious must have one list a person, got 1 for 2"):
        evaluate.serendipity_at_k(recommended, relevant, obvious[:1], k=2)


# --- behaviour ------------------------------------------------------------------------------------------------------


@pytest.fixture
def log():
    """Two friends and a stranger over twelve days."""
    rows = [
        ("P1", "I1", 1, "impression", 1, None, None),
        ("P1", "I1", 1, "click", 1, None, None),
        ("P1", "I1", 1, "dwell", 1, 40, 4),
        ("P1", "I2", 1, "impression", 2, None, None),
        ("P2", "I1", 3, "click", None, None, None),
        ("P2", "I1", 3, "dwell", None, 20, None),
        ("P2", "I1", 3, "purchase", None, None, None),
        ("P2", "I1", 4, "click", None, None, None),
        ("P3", "I1", 5, "impression", 1, None, None),
        ("P3", "I1", 5, "click", 1, None, None),
        ("P1", "I1", 12, "click", 1, None, None),
    ]
    table = pd.DataFrame(rows, columns=["person", "item", "day", "action", "position", "dwell_s", "rating"])
    return table.assign(time=pd.Timestamp("2026-01-01") + pd.to_timedelta(table["day"], "D"))


def test_behaviour_by_hand(log):
    assert evaluate.click_through(log).to_dict() == {"P1": 1.0, "P3": 1.0}  # P2 found it by searching
    assert evaluate.conversion(log).to_dict() == {"P1": 0.0, "P2": 0.5, "P3": 0.0}
    assert evaluate.satisfaction(log).to_dict() == {"P1": 4.0}
    assert evaluate.watch_time(log).to_dict() == {"P1": 40.0, "P2": 20.0, "P3": 0.0}
    assert evaluate.repeat_views(log).to_dict() == {"P1": 0.5, "P2": 0.5, "P3": 0.0}
    assert evaluate.retention(log, days=7).to_dict() == {"P1": 1.0, "P2": 0.0, "P3": 0.0}
    assert evaluate.spend(log, pd.Series({"I1": 30.0, "I2": 5.0})).to_dict() == {"P1": 0.0, "P2": 30.0, "P3": 0.0}


def test_a_friend_counts_for_a_week_and_only_afterwards(log):
    friends = {"P1": ["P2"], "P2": ["P1"], "P3": []}
    assert evaluate.friend_interaction(log, friends).to_dict() == {"P1": 0.0, "P2": 1.0, "P3": 0.0}
    assert evaluate.friend_interaction(log, friends, days=2).to_dict() == {"P1": 0.0, "P2": 0.5, "P3": 0.0}
    assert evaluate.friend_interaction(log, friends, days=8).to_dict() == {"P1": 0.5, "P2": 1.0, "P3": 0.0}


# --- counterfactuals ------------------------------------------------------------------------------------------------


def test_inverse_propensity_is_right_on_average():
    """Two places: a policy shows item 0 nine times in ten; what would a fair coin have earned?"""
    rng = np.random.default_rng(8)
    earns, policy, coin = np.array([0.1, 0.6]), np.array([0.9, 0.1]), np.array([0.5, 0.5])
    found = {False: [], True: []}
    for _ in range(300):
        shown = rng.choice(2, 1000, p=policy)
        rewards = rng.random(1000) < earns[shown]
        for normalised in found:
            one = evaluate.inverse_propensity(rewards, policy[shown], coin[shown], normalised=normalised)
            found[normalised].append(one)
        assert abs(rewards.mean() - 0.35) > 0.1  # what the log says by itself
    for values in found.values():
        assert np.mean(values) == pytest.approx(earns @ coin, abs=4 * np.std(values) / 300**0.5)
    assert np.std(found[True]) < np.std(found[False])


def test_clipping_bounds_each_weight():
    log = {"rewards": [1, 1], "shown": [0.01, 0.5], "wanted": [0.5, 0.5]}
    assert evaluate.inverse_propensity(**log, normalised=False) == pytest.approx((50 + 1) / 2)
    assert evaluate.inverse_propensity(**log, normalised=False, clip=10) == pytest.approx((10 + 1) / 2)


@pytest.mark.parametrize(("shown", "said"), [([0.5, 0.0], "got 0.0 at 1"), ([1.5, 1], "got 1.5 at 0"), ([1], "shapes")])
def test_a_log_without_chances_is_refused(shown, said):
    with pytest.raises(ValueError, match=said):
        evaluate.inverse_propensity([1, 0], shown, [0.5, 0.5])


# --- is it real? ----------------------------------------------------------------------------------------------------


def test_an_interval_is_scipy_s_bootstrap():
    values = np.random.default_rng(9).exponential(size=80)
    ours = evaluate.interval(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert ours.mean == values.mean()
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.02)
    assert evaluate.interval(values, level=0.5).high < ours.high
    assert evaluate.interval(np.append(values, np.nan)) == ours
    assert evaluate.interval(values) == ours


def test_surely_is_the_low_end_of_the_middle_98_percent():
    rng = np.random.default_rng(4)
    ours, theirs = rng.uniform(size=(2, 60))
    assert evaluate.surely(ours, theirs) == evaluate.interval(ours - theirs, level=0.98).low
    assert evaluate.surely(ours > 0.5, 0.25) == pytest.approx(evaluate.surely(ours > 0.5) - 0.25)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(10)
    found = [evaluate.interval(rng.normal(1, 1, 50), level=0.9, seed=i) for i in range(100)]
    assert 80 <= sum(one.low <= 1 <= one.high for one in found) <= 98


def test_a_paired_test_is_scipy_s_permutation_test():
    rng = np.random.default_rng(11)
    theirs = rng.uniform(size=60)
    ours = theirs + rng.normal(0.03, 0.1, 60)
    found = evaluate.compare(ours, theirs)
    expected = stats.permutation_test(
        (ours, theirs), lambda a, b: (a - b).mean(), permutation_type="samples", n_resamples=10_000, rng=1
    )
    assert found.p == pytest.approx(expected.pvalue, abs=0.01)
    assert 0.001 < found.p < 0.2
    assert found.low < found.mean < found.high
    back = evaluate.compare(theirs, ours)
    assert (back.mean, back.p) == (-found.mean, found.p)


def test_the_same_is_not_different():
    values = np.array([0.2, 0.4, 0.9])
    found = evaluate.compare(values, values)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_people_without_a_value_are_left_out_of_both_sides():
    whole = evaluate.compare(np.array([1.0, 2, 4]), np.array([0.0, 1, 1]))
    assert evaluate.compare(np.array([1.0, 2, 4, 9, np.nan]), np.array([0.0, 1, 1, np.nan, 5])) == whole


def test_many_comparisons_by_hand():
    assert evaluate.holm({"a": 0.04, "b": 0.01, "c": 0.5, "d": 0.03}) == pytest.approx(
        {"b": 0.04, "d": 0.09, "a": 0.09, "c": 0.5}
    )
    assert list(evaluate.holm({"z": 0.9, "a": 0.8})) == ["z", "a"]
    assert evaluate.holm({"z": 0.9, "a": 0.8}) == {"z": 1.0, "a": 1.0}
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.2 for 'a'"):
        evaluate.holm({"a": 1.2})


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [], [[1.0, 2.0]]])
def test_one_person_is_no_sample(values):
    with pytest.raises(ValueError, match="at least two people with a value"):
        evaluate.interval(np.array(values))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"same people, in|of the same people, got shapes \(2,\) and \(3,\)"):
        evaluate.compare(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="level must be above 0 and below 1, got 95"):
        evaluate.interval(np.arange(3.0), level=95)
