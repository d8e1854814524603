import keras
import numpy as np
import pytest
import tensorflow as tf

from reclab.training import AdamW, train, warm_up_then_linear

X = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3).astype(np.float32)


class Line:
    """y = x w + b, with a random layer in front whose state is kept."""

    def __init__(self, dropout=0.0):
        self.w, self.b = keras.Variable(np.zeros((3, 1), np.float32)), keras.Variable(np.zeros(1, np.float32))
        self.dropout = keras.layers.Dropout(dropout, seed=5)
        self.seeds = [self.dropout.seed_generator.state] if dropout else []

    def loss(self, x, y):
        return tf.reduce_mean((tf.matmul(self.dropout(x, training=True), self.w) + self.b - y) ** 2)

    def batches(self, epoch):
        order = np.random.default_rng(epoch).permutation(len(X))
        return [(X[rows], Y[rows]) for rows in np.split(order, 6)]

    def fit(self, **options):
        options = {"epochs": 5, "learning_rate": 0.05, "progress": False} | options
        return train(self.loss, [self.w, self.b], self.batches, seeds=self.seeds, **options)


def naive_adamw(batches, epochs, peak, warm_up, decay, clip):
    """AdamW by the book, in float64: w and b of the line, with the gradients worked out by hand."""
    theta, m, v, t = np.zeros(4), np.zeros(4), np.zeros(4), 0
    steps = epochs * 6
    for epoch in range(epochs):
        for x, y in batches(epoch):
            x, y = x.astype(float), y.astype(float)
            error = x @ theta[:3, None] + theta[3] - y
            gradient = 2 * np.append((x * error).mean(axis=0), error.mean())
            gradient *= min(1, clip / np.linalg.norm(gradient))
            rate = peak * min(1, (t + 1) / warm_up, (steps - t) / (steps - warm_up))
            t += 1
            theta[:3] -= rate * decay * theta[:3]
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            theta -= rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return theta


def test_the_steps_are_those_of_the_book():
    line = Line()
    line.fit(epochs=4, learning_rate=0.1, warm_up=0.25, weight_decay=0.3, clip=0.5)
    expected = naive_adamw(line.batches, epochs=4, peak=0.1, warm_up=6, decay=0.3, clip=0.5)
    np.testing.assert_allclose(np.append(line.w.numpy(), line.b.numpy()), expected, atol=2e-5)


def test_a_scaled_loss_takes_the_same_steps():
    plain, scaled = Line(), Line()
    plain.fit()
    scaled.fit(loss_scale=1024.0)
    np.testing.assert_allclose(plain.w.numpy(), scaled.w.numpy(), rtol=1e-5)


def test_a_scaled_step_that_overflows_is_left_out():
    class Steep(Line):
        def loss(self, x, y):
            return super().loss(x, y) + tf.where(x[0, 0] > 9, tf.reduce_sum(tf.sqrt(self.w.value * 0)), 0)

        def batches(self, epoch):
            return [*super().batches(epoch), (X[:8] + 10, Y[:8])]  # its gradient is not a number, its loss is

    steep = Steep()
    history = steep.fit(epochs=1, loss_scale=8.0)
    assert np.isfinite(history[0]["loss"])
    assert np.isfinite(steep.w.numpy()).all()
    assert np.abs(steep.w.numpy()).max() > 0.01


def test_adamw_is_kerass_on_matrices_and_sparse_gradients():
    rng = np.random.default_rng(1)
    start = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 3), (3,))]
    ours, theirs = ([keras.Variable(value) for value in start] for _ in range(2))
    optimizer = AdamW(ours, weight_decay=0.2, clip=0.7)
    peer = keras.optimizers.AdamW(0.03, weight_decay=0.2, global_clipnorm=0.7)
    peer.exclude_from_weight_decay(var_list=[theirs[1]])
    for _ in range(20):
        rows = tf.constant(rng.normal(size=(2, 3)), tf.float32)
        gradients = [tf.IndexedSlices(rows, tf.constant([4, 1]), tf.constant([5, 3])), tf.constant([0.1, 2.0, -1.0])]
        optimizer.apply(gradients, tf.constant(0.03))
        peer.apply([tf.convert_to_tensor(gradients[0]), gradients[1]], theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)
    assert float(optimizer.count) == 20


