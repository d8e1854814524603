from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from reclab import bert, encoder, fetch
from tests.benchmarks.awkward import AWKWARD
from tests.conftest import VOCABULARY

REFERENCE = np.load(Path(__file__).with_name("reference_minilm.npz"))["vectors"]
LONG_AND_SHORT = [" ".join(["slow train by the sea"] * n) for n in (1, 30, 2, 60, 1, 12, 3)]


# --- numbers --------------------------------------------------------------------------------------------------------


def test_float32_equals_sentence_transformers(minilm):
    vectors = minilm.encode(AWKWARD)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - REFERENCE).max() <= 2e-6


@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 0.999), ("float16", 0.99999)])
def test_half_precision_is_near(minilm, precision, least):
    vectors = minilm.encode(AWKWARD, precision=precision)
    assert vectors.dtype == np.float32
    assert (vectors * REFERENCE).sum(axis=1).min() >= least
    assert np.abs(vectors - REFERENCE).max() > 2e-6  # it was not float32 after all


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_text_has_the_same_vector_alone_and_in_any_batch_in_the_order_given(minilm, batch_size):
    texts = AWKWARD[3:8] + LONG_AND_SHORT
    together = minilm.encode(texts, batch_size=batch_size)
    alone = np.concatenate([minilm.encode([text]) for text in texts])
    assert np.abs(together - alone).max() <= 2e-6
    assert np.abs(minilm.encode(texts[::-1])[::-1] - alone).max() <= 2e-6


def test_every_text_gets_a_vector_of_unit_length(minilm):
    texts = ["", "😀", "a" * 5000, "你好", "\x00\x1b[31m", "\ud800 half a pair", *LONG_AND_SHORT]
    np.testing.assert_allclose(np.linalg.norm(minilm.encode(texts), axis=1), 1, atol=1e-5)


def test_reading_stops_after_256_tokens(minilm):
    words = ["sea", "run", "book", "tea"] * 80
    whole, cut = " ".join(words), " ".join(words[:254])
    np.testing.assert_allclose(minilm.encode([whole]), minilm.encode([cut]), atol=2e-6)
    assert np.abs(minilm.encode([cut]) - minilm.encode([" ".join(words[:253])])).max() > 1e-4


def test_no_text_no_vector(minilm):
    assert minilm.encode([]).shape == (0, 384)


def test_one_trace_serves_all_shapes(minilm):
    minilm.encode(LONG_AND_SHORT, batch_size=2)
    _, function = minilm._compiled["float32", len(minilm.bert.variables)]
    assert function.experimental_get_tracing_count() == 1


def test_both_precisions_follow_the_weights(checkpoint):
    enc = encoder.load(str(checkpoint.write()))
    texts = ["quiet sea", "a book"]
    before = {precision: enc.encode(texts, precision=precision) for precision in ("float32", "bfloat16")}
    kernel = enc.bert.modules()["encoder.layer.0.output.dense"].kernel
    kernel.assign(kernel * 3)
    enc.bert.enable_lora(rank=2)
    for variable in enc.bert.trainable_variables:
        variable.assign(variable + 0.3)
    after = {precision: enc.encode(texts, precision=precision) for precision in before}
    for precision in before:
        assert np.abs(after[precision] - before[precision]).max() > 0.05
    np.testing.assert_allclose(after["bfloat16"], after["float32"], atol=0.05)


# --- input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", None], r"texts\[1\] must be a string, got NoneType"),
        ([b"a"], r"texts\[0\]"),
        ("a", "got one string: 'a'"),
    ],
)
def test_what_is_not_a_list_of_strings_is_refused(minilm, texts, said):
    with pytest.raises(TypeError, match=said):
        minilm.encode(texts)


def test_bad_options_are_refused(minilm):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        minilm.encode(["a"], batch_size=0)
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, float16, got 'float64'"):
        minilm.encode(["a"], precision="float64")


def test_a_bar_is_shown_on_request(minilm, capsys):
    minilm.encode(["a", "b"], progress=True)
    assert "2/2" in capsys.readouterr().err
    minilm.encode(["a", "b"])
    assert capsys.readouterr().err == ""


# --- where encoders come from ---------------------------------------------------------------------------------------


def test_a_local_folder(checkpoint):
    enc = encoder.load(str(checkpoint.write()))
    assert (enc.name, enc.dim, enc.max_length, enc.pooling) == ("tiny", 8, 10, "mean")
    ids = enc.tokenizer("quiet running 茶")["input_ids"]
    assert [VOCABULARY[i] for i in ids] == ["[CLS]", "quiet", "run", "##ning", "茶", "[SEP]"]
    tokens = enc.bert(
        {"input_ids": np.array([ids]), "attention_mask": np.ones((1, 6)), "token_type_ids": np.zeros((1, 6))}
    )
    mean = np.asarray(tokens["sequence_output"])[0].mean(axis=0)
    np.testing.assert_allclose(enc.encode(["quiet running 茶"])[0], mean / np.linalg.norm(mean), atol=1e-6)


