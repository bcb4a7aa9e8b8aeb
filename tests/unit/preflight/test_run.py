"""Checks before a run: all of them run, each failure is a sentence, and no weights are fetched."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fake_hub
import tiny_llama
from fake_hub import COMMIT, FakeHub
from holdfast.config import load_settings
from holdfast.config.overlays import laid_over
from holdfast.preflight import data, disk, memory, preflight, repositories, tasks
from holdfast.preflight.finding import Finding
from holdfast.settings.run import Settings
from places import ROOT

MODEL = {"hub": "some/llama", "revision": COMMIT, "layers": 3}
GIB = 2**30


DEFAULT = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


@pytest.fixture(autouse=True)
def _config_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


def settings(**overlay: Any) -> Settings:
    """The default config with something laid over it."""
    return load_settings(laid_over(DEFAULT, overlay))


def with_model(**changes: Any) -> Settings:
    """A config whose one model is the hub's, without the judges made from the embedded one."""
    return settings(**llama(**changes))


def llama(**changes: Any) -> dict[str, Any]:
    return {
        "models": {"pocket": None, "llama": MODEL | changes},
        "judges": {"harmbench": None, "llamaguard": None},
        "tables": dict.fromkeys(DEFAULT["tables"]),
        "figures": dict.fromkeys(DEFAULT["figures"]),
    }


def run(given: Settings) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return not preflight(given, lines.append), lines


def failures(given: Settings) -> list[str]:
    passed, lines = run(given)
    found = [line.strip() for line in lines if line.strip().startswith("✗")]
    assert passed == (not found)
    return found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_llama.model().save_pretrained(folder)
    tiny_llama.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repositories._ask.cache_clear()


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub.serving() as hub:
        fake_hub.use(hub, tmp_path / "home", monkeypatch)
        hub.add("some/llama", checkpoint)
        yield hub


