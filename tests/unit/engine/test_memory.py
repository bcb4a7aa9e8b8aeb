"""Memory estimates against real models' sizes and against what stages really take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import shapes
from holdfast.engine import limits
from holdfast.engine import memory as estimate
from holdfast.engine.batch_size import row_bytes
from holdfast.engine.memory import GIB
from holdfast.engine.parameters import linear_modules
from holdfast.engine.shape import shape_of
from holdfast.plan.shapes import shape_of_model
from holdfast.settings.evaluation import Generation, Utility
from holdfast.settings.gap import GapSettings
from holdfast.settings.models import ModelSettings
from holdfast.settings.perturbations import (
    FakeQuant,
    Gptq,
    Unperturbed,
    WeightNoise,
)
from holdfast.settings.selections import Robustness, Snip, Wanda
from holdfast.settings.stages import FirstOrder, ZerothOrder

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}
LLAMA_3_8B = shape_of(shapes.LLAMA_3_8B | {"torch_dtype": "bfloat16"})
LLAMA_2_13B = shape_of(
    {
        "vocab_size": 32000,
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
    "bfloat16",
)
QWEN2_7B = shape_of(
    {
        "model_type": "qwen2",
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "bfloat16",
)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (LlamaForCausalLM, LlamaConfig(**SMALL, dtype="bfloat16")),
        (LlamaForCausalLM, LlamaConfig(**SMALL, head_dim=16, tie_word_embeddings=True)),
        (Qwen2ForCausalLM, Qwen2Config(**SMALL)),
        (MistralForCausalLM, MistralConfig(**SMALL)),
    ],
    ids=["llama", "wide heads, tied", "qwen2", "mistral"],
)
def test_parameters_are_counted_to_the_last(kind: Any, config: Any) -> None:
    with torch.device("meta"):
        model = kind(config)
    shape = shape_of(json.loads(config.to_json_string()))
    layer = model.model.layers[0]
    assert shape.parameters == model.num_parameters()
    assert shape.layer_parameters == sum(p.numel() for p in layer.parameters())
    weights = (module.weight.numel() for module in linear_modules(layer).values())
    assert shape.linear_parameters == sum(weights)
    assert shape.item == (2 if config.dtype is not None else 4)
    model = model.to(torch.bfloat16)
    assert shape_of(config.to_dict(), "bfloat16").row_bytes(70) == row_bytes(model, 70)


def test_the_papers_models_have_their_known_sizes() -> None:
    assert LLAMA_3_8B.parameters == 8_030_261_248
    assert LLAMA_2_13B.parameters == 13_015_864_320
    assert QWEN2_7B.parameters == 7_615_616_512
    assert LLAMA_3_8B.weights == 2 * LLAMA_3_8B.parameters


def test_shapes_come_from_where_the_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    local = ModelSettings(path=str(tmp_path / "local"), layers=3, dtype="float16")
    assert shape_of_model(local) is None
    (tmp_path / "local" / "config.json").write_text(json.dumps(SMALL))
    assert shape_of_model(local) == shape_of(SMALL, "float16")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    hub = ModelSettings(hub="meta/llama", revision="a" * 40, layers=3)
    assert shape_of_model(hub) is None
    snapshot = tmp_path / "hub" / "models--meta--llama" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"text_config": SMALL}))
    assert shape_of_model(hub) == shape_of(SMALL, "float32")
    (snapshot / "config.json").write_text('{"d_model": 3}')  # another architecture
    assert shape_of_model(hub) is None


def test_models_made_by_the_run_are_described_by_their_settings() -> None:
    base = ModelSettings.model_validate({"pocket": {"layers": 5}})
    judge = ModelSettings.model_validate(
        {"pocket_judge": {"labels": "yes_no", "layers": 2}, "dtype": "bfloat16"}
    )
    whole, cut = shape_of_model(base), shape_of_model(judge, base)
    assert whole is not None
    assert cut is not None
    assert (whole.layers, cut.layers, cut.hidden, cut.item) == (5, 2, whole.hidden, 2)
    assert shape_of_model(judge) is None
    scratch = shape_of_model(ModelSettings.model_validate({"scratch": {"hidden_size": 96}}))
    assert scratch is not None
    assert (scratch.hidden, scratch.layers, scratch.vocabulary) == (96, 4, 4096)
    assert (whole.context, scratch.context) == (512, 2048)
    long, short = (estimate.judge(scratch, 8, tokens) for tokens in (10_000, 2048))
    assert long == short  # no prompt is longer than the model's context


def test_estimates_import_nothing_heavy() -> None:
    code = (
        "import sys, holdfast.engine.memory, holdfast.jobs.lease;"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_estimates_follow_the_limits_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit decides one of them; tests of the engine see that it follows the same limits."""
    small = shape_of(SMALL)
    stages: dict[str, Callable[[], int]] = {
        "LOGITS_BYTES": lambda: estimate.layer_scores(small, Snip(), 96),
        "STACKED_TOKENS": lambda: estimate.layer_scores(small, Robustness(), 96),
        "KEPT_ELEMENTS": lambda: estimate.zeroth_order(small, ZerothOrder(), 96, 2),
    }
    for limit, stage in stages.items():
        usual = stage()
        with monkeypatch.context() as patch:
            patch.setattr(limits, limit, 0)
            assert stage() < usual, limit


