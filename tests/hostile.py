"""Texts, names of classes and of a file as somebody would make them who wishes a page ill."""

import json
from pathlib import Path

RAN = "ran"
"""What a script among these adds to the page's ``window``."""

SCRIPTS = (
    f"<script>window.{RAN}=1</script>",
    f"<img src=x onerror=window.{RAN}=2>",
    f"</script><svg onload=window.{RAN}=3>",
    f"\"'><iframe srcdoc='<script>parent.{RAN}=4</script>'>",
    f"[a](javascript:window.{RAN}=5) <javascript:window.{RAN}=6>",
    f"\n\n```{{raw}} html\n<script>window.{RAN}=7</script>\n```\n\n",
    f"\n\n:::{{raw}} html\n<script>window.{RAN}=8</script>\n:::\n\n",
    "{download}`a <javascript:0>` {doc}`/etc/passwd` {{ substituted }} {math}`x^`",
)
MARKUP = (
    "# a heading\n\n- a list\n\n1. a number\n\n***\n",
    "**strong** _weak_ `code` ~~gone~~ | a | b |\n|---|---|",
    "$5 to $10 \\(x\\) \\[y\\] $$\\require{x}\\href{javascript:0}{z}$$ \\begin{align}1\\end{align}",
    "&lt;b&gt; &#60;b&#62; &amp;amp; %3Cb%3E <!-- <![CDATA[ ]]> -->",
    "=SUM(1) @a +1 -1",
    "../../../etc/passwd C:\\con",
)
SIGNS = (
    "שלום עולם",
    "\u202eesrever\u202d and \u2067isolated",
    "zero\u200bwidth\u200d\u2060\ufeff",
    "\u200b",
    "👩‍🚀👍🏽🇺🇳",
    "h\u0338\u0321\u0489" + "\u0301" * 40,
    "nu\0ll \x01 \x1b[31m \x7f \x85 \u2028 \u2029",
    "\U000e0041\ufff9\ufffe\ud7ff",
)
TEXTS = (*SCRIPTS, *MARKUP, *SIGNS)

CLASSES = (
    f"- <img src=x onerror=window.{RAN}=9> <script>window.{RAN}=10</script> $x$ \u202e*up*\0",
    f"1. \n\n```{{raw}} html\n<script>window.{RAN}=11</script>\n```\n" + "long " * 20_000,
)
FORMULAS = (
    "=1+1", "@SUM(1)", "+1+1", "-1+1", "-1 %", "-", "+a.csv",
    '=HYPERLINK("x", "y")',
)  # fmt: skip
"""What a spreadsheet program would run, or take for no text."""
NUMBERS = ("-5", "+.5", "-1e-7", "-1.5E+3", "5")
FILE = f"- <img src=x onerror=window.{RAN}=12> *a* $x$ {{doc}}`b` [c](d) | \u202e שלום \x01\n\n# h"
"""The name of a file, without an ending: 255 bytes at most, no slash."""


def write(folder: Path, texts: int = 100) -> Path:
    """Write a file of texts of two classes, `CLASSES`, with a word of 10⁵ letters and 10⁵ words."""
    path = folder / f"{FILE}.jsonl"
    rows = []
    for i in range(texts):
        label = i % 2
        word = ("dreary", "grand")[label]
        nasty = TEXTS[i // 2 % len(TEXTS)]
        rows.append(
            {"text": f"{word} {'so ' * (i // 20)}{nasty} {word} film", "label": CLASSES[label]}
        )
    rows += [
        {
            "text": f"{('dreary', 'grand')[i % 2]} {'w' * 100_000} " + "x " * (i // 2),
            "label": CLASSES[i % 2],
        }
        for i in range(20)
    ]
    rows += [
        {"text": f"{('dreary', 'grand')[i]} " * 100_000, "label": CLASSES[i]} for i in range(2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
