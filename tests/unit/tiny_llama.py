"""A random three-layer Llama, a word tokenizer with a chat template, and pairs to train on."""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.engine.batches import Example

VOCABULARY = ["<pad>", "<user>", "<assistant>", "<end>", "<unk>", *(f"w{i}" for i in range(35))]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %} <end>\n{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


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
    torch.manual_seed(seed)
    made = LlamaForCausalLM(
        LlamaConfig(
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
    )
    return made.to(dtype).eval()


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