def test_the_default_config_is_ready_in_a_moment() -> None:
    command = [sys.executable, "-m", "holdfast", "preflight"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "'pocket' is ready to run." in done.stdout
    assert "✗" not in done.stdout


def test_overlays_are_merged_and_mistakes_in_them_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("run: other\nseeds: [-1]\n")
    command = [sys.executable, "-m", "holdfast", "preflight", "--configfile"]
    for path, complaint in ((wrong, "holdfast: seeds.0"), (tmp_path / "no.yaml", "cannot be read")):
        done = subprocess.run(
            [*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr


def test_a_model_of_the_hub_is_checked_without_its_weights(hub: FakeHub) -> None:
    passed, lines = run(with_model())
    assert passed, lines
    told = "\n".join(lines)
    assert "✓ models.llama: some/llama at 0123456789ab is open to you" in told
    assert "✓ models.llama: 3 decoder layers" in told
    assert "✓ models.llama: has a chat template" in told
    assert "✓ models.llama: pads with its own token <pad>" in told
    fetched = {path.rsplit("/")[-1] for verb, path, _ in hub.asked if "resolve" in path}
    small = {"config.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert fetched <= small | {"chat_template.jinja"}


def test_every_failure_is_listed_with_its_mend(hub: FakeHub) -> None:
    hub.repositories["some/gated"] = fake_hub.Repository({"config.json": b"{}"}, gated=True)
    overlay = llama(layers=4)
    overlay["models"] |= {
        "gated": {"hub": "some/gated", "revision": COMMIT, "layers": 2},
        "old": {"hub": "some/llama", "revision": "f" * 40, "layers": 3},
        "absent": {"hub": "some/absent", "revision": COMMIT, "layers": 3},
        "folder": {"path": "nowhere", "layers": 3},
    }
    overlay["data"] = {"benign": {"source": {"pocket": None, "path": "nothing.csv"}}}
    found = failures(settings(**overlay))
    expected = [
        "models.gated.hub: some/gated .* accept its terms on https://huggingface.co/some/gated ",
        "models.old.hub: .* has no such revision",
        "models.absent.hub: some/absent .* was not found",
        "models.llama.layers: 4 does not match .* write layers: 3",
        "models.folder.path: nowhere is not a Hugging Face model",
        "data.benign.source.path: there is no file .*nothing.csv",
    ]
    for sentence in expected:
        pattern = re.compile(sentence)
        assert sum(bool(pattern.search(line)) for line in found) == 1, (sentence, found)
    assert len(found) == len(expected)


def test_a_gate_opens_with_a_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["some/llama"].gated = True
    assert "is gated" in failures(with_model())[0]
    repositories._ask.cache_clear()
    monkeypatch.setenv("HF_TOKEN", "hf_invited")
    assert failures(with_model()) == []


def test_files_that_a_repository_lacks_are_named(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    for name in ("tokenizer.json", "chat_template.jinja"):
        del files[name]
    files["model-00001-of-00002.safetensors"] = files.pop("model.safetensors")
    tokens = json.loads(files["tokenizer_config.json"])
    del tokens["pad_token"], tokens["eos_token"]
    files["tokenizer_config.json"] = json.dumps(tokens).encode()
    access, padding, template = failures(with_model())
    assert "has no tokenizer (tokenizer.json or" in access
    assert "model-00002-of-00002.safetensors" in access
    assert "neither a pad nor an end-of-sequence token" in padding
    assert "has no chat template" in template


def test_a_chat_template_is_tried(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    files["chat_template.jinja"] = b"<user> {{ messages[0].content.text }} <assistant>"
    (template,) = failures(with_model())
    assert "the chat template of some/llama drops the text of the user" in template


def test_a_chat_template_may_be_named_in_the_tokenizer_s_settings(hub: FakeHub) -> None:
    files = hub.repositories["some/llama"].files
    del files["chat_template.jinja"]
    tokens = json.loads(files["tokenizer_config.json"])
    named = [{"name": "default", "template": "{{ bos_token }}" + tiny_llama.TEMPLATE}]
    files["tokenizer_config.json"] = json.dumps(
        tokens | {"chat_template": named, "bos_token": {"content": "<s>"}}
    ).encode()
    assert failures(with_model()) == []


def test_offline_the_cache_is_checked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from holdfast.files.hub import fetch_snapshot

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (missing,) = failures(with_model())
    assert "fetch it once online" in missing
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = fetch_snapshot("some/llama", COMMIT, "models.llama.hub")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repositories._ask.cache_clear()
    asked = len(hub.asked)
    passed, lines = run(with_model())
    assert passed, lines
    assert any("in the cache (offline: the hub was not asked)" in line for line in lines)
    (folder / "model.safetensors").unlink()
    repositories._ask.cache_clear()
    assert ".safetensors file of weights in the cache" in failures(with_model())[0]
    assert len(hub.asked) == asked


def test_a_hub_that_cannot_be_reached_is_told_once(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    (told,) = failures(with_model())
    assert "ConnectError" in told


def test_ready_made_copies_are_checked_too(hub: FakeHub) -> None:
    copy = {"model": "llama", "hub": "some/copy", "revision": COMMIT}
    overlay = llama()
    overlay["perturbations"] = {"ready": {"kind": "checkpoint", "levels": {"AWQ": [copy]}}}
    (told,) = failures(settings(**overlay))
    assert "perturbations.ready.levels.AWQ.0.hub: some/copy" in told
    files = hub.repositories["some/llama"].files
    config = json.loads(files["config.json"]) | {"num_hidden_layers": 2}
    hub.repositories["some/copy"] = fake_hub.Repository(
        {"config.json": json.dumps(config).encode(), "quantized.safetensors": b""}
    )
    repositories._ask.cache_clear()
    (told,) = failures(settings(**overlay))
    assert "3 does not match the checkpoint, which has 2 decoder layers" in told


def test_a_local_checkpoint_is_checked_to_its_last_byte(checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    local = with_model(hub=None, revision=None, path=str(copy))
    assert failures(local) == []
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (told,) = failures(local)
    assert "models.llama.path" in told
    assert "is cut off or damaged" in told


HEADER = ["Behavior", "FunctionalCategory", "SemanticCategory", "Tags", "ContextString"]


@pytest.mark.parametrize(
    ("columns", "rows", "complaint"),
    [
        (HEADER, [["a"] * 5], "has no column BehaviorID"),
        ([*HEADER, "BehaviorID"], [[" ", "s", "c", "", "", "1"]], "row 1 has an empty behavior"),
        ([*HEADER, "BehaviorID"], [["a", "s", "c", "", "", "1"]] * 2, "occur more than once, '1'"),
        ([*HEADER, "BehaviorID"], [["é", "s", "c", "", "", "1"]], "is not text in UTF-8"),
    ],
)
def test_unusable_behaviors_are_told_before_the_run(
    tmp_path: Path, columns: list[str], rows: list[list[str]], complaint: str
) -> None:
    with (tmp_path / "b.csv").open("w", encoding="latin-1", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    source = {"pocket": None, "path": "b.csv"}
    (told,) = failures(settings(data={"behaviors": {"source": source}}, data_root=str(tmp_path)))
    assert "✗ data.behaviors.source: " in told
    assert complaint in told


def test_validation_data_are_checked_too(tmp_path: Path) -> None:
    absent = {"source": {"pocket": None, "path": "absent.csv"}}
    validation = {"behaviors": absent, "pairs": absent, "benign": absent}
    found = failures(settings(data={"validation": validation}))
    assert [line.split(":")[0] for line in found] == [
        f"✗ data.validation.{name}.source.path" for name in ("behaviors", "pairs", "benign")
    ]


def _check(path: Path, digest: str | None = None) -> list[Finding]:
    body = path.read_bytes() if path.exists() else b""
    source = {
        "pocket": None,
        "url": path.as_uri(),
        "sha256": digest or hashlib.sha256(body).hexdigest(),
    }
    given = settings(data={"benign": {"source": source}})
    return [one for one in data.check(given) if "data.benign" in one.text]


def test_addresses_are_asked_and_checksums_compared(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    assert "cannot be reached (URLError)" in _check(path)[0].text
    path.write_text("id,prompt\n1,Hello\n")
    assert _check(path) == [Finding(True, f"data.benign.source.url: file://{path} answers")]
    given = settings(
        data={"benign": {"source": {"pocket": None, "path": str(path), "sha256": "0" * 64}}}
    )
    (told,) = failures(given)
    assert "data.benign.source.sha256" in told


def test_tasks_of_lm_evals_own_and_their_data_sets(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm_eval_tasks = pytest.importorskip("lm_eval.tasks")
    folder = Path(lm_eval_tasks.__file__).parent
    few = [str(folder / name) for name in ("mmlu/default", "truthfulqa", "piqa")]
    index = lm_eval_tasks.TaskManager(include_path=few, include_defaults=False).task_index
    assert set(tasks.data_sets(index, "mmlu")) == {"cais/mmlu"}
    assert "truthfulqa/truthful_qa" in set(tasks.data_sets(index, "truthfulqa"))
    monkeypatch.setattr(tasks, "registry", lambda: index)
    hub.repositories["cais/mmlu"] = fake_hub.Repository({}, gated=True)
    hub.repositories["baber/piqa"] = fake_hub.Repository({})
    overlay = dict.fromkeys(DEFAULT["utility"]["lm_eval"]["tasks"]) | {
        name: {} for name in ("mmlu", "piqa", "pika")
    }
    given = settings(utility={"lm_eval": {"tasks": overlay}})
    unknown, opened, gated = tasks.check(given)
    assert "no task 'pika'; did you mean 'piqa'?" in unknown.text
    assert "https://huggingface.co/datasets/cais/mmlu " in gated.text
    assert (gated.ok, opened.ok) == (False, True)


Usage = namedtuple("Usage", "total used free")


def test_the_disk_must_hold_what_will_be_written(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = with_model()
    (ample,) = disk.check(given)
    assert ample.ok
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    (told,) = disk.check(given)
    assert told.ok is False
    assert "make room" in told.text
    assert "downloads" in told.text


def test_the_estimate_of_the_disk_counts_every_copy(hub: FakeHub) -> None:
    parts = disk._results(with_model())
    shape = tiny_llama.model()
    size = 4 * sum(parameter.numel() for parameter in shape.parameters())
    assert parts["first-order arms"] == 2 * size  # fo and fo_long
    assert parts["training state"] == size
    assert parts["GPTQ copies"] == 0  # no table shows any
    assert disk._downloads(with_model()) == sum(
        len(body) for name, body in hub.repositories["some/llama"].files.items()
    )
    overlay = llama()
    overlay["tables"]["mine"] = {
        "kind": "robustness",
        "title": "x",
        "metrics": ["refusal_prefix"],
        "sections": [{"arm": "zo_robust", "reference": {"arm": "fo"}}],
    }
    copies = disk._results(settings(**overlay))["GPTQ copies"]
    linear = sum(
        module.weight.numel() for name, module in shape.named_modules() if name.endswith("proj")
    )
    rest = size - 4 * linear
    assert copies == 2 * sum(rest + linear * bits / 8 for bits in (4, 4, 3))  # fo, zo_robust


def test_the_points_of_sweeps_are_told_apart(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * sum(parameter.numel() for parameter in tiny_llama.model().parameters())
    swept = {"fo": {"sweep": {"learning_rate": [1e-3, 1e-2, 3e-2]}}, "zo_robust": {"sweep": None}}
    overlay = llama() | {"seeds": [0, 1]}
    without = settings(**overlay, arms={"zo_robust": {"sweep": None}})
    given = settings(**overlay, arms=swept)
    assert disk._sweeps(without) == 0
    points = 3 - (given.arms["fo"].learning_rate in (1e-3, 1e-2, 3e-2))
    assert 2 * points * size < disk._sweeps(given) < 2 * points * (size + 20_000)
    assert disk._results(given) == disk._results(without)
    (plain,), (told,) = disk.check(without), disk.check(given)
    assert "snakemake sweeps" not in plain.text
    more = re.search(r", with `snakemake sweeps` ([\d.]+) MB more, ", told.text)
    assert more
    assert float(more[1]) == pytest.approx(disk.MARGIN * disk._sweeps(given) / 1e6, abs=0.06)

    need = disk.MARGIN * (sum(disk._results(given).values()) + disk._downloads(given))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1, 1, need + 1))
    (short,) = disk.check(given)
    assert short.ok  # the run itself fits
    assert "more (too much for this disk)" in short.text

    point = Path("results") / given.run / "llama" / "fo.1" / "seed0" / "weights"
    point.mkdir(parents=True)
    (point / "made").write_bytes(b"0" * int(disk.MARGIN * disk._sweeps(given) + 1))
    (done,) = disk.check(given)
    assert "snakemake sweeps" not in done.text
    assert done.text.split(",")[0] == told.text.split(",")[0]  # what is left of the run


def test_cards_must_hold_the_stages(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.repositories["some/llama"].files
    large = json.loads(files["config.json"]) | {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
    }
    files["config.json"] = json.dumps(large).encode()
    given = settings(**llama(layers=32, dtype="bfloat16") | {"gpus": 1})
    monkeypatch.setattr(memory, "_cards", list)
    assert [one.ok for one in memory.check(given)] == [None]
    monkeypatch.setattr(memory, "_cards", lambda: [80 * GIB])
    found = {one.text.split()[0]: one.ok for one in memory.check(given)}
    assert found["first-order"] is False  # 8B in float32 with gradients: 64 GB and activations
    assert found["zeroth-order"] is True
    monkeypatch.setattr(memory, "_cards", lambda: [80 * GIB] * 8)
    assert all(one.ok for one in memory.check(given.model_copy(update={"gpus": 8})))
    (told,) = memory.check(given.model_copy(update={"gpus": 9}))
    assert told.ok is False
    assert "write gpus: 8" in told.text
