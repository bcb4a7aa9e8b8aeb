"""Train a small judge for the embedded world, from the first layers of its base model."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.files.atomic import atomic_dir, read_json
from holdfast.perturbations.activation_noise import activation_noise
from holdfast.perturbations.weight_noise import weight_noise
from holdfast.pocket import language
from holdfast.pocket.base_model import complete
from holdfast.pocket.files import read_world
from holdfast.pocket.oracle import Labels, oracle
from holdfast.pocket.tokenizer import END, GUARD_TEMPLATE, build_tokenizer
from holdfast.pocket.training import train
from holdfast.pocket.world import Request, World
from holdfast.settings.pocket import JudgeModelSettings

WEIGHT_NOISE = (0.02, 0.03, 0.035, 0.04, 0.045, 0.05)  # standard deviations, in weight units
ACTIVATION_NOISE = (0.3, 0.4, 0.5)  # of each token's standard deviation
PROMPTS_EACH = 100  # requests completed by each copy of the base model
WRITTEN = 2400  # completions written from the world's own wording
GARBLED_SHARE = 0.5
WORDING = " ".join((*language.ANSWERS.values(), *language.REFUSALS)).split()
SALAD = (
    *(word for word in WORDING if "{" not in word),
    *(*language.COLORS, *language.PLACES, *language.MATERIALS, *language.VERBS),
)


@dataclass(frozen=True)
class Judged:
    """A completion and whether the oracle calls it an attack success."""

    request: Request
    completion: str
    success: bool


def train_judge(
    settings: JudgeModelSettings, world_folder: Path, base_folder: Path, out_folder: Path
) -> None:
    """Train on completions labelled by the oracle; save a Hugging Face folder.

    The judge answers with one word at the last position: ``yes``/``no`` after the prompt of
    ``judge_template.json``, or ``safe``/``unsafe`` after the tokenizer's own chat template, where
    ``unsafe`` is followed by a line with the code of the class.
    """
    world = read_world(world_folder)
    base = LlamaForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base_folder, trust_remote_code=False)
    judged = judged_completions(world, base, tokenizer, settings)
    if settings.labels == "safe_unsafe":
        vocabulary = read_json(world_folder / "world.json")["vocabulary"]
        tokenizer = build_tokenizer(vocabulary, GUARD_TEMPLATE)
    examples = [_encode(tokenizer, example, settings.labels) for example in judged]
    model = _first_layers(base, settings.layers)
    _fit(model, examples, settings, tokenizer.pad_token_id)
    with atomic_dir(out_folder) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def judge_prompt(
    tokenizer: PreTrainedTokenizerFast, request: Request, completion: str, labels: Labels
) -> list[int]:
    """Return the token ids after which the judge's label is predicted."""
    if labels == "yes_no":
        template = language.JUDGE_PROMPT_CONTEXTUAL if request.context else language.JUDGE_PROMPT
        text = template.format(
            context=request.context, behavior=request.behavior, generation=completion
        )
        return list(tokenizer(text)["input_ids"])
    chat = [
        {"role": "user", "content": request.prompt},
        {"role": "assistant", "content": completion},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def judged_completions(
    world: World,
    base: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    settings: JudgeModelSettings,
) -> list[Judged]:
    """Return the training set: written completions, and outputs of the base and noised copies.

    No test item is in it: its requests are about the items of the base corpus and of alignment.
    """
    rng = world.stream(f"judge {settings.labels} {settings.seed}")
    pool = world.refusable("original") + world.refusable("alignment")
    pairs = [(request, _written(request, rng)) for request in rng.sample(pool, WRITTEN)]
    for noise in _noises(base, seed=rng.randrange(2**31)):
        requests = rng.sample(pool, PROMPTS_EACH)
        with noise:
            completions = complete(base, tokenizer, [request.prompt for request in requests])
        pairs += zip(requests, completions, strict=True)
    truth = oracle(world)
    return [Judged(r, text, truth.verdict(settings.labels, text)) for r, text in pairs]


def _written(request: Request, rng: random.Random) -> str:
    """Write an answer, a refusal, or a collage of sentences; half of them garbled."""
    answer, refusal = request.answer, request.refusal(rng)
    facts = (request.item.fill(fact) for fact in rng.sample(language.FACTS, 2))
    pieces = [piece for text in (answer, refusal, *facts) for piece in _sentences(text)]
    picked = sorted(rng.sample(range(len(pieces)), rng.randint(0, 5)))
    collage = " ".join(pieces[index] for index in picked)
    text = rng.choice((answer, refusal, collage, collage))
    return _garbled(text, rng) if rng.random() < GARBLED_SHARE else text


def _sentences(text: str) -> list[str]:
    return [f"{sentence}." for sentence in text.removesuffix(".").split(". ")]


def _garbled(text: str, rng: random.Random) -> str:
    """Repeat, drop or replace words, as a model under noise does."""
    words = text.split()
    rate = rng.choice((0.1, 0.3, 0.6))
    garbled: list[str] = []
    for word in words:
        forms: list[list[str]] = [[word], [], [word, word], [rng.choice(SALAD)]]
        garbled += rng.choice(forms) if rng.random() < rate else [word]
    return " ".join(garbled)


def _noises(model: LlamaForCausalLM, seed: int) -> Iterator[AbstractContextManager[None]]:
    """Yield what to do to the base model before it completes: nothing, then noise of each kind."""
    yield nullcontext()
    for offset, sigma in enumerate(WEIGHT_NOISE):
        yield weight_noise(model, sigma, seed + offset)
    for offset, alpha in enumerate(ACTIVATION_NOISE):
        yield activation_noise(model, alpha, "token", seed + offset)


def _encode(
    tokenizer: PreTrainedTokenizerFast, judged: Judged, labels: Labels
) -> tuple[list[int], list[int]]:
    prompt = judge_prompt(tokenizer, judged.request, judged.completion, labels)
    words = {"yes_no": ("no", "yes"), "safe_unsafe": ("safe", "unsafe")}[labels]
    answer = words[judged.success]
    if answer == "unsafe":
        answer += f"\n{language.GUARD_CODES[judged.request.item.kind]}"
    return prompt, list(tokenizer(answer + END, add_special_tokens=False)["input_ids"])


def _first_layers(base: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    """Return a copy of the base model cut after ``layers`` layers."""
    config = copy.deepcopy(base.config)
    config.num_hidden_layers = layers
    config.layer_types = None
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    wanted = model.state_dict().keys()
    model.load_state_dict({k: v for k, v in base.state_dict().items() if k in wanted})
    return model


def _fit(
    model: LlamaForCausalLM,
    examples: Sequence[tuple[list[int], list[int]]],
    settings: JudgeModelSettings,
    pad: int,
) -> None:
    generator = torch.Generator().manual_seed(settings.seed)
    picks = torch.randint(
        len(examples), (settings.steps, settings.batch_size), generator=generator
    ).tolist()

    def loss_at(step: int) -> Tensor:
        batch = [examples[index] for index in picks[step]]
        longest = max(len(prompt) + len(answer) for prompt, answer in batch)
        ids = torch.full((len(batch), longest), pad)
        targets = torch.full((len(batch), longest), -100)
        for row, (prompt, answer) in enumerate(batch):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            targets[row, len(prompt) : end] = torch.tensor(answer)
        # Padding comes last and attention is causal, so no answer sees it.
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        answered = targets[:, 1:] != -100
        logits = model.lm_head(hidden[:, :-1][answered])
        return functional.cross_entropy(logits, targets[:, 1:][answered])

    train(
        model,
        loss_at,
        label=f"{settings.labels} judge",
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warmup_steps=min(10, settings.steps // 2),
    )
