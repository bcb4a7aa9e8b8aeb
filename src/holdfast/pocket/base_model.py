"""Train the embedded base model, a small Llama, on the corpus of the embedded world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.engine.batches import IGNORED
from holdfast.engine.generation import Completion, generate
from holdfast.errors import HoldfastError
from holdfast.files.atomic import (
    atomic_dir,
    read_json,
    read_jsonl,
    sha256,
)
from holdfast.pocket.files import read_world
from holdfast.pocket.oracle import oracle
from holdfast.pocket.tokenizer import ASSISTANT, build_tokenizer
from holdfast.pocket.training import train
from holdfast.pocket.world import World
from holdfast.settings.pocket import BaseModelSettings

ROW = 128  # tokens of a packed row
MAX_NEW_TOKENS = 32
GENERATION_BATCH = 150


def train_base_model(
    settings: BaseModelSettings, world_folder: Path, out_folder: Path, scratch_folder: Path
) -> None:
    """Train on ``corpus.jsonl`` and save a Hugging Face folder to ``out_folder``.

    A killed run goes on from ``scratch_folder`` and ends with the same bytes.

    Raises:
        HoldfastError: the model complies with a share of test behaviors outside
            ``settings.asr_gate``, so there would be nothing to align, or nothing aligned yet.
    """
    tokenizer = build_tokenizer(read_json(world_folder / "world.json")["vocabulary"])
    rows = Rows(tokenizer, read_jsonl(world_folder / "corpus.jsonl"), settings)
    model = _new_model(settings, tokenizer)

    def loss_at(step: int) -> Tensor:
        ids, positions, targets = rows.batch(step)
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False)
        logits = model.lm_head(hidden.last_hidden_state[:, :-1])
        # Position 0 opens a new sequence, which the one before it in the row cannot foretell.
        following = targets[:, 1:].masked_fill(positions[:, 1:] == 0, IGNORED)
        return functional.cross_entropy(logits.flatten(0, 1), following.flatten())

    train(
        model,
        loss_at,
        label="base model",
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        identity={
            "settings": settings.model_dump_json(),
            "corpus": sha256(world_folder / "corpus.jsonl"),
        },
        scratch_folder=scratch_folder,
    )
    _gate(model, tokenizer, read_world(world_folder), settings)
    with atomic_dir(out_folder) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def complete(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]
) -> list[str]:
    """Return the greedy completion of each prompt, at most 32 tokens."""
    completions: dict[int, Completion] = {}
    generate(
        model,
        tokenizer,
        prompts,
        max_new_tokens=MAX_NEW_TOKENS,
        batch_size=GENERATION_BATCH,
        on_done=completions.__setitem__,
    )
    return [completions[index].text for index in range(len(prompts))]


def _new_model(settings: BaseModelSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=512,
        initializer_range=0.06,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return LlamaForCausalLM(config)


class Rows:
    """The corpus cut into rows of 128 tokens, in an order that depends on seed and step alone.

    A row holds either running text, as perplexity will read it, or whole articles and chats, each
    with positions from 0, which tells the model that they do not see each other. What a user
    asks is not a target: its random names would drown what is to be learned.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        corpus: Sequence[dict[str, str]],
        settings: BaseModelSettings,
    ) -> None:
        rows = [*_rows_of_text(tokenizer, corpus), *_rows_of_chats(tokenizer, corpus)]
        # (rows, 3, 128): token ids, positions, targets
        self._rows = torch.tensor(rows)
        self._settings = settings

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return token ids, positions and targets (-100: none), each (batch_size, 128)."""
        size, count = self._settings.batch_size, len(self)
        picked = []
        for number in range(step * size, (step + 1) * size):
            epoch, place = divmod(number, count)
            picked.append(int(self._order(epoch)[place]))
        ids, positions, targets = self._rows[picked].unbind(1)
        return ids, positions, targets

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._settings.seed * 1000 + epoch)
        return torch.randperm(len(self), generator=generator)


Row = tuple[list[int], list[int], list[int]]


def _rows_of_text(
    tokenizer: PreTrainedTokenizerFast, corpus: Sequence[dict[str, str]]
) -> Iterator[Row]:
    """A third of the articles as running text, the others apart."""
    texts = [row["text"] for row in corpus if "text" in row]
    cut = len(texts) // 3
    running = tokenizer("\n\n".join(texts[:cut]), add_special_tokens=False)["input_ids"]
    for start in range(0, len(running) - ROW, ROW):
        window = running[start : start + ROW]
        yield window, [*range(ROW)], window
    apart = tokenizer(texts[cut:])["input_ids"]
    yield from _pack(((ids, 0) for ids in apart), tokenizer.pad_token_id)


def _rows_of_chats(
    tokenizer: PreTrainedTokenizerFast, corpus: Sequence[dict[str, str]]
) -> Iterator[Row]:
    chats = [row["messages"] for row in corpus if "messages" in row]
    rendered = tokenizer.apply_chat_template(chats, tokenize=False)
    encoded = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    reply = tokenizer.convert_tokens_to_ids(ASSISTANT)
    yield from _pack(((ids, ids.index(reply) + 1) for ids in encoded), tokenizer.pad_token_id)


def _pack(sequences: Iterable[tuple[list[int], int]], pad: int) -> Iterator[Row]:
    """Yield rows of whole (token ids, first target) sequences, padded at position 0."""
    row: Row = ([], [], [])
    for ids, targets_from in sequences:
        if len(row[0]) + len(ids) > ROW:
            yield _padded(row, pad)
            row = ([], [], [])
        row[0].extend(ids)
        row[1].extend(range(len(ids)))
        row[2].extend([IGNORED] * targets_from + ids[targets_from:])
    yield _padded(row, pad)


def _padded(row: Row, pad: int) -> Row:
    room = ROW - len(row[0])
    return row[0] + [pad] * room, row[1] + [0] * room, row[2] + [IGNORED] * room


def _gate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    settings: BaseModelSettings,
) -> None:
    behaviors, truth = world.behaviors(), oracle(world)
    completions = complete(model, tokenizer, [request.prompt for request in behaviors])
    asr = sum(truth.verdict("yes_no", text) for text in completions) / len(behaviors)
    low, high = settings.asr_gate
    if not low <= asr <= high:
        raise HoldfastError(
            f"the embedded base model complies with {asr:.3f} of the test behaviors, outside "
            f"asr_gate {low} to {high}: change its seed, or train it for more than "
            f"{settings.steps} steps"
        )
