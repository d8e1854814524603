"""Follow the gradient: AdamW with warm-up, clipping and early stopping, and a run that survives a kill."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from reclab import fetch

Batch = tuple[np.ndarray, ...]


def warm_up_then_linear(step: int, *, peak: float, warm_up: int, steps: int) -> float:
    """The learning rate at a step, from 0: a rise to `peak`, then a fall to zero, as BERT's authors had it.

    >>> [round(warm_up_then_linear(step, peak=0.1, warm_up=2, steps=6), 3) for step in range(6)]
    [0.05, 0.1, 0.1, 0.075, 0.05, 0.025]
    """
    rise = (step + 1) / max(1, warm_up)
    fall = (steps - step) / max(1, steps - warm_up)
    return peak * min(1, rise, fall)


class AdamW:
    """Adam with decoupled weight decay and clipped gradients (Loshchilov and Hutter, arXiv:1711.05101).

    Keras's optimizer of this name does the same in several passes over the weights, TensorFlow's fused kernel in one.

    Args:
        variables: what will change. Those with one axis (biases, normalisation) do not decay.
        weight_decay: how much each weight shrinks a step, times the rate.
        clip: the gradient's length over all variables is cut to this.

    Attributes:
        state: the number of steps and the two moments of each variable.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, variables: Sequence[keras.Variable], *, weight_decay: float, clip: float):
        self.variables = [variable.value for variable in variables]
        self.weight_decay, self.clip = weight_decay, clip
        self.count = tf.Variable(0.0)
        self.first, self.second = ([tf.Variable(tf.zeros_like(v)) for v in self.variables] for _ in range(2))
        self.state = [self.count, *self.first, *self.second]

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        self.count.assign_add(1.0)
        shared = {"lr": rate, "beta1": self.BETA_1, "beta2": self.BETA_2, "epsilon": self.EPSILON}
        shared |= {"beta1_power": self.BETA_1**self.count, "beta2_power": self.BETA_2**self.count}
        gradients, _ = tf.clip_by_global_norm(gradients, self.clip)
        for variable, gradient, m, v in zip(self.variables, gradients, self.first, self.second, strict=True):
            if len(variable.shape) > 1:
                variable.assign_sub(rate * self.weight_decay * variable)
            moments = {"var": variable.handle, "m": m.handle, "v": v.handle}
            tf.raw_ops.ResourceApplyAdam(**moments, grad=tf.convert_to_tensor(gradient), **shared)