def modules(folder, mode, extra=()):
    """Write `modules.json` and the pooling's configuration as sentence-transformers lays them out."""
    kinds = ["Transformer", "Pooling", "Normalize", *extra]
    listed = [
        {"type": f"sentence_transformers.models.{kind}", "path": "" if kind == "Transformer" else kind}
        for kind in kinds
    ]
    (folder / "modules.json").write_text(str(listed).replace("'", '"'))
    (folder / "Pooling").mkdir(exist_ok=True)
    (folder / "Pooling" / "config.json").write_text(f'{{"pooling_mode_{mode}": true, "pooling_mode_other": false}}')


def test_pooling_is_what_the_checkpoint_says(checkpoint):
    folder = checkpoint.write()
    mean = encoder.load(str(folder)).encode(["quiet sea"])
    modules(folder, "mean_tokens")
    np.testing.assert_array_equal(encoder.load(str(folder)).encode(["quiet sea"]), mean)
    modules(folder, "cls_token")
    enc = encoder.load(str(folder))
    ids = np.array([enc.tokenizer("quiet sea")["input_ids"]])
    first = np.asarray(
        enc.bert({"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0})["sequence_output"]
    )
    np.testing.assert_allclose(enc.encode(["quiet sea"])[0], first[0, 0] / np.linalg.norm(first[0, 0]), atol=1e-6)


def test_pooling_that_is_not_known_is_refused(checkpoint):
    folder = checkpoint.write()
    modules(folder, "max_tokens")
    with pytest.raises(ValueError, match="must be mean_tokens or cls_token, got max_tokens"):
        encoder.load(str(folder))
    modules(folder, "mean_tokens", extra=["Dense"])
    with pytest.raises(ValueError, match="module Dense is not supported"):
        encoder.load(str(folder))


def test_a_name_that_is_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"name must be 'minilm', 'bert-base', 'bert-chinese', a folder, .* got 'nothing'"
    ):
        encoder.load("nothing")


def test_a_hub_that_cannot_be_reached(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(fetch.FetchError, match=r"nobody/nothing could not be downloaded .*HF_ENDPOINT"):
        encoder.load("nobody/nothing")


def test_an_exported_encoder_is_a_text_encoder_of_tensorflow_hub(checkpoint, tmp_path):
    enc = encoder.load(str(checkpoint.write()))
    enc.export(tmp_path / "deep" / "exported")
    again = encoder.load(f"tfhub:{tmp_path / 'deep' / 'exported'}")
    texts = ["quiet running 茶", "a book", "", "Sea sea sea", "sea " * 30]
    np.testing.assert_allclose(again.encode(texts), enc.encode(texts), atol=1e-6)
    assert (again.dim, again.max_length, again.pooling) == (8, 10, "mean")
    with pytest.raises(ValueError, match="precision must be 'float32', got 'bfloat16'"):
        again.encode(texts, precision="bfloat16")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["exported"]  # nothing was left aside


def test_others_can_run_what_was_exported(checkpoint, tmp_path):
    enc = encoder.load(str(checkpoint.write()))
    enc.export(tmp_path / "exported")
    inputs = {"input_word_ids": [[2, 5, 3, 0]], "input_mask": [[1, 1, 1, 0]], "input_type_ids": [[0, 0, 0, 0]]}
    outputs = tf.saved_model.load(str(tmp_path / "exported"))({k: tf.constant(v) for k, v in inputs.items()})
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "sequence_output": (1, 4, 8),
        "pooled_output": (1, 8),
    }
    mean = outputs["sequence_output"].numpy()[0, :3].mean(axis=0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), enc.encode(["sea"])[0], atol=1e-6)


def test_an_export_keeps_the_pooling_and_what_lora_trained(checkpoint, tmp_path):
    folder = checkpoint.write()
    modules(folder, "cls_token")
    enc = trained(encoder.load(str(folder)))
    enc.export(tmp_path / "exported")
    again = encoder.load(f"tfhub:{tmp_path / 'exported'}")
    np.testing.assert_allclose(again.encode(TEXTS), enc.encode(TEXTS), atol=1e-6)
    assert again.pooling == "cls"


