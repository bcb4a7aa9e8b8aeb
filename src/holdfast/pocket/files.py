"""Write the embedded world in the formats of the real data, so that the real loaders read it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from holdfast.files.atomic import (
    atomic_file,
    read_json,
    write_json,
    write_jsonl,
)
from holdfast.pocket import language
from holdfast.pocket.tokenizer import vocabulary
from holdfast.pocket.world import Request, World, build_world
from holdfast.settings.pocket import WorldSettings

HELD_OUT_ARTICLES = 90  # about 60 tokens each: enough for 24 windows of 128 tokens


def write_world(settings: WorldSettings, folder: Path) -> None:
    """Write the world of ``settings`` into ``folder``; the same settings give the same bytes.

    ``behaviors.csv`` has HarmBench's columns, ``alignment.json`` and ``safety.json`` the
    circuit-breaker schema, ``benign.csv`` BehaviorID and Behavior, ``text.json`` a list of rows,
    ``multiple_choice.jsonl`` question, choices, answer; ``corpus.jsonl`` is the base model's
    training text, ``judge_template.json`` the yes/no judge's, ``world.json`` settings and words.
    The files ``finetune_*`` hold pairs for fine-tuning after alignment, as prompt and response.
    The files ``validation_*`` look like those of pairs, behaviors and benign prompts, for sweeps.
    """
    world = build_world(settings)
    _write_behaviors(folder / "behaviors.csv", world.behaviors())
    _write_prompts(folder / "benign.csv", world.benign_prompts())
    write_json(folder / "alignment.json", _pairs(world.alignment()))
    write_json(folder / "safety.json", _pairs(world.safety()))
    _write_behaviors(folder / "validation_behaviors.csv", world.validation_behaviors())
    _write_prompts(folder / "validation_benign.csv", world.validation_benign())
    write_json(folder / "validation_pairs.json", _pairs(world.validation_pairs()))
    for name, pairs in (
        ("benign", world.benign_attack()),
        ("identity", world.identity_attack()),
        ("harmful", world.harmful_attack()),
    ):
        rows = [{"prompt": prompt, "response": response} for prompt, response in pairs]
        write_json(folder / f"finetune_{name}.json", rows)
    write_json(folder / "text.json", world.articles("held-out text", HELD_OUT_ARTICLES))
    write_jsonl(folder / "multiple_choice.jsonl", world.questions())
    corpus = _corpus(world)
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_json(folder / "judge_template.json", _judge_template())
    write_json(
        folder / "world.json",
        {"settings": settings.model_dump(), "vocabulary": vocabulary(_texts(world))},
    )


def read_world(folder: Path) -> World:
    """Return the world that was written into ``folder``."""
    return build_world(WorldSettings(**read_json(folder / "world.json")["settings"]))


def _corpus(world: World) -> list[dict[str, object]]:
    chats: list[dict[str, object]] = [
        {
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": response},
            ]
        }
        for prompt, response in world.chats()
    ]
    return chats + [{"text": text} for text in world.articles("corpus", world.settings.articles)]


def _texts(world: World) -> Iterator[str]:
    """Yield every text a model of this world may have to read or write."""
    yield from _judge_template().values()
    yield from (language.GUARD_OPENING, language.GUARD_CLOSING, "User: Agent: yes no safe unsafe")
    yield from language.GUARD_CODES.values()
    for item in world.items:
        for wording in _wordings():
            yield from (item.fill(wording, action) for action in language.ACTIONS)
    for request in (*world.behaviors(), *world.benign_prompts(), *world.benign_pool()):
        yield from (request.prompt, request.answer)
    for values in (language.COLORS, language.PLACES, language.MATERIALS, language.VERBS):
        yield from values


def _wordings() -> Iterator[str]:
    yield from (*language.FACTS, language.BENIGN_STANCE, language.RESTRICTED_STANCE)
    yield from language.REFUSALS
    for question, answer in language.QUESTIONS:
        yield from (question, answer)


def _judge_template() -> dict[str, str]:
    return {
        "prompt": language.JUDGE_PROMPT,
        "prompt_contextual": language.JUDGE_PROMPT_CONTEXTUAL,
    }


def _pairs(pairs: Iterable[tuple[Request, str]]) -> list[dict[str, str]]:
    return [
        {"category": request.item.kind, "prompt": request.prompt, "llama3_output": response}
        for request, response in pairs
    ]


def _write_behaviors(path: Path, requests: Iterable[Request]) -> None:
    header = (
        "Behavior",
        "FunctionalCategory",
        "SemanticCategory",
        "Tags",
        "ContextString",
        "BehaviorID",
    )
    rows = (
        (
            request.behavior,
            "contextual" if request.context else "standard",
            request.item.kind,
            "context" if request.context else "",
            request.context,
            request.id,
        )
        for request in requests
    )
    _write_csv(path, header, rows)


def _write_prompts(path: Path, requests: Iterable[Request]) -> None:
    rows = ((request.id, request.prompt) for request in requests)
    _write_csv(path, ("BehaviorID", "Behavior"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
