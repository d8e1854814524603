"""Answers to the exercises of 03_intent: (exercise, code, what its check says; None if it is right)."""

QUANTILE = 'threshold = np.quantile(surest["validation"]["inside"], 0.05)'
COUNTED = """
inside = sorted(surest["validation"]["inside"], reverse=True)
threshold = inside[int(np.ceil(0.95 * len(inside))) - 1]
"""
OF_ALL = """
both = surest["validation"]
threshold = np.quantile(np.concatenate([both["inside"], both["outside"]]), 0.05)
"""

MACRO = """
precision = np.diag(day) / day.sum(axis=0)
recall = np.diag(day) / day.sum(axis=1)
macro_f1 = np.mean(2 * precision * recall / (precision + recall))
"""
WEIGHTED = MACRO.replace("np.mean(", "np.average(").replace("recall))", "recall), weights=day.sum(axis=1))")
IN_A_LOOP = """
scores = []
for k in range(10):
    hits = day[k, k]
    scores.append(2 * hits / (2 * hits + (day[k].sum() - hits) + (day[:, k].sum() - hits)))
macro_f1 = sum(scores) / 10
"""
OF_THE_MEANS = """
p, r = (np.diag(day) / day.sum(axis=0)).mean(), (np.diag(day) / day.sum(axis=1)).mean()
macro_f1 = 2 * p * r / (p + r)
"""

ANSWERS = [
    (0, QUANTILE, None),
    (0, QUANTILE.replace("np.quantile", "np.percentile").replace("0.05", "5"), None),
    (0, COUNTED, None),
    (0, QUANTILE.replace("validation", "test"), "chosen on the test split"),
    (0, QUANTILE.replace("0.05", "0.95"), "the wrong end"),
    (0, 'threshold = np.quantile(surest["validation"]["outside"], 0.95)', "of the validation sentences inside"),
    (0, OF_ALL, "95 % of all"),
    (0, "threshold = 0", "a higher threshold would refuse more"),
    (0, "threshold = 0.5", "of the validation sentences inside are accepted"),
    (0, 'threshold = surest["validation"]["inside"]', "one number"),
    (0, 'threshold = "0.4"', "one number"),
    (0, "threshold = None", "one number"),
    (1, MACRO, None),
    (1, IN_A_LOOP, None),
    (1, "macro_f1 = np.trace(day) / day.sum()", "micro-F1"),
    (1, WEIGHTED, "plain mean"),
    (1, "macro_f1 = (np.diag(day) / day.sum(axis=0)).mean()", "mean precision"),
    (1, "macro_f1 = (np.diag(day) / day.sum(axis=1)).mean()", "mean recall"),
    (1, OF_THE_MEANS, "first the harmonic mean of each intent"),
    (1, MACRO.replace("np.mean(", "("), "one number"),
    (1, "macro_f1 = None", "one number"),
    (1, "macro_f1 = 0.5", "not the macro-F1"),
]
