"""The models that are measured: random weights, a word tokenizer and drawn token ids."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.measure import Contest, Result, compete
from holdfast.engine.batches import Example

SPECIAL = ("<pad>", "<user>", "<assistant>", "<end>", "<unk>")
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %} <end>\n{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SEED = 0


@dataclass(frozen=True)
class Shape:
    """A Llama's shape, and how much work a row does on it."""

    name: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    tied: bool
    dtype: torch.dtype
    initializer_range: float
    selected: tuple[int, ...]  # the layers that a targeted step moves
    group: int  # input weights that share a scale in the quantized copy
    prompt: tuple[int, int]  # tokens of a drawn example, at least and at most
    response: tuple[int, int]
    samples: int  # examples of one evaluation
    probe_samples: int  # examples that sensitivity takes, in batches of `probe_batch`
    probe_batch: int
    probe_lengths: float  # share of the lengths above that they have
    forward_batch: int  # examples of a step in one forward pass, sorted by length
    steps: int  # zeroth-order (q = 1) and first-order steps in a timed call
    prompts: int  # completed prompts
    new_tokens: int
    behaviors: int  # judged behaviors, of ten completions each
    judge_prefix: int  # tokens before the behavior that all judge prompts share

    def __str__(self) -> str:
        """The sizes, as the report states them."""
        prompt, response = ("{} to {}".format(*span) for span in (self.prompt, self.response))
        return (
            f"{self.name}: {self.layers} decoder layers, hidden size {self.hidden}, MLP size "
            f"{self.intermediate}, {self.heads} heads ({self.kv_heads} for keys and values), "
            f"vocabulary {self.vocabulary:,}, {str(self.dtype).removeprefix('torch.')}, random "
            f"weights. Examples of {prompt} prompt and {response} response tokens, eight a batch; "
            f"for sensitivity {self.probe_lengths:.0%} as long, {self.probe_batch} a batch"
        )


SMALL = Shape(
    name="Llama, 107 M parameters",
    vocabulary=32_000,
    hidden=512,
    intermediate=1408,
    layers=32,
    heads=8,
    kv_heads=2,
    tied=True,
    dtype=torch.float32,
    initializer_range=0.06,
    selected=(12, 24, 29, 31),
    group=128,
    prompt=(8, 24),
    response=(12, 60),
    samples=16,
    probe_samples=8,
    probe_batch=4,
    probe_lengths=0.5,
    forward_batch=4,
    steps=2,
    prompts=8,
    new_tokens=16,
    behaviors=1,
    judge_prefix=250,
)
LLAMA_3_8B = Shape(
    name="Llama-3-8B's shape",
    vocabulary=128_256,
    hidden=4096,
    intermediate=14_336,
    layers=32,
    heads=32,
    kv_heads=8,
    tied=False,
    dtype=torch.bfloat16,
    initializer_range=0.02,
    selected=(12, 24, 29, 31),
    group=128,
    prompt=(16, 48),
    response=(24, 120),
    samples=64,
    probe_samples=32,
    probe_batch=8,
    probe_lengths=1.0,
    forward_batch=8,
    steps=5,
    prompts=32,
    new_tokens=32,
    behaviors=4,
    judge_prefix=250,
)
TINY = Shape(
    name="A toy Llama, for a trial of the benchmark itself",
    vocabulary=512,
    hidden=64,
    intermediate=128,
    layers=8,
    heads=4,
    kv_heads=2,
    tied=True,
    dtype=torch.float32,
    initializer_range=0.1,
    selected=(3, 6, 7),
    group=64,
    prompt=(4, 8),
    response=(4, 16),
    samples=16,
    probe_samples=4,
    probe_batch=2,
    probe_lengths=1.0,
    forward_batch=4,
    steps=2,
    prompts=4,
    new_tokens=4,
    behaviors=1,
    judge_prefix=50,
)
SHAPES = {"small": SMALL, "llama-3-8b": LLAMA_3_8B, "tiny": TINY}


@dataclass(frozen=True)
class Bench:
    """A model on a device, and how often each way is measured."""

    shape: Shape
    device: str
    rounds: int

    @cached_property
    def model(self) -> Any:
        """The model, made of random weights where it is used."""
        shape = self.shape
        config = LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=2048,
            initializer_range=shape.initializer_range,
            tie_word_embeddings=shape.tied,
            bos_token_id=None,
            eos_token_id=SPECIAL.index("<end>"),
            pad_token_id=0,
            dtype=shape.dtype,
        )
        torch.manual_seed(SEED)
        default = torch.get_default_dtype()
        torch.set_default_dtype(shape.dtype)
        try:
            with torch.device(self.device):
                return LlamaForCausalLM(config).eval()
        finally:
            torch.set_default_dtype(default)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Every parameter's tensor by name."""
        return {name: parameter.data for name, parameter in self.model.named_parameters()}

    @property
    def model_bytes(self) -> int:
        """The memory that the weights take."""
        return sum(tensor.nbytes for tensor in self.parameters.values())

    def examples(self, count: int, lengths: float = 1.0) -> list[Example]:
        """Draw training pairs of the shape's lengths or a share of them; always the same ones."""
        draw = random.Random(SEED)  # noqa: S311
        spans = [
            [int(lengths * end) for end in x] for x in (self.shape.prompt, self.shape.response)
        ]
        made = []
        for _ in range(count):
            prompt, response = (self.tokens(draw, *span) for span in spans)
            made.append(Example(prompt + response, len(prompt)))
        return made

    def tokens(self, draw: random.Random, least: int, most: int) -> tuple[int, ...]:
        """Draw between ``least`` and ``most`` ordinary tokens."""
        count = draw.randint(least, most)
        return tuple(draw.randrange(len(SPECIAL), self.shape.vocabulary) for _ in range(count))

    def compete(self, contest: Contest) -> Result:
        """Measure a contest on this model's device."""
        return compete(contest, self.device, self.rounds, self.model_bytes)


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token a word, as many as the model's vocabulary; ``<end>`` ends a turn."""
    words = [*SPECIAL, *(f"w{number}" for number in range(len(SPECIAL), vocabulary))]
    numbers = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",  # noqa: S106
        eos_token="<end>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        additional_special_tokens=["<user>", "<assistant>"],
        chat_template=TEMPLATE,
    )
