"""The tokenizer of the checkpoint: byte-level BPE in the form of Qwen2, with a short list of whole words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""In the order of Qwen2.5-VL, which puts them behind the ordinary tokens."""

# Words that follow a space.  Each becomes one token by a chain of merges that starts at its first letter, so no chain
# can break up the beginning of another word.
_WORDS_AFTER_SPACE = """
a an the of in on at to by with and or for from over into above below under left right behind beside front its that
is are was be it this image photo picture painting sketch poster sign book cover title red green blue yellow orange
purple pink black white brown gray golden silver dark bright warm cold soft light shadow glass metal wood stone water
fire sky sun moon sunset sunrise beach sea sand snow rain forest tree leaf flower grass field mountain river lake
street city house room kitchen table chair window door wall floor ceiling lamp cat dog bird horse fish cow sheep bear
elephant lion man woman child person face hand head eye hair apple banana pizza cake bread coffee cup bowl plate knife
guitar piano ball glove car bus train bicycle boat plane clock phone computer keyboard bottle vase box bag shoe hat tie
sink one two three four five big small large little old young new make change replace remove add put place turn keep
draw style background foreground color texture blurry low quality unedited areas text words letters saying reads says
clear sharp smooth holding wearing standing sitting running flying
"""

# These open a turn or a sentence, without a space before them.  They come last, or "us" would tear " house" apart.
_WORDS_AT_START = ("Generate", "assistant", "user", "system", "Place", "Change", "Replace", "Remove", "Add", "Draw")

_SPACE = "\u0120"
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_tokenizer(folder: Path, merges: list[tuple[str, str]] | None = None) -> None:
    """Write the six files of a Qwen2 tokenizer into an existing folder; without ``merges`` for the whole words above.

    The special tokens follow behind the 256 bytes and one token for each merge.
    """
    merges = _merges() if merges is None else merges
    vocabulary = _vocabulary(merges)
    added = {token: len(vocabulary) + k for k, token in enumerate(SPECIAL_TOKENS)}
    _write_json(folder / "tokenizer.json", _fast_tokenizer(vocabulary, merges, added))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(added))
    _write_json(folder / "vocab.json", vocabulary)
    _write_json(folder / "added_tokens.json", added)
    _write_json(folder / "special_tokens_map.json", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_bytes(("\n".join(lines) + "\n").encode())


def _byte_letters() -> list[str]:
    """One letter for each byte: its own where that prints, else one from U+0100 on, as byte-level BPE has it."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in prints]
    return [chr(byte) for byte in prints] + [chr(0x100 + k) for k in range(len(others))]


def _merges() -> list[tuple[str, str]]:
    merges: dict[tuple[str, str], None] = {}
    for word in [*(_SPACE + word for word in _WORDS_AFTER_SPACE.split()), *_WORDS_AT_START]:
        for end in range(1, len(word)):
            merges[word[:end], word[end]] = None
    return list(merges)


def _vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    tokens = [*_byte_letters(), *(left + right for left, right in merges)]
    return {token: k for k, token in enumerate(tokens)}


def _added_token(token: str) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": token, **flags, "special": True}


def _fast_tokenizer(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], added: dict[str, int]
) -> dict[str, object]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **_added_token(token)} for token, number in added.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges],
        },
    }


def _tokenizer_config(added: dict[str, int]) -> dict[str, object]:
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(number): _added_token(token) for token, number in added.items()},
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": _CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def _write_json(path: Path, content: object) -> None:
    path.write_bytes((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
