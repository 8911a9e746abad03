"""A byte-pair vocabulary in CLIP's file format for pipelines with random weights.

Ids as CLIP has them: 256 byte symbols, 256 byte symbols that end a word, one for each merge, then
<|startoftext|> and <|endoftext|> as the two largest (CLIP's pooled output is found by the largest
id). The merges spell frequent words of prompts, then all short letter sequences.
"""

from __future__ import annotations

import itertools
import json
import string
from collections.abc import Iterator
from pathlib import Path

END = "</w>"
START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"

_WORDS = """
a an the of in on at with and by from to for under over near
photo picture painting drawing portrait landscape sketch poster sculpture render scene
small large old young tall bright dark quiet golden silver wooden stone glass
red green blue yellow orange purple pink white black cyan brown grey
cat dog horse bird fish fox bear lion owl house castle bridge tower street city village garden
forest mountain river lake sea beach desert field sky cloud sun moon star snow rain storm
man woman child face hand hat coat chair table lamp window door road boat train car bicycle
morning evening night winter summer autumn spring light shadow colour detailed style
rings stripes checks dots spiral waves rays
""".split()


def _byte_symbols() -> list[str]:
    """Printable Latin-1 characters in order, then U+0100, U+0101, ... for the other bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = len([byte for byte in range(256) if byte not in printable])
    return [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(others)]


def _word_merges(word: str) -> Iterator[tuple[str, str]]:
    parts = [*word[:-1], word[-1] + END]
    left = parts[0]
    for right in parts[1:]:
        yield left, right
        left += right


def _all_merges() -> Iterator[tuple[str, str]]:
    for word in _WORDS:
        yield from _word_merges(word)
    for length in (2, 3, 4):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            text = "".join(letters)
            yield text[:-1], text[-1] + END
            yield text[:-1], text[-1]


def make_vocabulary(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token ids and merges of a vocabulary of exactly `size` tokens."""
    symbols = _byte_symbols()
    tokens = dict.fromkeys(symbols + [symbol + END for symbol in symbols])
    if size < len(tokens) + 2:
        raise ValueError(f"a vocabulary has at least {len(tokens) + 2} tokens, not {size}")
    merges: list[tuple[str, str]] = []
    for left, right in _all_merges():
        if len(tokens) == size - 2:
            break
        if left in tokens and left + right not in tokens:
            tokens[left + right] = None
            merges.append((left, right))
    tokens |= dict.fromkeys([START_TOKEN, END_TOKEN])
    return {token: index for index, token in enumerate(tokens)}, merges


def write_tokenizer(folder: Path, size: int, length: int, pad_token: str = END_TOKEN) -> None:
    """Writes vocab.json, merges.txt and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = make_vocabulary(size)
    with open(folder / "vocab.json", "w", encoding="utf-8") as file:
        json.dump(vocabulary, file, ensure_ascii=False)
    with open(folder / "merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
        file.writelines(f"{left} {right}\n" for left, right in merges)
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START_TOKEN,
        "eos_token": END_TOKEN,
        "unk_token": END_TOKEN,
        "pad_token": pad_token,
        "model_max_length": length,
    }
    with open(folder / "tokenizer_config.json", "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
