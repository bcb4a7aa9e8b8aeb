"""First-order training of one model by several processes, each with a GPU and a shard of it.

The shards are PyTorch's fully sharded data parallelism, version 2 (``fully_shard``, which
accelerate's plugin calls). It is called here directly: accelerate shards on GPUs only, reduces
gradients in bfloat16, and gathers the output layer once per call, but long responses call it more
often than short ones, so that processes would wait for each other for ever.

Memory a GPU for 8 billion parameters, in GiB, computed and not measured, with gradient
checkpointing and one sample of 1,536 tokens at a time: weights and gradients 60/N, momentum another
30/N if there is any, and about 11 beside them (gathered embedding and output layer with their
gradients 8, two gathered layers 1, activations and logits 2): 41 on two GPUs, 26 on four, 18 on
eight. Each holds the whole checkpoint, 15, before it is split. The first process's host memory
takes 30 (60 with momentum) while the state is written, and 15 when it is stored as a checkpoint.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, multiprocessing
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.multiprocessing.spawn import ProcessException

from holdfast.arms.first_order import identify, make_optimizer, train_steps, training_mode
from holdfast.engine.architecture import decoder_layers
from holdfast.engine.batches import Example, collate
from holdfast.engine.cost import Usage, measured
from holdfast.engine.loss import input_device, response_nll
from holdfast.errors import HoldfastError
from holdfast.settings.stages import FirstOrder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HOST = "127.0.0.1"
TIMEOUT = timedelta(hours=4)  # for the writing of a state; a dead process is noticed at once


def train_on_ranks(
    load: Callable[[], tuple[PreTrainedModel, Sequence[Example]]],
    settings: FirstOrder,
    *,
    seed: int,
    scratch: Path,
    processes: int,
) -> Usage:
    """Train the model that ``load`` returns, on ``processes`` GPUs; return what it took.

    Without a GPU the processes share the processor. Each calls ``load``, which must therefore be
    picklable, and gets the model and the examples. The result, that of ``train`` up to rounding,
    is ``scratch``'s state: read it with ``load_trained``. A killed run goes on from there with any
    number of processes. The first process to die ends the others.

    Raises:
        HoldfastError: there are fewer GPUs than processes, or training itself raised it.
        ProcessException: a process died; the message holds its traceback or its signal.
    """
    cards = torch.cuda.device_count()
    if 0 < cards < processes:
        raise HoldfastError(
            f"first-order training was given {processes} GPUs but sees {cards}: lower `gpus` (or "
            "the rule's resource `gpu`), or make more of them visible"
        )
    # Port 0: the system picks a free one. The store lives in this process until all have ended.
    store = distributed.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    answers = multiprocessing.get_context("spawn").SimpleQueue()
    arguments = (processes, store.port, load, settings, seed, scratch, answers)
    try:
        multiprocessing.spawn(_rank, arguments, nprocs=processes)
    except ProcessException:
        if answers.empty():
            raise
        raise answers.get() from None
    usage: Usage = answers.get()
    return usage


def _rank(
    rank: int,
    count: int,
    port: int,
    load: Callable[[], tuple[PreTrainedModel, Sequence[Example]]],
    settings: FirstOrder,
    seed: int,
    scratch: Path,
    answers: Any,
) -> None:
    """Be one of the processes: join the others, train, and put the usage or the error."""
    # At the death of the process that started this one the kernel sends SIGINT (torch asks it to):
    # end at once, which Python's handler would not while this process waits for another.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ["LOCAL_RANK"] = str(rank)  # tells the loader to keep to one GPU
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        store=distributed.TCPStore(HOST, port, is_master=False),
        rank=rank,
        world_size=count,
        timeout=TIMEOUT,
    )
    mesh = init_device_mesh(kind, (count,))
    try:
        with measured() as meter:
            model, examples = load()
            _train(model, examples, settings, seed, scratch, mesh)
    except HoldfastError as error:
        answers.put(error)
        raise
    usage = meter.usage
    peak = torch.tensor(usage.peak_memory_bytes, device=kind)
    distributed.all_reduce(peak)
    if rank == 0:
        device = usage.device if kind == "cuda" else f"{count} x {usage.device}"
        whole = {"peak_memory_bytes": int(peak), "device": device}
        answers.put(usage.model_copy(update=whole))
    distributed.destroy_process_group()


def _train(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: FirstOrder,
    seed: int,
    scratch: Path,
    mesh: DeviceMesh,
) -> None:
    run = identify(model, examples, settings, seed)
    shard(model, mesh, settings.compute)
    with training_mode(model, settings.gradient_checkpointing):
        filler = min(examples, key=lambda example: len(example.input_ids))
        process = _Rank(model, mesh, settings.compute, filler)
        train_steps(
            process, make_optimizer(model, settings), examples, settings, seed, scratch, run
        )


@torch.no_grad()
def shard(model: PreTrainedModel, mesh: DeviceMesh, compute: str) -> None:
    """Keep only this process's shard of each parameter, in float32, and let it train.

    Decoder layers are gathered one by one, in the type ``compute``. So that the hidden states
    between them stay float32, as in one process, the embedding is gathered in float32. Final norm
    and output layer stay gathered from the forward to the end of the backward pass: then a loss
    that calls the output layer several times gathers it once. A tied output layer goes with the
    embedding.
    """
    whole = MixedPrecisionPolicy(cast_forward_inputs=False)
    policy = whole
    if compute == "bfloat16":
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    embedding = model.get_input_embeddings()
    tied = embedding.weight is model.get_output_embeddings().weight
    units = [(layer, policy) for layer in decoder_layers(model)]
    units += [(model, whole)] if tied else [(embedding, whole), (model, policy)]
    for module, precision in units:
        for parameter in module.parameters():
            if not isinstance(parameter, DTensor):  # else: a part of the model, done before it
                parameter.requires_grad_(True)
                parameter.data = parameter.data.float()
        fully_shard(module, mesh=mesh, mp_policy=precision)


class _Rank:
    """A shard of the model and a share of the rows; a ``holdfast.arms.first_order.Process``."""

    alone = False

    def __init__(
        self, model: PreTrainedModel, mesh: DeviceMesh, compute: str, filler: Example
    ) -> None:
        self.model = model
        self.first = mesh.get_rank() == 0
        self._mesh = mesh
        self._compute = compute
        self._filler = filler

    def passes(self, chosen: Sequence[Example], batch_size: int) -> list[Sequence[Example]]:
        """Return as many passes as every other process, the last ones without rows if need be.

        The rows are dealt out in order, one more to each of the first processes if they do not
        come out even.
        """
        rank, count = self._mesh.get_rank(), self._mesh.size()
        each, more = divmod(len(chosen), count)
        start = rank * each + min(rank, more)
        mine = chosen[start : start + each + (rank < more)]
        most = math.ceil((each + (more > 0)) / batch_size)
        return [mine[number * batch_size : (number + 1) * batch_size] for number in range(most)]

    def backward(self, rows: Sequence[Example], tokens: int, _step: int) -> Tensor:
        """Add the gradient of these rows' share; without rows, only take part in the exchange."""
        device = self._mesh.device_type
        narrow = self._compute == "bfloat16"
        # Weights come in 16 bits already, so that a cache of their casts would only cost memory.
        with torch.autocast(device, torch.bfloat16, enabled=narrow, cache_enabled=False):
            total, _ = response_nll(self.model, collate(rows or [self._filler], pad_id=0))
        loss = total / tokens if rows else total * 0.0
        (loss * self._mesh.size()).backward()  # the mean over processes is taken: this makes a sum
        return loss.detach()

    def loss(self, shares: Sequence[Tensor]) -> float:
        share = math.fsum(torch.stack(list(shares)).tolist())
        total = torch.tensor(share, dtype=torch.float64, device=input_device(self.model))
        distributed.all_reduce(total, group=self._mesh.get_group())
        return float(total)

    def clip(self, limit: float) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        assert isinstance(norm, DTensor)
        return float(norm.full_tensor())

    def whole(self, tensor: Tensor) -> Tensor:
        """Gather a tensor of a parameter into the first process's host memory."""
        assert isinstance(tensor, DTensor)
        gathered = tensor.full_tensor()
        return gathered.cpu() if self.first else gathered.new_empty(0)

    def part(self, tensor: Tensor, parameter: Tensor) -> Tensor:
        assert isinstance(parameter, DTensor)
        placed = tensor.to(parameter.device)
        split = distribute_tensor(placed, self._mesh, parameter.placements, src_data_rank=None)
        return split.clone()  # of its shard alone, where it was a view of all
