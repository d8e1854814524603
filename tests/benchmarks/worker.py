"""One side of a benchmark, in its own process: reads a task a line, answers with one line of JSON.

`worker.py ours` and `worker.py our-rankers` run in the project's environment, `worker.py peer` (sentence-transformers,
faiss) and `worker.py peer-rankers` (implicit) in the peers'.
Tasks come as JSON objects: {"task": name, ...}; see the functions below.
"""

import contextlib
import json
import sys
import threading
import time

import numpy as np
import psutil


def vectors(seed, n, dim):
    """Unit vectors, the same on both sides."""
    made = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def extra_memory(function):
    """How many MB the process grows beyond what it had while the function runs, looked at every 2 ms."""
    process, over, most = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def watch():
        while not over.wait(0.002):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    over.set()
    watcher.join()
    return (most[0] - before) / 1e6


class Ours:
    """reclab."""

    def __init__(self, texts, folder):
        import tensorflow as tf

        from reclab import encoder, rank

        self.tf, self.texts, self.enc, self.rank = tf, texts, encoder.load(folder), rank

    def encode(self, precision):
        taken, found = seconds(lambda: self.enc.encode(self.texts, precision=precision))
        return {"seconds": taken, "vectors": found[:20].tolist()}

    def matmul(self, precision):
        """The best of several large matrix products, in GFLOP/s."""
        a, b = (self.tf.cast(self.tf.random.normal(shape), precision) for shape in ((4096, 2048), (2048, 4096)))
        taken = [seconds(lambda: self.tf.reduce_sum(self.tf.matmul(a, b)[0]).numpy())[0] for _ in range(8)]
        return {"gflops": 2 * 4096 * 2048 * 4096 / min(taken) / 1e9}

    def flops(self):
        """Multiplications and additions of the network on the tokens of the texts, without padding."""
        c = self.enc.bert.config
        lengths = np.array([len(ids) for ids in self.enc.tokenize(self.texts)], float)
        dense = 4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
        a_token = 2 * dense + 4 * lengths * c.hidden_size
        return {"flops": float(c.num_hidden_layers * (lengths * a_token).sum()), "tokens": int(lengths.sum())}

    def search(self, queries, items, dim, k):
        if not hasattr(self, "found"):
            self.queries, self.items = vectors(1, queries, dim), vectors(2, items, dim)
            self.rank.top_k(self.queries[:8], self.items[:5000], k)
            self.extra_mb = extra_memory(lambda: self.rank.top_k(self.queries, self.items, k))
        taken, self.found = seconds(lambda: self.rank.top_k(self.queries, self.items, k))
        return {"seconds": taken, "extra_mb": self.extra_mb}

    def tune(self, epochs, batch_size, length):
        """Seconds of each epoch of fine-tuning all weights; the texts' labels are their own order, modulo ten."""
        import keras

        from reclab import text, training

        tf, enc = self.tf, self.enc.copy()
        ids, mask = text.pad([sequence[:length] for sequence in [[0] * length, *enc.tokenize(self.texts)]])
        wanted = np.eye(10, dtype=np.float32)[np.arange(len(self.texts)) % 10]
        rows = [slice(i, i + batch_size) for i in range(0, len(wanted), batch_size)]
        batches = [(ids[1:][some], mask[1:][some], wanted[some]) for some in rows]
        head = [keras.Variable(np.zeros((enc.dim, 10), np.float32)), keras.Variable(np.zeros(10, np.float32))]

        def loss(ids, mask, wanted):
            logits = tf.matmul(enc.forward(ids, mask, training=True), head[0]) + head[1]
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))

        changing = [v for v in enc.bert.trainable_variables if "pooler" not in v.path] + head
        settings = {"epochs": epochs, "learning_rate": 5e-5, "progress": False}
        history = training.train(loss, changing, lambda epoch: batches, **settings)
        return {"seconds": [epoch["seconds"] for epoch in history]}

    def naive(self, k):
        """Whether sorting every float64 product gives the same items in the same order."""
        same = True
        for start in range(0, len(self.queries), 100):
            scores = (self.queries[start : start + 100].astype(float) @ self.items.astype(float).T).astype(np.float32)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            same = same and np.array_equal(order, self.found[0][start : start + 100])
        return {"same": bool(same)}


