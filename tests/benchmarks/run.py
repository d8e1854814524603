"""Measure the speed of encoder, search, start and world, against peers in alternating runs of one session.

The peers live in an environment of their own, build/peers, which is made when it is not there.
"""

import argparse
import datetime
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from reclab import data, fetch
from tests.benchmarks import report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ROOT / "build" / "peers"
SEARCH = {"queries": 1000, "items": 100_000, "dim": 384, "k": 100}


def peers():
    """The Python of the peers' environment, made anew when their requirements change."""
    wanted = hashlib.sha256((HERE / "peer_requirements.txt").read_bytes()).hexdigest()
    stamp, python = PEERS / "made-from", PEERS / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print("bench: making build/peers (PyTorch, sentence-transformers, faiss) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "peer_requirements.txt")]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return python


def mixed_texts(n=2000, seed=0):
    """English of mixed length, cut from the world's descriptions: 2 to 220 words, half of them under 20."""
    rng = np.random.default_rng(seed)
    words = " ".join(data.load("world").texts()).split()
    lengths = np.clip(rng.lognormal(2.9, 0.8, n), 2, 220).astype(int)
    return [" ".join(words[start : start + m]) for m in lengths for start in [rng.integers(0, len(words) - m)]]


class Side:
    """A worker process that is asked one task after the other."""

    def __init__(self, python, name, texts):
        command = [str(python), str(HERE / "worker.py"), name, str(fetch.folder("minilm"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.send(texts)

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, task, **arguments):
        self.send({"task": task, **arguments})
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker {self.process.args[2]} ended with code {self.process.wait()} at {task}.")
        return json.loads(answer)


def encoder(ours, peer, rounds, bar):
    """Texts a second, ours and theirs alternating, after one round that does not count."""
    sides = {"float32": (ours, "float32"), "bfloat16": (ours, "bfloat16"), "peer": (peer, "float32")}
    taken, found = {name: [] for name in sides}, {}
    for turn in range(rounds + 1):
        for name, (side, precision) in sides.items():
            answer = side.ask("encode", precision=precision)
            found[name] = np.array(answer["vectors"])
            if turn:
                taken[name].append(answer["seconds"])
            bar.update()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    work = ours.ask("flops")
    return {
        "medians": medians,
        "work": work,
        "peaks": {name: ours.ask("matmul", precision=name)["gflops"] for name in ("float32", "bfloat16")},
        "off": float(np.abs(found["float32"] - found["peer"]).max()),
        "cosine": float((found["bfloat16"] * found["peer"]).sum(axis=1).min()),
    }


def search(ours, peer, rounds, bar):
    taken = {"ours": [], "peer": []}
    for turn in range(rounds + 1):
        answer = ours.ask("search", **SEARCH)
        theirs = peer.ask("search", **SEARCH)
        if turn:
            taken["ours"].append(answer["seconds"])
            taken["peer"].append(theirs["seconds"])
        bar.update(2)
    same = ours.ask("naive", k=SEARCH["k"])["same"]
    return {
        "medians": {name: statistics.median(values) for name, values in taken.items()},
        "extra": answer["extra_mb"],
        "same": same,
    }


def start_up(rounds=7):
    """Seconds to import the package and to recommend from cold, in processes of their own."""

    def median(command):
        taken = []
        for _ in range(rounds):
            begin = datetime.datetime.now()
            subprocess.run(command, check=True, capture_output=True)
            taken.append((datetime.datetime.now() - begin).total_seconds())
        return statistics.median(taken)

    recommend = [sys.executable, "-m", "reclab", "recommend", "I want to learn jazz piano", "--json"]
    return {"import": median([sys.executable, "-c", "import reclab"]), "recommend": median(recommend)}


def world(bar):
    """Make the world anew: is every byte as shipped, how long does it take, and how long ten times the people?"""
    with tempfile.TemporaryDirectory() as folder:
        taken = {}
        for people in (2000, 20_000):
            out = Path(folder, str(people))
            command = [sys.executable, str(data.WORLD / "make_world.py"), "--out", str(out), "--people", str(people)]
            begin = time.monotonic()
            subprocess.run([*command, "--only", "log"], check=True, capture_output=True)
            taken[people] = time.monotonic() - begin
            bar.update()
        out = Path(folder, "2000")
        subprocess.run([sys.executable, str(data.WORLD / "make_world.py"), "--out", str(out)], check=True)
        made = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        other = [name for name, content in made.items() if (data.WORLD / name).read_bytes() != content]
        log = [len(data.load(Path(folder, str(people))).events) for people in taken]
        bar.update()
    size = sum(path.stat().st_size for path in data.WORLD.rglob("*") if path.suffix != ".pyc" and path.is_file())
    return {"taken": taken, "log": log, "files": len(made), "other": other, "size": size}


def report_encoder(enc, texts, rounds):
    m, work, peaks = enc["medians"], enc["work"], enc["peaks"]
    rows = []
    labels = {"peer": "sentence-transformers", "float32": "reclab, float32", "bfloat16": "reclab, bfloat16"}
    for name, label in labels.items():
        gflops = work["flops"] / m[name] / 1e9
        share = f"{gflops:.0f} of {peaks[name]:.0f}" if name in peaks else f"{gflops:.0f}"
        rows.append([label, f"{m[name]:.2f}", f"{len(texts) / m[name]:.0f}", f"{m['peer'] / m[name]:.2f}", share])
    report.write(
        "Encoder",
        f"""The same {len(texts):,} texts of mixed length ({work["tokens"]:,} tokens), MiniLM; medians of {rounds}.
GFLOP/s count the network's work on real tokens, against the best matrix product that TensorFlow reaches here.

{report.table(["", "seconds", "texts/s", "ratio to the peer", "GFLOP/s"], rows)}

Largest difference of float32 to the peer: {enc["off"]:.1e}.
Smallest cosine of bfloat16 to the peer: {enc["cosine"]:.5f}.""",
    )


def report_search(found, rounds):
    s = found["medians"]
    rows = [["faiss-cpu, IndexFlatIP", f"{s['peer']:.3f}", "1.00"]]
    rows += [["reclab, rank.top_k", f"{s['ours']:.3f}", f"{s['peer'] / s['ours']:.2f}"]]
    report.write(
        "Search",
        f"""{SEARCH["queries"]:,} queries × {SEARCH["items"]:,} items × {SEARCH["dim"]}, k = {SEARCH["k"]};
medians of {rounds}.

{report.table(["", "seconds", "ratio to the peer"], rows)}

The same items in the same order as sorting every float64 product: {"yes" if found["same"] else "NO"}.
Peak memory beyond the input: {found["extra"]:.0f} MB.""",
    )


def report_starting(started):
    rows = [["`import reclab`, a new process, Python's own start included", f"{started['import']:.3f}"]]
    rows += [['`python -m reclab recommend "..."`, a new process', f"{started['recommend']:.1f}"]]
    report.write("Starting", report.table(["", "seconds"], rows))


def report_world(made):
    small, large = made["taken"].values()
    rows = [["the log of 2,000 people", f"{made['log'][0]:,}", f"{small:.1f}", "1.0"]]
    rows += [["the log of 20,000 people", f"{made['log'][1]:,}", f"{large:.1f}", f"{large / small:.1f}"]]
    report.write(
        "The world",
        f"""{report.table(["", "events", "seconds", "ratio"], rows)}

Made anew, these of {made["files"]} files differ from what is shipped:
{", ".join(map(str, made["other"][:5])) or "none"}.
The folder has {made["size"] / 1e6:.1f} MB.""",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each side that count (default: 7)")
    rounds = parser.parse_args().rounds
    texts, python = mixed_texts(), peers()
    with tqdm(total=5 * (rounds + 1) + 3, desc="bench", unit="run") as bar:
        made = world(bar)
        ours, peer = Side(sys.executable, "ours", texts), Side(python, "peer", texts)
        found = search(ours, peer, rounds, bar)
        enc = encoder(ours, peer, rounds, bar)
    report_encoder(enc, texts, rounds)
    report_search(found, rounds)
    report_starting(start_up())
    report_world(made)


if __name__ == "__main__":
    main()
