"""Answers to the exercises of 02_encode: (exercise, code, what its check says; None if it is right)."""

INNER = """
keep = mask.copy()
keep[:, 0] = 0
keep[np.arange(len(keep)), mask.sum(axis=1) - 1] = 0
total = (last * keep[:, :, None]).sum(axis=1)
inner = total / np.linalg.norm(total, axis=1, keepdims=True)
"""
INNER_IN_A_LOOP = """
inner = []
for vectors, count in zip(last, mask.sum(axis=1)):
    v = vectors[1 : count - 1].mean(axis=0)
    inner.append(v / np.linalg.norm(v))
"""
FROM_THE_LAST_COLUMN = "keep = mask.copy()\nkeep[:, [0, -1]] = 0\n" + INNER.split("- 1] = 0")[1]
PADDED = "keep = np.ones_like(mask)\nkeep[:, 0] = 0\n" + INNER.split("- 1] = 0")[1]

AHEAD = """
mean = np.zeros((6, 12))
for sentence in sentences["test"][:10]:
    tokens, _, looks = read(sentence)
    n = len(tokens)
    mean += looks[:, :, range(1, n - 1), range(2, n)].mean(axis=-1) / 10
ahead = divmod(int(mean.argmax()), 12)
"""

ANSWERS = [
    (0, INNER, None),
    (0, INNER_IN_A_LOOP, None),
    (0, "inner = enc.encode(twelve)", r"\[CLS\] and \[SEP\] are still in the mean"),
    (0, FROM_THE_LAST_COLUMN, r"\[SEP\] of short texts is still in"),
    (0, INNER.replace("keep[np.arange(len(keep)), mask.sum(axis=1) - 1] = 0", ""), r"\[CLS\] is out, \[SEP\]"),
    (0, PADDED, "use the mask"),
    (0, "inner = last[:, 1:-1].mean(axis=1)", "scale each row"),
    (0, "inner = enc.encode(twelve)[0]", "one row a text"),
    (0, "inner = enc.encode(twelve[::-1])", "words alone"),
    (1, AHEAD, None),
    (1, AHEAD.replace("range(1, n - 1), range(2, n)", "range(0, n - 1), range(1, n)"), None),
    (1, AHEAD + "ahead = list(ahead)", None),
    (1, AHEAD.replace("range(1, n - 1), range(2, n)", "range(2, n), range(1, n - 1)"), "reads the word before"),
    (1, AHEAD + "ahead = int(mean.argmax())", "store a pair"),
    (1, AHEAD + "ahead = (ahead[0] + 1, ahead[1] + 1)", "count layers and heads from 0"),
    (1, AHEAD + "ahead = ahead[::-1]", "first the layer"),
    (1, "ahead = divmod(int(kinds['reads from [CLS]'].argmax()), 12)", r"reads \[CLS\] most"),
    (1, "ahead = (5, 5)", "another head"),
    (1, "ahead = 'the ninth'", "store a pair"),
]
