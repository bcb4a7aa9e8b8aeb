"""Small from-scratch Llama models with a trained BPE tokenizer, where no weights are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.files.atomic import read_json, read_jsonl
from holdfast.progress import track
from holdfast.settings.models import ScratchModel

SPECIAL = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
HEADERS = ("<|user|>", "<|assistant|>", "<|system|>")
ANSWERS = ("yes", "no", "safe", "unsafe")  # a judge's answer has to be one token
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>"
    "{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WINDOW = 128
BATCH = 8


def train_scratch_model(settings: ScratchModel, texts: list[Path], folder: Path) -> None:
    """Train a tokenizer and a model on every string in ``texts`` and save both in ``folder``."""
    strings = list(_strings(texts))
    tokenizer = _tokenizer(settings, strings)
    model = _model(settings, tokenizer)
    _train(settings, model, tokenizer, strings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _strings(texts: list[Path]) -> Iterator[str]:
    for path in texts:
        for row in read_json(path) if path.suffix == ".json" else read_jsonl(path):
            values = [row] if isinstance(row, str) else row.values()
            yield from (value for value in values if isinstance(value, str) and value.strip())


def _tokenizer(settings: ScratchModel, strings: list[str]) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[*SPECIAL.values(), *HEADERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(strings, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        additional_special_tokens=list(HEADERS),
        model_max_length=settings.context,
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )
    tokenizer.add_tokens([AddedToken(word, single_word=True) for word in ANSWERS])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _model(settings: ScratchModel, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _train(
    settings: ScratchModel,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    strings: list[str],
) -> None:
    stream = torch.tensor(
        [token for string in strings for token in tokenizer(string)["input_ids"]], dtype=torch.long
    )
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in track(range(settings.steps), "scratch model"):
        starts = torch.randint(0, len(stream) - WINDOW, (BATCH,), generator=generator)
        batch = torch.stack([stream[start : start + WINDOW] for start in starts.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
