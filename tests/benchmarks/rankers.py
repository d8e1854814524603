"""How fast the rankers are, against implicit in alternating runs of one session, and how time grows with the items."""

import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tqdm import tqdm

from reclab import fetch, plots
from tests.benchmarks import report
from tests.benchmarks.run import Side, peers

SIZE = {"people": 10_000, "items": 10_000, "each": 100}
ROUNDS, K = 3, 10
GROWTH = (1_000, 3_000, 10_000, 30_000, 100_000)
GROWING = {"popularity": plots.GREY, "neighbours": plots.BLUE, "text": plots.GREEN, "EASE": plots.ORANGE}
FIGURE = Path(__file__).with_name("growth.png")


def against(bar):
    """For each ranker: medians of fitting and of recommending, ours and theirs, and our memory."""
    rows = []
    for name, has_peer in {"neighbours": True, "ALS": True, "EASE": False}.items():
        sides = {"ours": Side(sys.executable, "our-rankers", [])}
        if has_peer:
            sides["peer"] = Side(peers(), "peer-rankers", [])
        taken = {}
        for _ in range(ROUNDS):
            for side, process in sides.items():
                taken.setdefault((side, "fit"), []).append(process.ask("fit", name=name, **SIZE)["seconds"])
                taken.setdefault((side, "recommend"), []).append(process.ask("recommend", k=K)["seconds"])
                bar.update()
        medians = {key: statistics.median(values) for key, values in taken.items()}
        memory = sides["ours"].ask("memory")["mb"]
        for what in ("fit", "recommend"):
            ours, theirs = medians["ours", what], medians.get(("peer", what))
            compared = [f"{theirs:.2f}", f"{theirs / ours:.2f}"] if theirs else ["", ""]
            rows.append([f"{name}, {what}", f"{ours:.2f}", *compared, f"{memory:,.0f}"])
        if name == "EASE":
            naive = sides["ours"].ask("naive_ease")
            rows[-2][2:4] = [f"{naive['seconds']:.2f} (naive)", f"{naive['seconds'] / medians['ours', 'fit']:.2f}"]
            off = naive["off"]
    return rows, off


def growth(bar):
    """Seconds to fit and to recommend to 2,000 people who met 50 items each, for more and more items."""
    found = {}
    for name in GROWING:
        for items in GROWTH:
            if name == "EASE" and items > 10_000:
                continue
            side = Side(sys.executable, "our-rankers", [])
            fitted = side.ask("fit", name=name, people=2000, items=items, each=50)["seconds"]
            found[name, items] = fitted + side.ask("recommend", k=K)["seconds"]
            bar.update()
    return found


def draw(found):
    plots.style()
    fig, ax = plt.subplots(figsize=(7, 4))
    for name, colour in GROWING.items():
        sizes = [items for items in GROWTH if (name, items) in found]
        ax.loglog(sizes, [found[name, items] for items in sizes], "o-", color=colour, lw=2, label=name)
    ax.set(xlabel="items", ylabel="seconds, to fit and to recommend")
    ax.set_title("EASE and neighbours compare all pairs of items; text reads each item once")
    ax.legend(frameon=False)
    with fetch.writing(FIGURE) as file:
        fig.savefig(file, format="png", bbox_inches="tight")


def main():
    with tqdm(total=5 * ROUNDS + 3 * len(GROWTH) + 3, desc="rankers", unit="run") as bar:
        rows, off = against(bar)
        found = growth(bar)
    draw(found)
    columns = ["", "reclab, s", "peer, s", "ratio", "our process, MB"]
    names = [[name, *(f"{found[name, n]:.2f}" if (name, n) in found else "" for n in GROWTH)] for name in GROWING]
    report.write(
        "Rankers",
        f"""{SIZE["people"]:,} people, {SIZE["items"]:,} items, {SIZE["each"]} meetings a person; medians of {ROUNDS}
runs, the peer is implicit. Recommending is {K} items for everybody, seen ones excluded. ALS: 64 factors, one iteration.
The naive EASE is the paper's closed form in float64 NumPy; no weight of ours differs from it by more than {off:.1e}.

{report.table(columns, rows)}

Seconds to fit and to recommend to 2,000 people who met 50 items each. EASE holds a number for each pair of items and
ends where memory does.

{report.table(["items", *(f"{n:,}" for n in GROWTH)], names)}

![Time over the number of items]({FIGURE.name})""",
    )


if __name__ == "__main__":
    main()
