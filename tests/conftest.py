import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from reclab import bert, encoder, fetch

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 12,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 10,
    "layer_norm_eps": 1e-12,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sea", "quiet", "run", "##ning", "book", "a", "茶"]


class Checkpoint:
    """A folder with a small BERT of random weights, whose parts a test may change before `write`."""

    def __init__(self, folder):
        self.folder, self.config = folder, dict(CONFIG)
        rng = np.random.default_rng(3)
        shapes = {
            name: tuple(variable.shape) for name, variable in bert.Bert(bert.Config(**_sizes())).tensors().items()
        }
        self.tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
        for name, tensor in self.tensors.items():
            if tensor.ndim == 2 and "embeddings" not in name:
                self.tensors[name] = np.ascontiguousarray(tensor.T)  # as PyTorch stores them

    def write(self):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(self.config))
        save_file(self.tensors, self.folder / "model.safetensors")
        (self.folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        (self.folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "BertTokenizer", "do_lower_case": true}'
        )
        return self.folder


def _sizes():
    return {name: value for name, value in CONFIG.items() if name not in ("model_type", "hidden_act")}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "tiny")


@pytest.fixture(scope="session")
def minilm_folder():
    return fetch.folder("minilm")


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    return encoder.load("minilm")
