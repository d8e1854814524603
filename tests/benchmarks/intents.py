"""How well intents are named: banking77 with few and with all labels, massive-en, and the world over five seeds.

Settings were chosen on training questions that were held out; `--validate` scores those instead of the test questions,
and then leaves README.md alone. A part takes from four to thirty minutes.
"""

import argparse
import statistics
import time

import numpy as np
from scipy.special import logsumexp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from reclab import data, encoder
from reclab.intent import IntentClassifier, soup, spread
from tests.benchmarks import report

LEARNED_FROM = ("labelled questions", "and label names", "and unlabelled questions")
FULL = {"epochs": 4, "learning_rate": 1e-4}  # for thousands of sentences; chosen on held-out questions of banking77
RUNS = 2  # whose weights are averaged


def timed(function):
    """Minutes, and what the function gave."""
    start = time.monotonic()
    result = function()
    return (time.monotonic() - start) / 60, result


def percent(values):
    """Mean and standard deviation, in percent."""
    spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{spread}"


def held_out(train, share=0.15):
    """Some training questions in place of the test questions: what is left, and they."""
    scored = train.groupby("intents").sample(frac=share, random_state=7)
    return train.drop(scored.index), scored


# --- few labels -----------------------------------------------------------------------------------------------------


def few(validate):
    bank = data.load("banking77")
    train, test = bank.said(split="train"), bank.said(split="test")
    names = {label.replace("_", " "): label for label in bank.intents}
    enc = encoder.RememberingEncoder(encoder.load())
    enc.encode([*train["text"], *test["text"], *names], progress=True)
    rows = []
    for n in (5, 10):
        found = []
        for draw in range(100, 103) if validate else range(5):
            shown = train.groupby("intents").sample(n, random_state=draw)
            scored = train.drop(shown.index) if validate else test
            texts, wanted = scored["text"].tolist(), scored["intents"].to_numpy()
            found.append([(clf.predict(texts) == wanted).mean() for clf in learn(enc, shown, train, names)])
        for how, values in zip(LEARNED_FROM, zip(*found, strict=True), strict=True):
            rows.append([n, how, percent(values)])
    return (
        "Intents, few labels",
        f"""banking77, 77 intents, a few questions of each; a frozen MiniLM and a head. Means of five draws.

{report.table(["labels a class", "learned from", "right, % of the test questions"], rows)}""",
    )


def learn(enc, shown, train, names):
    """Three classifiers: the examples alone, the label names too, the unlabelled texts too."""
    texts, labels = shown["text"].tolist(), shown["intents"].tolist()
    plain = IntentClassifier(enc).fit(texts, labels, progress=False)
    named = IntentClassifier(enc).fit(texts + list(names), labels + list(names.values()), progress=False)
    everything = train["text"].tolist()
    beliefs = named.predict_proba(everything)
    beliefs[shown.index] = named.classes_ == shown["intents"].to_numpy()[:, None]
    guessed = named.classes_[spread(enc.encode(everything), beliefs).argmax(axis=1)]
    return plain, named, IntentClassifier(enc).fit(everything, guessed.tolist(), progress=False)


# --- all labels -----------------------------------------------------------------------------------------------------


def public(name, validate):
    source = data.load(name)
    train, test = source.said(split="train"), source.said(split="test")
    if validate:
        train, test = held_out(train)
    texts, wanted = test["text"].tolist(), test["intents"].to_numpy()
    learned = train["text"].tolist(), train["intents"].tolist()
    minutes, head = timed(lambda: IntentClassifier(encoder.load()).fit(*learned))
    found, runs = {"frozen, head solved": (head, minutes)}, []
    for seed in range(RUNS):
        taken, run = timed(lambda: IntentClassifier(encoder.load(), "full").fit(*learned, **FULL, seed=seed))  # noqa: B023
        runs.append((run, taken))
        found[f"all weights tuned, seed {seed}"] = runs[-1]
    found["the mean of both runs' weights"] = soup([run for run, _ in runs]), sum(taken for _, taken in runs)
    rows = []
    for how, (clf, taken) in found.items():
        named = clf.predict(texts)
        f1 = f1_score(wanted, named, average="macro")
        rows.append([how, percent([(named == wanted).mean()]), percent([f1]), f"{taken:.1f}"])
    return (
        f"Intents, {name}",
        f"""{len(train):,} training and {len(test):,} test sentences, {len(source.intents)} intents;
{FULL["epochs"]} epochs at {FULL["learning_rate"]:g} for all weights. Minutes are those of learning, not of scoring.

{report.table(["MiniLM", "right, %", "macro-F1, %", "minutes"], rows)}""",
    )


