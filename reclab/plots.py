"""Draw each recurring figure on a given `ax`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Told apart with every kind of colour vision (Okabe and Ito 2008, "Color Universal Design").
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#bbbbbb"
TEN = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#8c6d31", "#222222", "#bbbbbb")


def style() -> None:
    """The look of the course's figures: titles at the left, no frame, sharp enough for a projector."""
    plt.rcParams.update({"figure.dpi": 90, "axes.titlelocation": "left"})
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})


def intervals(
    ax: Axes, found: Mapping[str, object], colour: str | Sequence[str] = BLUE, *, shift: float = 0.0, label: str = ""
) -> None:
    """One row a name, the first at the top: a dot at the mean, a line over the interval.

    Args:
        ax: where to draw.
        found: name -> an estimate with `mean`, `low` and `high`, as `evaluate.interval` and `evaluate.compare` give it.
        colour: of all rows, or one a row.
        shift: down, in rows; so that several series with the same names can share the rows.
        label: of the series, for a legend.

    >>> from reclab import evaluate
    >>> _, ax = plt.subplots()
    >>> intervals(ax, {"EASE": evaluate.Estimate(0.11, 0.10, 0.12), "text": evaluate.Estimate(0.02, 0.01, 0.03)})
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['EASE', 'text']
    >>> plt.close()
    """
    colours = [colour] * len(found) if isinstance(colour, str) else colour
    for row, (each, shade) in enumerate(zip(found.values(), colours, strict=True)):
        ax.plot([each.low, each.high], [row + shift] * 2, color=shade, lw=3)
        ax.plot(each.mean, row + shift, "o", color=shade, ms=8, label=label if row == 0 else None)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.4, -0.6)
