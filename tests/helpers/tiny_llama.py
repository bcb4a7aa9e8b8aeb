"""Small random Llamas and their tokenizers.

One has a word tokenizer with a chat template, and pairs to train on; others, for tests of judges
and measures, take the vocabulary of a BPE tokenizer that is trained on the spot.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.engine.batches import Example

VOCABULARY = ["<pad>", "<user>", "<assistant>", "<end>", "<unk>", *(f"w{i}" for i in range(35))]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %} <end>\n{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SPECIAL = ("<s>", "</s>", "<|turn|>")  # of the trained tokenizers


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; ``<end>`` ends a turn."""
    numbers = {word: number for number, word in enumerate(VOCABULARY)}
    words = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=words)
    fast.add_special_tokens(
        {
            "pad_token": "<pad>",
            "eos_token": "<end>",
            "unk_token": "<unk>",
            "additional_special_tokens": ["<user>", "<assistant>"],
        }
    )
    fast.chat_template = TEMPLATE
    return fast


def model(
    dtype: torch.dtype = torch.float32, *, seed: int = 0, tied: bool = True
) -> LlamaForCausalLM:
    """Weights of standard deviation 0.3, so that losses are far from uniform."""
    made = _llama(
        seed,
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        initializer_range=0.3,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=3,
        pad_token_id=0,
    )
    return made.to(dtype)


def examples(count: int, *, seed: int = 0) -> list[Example]:
    """Pairs of 2 to 8 prompt and 2 to 10 response tokens."""
    draw = random.Random(seed)  # noqa: S311
    made = []
    for _ in range(count):
        prompt = [draw.randrange(5, 40) for _ in range(draw.randint(2, 8))]
        response = [draw.randrange(5, 40) for _ in range(draw.randint(1, 9))]
        made.append(Example((1, *prompt, 2, *response, 3), len(prompt) + 2))
    return made


def state(of: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """A copy of every parameter."""
    return {name: parameter.detach().clone() for name, parameter in of.named_parameters()}


def same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two states agree in every bit."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name].view(torch.uint8), second[name].view(torch.uint8)) for name in first
    )


def train_tokenizer(texts: Iterable[str], vocabulary: int = 400) -> Any:
    """Return a byte-level BPE tokenizer that begins every text with ``<s>``."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    pieces.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", pieces.token_to_id("<s>"))]
    )
    start, end, turn = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        bos_token=start,
        eos_token=end,
        pad_token=end,
        additional_special_tokens=[turn],
    )


def random_llama(vocabulary: int, loud: Iterable[int] = (), seed: int = 0) -> Any:
    """Return a small Llama whose next token is mostly one of ``loud``, depending on the text."""
    made = _llama(
        seed,
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        initializer_range=0.4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.no_grad():
        for token in loud:
            made.lm_head.weight[token] *= 8
    return made


def _llama(seed: int, **sizes: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**sizes)).eval()
