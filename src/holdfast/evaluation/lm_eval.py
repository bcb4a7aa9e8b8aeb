"""Zero-shot accuracy of a live model by lm-evaluation-harness (Gao et al.), item by item."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from holdfast.data.outputs import ItemScores
from holdfast.engine.finite import not_finite_logits
from holdfast.engine.halving import Halving
from holdfast.errors import HoldfastError, nearest
from holdfast.files.atomic import read_jsonl
from holdfast.settings.evaluation import LmEvalSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

METRICS = ("acc_norm", "acc")  # length-normalized accuracy where a task defines it
SETTING = "utility.lm_eval.tasks"


class LmEval:
    """The tasks of a config, loaded once and asked of one perturbed model after the other.

    ``documents`` gives the documents (JSON lines) of the local tasks by task name. Raises
    HoldfastError for a task that is unknown, cannot be loaded, or has no accuracy.
    """

    def __init__(self, settings: LmEvalSettings, documents: Mapping[str, Path]) -> None:
        from lm_eval.tasks import TaskManager

        _sandbox_templates()
        self.settings = settings
        self._halving = Halving("lm-eval", "take the task with the longest questions out")
        self._rows = settings.batch_size
        registry = any(task.data is None for task in settings.tasks.values())
        manager = TaskManager(include_defaults=registry)  # reading the registry takes seconds
        self._leaves: dict[str, list[str]] = {}
        self._metrics: dict[str, str] = {}
        self._loaded: dict[str, Any] = {}
        for name, task in settings.tasks.items():
            if task.data is None:
                loaded = _registered(manager, name)
            else:
                loaded = _local(manager, name, task.config or {}, documents[name])
            self._leaves[name] = list(loaded["tasks"])
            self._metrics[name] = _metric(name, loaded)
            self._loaded.update(loaded["tasks"])
        for task in self._loaded.values():
            task.set_config(key="num_fewshot", value=0)

    def evaluate(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, ItemScores]:
        """Return the scores of every task.

        A group that lm-eval weighs by size (mmlu) is the items of all its tasks, so that the mean
        of ``scores`` is lm-eval's own number. The model is called as it is, hooks included, with
        right-padded token ids and no attention mask; log-likelihoods are float32. Where memory runs
        out, all begins again with half the batch, which stays so for the models to come: lm-eval
        takes the longest requests first, so little is lost. HoldfastError when a single request
        does not fit, or where logits are no finite numbers.
        """
        while True:
            try:
                return self._evaluate(model, tokenizer)
            except torch.OutOfMemoryError:
                pass  # leaving the handler first frees what the failed pass held
            self._rows = self._halving.halve(self._rows)

    def _evaluate(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, ItemScores]:
        from lm_eval.evaluator import evaluate
        from lm_eval.models.huggingface import HFLM

        class Checked(HFLM):
            """No answer is likelier than another where logits are no numbers."""

            def _model_call(self, *inputs: Any, **named: Any) -> Any:
                logits = super()._model_call(*inputs, **named)
                if not bool(logits.amax(dim=-1).isfinite().all()):
                    raise not_finite_logits(model, "lm-eval")
                return logits

        wrapped = Checked(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=self._rows,
            softmax_dtype="float32",
        )
        results = evaluate(
            lm=wrapped,
            task_dict={"tasks": self._loaded, "groups": {}, "group_map": {}},
            limit=self.settings.limit,
            bootstrap_iters=0,
            log_samples=True,
        )
        return {
            name: ItemScores(metric=metric, scores=_scores(results["samples"], leaves, metric))
            for name, metric in self._metrics.items()
            for leaves in [self._leaves[name]]
        }


def _sandbox_templates() -> None:
    """Let the templates of tasks, which a config may hold, compute text and nothing else."""
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval import utils

    if not isinstance(utils.env, SandboxedEnvironment):
        sandbox = SandboxedEnvironment(
            loader=utils.env.loader,
            undefined=utils.env.undefined,
            keep_trailing_newline=utils.env.keep_trailing_newline,
        )
        sandbox.filters |= utils.env.filters
        utils.env = sandbox


def _metric(name: str, loaded: dict[str, Any]) -> str:
    """Return the accuracy that all of the tasks have, or that the group is made of."""
    defined = [set(task.aggregation()) for task in loaded["tasks"].values()]
    if group := loaded["groups"].get(name):
        weighted = (entry for entry in group.aggregate_metric_list or [] if entry.weight_by_size)
        defined.append({entry.metric for entry in weighted})
    for metric in METRICS:
        if all(metric in metrics for metrics in defined):
            return metric
    raise HoldfastError(
        f"{SETTING}.{name}: this has neither {' nor '.join(METRICS)} as a mean over its items; "
        f"it stands for {', '.join(loaded['tasks'])}"
    )


def _registered(manager: Any, name: str) -> dict[str, Any]:
    if name not in manager.all_tasks:
        raise HoldfastError(
            f"{SETTING}.{name}: lm-eval has no such task{nearest(name, manager.all_tasks)}"
        )
    try:
        loaded: dict[str, Any] = manager.load([name])
    except Exception as error:  # a missing dataset, package or network ends in any of a dozen types
        raise HoldfastError(
            f"{SETTING}.{name}: lm-eval could not load it ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200] if str(error) else 'no message'})"
        ) from error
    if len(loaded["tasks"]) > 1 and name not in loaded["groups"]:
        raise HoldfastError(
            f"{SETTING}.{name}: this is a tag, not a task or group; name its tasks instead: "
            f"{', '.join(loaded['tasks'])}"
        )
    return loaded


def _local(manager: Any, name: str, config: dict[str, Any], path: Path) -> dict[str, Any]:
    import datasets

    rows = read_jsonl(path)
    ours = {
        "task": name,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
    }
    try:
        loaded: dict[str, Any] = manager.load([{"output_type": "multiple_choice"} | config | ours])
    except Exception as error:  # jinja2, datasets and lm-eval each have their own
        raise HoldfastError(
            f"{SETTING}.{name}.config: lm-eval does not accept it ({type(error).__name__}: {error})"
        ) from error
    return loaded


def _scores(samples: Mapping[str, list[Any]], leaves: list[str], metric: str) -> list[float]:
    scores = []
    for leaf in leaves:
        rows = sorted(samples[leaf], key=lambda row: row["doc_id"])
        # With several answer filters lm-eval lists every item once per filter: the first counts.
        scores += [float(row[metric]) for row in rows if row["filter"] == rows[0]["filter"]]
    return scores
