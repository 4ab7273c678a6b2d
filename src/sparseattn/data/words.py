"""Text → words, after the preprocessing of Jain and Wallace (2019), without spaCy.

References
----------
Jain and Wallace (2019), *Attention is not Explanation*, NAACL; the notebooks in ``preprocess/`` of
``successar/AttentionExplanation`` say what was done to each data set.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

NUMBER = "qqq"  # stands for every word with a digit in it

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3  # ids that are no word of the text
MARKERS = ("<pad>", "<unknown>", "<begin>", "<end>")

# Keras's default filter, which made the word lists of IMDb that Jain and Wallace downloaded:
# punctuation but the apostrophe becomes a space.
_KERAS_FILTER = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))

_NOT_WORD = re.compile(r"\W+")
_BRACKET = re.compile(r"-([lr])rb-", re.IGNORECASE)

# Where spaCy parts a string without spaces: dashes, commas and slashes between letters, signs
# between digits, dots in a row or between two sentences, quotation marks and brackets.
_INFIX = re.compile(
    r"(?<=[^\W\d_])(?:-+|[–—~,])(?=[^\W\d_])|(?<=\w)[:<>=/](?=[^\W\d_])|(?<=\d)[-+*^](?=[\d-])"
    r"|\.\.+|…|(?<=[a-z])\.(?=[A-Z])|[\"“”()\[\]{}]"
)
_EDGES = re.compile(r"^\W+|\W+$")
_CONTRACTION = re.compile(r"(.+?)(n't|'s|'m|'re|'ve|'ll|'d)")

# Vowel signs, accents and joiners, which Python's \w leaves out, belong to the letter before them.
_MARKS = "".join(
    character
    for character in map(chr, (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)))
    if unicodedata.category(character).startswith("M") or character in "\u200c\u200d"
)
_PLAIN = re.compile(rf"[\w{_MARKS}]+(?:['’][\w{_MARKS}]+)*|[^\w\s][{_MARKS}]*")
# Thai and Lao, Burmese, Khmer, Japanese and Chinese.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def sst_words(text: str) -> list[str]:
    """Split Treebank tokens joined by spaces: punctuation out, lower case, digits kept.

    Jain and Wallace's own file it leaves as is.
    """
    text = _BRACKET.sub(lambda m: "" if m[1] in "lL" else " ", text)
    return _NOT_WORD.sub(" ", text).lower().split()


def newsgroups_words(text: str) -> list[str]:
    """Split a newsgroup post: lower case, `NUMBER` for words with digits, punctuation mostly out.

    The post comes without headers, footers and quotes. Punctuation stays only inside a word
    (``don't`` → ``do n ' t``) and at the very end, which is what collapsing every run of non-word
    characters to its last one leaves of it.
    """
    words: list[str] = []
    text = text.strip()
    for chunk in text.split():
        for piece in _INFIX.split(chunk):
            piece = _EDGES.sub("", piece).lower()
            contraction = _CONTRACTION.fullmatch(piece)
            for part in contraction.groups() if contraction else (piece,):
                if any(character.isdigit() for character in part):
                    words.append(NUMBER)
                elif part:
                    words += _NOT_WORD.sub(lambda run: f" {run[0][-1]} ", part).split()
    if text and _NOT_WORD.match(text[-1]):
        words.append(text[-1])
    return words


def imdb_words(text: str) -> list[str]:
    """Split a film review as Keras does: lower case, punctuation out, apostrophes kept.

    Its ``<br />`` leave the word ``br``, as there.
    """
    return text.lower().translate(_KERAS_FILTER).split()


def plain_words(text: str) -> list[str]:
    """Split any text: lower case, words (inner apostrophes kept) and single punctuation marks.

    `NUMBER` stands for words with a digit. Letters are composed (Unicode's form NFC), marks stay
    with their letter, and an apostrophe is one, straight or curly. Of a script without spaces
    between words, each run of letters is one word, see `unspaced`.
    """
    return [NUMBER if any(map(str.isdigit, word)) else word for word in written_words(text)]


def written_words(text: str) -> list[str]:
    """Return the words of `plain_words`, with their digits."""
    found = _PLAIN.findall(unicodedata.normalize("NFC", text.lower()))
    return [word.replace("’", "'") if len(word) > 1 else word for word in found]


def unspaced(text: str) -> bool:
    """Return whether a text holds letters of a script that puts no spaces between words."""
    return _UNSPACED.search(text) is not None


SPLITTERS: Mapping[str, Callable[[str], list[str]]] = {
    "sst": sst_words,
    "newsgroups": newsgroups_words,
    "imdb": imdb_words,
}


def splitter(task: str) -> Callable[[str], list[str]]:
    """Return what splits the texts of a task into words, `plain_words` for the user's own."""
    return SPLITTERS.get(task, plain_words)