def utility(**options: Any) -> Utility:
    tasks = {"tasks": {"boolq": {}}, "batch_size": options.pop("lm_eval", 1)}
    return Utility.model_validate({"perplexity": options, "lm_eval": tasks})


def test_the_papers_stages_need_the_cards_that_one_would_expect() -> None:
    focused = estimate.zeroth_order(LLAMA_3_8B, ZerothOrder(), 1536, 4)
    whole = estimate.zeroth_order(LLAMA_3_8B, ZerothOrder(), 1536, None)
    assert 19 * GIB < focused < 23 * GIB  # fits a card of 24 GB
    assert 46 * GIB < whole < 51 * GIB
    training = FirstOrder(gradient_checkpointing=True)
    alone = estimate.first_order(LLAMA_3_8B, training, 1536)
    assert 60 * GIB < alone < 72 * GIB  # a card of 80 GB
    assert estimate.first_order(LLAMA_3_8B, FirstOrder(), 1536) > alone + 5 * GIB
    momentum = training.model_copy(update={"momentum": 0.5})
    assert estimate.first_order(LLAMA_3_8B, momentum, 1536) == alone + 4 * LLAMA_3_8B.parameters
    two, eight = (estimate.first_order(LLAMA_3_8B, training, 1536, ranks=n) for n in (2, 8))
    assert 39 * GIB < two < 43 * GIB
    assert 17 * GIB < eight < 20 * GIB
    assert estimate.first_order(LLAMA_3_8B, training, 1536, ranks=64) > LLAMA_3_8B.weights
    assert estimate.judge(LLAMA_2_13B, "auto", 2048) > 24 * GIB
    assert LLAMA_2_13B.weights < estimate.judge(LLAMA_2_13B, 1, 2048) < 30 * GIB
    one_row, plain = Generation(batch_size="auto"), Unperturbed(kind="none")
    bare = estimate.evaluate(LLAMA_3_8B, one_row, utility(), plain)
    noisy = WeightNoise(kind="weight_noise", levels=[1.0])
    assert estimate.evaluate(LLAMA_3_8B, one_row, utility(), noisy) == bare + LLAMA_3_8B.weights
    assert estimate.evaluate(LLAMA_3_8B, Generation(batch_size=64), utility(), plain) > bare + GIB
    assert estimate.evaluate(LLAMA_3_8B, one_row, utility(lm_eval=16), plain) > bare + 5 * GIB
    rounded = FakeQuant.model_validate({"kind": "fake_quant", "levels": {"a": {}}})
    copied = estimate.evaluate(LLAMA_3_8B, one_row, utility(), rounded) - bare
    assert 0.8 * LLAMA_3_8B.weights < copied < LLAMA_3_8B.weights
    few, many = Wanda(batch_size=2), Wanda(batch_size=8)
    assert estimate.layer_scores(LLAMA_3_8B, few, 1536) < estimate.layer_scores(
        LLAMA_3_8B, many, 1536
    )
    gap = estimate.gap(LLAMA_3_8B, GapSettings(batch_size=1), 1536)
    assert 60 * GIB < gap < 72 * GIB  # weights, their copy and a float32 gradient
    forward = GapSettings(batch_size=1, gradient_copies=0)
    assert estimate.gap(LLAMA_3_8B, forward, 1536) < 32 * GIB
    gptq = Gptq.model_validate({"kind": "gptq", "levels": {"a": {}}})
    quantizing = estimate.quantize(LLAMA_3_8B, gptq.calibration.tokens)
    assert 3 * GIB < quantizing - LLAMA_3_8B.weights < 6 * GIB


