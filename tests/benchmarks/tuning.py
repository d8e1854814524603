"""Fine-tune all weights: an epoch of ours against the Trainer of transformers, all else being equal."""

import argparse
import statistics
import sys

from tqdm import tqdm

from reclab import data
from tests.benchmarks import report
from tests.benchmarks.run import Side, peers

EPOCHS, BATCH, LENGTH = 3, 32, 24


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side (default: 2)")
    rounds = parser.parse_args().rounds
    texts = data.load("world").said(split="train")["text"].tolist()
    sides = {"ours": Side(sys.executable, "ours", texts), "peer": Side(peers(), "peer", texts)}
    first, later = {name: [] for name in sides}, {name: [] for name in sides}
    with tqdm(total=2 * rounds, desc="fine-tuning", unit="run") as bar:
        for _ in range(rounds):
            for name, side in sides.items():
                taken = side.ask("tune", epochs=EPOCHS, batch_size=BATCH, length=LENGTH)["seconds"]
                first[name].append(taken[0])
                later[name] += taken[1:]
                bar.update()
    rows = []
    for epoch, found in {"first, tracing included": first, "later": later}.items():
        ours, peer = (statistics.median(found[name]) for name in ("ours", "peer"))
        rows.append([epoch, f"{ours:.1f}", f"{peer:.1f}", f"{peer / ours:.2f}"])
    report.write(
        "Fine-tuning, speed",
        f"""An epoch over the world's {len(texts):,} English training sentences, {BATCH} a batch, padded to {LENGTH}
tokens, all weights of MiniLM by AdamW in float32; {rounds} runs of {EPOCHS} epochs each.

{report.table(["epoch", "reclab, s", "transformers' Trainer (PyTorch), s", "ratio"], rows)}""",
    )


if __name__ == "__main__":
    main()