# --- the world ------------------------------------------------------------------------------------------------------


def world(validate):
    made, frozen = data.load("world"), encoder.RememberingEncoder(encoder.load())
    train, valid = made.said(split="train"), made.said(split="validation")
    scored = valid if validate else made.said(split="test")
    texts, wanted = scored["text"].tolist(), scored["intents"].to_numpy()
    found = {"TF-IDF + linear SVM": [], "frozen, head solved": [], "all weights tuned": []}
    for seed in range(5):
        some = train.sample(frac=0.9, random_state=seed)
        learned = some["text"].tolist(), some["intents"].tolist()
        words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC()).fit(*learned)
        head = IntentClassifier(frozen, C=3).fit(*learned, progress=False)
        full = IntentClassifier(encoder.load(), "full", C=3)
        full.fit(*learned, validation=(valid["text"].tolist(), valid["intents"].tolist()), epochs=3, seed=seed)
        for values, clf in zip(found.values(), (words, head, full), strict=True):
            values.append((clf.predict(texts) == wanted).mean())
    gaps = {
        f"{better} − {worse}": np.subtract(found[better], found[worse])
        for worse, better in zip(list(found), list(found)[1:], strict=False)
    }
    rows = [[how, percent(values), f"{100 * min(values):.2f}"] for how, values in (found | gaps).items()]
    return (
        "Intents, the world",
        f"""{len(scored):,} English test sentences, ten intents; five seeds, each with another nine tenths of the
training sentences.

{report.table(["", "right, %", "least of the five, %"], rows)}

{out_of_scope(made, frozen, validate)}""",
    )


def out_of_scope(made, enc, validate):
    """How well sentences that want none of the ten are told from those that want one."""
    rows = made.utterances[made.utterances["lang"] == "en"]
    outside = {split: rows[(rows["intents"] == data.OUT_OF_SCOPE) & (rows["split"] == split)] for split in data.SPLITS}
    train, split = made.said(split="train"), "validation" if validate else "test"
    inside = made.said(split=split)["text"].tolist()
    texts = inside + outside[split]["text"].tolist()
    is_out = np.arange(len(texts)) >= len(inside)
    known = IntentClassifier(enc, C=3).fit(train["text"].tolist(), train["intents"].tolist(), progress=False)
    told = [*train["text"], *outside["train"]["text"]], [*train["intents"], *outside["train"]["intents"]]
    eleven = IntentClassifier(enc, C=3).fit(*told, progress=False)
    column = eleven.classes_.tolist().index(data.OUT_OF_SCOPE)
    scores = {
        "the highest probability": -known.predict_proba(texts).max(axis=1),
        "energy, the log of the summed exponentials": -logsumexp(known.decision_function(texts), axis=1),
        "an eleventh class, trained on sentences outside": eleven.predict_proba(texts)[:, column],
    }
    lines = [[how, f"{roc_auc_score(is_out, score):.3f}"] for how, score in scores.items()]
    about = f"{is_out.sum()} sentences that want none of the ten, against the {len(inside):,} others:"
    return f"{about}\n\n{report.table(['told apart by', 'area under the curve'], lines)}"


PARTS = {
    "few": few,
    "banking77": lambda validate: public("banking77", validate),
    "massive-en": lambda validate: public("massive-en", validate),
    "world": world,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--validate", action="store_true", help="score held-out training questions, write nothing")
    asked = parser.parse_args()
    if unknown := set(asked.part) - set(PARTS):
        parser.error(f"PART must be among {', '.join(PARTS)}, got {min(unknown)}")
    for name in asked.part or PARTS:
        title, body = PARTS[name](asked.validate)
        print(body) if asked.validate else report.write(title, body)


if __name__ == "__main__":
    main()