def test_an_export_takes_an_empty_folder_and_refuses_a_full_one(checkpoint, tmp_path, capfd):
    enc = encoder.load(str(checkpoint.write()))
    (tmp_path / "new").mkdir()
    enc.export(tmp_path / "new")
    assert "Assets written" not in capfd.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="full must be a new or an empty folder"):
        enc.export(tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_a_saved_model_that_says_nothing_is_read_by_the_mean_of_512_tokens(checkpoint, tmp_path):
    enc = encoder.load(str(checkpoint.write()))
    enc.export(tmp_path / "exported")
    (tmp_path / "exported" / "assets" / "reading.json").unlink()
    again = encoder.load(f"tfhub:{tmp_path / 'exported'}")
    assert (again.max_length, again.pooling) == (512, "mean")
    np.testing.assert_allclose(again.encode(TEXTS[:3]), enc.encode(TEXTS[:3]), atol=1e-6)


def test_a_saved_model_without_vocabulary_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="no vocabulary"):
        encoder.load(f"tfhub:{tmp_path / 'empty'}")


# --- copies and saved encoders --------------------------------------------------------------------------------------

TEXTS = ["quiet running 茶", "a book", "", "Sea sea sea " * 9]


def trained(enc):
    """The encoder with LoRA matrices that change what it says."""
    enc.bert.enable_lora(rank=2)
    for variable in enc.bert.trainable_variables:
        variable.assign(variable + 0.3)
    return enc


def test_a_copy_has_the_same_vectors_and_weights_of_its_own(checkpoint):
    enc = encoder.load(str(checkpoint.write()))
    before = enc.encode(TEXTS)
    twin = enc.copy()
    np.testing.assert_array_equal(twin.encode(TEXTS), before)
    assert (twin.name, twin.dim, twin.max_length, twin.pooling) == ("tiny", 8, 10, "mean")
    assert twin.tokenizer is enc.tokenizer
    for variable in twin.bert.trainable_variables:
        variable.assign(variable + 0.5)
    np.testing.assert_array_equal(enc.encode(TEXTS), before)
    assert np.abs(twin.encode(TEXTS) - before).max() > 1e-3


def test_a_copy_of_what_lora_trained_is_plain_and_trainable(checkpoint):
    enc = trained(encoder.load(str(checkpoint.write())))
    twin = enc.copy()
    np.testing.assert_allclose(twin.encode(TEXTS), enc.encode(TEXTS), atol=1e-6)
    assert not [variable.path for variable in twin.bert.variables if "lora" in variable.path]
    assert len(twin.bert.trainable_variables) == len(checkpoint.tensors)
    trained(twin)  # and can have LoRA matrices of its own


def test_a_saved_encoder_says_the_same_to_the_bit(checkpoint, tmp_path):
    folder = checkpoint.write()
    modules(folder, "cls_token")
    enc = encoder.load(str(folder))
    enc.save(tmp_path / "deep" / "saved")
    again = encoder.load(str(tmp_path / "deep" / "saved"))
    np.testing.assert_array_equal(again.encode(TEXTS), enc.encode(TEXTS))
    assert (again.name, again.max_length, again.pooling, again.bert.config) == ("saved", 10, "cls", enc.bert.config)
    assert again.tokenize(TEXTS) == enc.tokenize(TEXTS)
    assert not list((tmp_path / "deep" / "saved").rglob(".*"))  # nothing is left of files written aside


def test_saved_weights_are_those_of_the_checkpoint_byte_for_byte(checkpoint, tmp_path):
    encoder.load(str(checkpoint.write())).save(tmp_path / "saved")
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert stored.keys() == checkpoint.tensors.keys()
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(stored[name], tensor)


def test_what_lora_trained_is_saved_as_plain_weights(checkpoint, tmp_path):
    enc = trained(encoder.load(str(checkpoint.write())))
    enc.save(tmp_path / "saved")
    assert load_file(tmp_path / "saved" / "model.safetensors").keys() == checkpoint.tensors.keys()
    again = encoder.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(again.encode(TEXTS), enc.encode(TEXTS), atol=1e-6)


