"""A small model that judges, and its tokenizer."""

from __future__ import annotations

from typing import Any

import pytest

from judged_items import CHAT, COMMON, TEMPLATE
from tiny_llama import random_llama, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    tokenizer = train_tokenizer([*COMMON, *TEMPLATE.values()])
    tokenizer.chat_template = CHAT
    return tokenizer


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    loud = [tokenizer(word)["input_ids"][-1] for word in (" yes", " no", " maybe", "yes")]
    return random_llama(len(tokenizer), loud)
