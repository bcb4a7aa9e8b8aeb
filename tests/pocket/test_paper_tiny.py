"""The paper's jobs on small untrained checkpoints: the checkpoints, and Table 2 from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from small_run import ROOT, SNAKEMAKE

# One model, one table, and of its cells one level a perturbation.
OVERLAY: dict[str, Any] = {
    "run": "one-model",
    "models": {"qwen2": None},
    "arms": dict.fromkeys(("fo_long", "zo", "zo_snip", "zo_wanda", "zo_random")),
    "perturbations": {"weight_noise": {"levels": [2]}, "activation_noise": {"levels": [0.08]}},
    "tables": dict.fromkeys(f"table{number}" for number in (1, 3, 4, 6, 7, 8, 9))
    | {"claims": None},
    "figures": dict.fromkeys(("figure2", "figure3", "figure4"))
    | {"training_loss": {"arms": ["fo"]}},
}
SHOWN = {"weight_noise": [2], "activation_noise": [0.08]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    """A working folder with the checkpoints where config/paper-tiny.yaml looks for them."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "config").symlink_to(ROOT / "config")
    command = [sys.executable, str(ROOT / "tools" / "paper_tiny.py"), "--data", str(real_data)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    return folder / "results" / "paper-tiny-models"


@pytest.fixture(scope="module")
def results(folder: Path, real_data: Path) -> Path:
    overlay = folder / "one-model.yaml"
    sections = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())["tables"]["table2"]
    shown = [section | {"levels": SHOWN} for section in sections["sections"]]
    tables = OVERLAY["tables"] | {"table2": {"sections": shown}}
    overlay.write_text(yaml.safe_dump(OVERLAY | {"tables": tables}))
    configs = [str(ROOT / "config" / f"{name}.yaml") for name in ("paper", "paper-tiny")]
    command = [SNAKEMAKE, "--cores", str(os.cpu_count() or 1), "--directory", str(folder)]
    command += ["--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default")]
    command += ["--configfile", *configs, str(overlay)]
    environment = os.environ | {"HOLDFAST_DATA": str(real_data)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    return folder / "results" / "one-model"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("name", "kind", "layers", "groups"),
    [
        ("llama3", "LlamaForCausalLM", 32, 2),
        ("qwen2", "Qwen2ForCausalLM", 28, 2),
        ("harmbench", "LlamaForCausalLM", 40, 4),
        ("llamaguard", "LlamaForCausalLM", 32, 2),
    ],
)
def test_checkpoints_have_the_originals_architecture(
    models: Path, name: str, kind: str, layers: int, groups: int
) -> None:
    config = read(models / name / "config.json")
    assert config["architectures"] == [kind]
    assert (config["num_hidden_layers"], config["num_key_value_heads"]) == (layers, groups)
    assert config["dtype"] == "bfloat16"
    assert len(set(read(models / name / "model.safetensors.index.json")["weight_map"].values())) > 1


def test_prompts_are_in_the_official_formats(models: Path) -> None:
    from holdfast.checkpoints.load import load_tokenizer
    from holdfast.engine.batches import encode_prompt

    def prompt(name: str) -> str:
        tokenizer = load_tokenizer(models / name)
        return str(tokenizer.decode(encode_prompt(tokenizer, " Hi\n"), skip_special_tokens=False))

    assert prompt("llama3") == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert prompt("qwen2") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n"
    )


def test_special_tokens_are_single_and_end_answers(models: Path) -> None:
    from transformers import AutoModelForCausalLM

    from holdfast.checkpoints.load import load_tokenizer
    from holdfast.engine.generation import stop_tokens

    ends = {"llama3": {"<|end_of_text|>", "<|eot_id|>"}, "qwen2": {"<|im_end|>", "<|endoftext|>"}}
    for name, expected in ends.items():
        tokenizer = load_tokenizer(models / name)
        model = AutoModelForCausalLM.from_pretrained(models / name)
        stops = stop_tokens(model, tokenizer)
        assert {tokenizer.decode([token]) for token in stops} == expected
        assert all(tokenizer(token, add_special_tokens=False)["input_ids"] for token in expected)
    biases = {n: p for n, p in model.named_parameters() if n.endswith("bias")}
    assert len(biases) == 3 * 28  # queries, keys and values
    assert all(parameter.abs().sum() > 0 for parameter in biases.values())


def test_judges_read_their_labels_as_one_token(models: Path) -> None:
    from holdfast.checkpoints.load import load_tokenizer
    from holdfast.judges.label_logits import spellings
    from holdfast.judges.llamaguard import LlamaGuardJudge

    classifier = load_tokenizer(models / "harmbench")
    assert classifier("[INST] x [/INST]")["input_ids"][0] == classifier.bos_token_id
    assert classifier.convert_ids_to_tokens(classifier("yes")["input_ids"]) == ["<s>", "▁yes"]
    assert spellings(classifier, "yes")
    assert spellings(classifier, "no")
    assert classifier.decode(classifier("é\n✓")["input_ids"], skip_special_tokens=True) == "é\n✓"
    guard = load_tokenizer(models / "llamaguard")
    labels = LlamaGuardJudge(None, guard, answer_prefix="\n\n").labels
    assert [guard.decode([label]) for label in labels] == ["unsafe", "safe"]


def test_table_2_runs_to_its_end(results: Path) -> None:
    for arm in ("original", "fo", "zo_robust"):
        for name in ("none", "w4a16", "w4a4", "weight_noise", "activation_noise"):
            summary = read(results / "llama3" / arm / "seed0" / name / "summary.json")
            assert summary["behaviors"] == 4
            assert summary["meaningless"]
            assert [cell["perturbation"] for cell in summary["cells"]] == [name]
    selection = read(results / "llama3" / "fo" / "seed0" / "layers/robustness/selection.json")
    assert (selection["layers"], len(selection["top"])) == (32, 4)


def test_the_table_says_that_its_numbers_mean_nothing(results: Path) -> None:
    for suffix in ("md", "tex", "html", "txt"):
        text = (results / "tables" / f"table2.{suffix}").read_text()
        assert "NUMBERS MEAN NOTHING" in text.upper()


def test_the_table_stands_beside_the_published_one(results: Path) -> None:
    text = (results / "tables" / "table2.md").read_text()
    assert "published table2" in text
    assert "9.4069" in text  # the perplexity of the paper's Stage I
