"""What does this person want?"""

from collections.abc import Mapping, Sequence

import numpy as np

from reclab.encoder import Encoder


class ZeroShotClassifier:
    """Name the intent whose description is nearest, with no example of any intent.

    The probability of intent i is the softmax over `scale * cos(text, description_i)`. The default encoder was trained
    to make exactly this softmax, with scale 20, high for the true pair (see its model card, sentence-transformers/
    all-MiniLM-L6-v2; the loss is that of Henderson et al., arXiv:1705.00652).

    Args:
        enc: any encoder.
        descriptions: what each intent means, in a sentence.
        scale: above 0; higher is surer.

    >>> from reclab import encoder
    >>> meanings = {"food": "Cooking and eating.", "music": "Listening to songs and concerts."}
    >>> clf = ZeroShotClassifier(encoder.load(), meanings)
    >>> clf.predict(["a saxophone solo", "how long to boil an egg"]).tolist()
    ['music', 'food']
    """

    def __init__(self, enc: Encoder, descriptions: Mapping[str, str], *, scale: float = 20.0):
        if not descriptions:
            raise ValueError("descriptions must name at least one intent, got none.")
        if scale <= 0:
            raise ValueError(f"scale must be above 0, got {scale}.")
        self.enc, self.scale = enc, scale
        self.classes_ = np.array(list(descriptions))
        self.vectors_ = enc.encode(list(descriptions.values()))

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (n, number of intents), in the order of `classes_`; rows add up to 1."""
        return self.proba(self.enc.encode(texts))

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """The most probable intent of each text, (n,)."""
        return self.classes_[self.predict_proba(texts).argmax(axis=1)]

    def proba(self, vectors: np.ndarray) -> np.ndarray:
        """`predict_proba` for texts that are already encoded: unit vectors (n, dim)."""
        logits = self.scale * (vectors @ self.vectors_.T)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)
