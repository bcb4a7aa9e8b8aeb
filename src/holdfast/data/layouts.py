"""Public data sets by their columns, and the columns that a file of no known layout may have.

A data set is known by all of its columns, since one name means two things: JailbreakBench's
`Behavior` is a label, HarmBench's is the request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

Kind = Literal["behaviors", "prompts", "pairs"]
Names = Mapping[str, str]  # columns of a file, by the names used here


class Layout(NamedTuple):
    """The columns of a public file: all of ``columns``, and maybe some of ``others``."""

    data: str
    columns: frozenset[str]
    names: Mapping[Kind, Names]
    others: frozenset[str] = frozenset()


def _columns(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYOUTS = (
    Layout(
        "HarmBench (github.com/centerforaisafety/HarmBench)",
        _columns("Behavior FunctionalCategory SemanticCategory Tags ContextString BehaviorID"),
        {
            "behaviors": {
                "id": "BehaviorID",
                "behavior": "Behavior",
                "context": "ContextString",
                "tags": "Tags",
                "category": "SemanticCategory",
            },
            "prompts": {"id": "BehaviorID", "prompt": "Behavior"},
        },
    ),
    Layout(
        "AdvBench (github.com/llm-attacks/llm-attacks)",
        _columns("goal target"),
        {"behaviors": {"behavior": "goal"}, "prompts": {"prompt": "goal"}},
    ),
    Layout(  # its harmful and its benign file
        "JailbreakBench (huggingface.co/datasets/JailbreakBench/JBB-Behaviors)",
        _columns("Index Goal Target Behavior Category Source"),
        {
            "behaviors": {"id": "Index", "behavior": "Goal", "category": "Category"},
            "prompts": {"id": "Index", "prompt": "Goal"},
        },
    ),
    Layout(
        "StrongREJECT (github.com/alexandrasouly/strongreject)",
        _columns("category source forbidden_prompt"),
        {"behaviors": {"behavior": "forbidden_prompt", "category": "category"}},
    ),
    Layout(
        "XSTest (github.com/paul-rottger/xstest)",
        _columns("prompt type focus note"),
        {
            "behaviors": {"id": "id", "behavior": "prompt", "category": "type"},
            "prompts": {"id": "id", "prompt": "prompt"},
        },
        _columns("id label"),
    ),
    Layout(
        "circuit breakers (github.com/GraySwanAI/circuit-breakers)",
        _columns("category prompt llama3_output"),  # and `output`, which is never loaded
        {"pairs": {"prompt": "prompt", "response": "llama3_output"}},
        _columns("source"),
    ),
    Layout(
        "BeaverTails (huggingface.co/datasets/PKU-Alignment/BeaverTails)",
        _columns("prompt response category is_safe"),
        {"pairs": {"prompt": "prompt", "response": "response"}},
    ),
    Layout(
        "Alpaca (github.com/tatsu-lab/stanford_alpaca)",
        _columns("instruction input output"),
        {"pairs": {"prompt": "instruction", "context": "input", "response": "output"}},
        _columns("text"),
    ),
    Layout(
        "Dolly (huggingface.co/datasets/databricks/databricks-dolly-15k)",
        _columns("instruction context response category"),
        {"pairs": {"prompt": "instruction", "context": "context", "response": "response"}},
    ),
    Layout(
        "GSM8K (huggingface.co/datasets/openai/gsm8k)",
        _columns("question answer"),
        {"pairs": {"prompt": "question", "response": "answer"}},
    ),
    Layout(
        "prompts and completions (huggingface.co/docs/trl/dataset_formats)",
        _columns("prompt completion"),
        {"pairs": {"prompt": "prompt", "response": "completion"}},
    ),
    Layout(
        "preferences (huggingface.co/docs/trl/dataset_formats)",
        _columns("prompt chosen rejected"),
        {"pairs": {"prompt": "prompt", "response": "chosen"}},
    ),
    Layout(
        "HH-RLHF (huggingface.co/datasets/Anthropic/hh-rlhf)",
        _columns("chosen rejected"),
        {"pairs": {"messages": "chosen"}},
    ),
    Layout(
        "messages (huggingface.co/docs/trl/dataset_formats)",
        _columns("messages"),
        {"pairs": {"messages": "messages"}},
        _columns("prompt prompt_id id source"),
    ),
    Layout(
        "ShareGPT",
        _columns("conversations"),
        {"pairs": {"messages": "conversations"}},
        _columns("id"),
    ),
)
# Other names of what is asked and answered, in lower case: a file with two has to be explained.
REQUESTS = _columns("prompt goal behavior instruction question query request forbidden_prompt")
ANSWERS = _columns("llama3_output response output completion answer chosen")
RIVALS = {
    "behavior": REQUESTS,
    "prompt": REQUESTS,
    "response": ANSWERS,
    "messages": frozenset[str](),
    "id": frozenset[str](),
}


def known_names(columns: Collection[str], kind: Kind) -> Names:
    """Return what the columns of a known data set mean; empty for other files."""
    for layout in LAYOUTS:
        if layout.columns <= set(columns) <= layout.columns | layout.others:
            names = layout.names.get(kind, {})
            return {ours: theirs for ours, theirs in names.items() if theirs in columns}
    return {}