def test_the_rate_rises_and_falls_in_straight_lines():
    found = [warm_up_then_linear(step, peak=2.0, warm_up=4, steps=10) for step in range(11)]
    np.testing.assert_allclose(found, [0.5, 1, 1.5, 2, 2, 5 / 3, 4 / 3, 1, 2 / 3, 1 / 3, 0], atol=1e-6)
    assert warm_up_then_linear(0, peak=2.0, warm_up=0, steps=10) == 2


def test_it_learns_the_line_and_tells_of_every_epoch():
    line = Line()
    history = line.fit(epochs=40, weight_decay=0.0)
    np.testing.assert_allclose(line.w.numpy().ravel(), [1, -2, 0.5], atol=0.02)
    assert len(history) == 40
    assert history[-1]["loss"] < 1e-3 < history[0]["loss"]


def test_the_best_epoch_is_kept_and_waiting_ends():
    line, seen, told = Line(), [], iter([3.0, 1.0, 2.0, 2.5, 0.0])

    def validate():
        seen.append(line.w.numpy().copy())
        return next(told)

    history = line.fit(epochs=9, validate=validate, patience=2)
    assert [epoch["validation_loss"] for epoch in history] == [3, 1, 2, 2.5]
    np.testing.assert_array_equal(line.w.numpy(), seen[1])
    assert not np.array_equal(seen[1], seen[3])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path, after):
    losses = [5.0, 4.0, 4.5, 3.0, 3.5]
    whole = Line(dropout=0.3)
    expected = whole.fit(validate=iter(losses).__next__, checkpoint=tmp_path / "whole")

    killed, values = Line(dropout=0.3), iter(losses)

    def dying():
        value = next(values)
        if value == losses[after]:
            raise Killed
        return value

    with pytest.raises(Killed):
        killed.fit(validate=dying, checkpoint=tmp_path / "run")
    again = Line(dropout=0.3)
    again.dropout.seed_generator.state.assign([9, 9])  # a new process starts anywhere
    history = again.fit(validate=iter(losses[after:]).__next__, checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(again.w.numpy(), whole.w.numpy())
    assert [epoch["loss"] for epoch in history] == [epoch["loss"] for epoch in expected]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["run", "whole"]


def test_a_finished_run_is_not_run_again(tmp_path):
    first, second = Line(), Line()
    history = first.fit(checkpoint=tmp_path / "run")
    assert second.fit(checkpoint=tmp_path / "run") == history
    np.testing.assert_array_equal(first.w.numpy(), second.w.numpy())


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "run"
    Line().fit(checkpoint=path, key="one")
    line = Line()
    with pytest.raises(ValueError, match=r"run belongs to a run with other texts, labels, weights or settings"):
        line.fit(checkpoint=path, key="two")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"run cannot be read as a checkpoint"):
        line.fit(checkpoint=path, key="one")
    assert not line.w.numpy().any()


def test_progress_can_be_silenced(capfd):
    Line().fit(epochs=1)
    assert capfd.readouterr().err == ""
    Line().fit(epochs=1, progress=True)
    assert "6/6" in capfd.readouterr().err


def test_bad_numbers_are_refused():
    for bad in ({"epochs": 0}, {"learning_rate": 0.0}, {"patience": 0}):
        with pytest.raises(ValueError, match="epochs and patience must be at least 1, learning_rate above 0"):
            Line().fit(**bad)
    with pytest.raises(ValueError, match=r"the loss became (nan|inf) in epoch \d+: lower learning_rate"):
        Line().fit(learning_rate=1e30, clip=1e30, epochs=9)
