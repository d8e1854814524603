"""Answers to the exercises of 05_fuse: (exercise, code, what its check says; None if it is right)."""

GATE = "shares_of_parts = softmax(np.where(there, logits, -np.inf), axis=1)"
BY_HAND = """
odds = np.exp(logits) * there
shares_of_parts = odds / odds.sum(axis=1, keepdims=True)
"""
IN_A_LOOP = """
shares_of_parts = np.zeros(logits.shape)
for row in range(len(logits)):
    shares_of_parts[row, there[row]] = softmax(logits[row, there[row]])
shares_of_parts = shares_of_parts.tolist()
"""

TRY_ALL = """
def tried(split):
    both = says[split]
    weights = np.linspace(0, 1, 21)
    return weights, [quality((1 - w) * both["text"] + w * both["colours"], split) for w in weights]
"""
WEIGHT = (
    TRY_ALL
    + """
weights, found = tried("valid")
best_weight = weights[np.argmax(found)]
"""
)

ANSWERS = [
    (0, GATE, None),
    (0, GATE.replace("-np.inf", "-1e9"), None),
    (0, BY_HAND, None),
    (0, IN_A_LOOP, None),
    (0, "shares_of_parts = softmax(logits, axis=1) * there", "rows no longer add up to 1"),
    (0, "shares_of_parts = softmax(np.where(there, logits, 0), axis=1)", "a logit of 0 is not nothing"),
    (0, "shares_of_parts = softmax(logits * there, axis=1)", "a logit of 0 is not nothing"),
    (0, "shares_of_parts = there / there.sum(axis=1, keepdims=True)", "the logits say more"),
    (0, "shares_of_parts = softmax(logits, axis=1)", "a missing part still has a share"),
    (0, "shares_of_parts = softmax(logits, axis=1) * there / 4", "every row must add up to 1"),
    (0, "shares_of_parts = softmax(logits, axis=0)", "over parts, not items"),
    (0, GATE + "[0]", "one row an item"),
    (0, "shares_of_parts = None", "one row an item"),
    (0, "shares_of_parts = np.where(there, logits, np.nan)", "finite numbers"),
    (0, "shares_of_parts = there * (there.cumsum(axis=1) == 1) * 1.0", "it is not the softmax"),
    (1, WEIGHT, None),
    (1, WEIGHT + "best_weight = float(best_weight)", None),
    (1, WEIGHT.replace('tried("valid")', 'tried("test")'), "chosen on the test"),
    (1, WEIGHT.replace("argmax", "argmin"), "the worst"),
    (1, WEIGHT + "best_weight = 1 - best_weight", "w belongs to the colours"),
    (1, "best_weight = 0.05", "another weight does better"),
    (1, WEIGHT + "best_weight = max(found)", "one of the 21 weights"),
    (1, WEIGHT + "best_weight = weights", "one number"),
    (1, "best_weight = 'both'", "one number"),
    (1, "best_weight = None", "one number"),
]
