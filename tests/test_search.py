import math

import numpy as np
import pytest

from reclab import search


def naive(queries, items, k):
    """Every cosine in float64, sorted whole."""
    unit = [
        v.astype(np.float64) / np.maximum(np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True), 1e-300)
        for v in (queries, items)
    ]
    scores = (unit[0] @ unit[1].T).astype(np.float32)
    indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(scores, indices, 1)


def unit(rng, n, dim):
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(search, "QUERIES", 7)
    monkeypatch.setattr(search, "ITEMS", 16)


@pytest.mark.parametrize("k", [1, 5, 17, 100, 230])
@pytest.mark.parametrize("n", [1, 7, 20])
def test_equals_sorting_everything_for_awkward_block_sizes(small_blocks, k, n):
    rng = np.random.default_rng(k * n)
    queries, items = unit(rng, n, 24), unit(rng, 230, 24)
    indices, scores = search.top_k(queries, items, k)
    expected, cosines = naive(queries, items, k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, cosines, atol=2e-6)
    assert (indices.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("kinds", [1, 3, 40])
def test_of_equal_scores_the_lower_index_comes_first(small_blocks, kinds):
    rng = np.random.default_rng(kinds)
    signs = rng.choice([-1.0, 1.0], (kinds, 16)).astype(np.float32)  # every length is 4, every product a whole number
    items, queries = signs[rng.integers(0, kinds, 300)], rng.choice([-1.0, 1.0], (9, 16)).astype(np.float32)
    indices, scores = search.top_k(queries, items, 150)
    expected, cosines = naive(queries, items, 150)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, cosines)
    assert (np.diff(scores, axis=1) == 0).mean() > 0.5


def test_copies_of_an_item_tie_wherever_they_stand(small_blocks):
    rng = np.random.default_rng(1)
    items = unit(rng, 200, 33)
    places = [0, 15, 16, 77, 150, 199]
    items[places] = items[77]
    indices, scores = search.top_k(items[77:78], items, 8)
    assert indices[0, :6].tolist() == places
    assert len(set(scores[0, :6].tolist())) == 1


def test_lengths_do_not_matter():
    rng = np.random.default_rng(2)
    queries, items = unit(rng, 6, 10), unit(rng, 50, 10)
    stretched = search.top_k(queries * 7, items * rng.uniform(0.1, 9, (50, 1)).astype(np.float32), 50)
    np.testing.assert_array_equal(stretched[0], search.top_k(queries, items, 50)[0])
    np.testing.assert_allclose(stretched[1], search.top_k(queries, items, 50)[1], atol=1e-6)


def test_zeros_have_cosine_zero_with_everything():
    indices, scores = search.top_k(
        np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), 3
    )
    assert indices.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert scores.tolist() == [[1, 0, -1], [0, 0, 0]]


def test_no_query_no_answer():
    indices, scores = search.top_k(np.empty((0, 4), np.float32), np.ones((3, 4)), 2)
    assert indices.shape == scores.shape == (0, 2)


def bad(row, value):
    vectors = np.ones((5, 3))
    vectors[row, 1] = value
    return vectors


@pytest.mark.parametrize(
    ("queries", "items", "k", "said"),
    [
        (
            np.ones((2, 3)),
            np.ones((5, 3)),
            0,
            r"k must be a whole number between 1 and the number of items \(5\), got 0",
        ),
        (
            np.ones((2, 3)),
            np.ones((5, 3)),
            6,
            r"k must be a whole number between 1 and the number of items \(5\), got 6",
        ),
        (np.ones((2, 3)), np.ones((5, 3)), 2.5, "k must be a whole number .*, got 2.5"),
        (np.ones((2, 4)), np.ones((5, 3)), 1, "queries and items must have one dimension, got 4 and 3"),
        (np.ones(3), np.ones((5, 3)), 1, r"queries must be a matrix of real numbers, got shape \(3,\)"),
        (np.ones((2, 3)), np.array([["a"]]), 1, "items must be a matrix of real numbers"),
        (np.ones((2, 3)), bad(3, np.nan), 1, r"items\[3\] must hold finite numbers"),
        (bad(4, np.inf), np.ones((5, 3)), 1, r"queries\[4\] must hold finite numbers"),
    ],
)
def test_bad_input_is_refused(queries, items, k, said):
    with pytest.raises(ValueError, match=said):
        search.top_k(queries, items, k)


# --- by words, and together -----------------------------------------------------------------------------------------


def naive_bm25(texts, query, k1, b):
    """The formula, one word of one text after the other."""
    split = [one.split() for one in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        score = 0.0
        for word in query.split():
            holders = sum(word in other for other in split)
            rare = math.log(1 + (len(split) - holders + 0.5) / (holders + 0.5))
            often = words.count(word)
            score += rare * often * (k1 + 1) / (often + k1 * (1 - b + b * len(words) / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.5, 0.0), (2.0, 1.0)])
def test_bm25_equals_its_formula(k1, b):
    rng = np.random.default_rng(0)
    words = ["ax", "bo", "cut", "dig", "elk", "fur"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(30)]
    queries = ["ax", "bo cut", "fur fur", "nothing elk"]
    found = search.BM25(texts, k1=k1, b=b).score(queries)
    np.testing.assert_allclose(found, [naive_bm25(texts, query, k1, b) for query in queries], rtol=1e-5)


def test_words_are_compared_in_lower_case_and_without_a_plural():
    shelf = search.BM25(["Batteries, AA", "glass", "the GPS's buses"])
    assert shelf.score(["battery", "aa", "glas", "bus", "gps", ""]).astype(bool).tolist() == [
        [True, False, False],
        [True, False, False],
        [False, False, False],
        [False, False, False],
        [False, False, True],
        [False, False, False],
    ]


def test_texts_without_words_answer_nothing():
    assert search.BM25(["...", "tea"]).score(["tea", "..."]).astype(bool).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(("k1", "b"), [(-1, 0.5), (1, 1.5), (1, -0.1)])
def test_numbers_of_bm25_out_of_range_are_refused(k1, b):
    with pytest.raises(ValueError, match=r"k1 must be at least 0 and b from 0 to 1, got"):
        search.BM25(["tea"], k1=k1, b=b)


def test_ranks_are_fused_by_their_definition():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 4, 9)).astype(float)  # many ties
    expected = np.zeros((4, 9))
    for scores in (first, second):
        for query in range(4):
            order = sorted(range(9), key=lambda item: (-scores[query, item], item))
            for rank, item in enumerate(order, start=1):
                expected[query, item] += 1 / (60 + rank)
    np.testing.assert_allclose(search.fuse_ranks(first, second), expected)


def test_scores_of_different_shape_cannot_be_fused():
    with pytest.raises(ValueError, match=r"all scores of one shape, got 60.0 and \(1, 2\), \(1, 3\)"):
        search.fuse_ranks([[1, 2]], [[1, 2, 3]])