def train(
    loss: Callable[..., tf.Tensor],
    variables: Sequence[keras.Variable],
    batches: Callable[[int], Sequence[Batch]],
    *,
    epochs: int,
    learning_rate: float,
    warm_up: float = 0.1,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    loss_scale: float = 1.0,
    validate: Callable[[], float] | None = None,
    patience: int = 2,
    seeds: Sequence[keras.Variable] = (),
    checkpoint: Path | None = None,
    key: str = "",
    progress: bool = True,
) -> list[dict]:
    """Change `variables` so that `loss` falls, batch after batch, and leave them as they were at their best.

    Args:
        loss: from the arrays of a batch to one number.
        variables: what may change.
        batches: from the number of the epoch, 0, 1, ..., to its batches; every epoch has equally many.
        epochs: how often all batches are seen, at most.
        learning_rate: at its highest.
        warm_up: the share of all steps in which the rate rises; then it falls to zero at the last step.
        weight_decay: as in `AdamW`.
        clip: as in `AdamW`.
        loss_scale: with it the loss is multiplied before it is differentiated, and the gradient divided after, so that
            small numbers survive float16 (Micikevicius et al., arXiv:1710.03740). Above 1, a step whose gradient is not
            finite is left out.
        validate: what is to be low after an epoch. Without it every epoch counts as better than the one before.
        patience: stop after so many epochs without a better one.
        seeds: the states of random layers, kept with a checkpoint.
        checkpoint: a file that keeps the run after every epoch. If it exists, the run goes on from there, and ends with
            the same numbers as if it had never stopped.
        key: says which run it is; a checkpoint of another run is refused.
        progress: show a bar.

    Returns:
        For each epoch its loss (mean over the batches), seconds, and what `validate` gave, if it is there.

    Raises:
        ValueError: a number is out of range, the loss is not finite, or the checkpoint is damaged or of another run.
    """
    if epochs < 1 or learning_rate <= 0 or patience < 1:
        rules = "epochs and patience must be at least 1, learning_rate above 0"
        raise ValueError(f"{rules}, got {epochs}, {patience} and {learning_rate}.")
    first = batches(0)
    steps = epochs * len(first)
    schedule = {"peak": learning_rate, "warm_up": round(warm_up * steps), "steps": steps}
    optimizer = AdamW(variables, weight_decay=weight_decay, clip=clip)
    shapes = [tf.TensorSpec([None] * array.ndim, array.dtype) for array in first[0]]

    @tf.function(input_signature=[tf.TensorSpec([]), *shapes])
    def step(rate, *batch):
        with tf.GradientTape() as tape:
            value = loss(*batch)
            scaled = value * loss_scale
        gradients = tape.gradient(scaled, optimizer.variables)
        if loss_scale != 1:
            gradients = [tf.convert_to_tensor(gradient) / loss_scale for gradient in gradients]
        if loss_scale == 1 or tf.math.is_finite(tf.linalg.global_norm(gradients)):
            optimizer.apply(gradients, rate)
        return value

    state = _State(checkpoint, key, [*variables, *optimizer.state, *seeds], variables)
    history = state.read()
    with tqdm(total=steps, initial=len(history) * len(first), desc="train", unit="step", disable=not progress) as bar:
        while len(history) < epochs and not _waited(history, patience):
            epoch, start, values = len(history), time.monotonic(), []
            for i, batch in enumerate(first if epoch == 0 else batches(epoch), start=epoch * len(first)):
                rate = tf.constant(warm_up_then_linear(i, **schedule), tf.float32)
                values.append(float(step(rate, *map(tf.constant, batch))))
                bar.update()
                if not np.isfinite(values[-1]):
                    raise ValueError(f"the loss became {values[-1]} in epoch {epoch + 1}: lower learning_rate.")
            history.append({"loss": float(np.mean(values)), "seconds": time.monotonic() - start})
            if validate:
                history[-1]["validation_loss"] = float(validate())
            if _best(history) == epoch:
                state.keep()
            state.write(history)
            bar.set_postfix({name: f"{value:.3f}" for name, value in history[-1].items() if "loss" in name})
    state.give_back()
    return history


def _best(history):
    """The epoch with the lowest validation loss; without validation the last."""
    return min(range(len(history)), key=lambda i: (history[i].get("validation_loss", 0), -i))


def _waited(history, patience):
    return bool(history) and len(history) - 1 - _best(history) >= patience


class _State:
    """Everything that a run needs to go on, in memory and in one safetensors file."""

    def __init__(self, path, key, variables, weights):
        self.path, self.key, self.variables, self.weights = path and Path(path), key, variables, weights
        self.best = None

    def keep(self):
        self.best = [variable.numpy() for variable in self.weights]

    def give_back(self):
        for variable, value in zip(self.weights, self.best, strict=True):
            variable.assign(value)

    def write(self, history):
        if self.path:
            tensors = {f"state.{i}": np.asarray(variable) for i, variable in enumerate(self.variables)}
            tensors |= {f"best.{i}": value for i, value in enumerate(self.best)}
            with fetch.writing(self.path) as file:
                save_file(tensors, file.name, {"key": self.key, "history": json.dumps(history)})

    def read(self):
        """The history of the run so far, its variables put in place; none if there is no checkpoint."""
        if not (self.path and self.path.exists()):
            return []
        try:
            with safe_open(self.path, "np") as file:
                told = file.metadata() or {}
                if told.get("key") != self.key:
                    other = "belongs to a run with other texts, labels, weights or settings"
                    raise ValueError(f"{self.path} {other}; delete it or name another file.")
                for i, variable in enumerate(self.variables):
                    variable.assign(file.get_tensor(f"state.{i}"))
                self.best = [file.get_tensor(f"best.{i}") for i in range(len(self.weights))]
        except SafetensorError as error:
            raise ValueError(f"{self.path} cannot be read as a checkpoint ({error}); delete it.") from error
        return json.loads(told["history"])
