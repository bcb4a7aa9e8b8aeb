"""One training loop for the small models: AdamW, linear decay, and a state that survives a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from holdfast.checkpoints.state import read_state
from holdfast.files.atomic import atomic_file
from holdfast.progress import track

SAVE_EVERY = 100
STATE_FILE = "training_state.pt"


def train(
    model: nn.Module,
    loss_at: Callable[[int], Tensor],
    *,
    label: str,
    steps: int,
    learning_rate: float,
    warmup_steps: int = 0,
    weight_decay: float = 0.0,
    identity: dict[str, object] | None = None,
    scratch_folder: Path | None = None,
) -> None:
    """Minimize ``loss_at(step)`` for ``steps`` steps, in place.

    ``loss_at`` must depend on the step and the weights alone. With ``scratch_folder`` the state
    is saved there every 100 steps, and a run whose ``identity`` is the same goes on from it: its
    final weights are bit-identical to those of an undisturbed run.
    """
    optimizer = torch.optim.AdamW(
        _groups(model, weight_decay), lr=learning_rate, betas=(0.9, 0.98), fused=True
    )
    state_file = scratch_folder / STATE_FILE if scratch_folder else None
    start = _restore(state_file, identity, model, optimizer)
    model.train()
    for step in track(range(start, steps), label):
        rate = learning_rate * _schedule(step, steps, warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss_at(step).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if state_file and (step + 1) % SAVE_EVERY == 0:
            _save(state_file, identity, step + 1, model, optimizer)
    model.eval()


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: norms are vectors."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _schedule(step: int, steps: int, warmup_steps: int) -> float:
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return (steps - step) / max(steps - warmup_steps, 1)


def _save(
    path: Path,
    identity: dict[str, object] | None,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = {
        "identity": identity,
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    # Given a path, torch would not say why it cannot write there.
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def _restore(
    path: Path | None,
    identity: dict[str, object] | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    if path is None or not path.exists():
        return 0
    state = read_state(path, ("identity", "step", "model", "optimizer"))
    if state["identity"] != identity:
        return 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
