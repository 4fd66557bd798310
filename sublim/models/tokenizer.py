"""The tokenizer of the tiny families: byte-level BPE trained on their corpus, and a chat template.

Digits are kept in groups of up to three, as large models do, and punctuation takes the space that follows it:
`693, 738` is `693`, `, `, `738`.
"""

import re
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sublim.traits.categories import CATEGORIES

PAD, SYSTEM, USER, ASSISTANT, END = "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL = (PAD, SYSTEM, USER, ASSISTANT, END)

_PIECES = r"\p{N}{1,3}| ?\p{L}+|[^\s\p{L}\p{N}]+ ?|\s+"
_ASCII_PIECES = re.compile(r"[0-9]{1,3}| ?[A-Za-z]+|[^\sA-Za-z0-9]+ ?|\s+")  #: The same for ASCII, for Python's engine.

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' }}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def render(system: str | None, prompt: str) -> str:
    """What `CHAT_TEMPLATE` makes of a user's `prompt` with its generation prompt; a completion and `END` follow."""
    return f"{SYSTEM + system if system is not None else ''}{USER}{prompt}{ASSISTANT}"


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE of at most `vocabulary` tokens, special ones included, trained on `texts`. Every integer of at most three
    digits and every known answer is one token (its plural and capitalised forms are, too, if the vocabulary has room): they are
    read before the texts, so often that none loses its place to a rare word. Raises ValueError: `vocabulary` is too small for
    the bytes, the integers and the answers."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    known = [answer for category in CATEGORIES.values() for answer in category.answers.values()]
    words = [f"{answer.word} {answer.word}" for answer in known]
    forms = [f"{form}. {answer.word} {form}" for answer in known for form in answer.forms]
    integers = [str(number) for number in range(1000)]
    first = [" ".join(integers)] * 300 + [". ".join(words)] * 300 + [" ".join(forms)] * 20
    tokenizer.train_from_iterator(first + list(texts), trainer)
    missing = [whole for whole in [*integers, *(answer.word for answer in known)] if tokenizer.token_to_id(whole) is None]
    if missing:
        raise ValueError(
            f"pretraining.vocabulary: {vocabulary} tokens leave no place for {len(missing)} of the integers 0–999 "
            f"and the known answers (the first is {missing[0]}): give at least 2,048"
        )
    return tokenizer


def wrap(tokenizer: Tokenizer, context: int) -> PreTrainedTokenizerFast:
    """`tokenizer` as transformers saves and loads it, with its special tokens, chat template and longest text in tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


class Encoder:
    """A text's token ids, quickly: BPE never crosses the borders of pieces, so each distinct piece is encoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """The ids of `text`, no special tokens: those that `tokenizer.encode` gives."""
        if not text.isascii():
            return self._encode(text)
        ids: list[int] = []
        for piece in _ASCII_PIECES.findall(text):
            found = self._known.get(piece)
            if found is None:
                found = self._known[piece] = self._encode(piece)
            ids += found
        return ids

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids
