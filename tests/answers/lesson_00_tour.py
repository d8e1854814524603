"""Answers to the exercises of 00_tour: (exercise, code, what its check says; None if it is right)."""

VOTE = "voted = bert_scores + 0.2 * chances[:, [columns.index(i) for i in item_intents]]"
VOTE_IN_A_LOOP = """
voted = bert_scores.copy()
for j, intent in enumerate(item_intents):
    voted[:, j] += chances[:, columns.index(intent)] / 5
"""
STRONGEST = """
parts = texts[item].split()
rest = {part: " ".join(parts[:i] + parts[i + 1 :]) for i, part in enumerate(parts)}
strongest = min(rest, key=lambda part: enc.encode([rest[part]])[0] @ enc.encode([SENTENCE])[0])
"""

ANSWERS = [
    (0, VOTE, None),
    (0, VOTE_IN_A_LOOP, None),
    (0, "voted = bert_scores", "still the cosines"),
    (0, VOTE.replace("0.2 * ", ""), "too strong"),
    (0, "voted = bert_scores + 0.2 * chances.max(axis=1, keepdims=True)", "probability of its own intent"),
    (0, "voted = bert_scores.T", "one row a sentence"),
    (1, STRONGEST, None),
    (1, "strongest = 'desk'", "a word of the sentence"),
    (1, "strongest = 17", "the word itself"),
    (1, "strongest = 'yoga'", "not a word of the item's text"),
    (1, STRONGEST.replace("min(", "max("), "take the lowest cosine"),
    (1, "strongest = 'leggings'", "leaving out another word costs more"),
]
