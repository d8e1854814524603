"""One side of a benchmark, in its own process: reads a task a line, answers with one line of JSON.

`worker.py ours` runs in the project's environment, `worker.py peer` in the peers' (sentence-transformers, faiss).
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


def main():
    side = {"ours": Ours, "peer": Peer}[sys.argv[1]](json.loads(sys.stdin.readline()), sys.argv[2])
    for line in sys.stdin:
        task = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # the answer is all that may stand there
            answer = getattr(side, task.pop("task"))(**task)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
