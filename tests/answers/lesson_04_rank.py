"""Answers to the exercises of 04_rank: (exercise, code, what its check says; None if it is right)."""

COLUMN = """
A = np.delete(X, J, axis=1)
w = np.linalg.solve(A.T @ A + 100 * np.eye(A.shape[1]), A.T @ X[:, J])
column = np.insert(w, J, 0)
"""
BY_ZEROING = """
A = X.copy()
A[:, J] = 0
column = np.linalg.solve(A.T @ A + 100 * np.eye(600), A.T @ X[:, J]).tolist()
"""
FROM_THE_INVERSE = """
P = np.linalg.inv(X.T @ X + 100 * np.eye(600))
column = -P[:, J] / P[J, J]
column[J] = 0
"""
WITH_ITSELF = """
column = np.linalg.solve(X.T @ X + 100 * np.eye(600), X.T @ X[:, J])
"""
LEAST_SQUARES = COLUMN.replace(
    "np.linalg.solve(A.T @ A + 100 * np.eye(A.shape[1]), A.T @ X[:, J])", "np.linalg.lstsq(A, X[:, J], rcond=None)[0]"
)

CHOSEN = """
pair = {"popularity": rank.Popularity(half_life=FASHION), "EASE": rank.EASE()}
by_share = []
for s in np.arange(11) / 10:
    blended = rank.Blend(pair, {"popularity": 1 - s, "EASE": s}).fit(fit)
    by_share.append(judge(blended.recommend(people, K)[0], wanted).mean())
share, score = np.argmax(by_share) / 10, max(by_share)
"""
ON_THE_TEST = CHOSEN.replace("fit(fit)", "fit(rest)").replace("(people, K)[0], wanted", "(people_t, K)[0], wanted_t")
BOTH = f"{CHOSEN}chosen = share\n{ON_THE_TEST}score = by_share[round(10 * chosen)]\nshare = chosen"

ANSWERS = [
    (0, COLUMN, None),
    (0, BY_ZEROING, None),
    (0, FROM_THE_INVERSE, None),
    (0, WITH_ITSELF, "the item predicts itself"),
    (0, WITH_ITSELF + "column[J] = 0", "a 0 afterwards comes too late"),
    (0, COLUMN.replace("100 *", "0.01 *"), "λ is missing, or too small"),
    (0, LEAST_SQUARES, "λ is missing, or too small"),
    (0, COLUMN + "column = ease.weights_[J]", "that is row J"),
    (0, COLUMN + "column = w", "with a 0 at place J"),
    (0, "column = None", "one weight an item"),
    (0, COLUMN.replace("100 *", "300 *"), "not EASE's column"),
    (1, CHOSEN, None),
    (1, CHOSEN + "share, score = float(share), float(score)", None),
    (1, ON_THE_TEST, "1 is the best share on the test"),
    (1, BOTH, "the test may only judge"),
    (1, CHOSEN + "share = 1 - share", "EASE's, not popularity's"),
    (1, CHOSEN.replace("fit(fit)", "fit(rest)"), "learn from `fit`"),
    (1, CHOSEN + "share = 0.5", "another share has"),
    (1, CHOSEN + "score = by_share", "one number each"),
    (1, CHOSEN + "share = None", "one number each"),
    (1, CHOSEN + "score = 0.2", "on validation, this share has"),
    (1, CHOSEN + "share = 0.85", "share: 0, 0.1"),
]
