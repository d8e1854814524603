"""Draw each recurring figure on a given `ax`."""

import matplotlib.pyplot as plt

# Told apart with every kind of colour vision (Okabe and Ito 2008, "Color Universal Design").
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#bbbbbb"
TEN = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#8c6d31", "#222222", "#bbbbbb")


def style() -> None:
    """The look of the course's figures: titles at the left, no frame, sharp enough for a projector."""
    plt.rcParams.update({"figure.dpi": 90, "axes.titlelocation": "left"})
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
