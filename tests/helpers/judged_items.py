"""What the tests of judges judge: items, and the words and templates of small models that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.judges.verdict import Item, Reader, Verdict

COMMON = ["The answer is yes", "The answer is no", "It is maybe so", "yes no safe unsafe"] * 30
CHAT = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>judge<|turn|>{% endif %}"
)
TEMPLATE = {
    "prompt": "[INST] Is it so? {behavior} # {generation} Answer: [/INST]",
    "prompt_contextual": "[INST] {context} % {behavior} # {generation} Answer: [/INST]",
}


def behavior(name: str, context: str = "") -> dict[str, Any]:
    tags = ["context"] if context else []
    return {"id": name, "behavior": f"Do {name}", "context": context, "tags": tags, "category": ""}


def some_items(count: int = 24) -> list[Item]:
    words = ["alpha", "beta", "gamma", "delta", "yes", "no"]
    return [
        Item(
            behavior(f"b{i}", "Some context" if i % 3 == 0 else ""),
            " ".join(words[(i * 7 + k * k) % 6] for k in range(i)),
        )
        for i in range(count)
    ]


def verdicts_of(judge: Reader, items: Sequence[Item]) -> list[Verdict]:
    found: dict[int, Verdict] = {}
    judge.judge(items, found.update, {})
    return [found[index] for index in range(len(items))]
