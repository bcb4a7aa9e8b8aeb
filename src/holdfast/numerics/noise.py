"""Gaussian noise as a pure function of (seed, purpose, step, direction, tensor name, element).

Nothing is drawn in sequence: element ``i`` of a named tensor is computed from the key and ``i``
alone, so a shard, a slice, another device or another load order sees the same numbers, and a
perturbation is stored as its key. It serves as the zeroth-order direction, the probe of layer
scores, the weight-noise perturbation and the random control.

**Generator.** Counter based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011): a keyed permutation of the 64-bit pair index. It is a Feistel network (Luby & Rackoff, 1988)
on two 32-bit words: each of ``ROUNDS`` rounds multiplies a word, folds its high bits down,
multiplies again and adds the result to the other word. Every round has its own key word, all taken
from the BLAKE2b digest of the full key, so two keys give unrelated permutations and never shifted
copies of one stream. Only 32-bit operations that PyTorch vectorizes are used, so no compiler is
needed; full avalanche takes four rounds, and the other two are margin. The period is 2^64 pairs.

**Normals.** Box & Muller (1958), both outputs: 31 bits give the radius (tails to 6.6 standard
deviations), 32 bits the angle. A tile of ``2 * HALF`` elements holds ``HALF`` pairs, the cosines in
its first half and the sines in its second, so that both are written contiguously.

CPU and CUDA agree to float32 rounding of log, sqrt, sin and cos; one device type always repeats its
own bytes. On CUDA the stream comes from one fused Triton kernel (:mod:`.noise_cuda`) where Triton
works, and otherwise from the same PyTorch operations as on the CPU, in larger blocks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import torch
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.numerics.stream import (
    HALF,
    HALF_UNIT,
    MULTIPLY_IN,
    MULTIPLY_OUT,
    ROUNDS,
    SHIFT,
    UNIT,
    WORD_TO_ANGLE,
    Key,
)

_BATCH_CPU = 1 << 16  # pairs worked on at once: five such blocks of 32 bits stay in a core's cache
_BATCH_CUDA = 1 << 22
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@torch.no_grad()
def add_normal_(
    tensor: Tensor,
    scale: float,
    key: Key,
    name: str,
    *,
    base: Tensor | None = None,
    start: int = 0,
) -> None:
    """Set ``tensor`` to ``base`` (itself, if None) plus ``scale`` times standard normal noise.

    It happens in place, in cache-sized blocks. The sum is formed in float32 and rounded once to the
    dtype of ``tensor``. ``start`` is the index of its first element within the tensor called
    ``name``, for a caller that holds only a part.

    Raises:
        HoldfastError: a tensor is not contiguous, or not float32, bfloat16 or float16.
    """
    flat = _flat(tensor, name)
    source = flat if base is None else _flat(base, name)
    if flat.is_cuda and (fused := _fused_kernel()):
        fused(flat, key.words(name), start, scale, source)
        return

    def add(target: Tensor, wave: Tensor, radius: Tensor, source: Tensor) -> None:
        if target.dtype == source.dtype == torch.float32:
            torch.addcmul(source, wave, radius, value=scale, out=target)
        else:
            target.copy_(torch.addcmul(source.float(), wave, radius, value=scale))

    _visit(flat, key, name, start, add, source)


@torch.no_grad()
def normal_(out: Tensor, key: Key, name: str, *, start: int = 0) -> Tensor:
    """Fill ``out`` with the standard normal noise of ``(key, name)`` from element ``start`` on."""
    flat = _flat(out, name)
    if flat.is_cuda and (fused := _fused_kernel()):
        fused(flat, key.words(name), start, 1.0)
    else:
        _visit(flat, key, name, start, _fill, flat)
    return out


def normal(shape: Sequence[int], key: Key, name: str, device: torch.device | str = "cpu") -> Tensor:
    """Return a new float32 tensor of the given shape with the noise of ``(key, name)``."""
    return normal_(torch.empty(tuple(shape), dtype=torch.float32, device=device), key, name)


@torch.no_grad()
def normals(
    shape: Sequence[int], keys: Sequence[Key], name: str, device: torch.device | str = "cpu"
) -> Tensor:
    """Return float32 noise [keys, *shape]: for each key what ``normal`` draws.

    Many keys of a small tensor cost little more than one.
    """
    size = math.prod(shape)
    out = torch.empty((len(keys), size), dtype=torch.float32, device=device)
    pairs = size if size <= HALF else -(-size // (2 * HALF)) * HALF
    at_once = _batch(out.device) // max(pairs, 1)
    if at_once < 2 or out.is_cuda:
        for row, stream in zip(out, keys, strict=True):
            normal_(row, stream, name)
    else:
        for start in range(0, len(keys), at_once):
            some = slice(start, start + at_once)
            _stack(out[some], keys[some], name, pairs)
    return out.view(len(keys), *shape)


@torch.no_grad()
def normal_rows(rows: Tensor, width: int, key: Key, name: str) -> Tensor:
    """Return float32 noise [n, width] whose row r depends only on (key, name, ``rows[r]``).

    ``rows`` (int64, [n]) are the first of the consecutive pair indices that a row uses, so they
    should come from a hash over all 64 bits, as :func:`keyed_hash` gives.
    """
    half = (width + 1) // 2
    out = torch.empty((len(rows), width), dtype=torch.float32, device=rows.device)
    step = max(1, _batch(rows.device) // half)
    pairs = _Pairs(_constants(key.words(name), rows.device), rows.device)
    for start in range(0, len(rows), step):
        part = out[start : start + step]
        pairs.compute_rows(rows[start : start + step], half)
        radius = pairs.radius.view(-1, half)
        torch.mul(pairs.cosine().view(-1, half), radius, out=part[:, :half])
        rest = width - half
        torch.mul(pairs.sine().view(-1, half)[:, :rest], radius[:, :rest], out=part[:, half:])
    return out


@torch.no_grad()
def keyed_hash(values: Tensor, key: Key, name: str) -> Tensor:
    """Return 64 pseudo-random bits for each 64-bit value (int64, any shape)."""
    low, high = values.contiguous().view(torch.int32).view(*values.shape, 2).unbind(-1)
    left, right = high.clone(), low.clone()
    _permute(_constants(key.words(name), values.device), left, right)
    return torch.stack([left, right], dim=-1).view(torch.int64).squeeze(-1)


def _stack(out: Tensor, keys: Sequence[Key], name: str, count: int) -> None:
    """Fill each row with the first elements of its key's stream, from ``count`` pairs."""
    words = torch.tensor(
        [stream.words(name) for stream in keys], dtype=torch.int32, device=out.device
    )
    shift = torch.tensor(SHIFT, dtype=torch.int32, device=out.device)
    pairs = _Pairs((shift, *words.T[:, :, None].unbind()), out.device)
    pairs.compute_keys(len(keys), count)
    if out.shape[1] <= HALF:
        torch.mul(pairs.cosine(), pairs.radius, out=out)
        return
    tiles = torch.empty((len(keys), count // HALF, 2, HALF), device=out.device)
    radius = pairs.radius.view(len(keys), -1, HALF)
    torch.mul(pairs.cosine().view_as(radius), radius, out=tiles[:, :, 0])
    torch.mul(pairs.sine().view_as(radius), radius, out=tiles[:, :, 1])
    out.copy_(tiles.view(len(keys), -1)[:, : out.shape[1]])


def _fill(target: Tensor, wave: Tensor, radius: Tensor, _source: Tensor) -> None:
    torch.mul(wave, radius, out=target)


def _flat(tensor: Tensor, name: str) -> Tensor:
    if not tensor.is_contiguous():
        raise HoldfastError(f"no noise for {name!r}: the tensor is not contiguous in memory")
    if tensor.dtype not in _DTYPES:
        raise HoldfastError(
            f"no noise for {name!r} of {tensor.dtype}: use float32, bfloat16 or float16"
        )
    return tensor.detach().view(-1)


@cache
def _fused_kernel() -> Callable[..., None] | None:
    """Return the one-pass CUDA kernel, or None, with a warning, where Triton cannot build it."""
    try:
        from holdfast.numerics.noise_cuda import visit

        visit(torch.empty(1, device="cuda"), [0] * ROUNDS, 0, 1.0)
    except Exception as error:  # whatever a missing compiler, header or driver makes Triton raise
        warnings.warn(f"noise is drawn without the fused kernel: {error}", stacklevel=3)
        return None
    return visit


def _batch(device: torch.device) -> int:
    """Return how many pairs to work on at once, a multiple of ``HALF``."""
    if device.type == "cuda":
        return _BATCH_CUDA
    return _BATCH_CPU * max(1, torch.get_num_threads() // 2)


def _visit(
    flat: Tensor,
    key: Key,
    name: str,
    start: int,
    apply: Callable[[Tensor, Tensor, Tensor, Tensor], object],
    source: Tensor,
) -> None:
    """Call ``apply(part of flat, wave, radius, that part of source)`` until all is covered.

    The noise of a part is wave * radius, both float32.
    """
    batch = _batch(flat.device)
    pairs = _Pairs(_constants(key.words(name), flat.device), flat.device)
    done = 0
    while done < flat.numel():
        tile, offset = divmod(start + done, 2 * HALF)
        left = flat.numel() - done
        if offset == 0 and left >= 2 * HALF:
            to_wrap = 2**32 - tile * HALF % 2**32  # a batch has one high word
            count = min(batch, left // 2, to_wrap) // HALF * HALF
            part = slice(done, done + 2 * count)
            target, origin = (whole[part].view(-1, 2, HALF) for whole in (flat, source))
            pairs.compute(tile * HALF, count)
            radius = pairs.radius.view(-1, HALF)
            apply(target[:, 0], pairs.cosine().view(-1, HALF), radius, origin[:, 0])
            apply(target[:, 1], pairs.sine().view(-1, HALF), radius, origin[:, 1])
            done += 2 * count
        else:
            half, within = divmod(offset, HALF)
            count = min(HALF - within, left)
            pairs.compute(tile * HALF + within, count)
            part = slice(done, done + count)
            wave = pairs.sine() if half else pairs.cosine()
            apply(flat[part], wave, pairs.radius, source[part])
            done += count


class _Pairs:
    """Blocks in which batches of at most ``_batch(device)`` Box-Muller pairs are computed."""

    def __init__(self, constants: Sequence[Tensor], device: torch.device) -> None:
        self._constants = constants
        self._index, self._blocks, self._least = _workspace(_batch(device), device)

    def compute(self, first: int, count: int) -> None:
        """Prepare the pairs ``first`` to ``first + count``, which share their high word."""
        left, right, *work = self._blocks[:, :count].unbind()
        left.fill_(_signed(first >> 32))
        torch.add(self._index[:count], _signed(first), out=right)
        self._transform(left, right, *work)

    def compute_keys(self, keys: int, count: int) -> None:
        """Prepare the first ``count`` pairs for each of several keys, as [keys, count]."""
        blocks = self._blocks[:, : keys * count].view(4, keys, count)
        left, right, *work = blocks.unbind()
        left.zero_()
        right.copy_(self._index[:count])
        self._transform(left, right, *work)

    def compute_rows(self, rows: Tensor, count: int) -> None:
        """Prepare ``count`` pairs from each of the given 64-bit indices on."""
        left, right, *work = self._blocks[:, : len(rows) * count].unbind()
        low, high = rows.contiguous().view(torch.int32).view(-1, 2).unbind(1)
        left.view(-1, count).copy_(high[:, None])
        torch.add(low[:, None], self._index[:count], out=right.view(-1, count))
        self._transform(left, right, *work)

    def _transform(self, left: Tensor, right: Tensor, mixed: Tensor, shifted: Tensor) -> None:
        _permute(self._constants, left, right, mixed, shifted)
        self.radius, self._angle = mixed.view(torch.float32), shifted.view(torch.float32)
        self._out = right.view(torch.float32)
        self.radius.copy_(right).abs_()
        torch.add(self._least, self.radius, alpha=UNIT, out=self.radius)
        self.radius.log_().mul_(-2.0).sqrt_()
        self._angle.copy_(left).mul_(WORD_TO_ANGLE)

    def cosine(self) -> Tensor:
        return torch.cos(self._angle, out=self._out)

    def sine(self) -> Tensor:
        return torch.sin(self._angle, out=self._out)


@lru_cache(maxsize=2)
def _workspace(size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers below ``size``, four blocks of that size and a constant, for all calls."""
    index = torch.arange(size, dtype=torch.int32, device=device)
    blocks = torch.empty((4, size), dtype=torch.int32, device=device)
    return index, blocks, torch.tensor(HALF_UNIT, device=device)


def _permute(
    constants: Sequence[Tensor],
    left: Tensor,
    right: Tensor,
    mixed: Tensor | None = None,
    shifted: Tensor | None = None,
) -> None:
    """Encrypt the 64-bit blocks (left, right) in place; the other two are working space."""
    mixed = torch.empty_like(left) if mixed is None else mixed
    shifted = torch.empty_like(left) if shifted is None else shifted
    shift, *words = constants
    for word in words:
        torch.add(word, right, alpha=MULTIPLY_IN, out=mixed)
        torch.bitwise_right_shift(mixed, shift, out=shifted)
        left.add_(mixed.bitwise_xor_(shifted), alpha=MULTIPLY_OUT)
        left, right = right, left


def _constants(words: list[int], device: torch.device) -> tuple[Tensor, ...]:
    return torch.tensor([SHIFT, *words], dtype=torch.int32, device=device).unbind()


def _signed(value: int) -> int:
    """Return the low 32 bits of ``value`` as a signed word."""
    return (value + 2**31) % 2**32 - 2**31
