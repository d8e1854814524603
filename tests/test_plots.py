import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from reclab import evaluate, plots


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close()


def test_the_first_row_is_at_the_top_and_lines_end_where_intervals_do(ax):
    found = {"a": evaluate.Estimate(2.0, 1.0, 4.0), "b": evaluate.Difference(-1.0, -3.0, 0.5, p=0.1)}
    plots.intervals(ax, found, ["red", "blue"], shift=0.25, label="series")
    lines = [(line.get_color(), line.get_xdata().tolist(), line.get_ydata().tolist()) for line in ax.lines]
    assert lines == [
        ("red", [1.0, 4.0], [0.25, 0.25]),
        ("red", [2.0], [0.25]),
        ("blue", [-3.0, 0.5], [1.25, 1.25]),
        ("blue", [-1.0], [1.25]),
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.yaxis_inverted()
    assert ax.get_legend_handles_labels()[1] == ["series"]


def test_several_series_share_the_rows(ax):
    for shift in (-0.2, 0.2):
        plots.intervals(ax, {"a": evaluate.Estimate(0.0, -1.0, 1.0)}, shift=shift)
    low, high = sorted(ax.get_ylim())
    assert all(low < line.get_ydata()[0] < high for line in ax.lines)
    assert ax.get_legend_handles_labels()[1] == []


def test_a_colour_a_row(ax):
    with pytest.raises(ValueError, match="zip"):
        plots.intervals(ax, {"a": evaluate.Estimate(0.0, -1.0, 1.0)}, ["red", "blue"])
