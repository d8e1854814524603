"""How far a few labelled questions to a bank go: banking77 with 5 and 10 a class, five draws each.

Run by hand: `python -m tests.benchmarks.few_shot`. Settings were chosen on the training questions that no draw had
labelled; `--validate` shows them (draws 100 to 102), without it the test questions are scored (draws 0 to 4).
"""

import argparse
import datetime
import statistics
import time

import pandas as pd

from reclab import data, encoder
from reclab.intent import IntentClassifier, spread

LEARNED_FROM = ("labelled questions", "and label names", "and unlabelled questions")


def learn(enc, few, train, names):
    """Accuracies come from three classifiers: the examples alone, the label names too, the unlabelled texts too."""
    texts, labels = few["text"].tolist(), few["intents"].tolist()
    plain = IntentClassifier(enc).fit(texts, labels, progress=False)
    named = IntentClassifier(enc).fit(texts + list(names), labels + list(names.values()), progress=False)
    everything = train["text"].tolist()
    beliefs = named.predict_proba(everything)
    beliefs[few.index] = named.classes_ == few["intents"].to_numpy()[:, None]
    guessed = named.classes_[spread(enc.encode(everything), beliefs).argmax(axis=1)]
    return plain, named, IntentClassifier(enc).fit(everything, guessed.tolist(), progress=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--validate", action="store_true", help="score the training questions that were not labelled")
    validate = parser.parse_args().validate
    bank, start = data.load("banking77"), time.monotonic()
    train, test = bank.said(split="train"), bank.said(split="test")
    names = {label.replace("_", " "): label for label in bank.intents}
    enc = encoder.RememberingEncoder(encoder.load())
    enc.encode([*train["text"], *test["text"], *names], progress=True)
    rows = []
    for n in (5, 10):
        found = []
        for draw in range(100, 103) if validate else range(5):
            few = train.groupby("intents").sample(n, random_state=draw)
            scored = train.drop(few.index) if validate else test
            texts, wanted = scored["text"].tolist(), scored["intents"].to_numpy()
            found.append([(clf.predict(texts) == wanted).mean() for clf in learn(enc, few, train, names)])
        for how, values in zip(LEARNED_FROM, zip(*found, strict=True), strict=True):
            rows.append((n, how, f"{100 * statistics.mean(values):.2f}", f"{100 * statistics.stdev(values):.2f}"))
    print(datetime.date.today(), f"{time.monotonic() - start:.0f} s")
    print(pd.DataFrame(rows, columns=["a class", "learned from", "accuracy, %", "spread"]).to_string(index=False))


if __name__ == "__main__":
    main()