MEASURE = """
import gc, json, os, random, sys, tempfile
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from holdfast.arms.first_order import train
from holdfast.settings.stages import FirstOrder, ZerothOrder
from holdfast.arms.zeroth_order import refine
from holdfast.engine.batches import Example
from holdfast.files.journal import Journal
from holdfast.engine.batches import make_batches
from holdfast.engine.cost import measured
from holdfast.engine.generation import _greedy
from holdfast.gap.measure import measure
from holdfast.settings.gap import GapSettings
from holdfast.layers import robustness, snip
from holdfast.settings.selections import Robustness, Snip

torch.set_num_threads(1)
config = LlamaConfig(**json.loads(sys.argv[1]))
tiny = LlamaConfig(vocab_size=300, hidden_size=64, intermediate_size=64, num_hidden_layers=4)
draw = random.Random(0)
rows = [Example(tuple(draw.randrange(9, 300) for _ in range(96)), 32) for _ in range(16)]


def made(config):
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def new_folder():
    return Path(tempfile.mkdtemp())


def zeroth_order(model):
    settings = ZerothOrder(steps=1, max_predicted_move=10.0)
    refine(model, rows, settings, layers=[2, 3], seed=0, journal=new_folder() / "journal")


def sensitivity(model):
    settings = Robustness(samples=16, draws=1, quant_group_size=64)
    robustness.score_layers(model, rows, settings, layers=[2], seed=0)


@torch.no_grad()
def generation(model):
    _greedy(model, [[9] * 190] * 8, 3, frozenset())


def first_order(model):
    settings = FirstOrder(steps=1, batch_size=4, gradient_accumulation=2, compute="float32")
    train(model, rows, settings, seed=0, scratch=new_folder())


def snip_scores(model):
    snip.score_layers(model, rows, Snip(samples=2))


def gap(model):
    settings = GapSettings(rho=[0.01], draws=2, gradient_copies=4)
    journal = Journal(new_folder() / "journal", {})
    measure(model, make_batches(rows, 8), settings, seed=0, journal=journal)


for stage in (zeroth_order, sensitivity, generation, first_order, snip_scores, gap):
    gc.collect()
    child = os.fork()  # each from the same memory, with the imports done
    if child == 0:
        stage(made(tiny))  # reads the libraries' own pages
        with measured() as meter:
            stage(made(config))
        print(stage.__name__, meter.usage.peak_memory_bytes, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_estimates_are_what_stages_take() -> None:
    sizes = {
        "vocab_size": 6000,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(sizes)],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = {name: int(size) for name, size in map(str.split, done.stdout.splitlines())}
    shape = shape_of(sizes)
    training = FirstOrder(batch_size=4, gradient_accumulation=2, compute="float32")
    expected = {
        "zeroth_order": estimate.zeroth_order(shape, ZerothOrder(), 96, 2),
        "sensitivity": estimate.layer_scores(shape, Robustness(samples=16, draws=1), 96),
        "generation": shape.weights + 8 * shape.row_bytes(193),
        "first_order": estimate.first_order(shape, training, 96),
        "snip_scores": estimate.layer_scores(shape, Snip(), 96),
        "gap": estimate.gap(shape, GapSettings(), 96),
    }
    assert taken.keys() == expected.keys()
    ratios = {name: round(expected[name] / size, 2) for name, size in taken.items()}
    assert ratios == {name: pytest.approx(1, abs=0.25) for name in ratios}