class Peer:
    """sentence-transformers and faiss."""

    def __init__(self, texts, folder):
        from sentence_transformers import SentenceTransformer

        self.texts, self.folder, self.model = texts, folder, SentenceTransformer(folder, device="cpu")

    def encode(self, precision):
        taken, found = seconds(lambda: self.model.encode(self.texts))
        return {"seconds": taken, "vectors": found[:20].tolist()}

    def search(self, queries, items, dim, k):
        import faiss

        if not hasattr(self, "index"):
            self.index = faiss.IndexFlatIP(dim)
            self.index.add(vectors(2, items, dim))
            self.queries = vectors(1, queries, dim)
        return {"seconds": seconds(lambda: self.index.search(self.queries, k))[0]}

    def tune(self, epochs, batch_size, length):
        """As ours, by the Trainer of transformers at its usual settings."""
        import tempfile

        import torch
        from transformers import AutoModel, Trainer, TrainerCallback, TrainingArguments

        class Classifier(torch.nn.Module):
            def __init__(self, folder):
                super().__init__()
                self.bert, self.head = AutoModel.from_pretrained(folder), torch.nn.Linear(384, 10)

            def forward(self, input_ids, attention_mask, labels):
                tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
                mean = torch.nn.functional.normalize((tokens * attention_mask[:, :, None]).sum(1), dim=-1)
                logits = self.head(mean)
                return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

        class Clock(TrainerCallback):
            def __init__(self):
                self.times = [time.perf_counter()]

            def on_epoch_end(self, *_, **__):
                self.times.append(time.perf_counter())

        options = {"padding": "max_length", "truncation": True, "max_length": length, "return_tensors": "pt"}
        read = self.model.tokenizer(self.texts, **options)
        rows = [
            {"input_ids": ids, "attention_mask": mask, "labels": i % 10}
            for i, (ids, mask) in enumerate(zip(read["input_ids"], read["attention_mask"], strict=True))
        ]
        with tempfile.TemporaryDirectory() as folder:
            settings = {"per_device_train_batch_size": batch_size, "num_train_epochs": epochs, "learning_rate": 5e-5}
            settings |= {"save_strategy": "no", "report_to": "none", "use_cpu": True, "disable_tqdm": True}
            arguments = TrainingArguments(folder, weight_decay=0.01, warmup_steps=0.1, **settings)
            clock = Clock()
            trainer = Trainer(Classifier(self.folder), arguments, train_dataset=rows, callbacks=[clock])
            clock.times[0] = time.perf_counter()
            trainer.train()
        return {"seconds": np.diff(clock.times).tolist()}


def meetings(people, items, each):
    """Who met what, the same on both sides: rows and columns, every person `each` different items, some far oftener."""
    rng = np.random.default_rng(0)
    odds = 1 / (10 + np.arange(items))
    columns = [rng.choice(items, each, replace=False, p=odds / odds.sum()) for _ in range(people)]
    return np.repeat(np.arange(people), each), np.concatenate(columns)


class OurRankers:
    """reclab.rank; a process of its own for each ranker, so that its memory can be told."""

    def __init__(self, texts, folder):
        from reclab import data, rank

        self.data, self.rank = data, rank

    def fit(self, name, people, items, each):
        import pandas as pd

        person, item = meetings(people, items, each)
        time = np.sort(np.random.default_rng(1).integers(0, 10**6, len(person))).astype("datetime64[s]")
        ids = pd.RangeIndex(people), pd.RangeIndex(items)
        made = {
            "popularity": self.rank.Popularity,
            "neighbours": lambda: self.rank.ItemKNN(neighbours=100),
            "EASE": lambda: self.rank.EASE(l2=100.0),
            "ALS": lambda: self.rank.ALS(factors=64, iterations=1),
            "text": lambda: self.rank.TextProfile(vectors(2, items, 384)),
        }
        self.ranker, self.met = made[name](), self.data.Interactions(*ids, person, item, time)
        return {"seconds": seconds(lambda: self.ranker.fit(self.met))[0]}

    def recommend(self, k):
        return {"seconds": seconds(lambda: self.ranker.recommend(self.met.people, k))[0]}

    def memory(self):
        """The most that this process has held, in MB."""
        import resource

        return {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}

    def naive_ease(self):
        """The closed form as it stands in the paper, in float64: seconds, and the largest difference of a weight."""
        met = self.ranker.seen_.toarray().astype(float)

        def solve():
            inverse = np.linalg.inv(met.T @ met + 100.0 * np.eye(met.shape[1]))
            weights = inverse / -np.diag(inverse)
            np.fill_diagonal(weights, 0)
            return weights

        taken, weights = seconds(solve)
        return {"seconds": taken, "off": float(np.abs(weights - self.ranker.weights_).max())}


class PeerRankers:
    """implicit."""

    def __init__(self, texts, folder):
        pass

    def fit(self, name, people, items, each):
        from implicit.als import AlternatingLeastSquares
        from implicit.nearest_neighbours import CosineRecommender
        from scipy.sparse import csr_matrix

        person, item = meetings(people, items, each)
        self.met = csr_matrix((np.ones(len(person), np.float32), (person, item)), (people, items))
        made = {
            "neighbours": lambda: CosineRecommender(K=100),
            "ALS": lambda: AlternatingLeastSquares(factors=64, iterations=1),
        }
        self.ranker = made[name]()
        return {"seconds": seconds(lambda: self.ranker.fit(self.met, show_progress=False))[0]}

    def recommend(self, k):
        everyone = np.arange(self.met.shape[0])
        return {"seconds": seconds(lambda: self.ranker.recommend(everyone, self.met, N=k))[0]}


SIDES = {"ours": Ours, "peer": Peer, "our-rankers": OurRankers, "peer-rankers": PeerRankers}


def main():
    side = SIDES[sys.argv[1]](json.loads(sys.stdin.readline()), sys.argv[2])
    for line in sys.stdin:
        task = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # the answer is all that may stand there
            answer = getattr(side, task.pop("task"))(**task)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