def test_saving_over_a_saved_encoder_replaces_it_and_a_failure_leaves_the_old_weights(
    checkpoint, tmp_path, monkeypatch
):
    enc = encoder.load(str(checkpoint.write()))
    enc.save(tmp_path / "saved")
    before = enc.encode(TEXTS)
    trained(enc)
    with monkeypatch.context() as broken:
        broken.setattr(bert, "safetensors_bytes", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enc.save(tmp_path / "saved")
    np.testing.assert_array_equal(encoder.load(str(tmp_path / "saved")).encode(TEXTS), before)
    enc.save(tmp_path / "saved")
    np.testing.assert_allclose(encoder.load(str(tmp_path / "saved")).encode(TEXTS), enc.encode(TEXTS), atol=1e-6)


def test_the_course_encoder_comes_back_from_a_folder_to_the_bit(minilm, tmp_path):
    minilm.save(tmp_path / "saved")
    again = encoder.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(again.encode(AWKWARD), minilm.encode(AWKWARD))
    assert (again.max_length, again.pooling) == (256, "mean")


# --- opponents ------------------------------------------------------------------------------------------------------


def test_word_vectors_are_averaged_without_marks_padding_or_order(checkpoint):
    enc = encoder.load(str(checkpoint.write()))
    words = encoder.WordVectorEncoder(enc)
    table = checkpoint.tensors["embeddings.word_embeddings.weight"]
    vectors = words.encode(["quiet running 茶", "sea", "", "茶 quiet running"])
    for row, pieces in {0: ["quiet", "run", "##ning", "茶"], 1: ["sea"]}.items():
        mean = table[[VOCABULARY.index(piece) for piece in pieces]].mean(axis=0)
        np.testing.assert_allclose(vectors[row], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(vectors[2], np.zeros(8))
    np.testing.assert_allclose(vectors[3], vectors[0], atol=1e-6)
    near = words.encode(["quiet running 茶"], precision="bfloat16")
    assert 1e-5 < np.abs(near - vectors[:1]).max() < 0.02


def test_tfidf_by_hand():
    enc = encoder.TfidfEncoder(["tea", "tea noodles", "tea noodles bread"])
    assert enc.dim == 3  # bread, noodles, tea
    rarity = np.log(4 / np.array([2, 3, 4])) + 1  # scikit-learn's smooth inverse document frequency
    expected = np.array([1 + np.log(2), 1, 0]) * rarity
    vectors = enc.encode(["bread bread noodles", "rice", ""])
    np.testing.assert_allclose(vectors[0], expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_array_equal(vectors[1:], np.zeros((2, 3)))
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("corpus", [[], [""], ["a ? !"]])
def test_a_corpus_without_words_is_refused(corpus):
    with pytest.raises(ValueError, match="corpus must have at least one word"):
        encoder.TfidfEncoder(corpus)


def test_a_corpus_that_is_no_list_of_strings_is_refused():
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string, got NoneType"):
        encoder.TfidfEncoder(["a word", None])


@pytest.mark.parametrize("kind", ["words", "tfidf", "remembering"])
def test_opponents_keep_the_contract(minilm, kind):
    enc = {
        "words": lambda: encoder.WordVectorEncoder(minilm),
        "tfidf": lambda: encoder.TfidfEncoder(["quiet sea", "a book"]),
        "remembering": lambda: encoder.RememberingEncoder(minilm),
    }[kind]()
    vectors = enc.encode(["quiet sea", "the book"], batch_size=1, progress=False)
    assert vectors.shape == (2, enc.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(enc.encode(["the book", "quiet sea"])[::-1], vectors, atol=1e-6)
    assert enc.encode([]).shape == (0, enc.dim)
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string"):
        enc.encode(["a", 3])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        enc.encode(["a"], batch_size=0)
    with pytest.raises(ValueError, match="precision must be"):
        enc.encode(["a"], precision="float64")


class Counting(encoder.Encoder):
    name, dim = "counting", 2

    def __init__(self):
        self.read = []

    def encode(self, texts, *, batch_size=64, precision="float32", progress=False):
        self.read += texts
        return np.array([[len(one), 1] for one in texts], np.float32).reshape(-1, 2)


def test_a_remembering_encoder_reads_each_text_once_and_keeps_their_order():
    inner = Counting()
    enc = encoder.RememberingEncoder(inner)
    np.testing.assert_array_equal(enc.encode(["tea", "a", "tea"]), [[3, 1], [1, 1], [3, 1]])
    np.testing.assert_array_equal(enc.encode(["bread", "a"]), [[5, 1], [1, 1]])
    assert inner.read == ["tea", "a", "bread"]
    assert (enc.name, enc.dim) == ("counting", 2)


# --- encode_once ----------------------------------------------------------------------------------------------------


def test_vectors_are_kept_until_texts_or_weights_change(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("RECLAB_CACHE", str(tmp_path / "cache"))
    enc = encoder.load(str(checkpoint.write()))
    kept = lambda: sorted((tmp_path / "cache" / "vectors").iterdir())  # noqa: E731
    vectors = encoder.encode_once(enc, ["quiet sea", "a book"])
    assert len(kept()) == 1
    kept()[0].write_bytes(kept()[0].read_bytes()[:-3])
    np.testing.assert_array_equal(encoder.encode_once(enc, ["quiet sea", "a book"]), vectors)  # damaged: computed again
    np.save(kept()[0], vectors + 1)
    np.testing.assert_array_equal(encoder.encode_once(enc, ["quiet sea", "a book"]), vectors + 1)  # whole: read
    encoder.encode_once(enc, ["quiet sea"])
    enc.bert.modules()["embeddings.LayerNorm"].beta.assign(np.ones(8))
    changed = encoder.encode_once(enc, ["quiet sea", "a book"])
    assert len(kept()) == 3
    assert np.abs(changed - vectors).max() > 1e-3
