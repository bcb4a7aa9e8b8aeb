"""A float32 master copy of selected parameters that is perturbed and moved along keyed noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from holdfast.engine import limits
from holdfast.numerics.noise import normal_, normals
from holdfast.numerics.stream import Key

# Elements worked on at once, so that their noise stays in a cache: a core's share, a GPU's second.
BLOCK_CPU = 1 << 20
BLOCK_CUDA = 1 << 22


class Combination(NamedTuple):
    """A sum of directions: ``coefficients[j]`` times the noise of ``directions[j]``."""

    coefficients: Sequence[float]
    directions: Sequence[Key]


class Move(NamedTuple):
    """Euclidean norm of an update and the number of stored weights it changed."""

    norm: float
    changed: int


class Block(NamedTuple):
    """A part of one parameter: its place, its master copy and what the model computes with."""

    name: str
    start: int
    value: Tensor
    parameter: Tensor


class Master:
    """Every parameter holds the master copy, rounded to its type, but for what ``write`` moved.

    Memory a selected weight: 4 bytes, and 4 more for momentum. Noise is drawn again whenever it is
    used, block by block, but for directions so small that ``KEPT_ELEMENTS`` hold them.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], momentum: float = 0.0) -> None:
        self._parameters = parameters
        self._values = {name: p.detach().float().clone() for name, p in parameters.items()}
        self._velocity: dict[str, Tensor] = {}
        self._momentum = momentum
        self._kept: dict[Key, dict[str, Tensor]] = {}
        self._squares: dict[Key, list[Tensor]] = {}  # of the direction last written
        self._rooms = {value.device: _rooms(value.device) for value in self._values.values()}
        self.dimension = sum(value.numel() for value in self._values.values())

    def keep(self, directions: Sequence[Key]) -> None:
        """Draw at once what ``KEPT_ELEMENTS`` hold of a step's directions, until its update."""
        room = limits.KEPT_ELEMENTS // self.dimension - len(self._kept)
        drawn = [direction for direction in directions if direction not in self._kept][
            : max(room, 0)
        ]
        self._kept |= {direction: {} for direction in drawn}
        for name, value in self._values.items():
            stack = normals(value.shape, drawn, name, value.device)
            for direction, noise in zip(drawn, stack, strict=True):
                self._kept[direction][name] = noise

    def write(self, scale: float, direction: Key) -> None:
        """Set every parameter to round(master + scale * noise), the sum taken in float32."""
        squares = []
        for block in self._blocks():
            noise = self._noise(direction, block)
            squares.append(_square(noise))
            torch.add(block.value, noise, alpha=scale, out=block.parameter)
        self._squares = {direction: squares}  # summed only if asked for: that waits for a GPU

    def mirror(self, scale: float, direction: Key) -> None:
        """Go from what ``write`` has set to the opposite point, round(master - scale * noise).

        In float32 that is the mirror image of what was written, and needs no noise.
        """
        if all(p.dtype == torch.float32 for p in self._parameters.values()):
            for name, parameter in self._parameters.items():
                torch.lerp(parameter.data, self._values[name], 2.0, out=parameter.data)
        else:
            self.write(-scale, direction)

    def restore(self) -> None:
        """Set every parameter to round(master)."""
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._values[name])

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Set every parameter to round(master) if the block is left by an error."""
        try:
            yield
        except BaseException:
            self.restore()
            raise

    def norm(self, gradient: Combination) -> float:
        """Return the Euclidean norm of a gradient over all selected parameters."""
        if len(gradient.directions) == 1 and (known := self._squares.get(gradient.directions[0])):
            return abs(gradient.coefficients[0]) * _root(known)
        return _root([_square(self._sum(gradient, block)) for block in self._blocks()])

    def update(self, gradient: Combination, rate: float, clip: float, weight_decay: float) -> Move:
        """Step as torch.optim.SGD on clip * gradient, and forget the step's directions."""
        self.keep(gradient.directions)
        clipped = Combination([clip * c for c in gradient.coefficients], gradient.directions)
        squares, changed = [], []
        for block in self._blocks():
            slope = self._sum(clipped, block)
            if weight_decay:
                slope.add_(block.value, alpha=weight_decay)
            if self._momentum > 0:
                self._roll_momentum(block, slope)
            squares.append(_square(slope))
            before = self._rooms[block.value.device][0][: block.value.numel()].copy_(block.value)
            rounded = block.value.add_(slope, alpha=-rate).to(block.parameter.dtype)
            changed.append(torch.count_nonzero(rounded != before.to(rounded.dtype)))
            block.parameter.copy_(rounded)
        self._kept, self._squares = {}, {}
        return Move(rate * _root(squares), sum(int(count) for count in changed))

    def _roll_momentum(self, block: Block, slope: Tensor) -> None:
        """Replace the slope by momentum * velocity + slope, and remember that."""
        value = self._values[block.name]
        whole = self._velocity.setdefault(block.name, torch.zeros_like(value))
        velocity = whole.view(-1)[block.start : block.start + slope.numel()]
        slope.copy_(velocity.mul_(self._momentum).add_(slope))

    def _blocks(self) -> Iterator[Block]:
        for name, value in self._values.items():
            parameter = self._parameters[name].data
            size = self._rooms[value.device][0].numel()
            pieces = zip(value.view(-1).split(size), parameter.view(-1).split(size), strict=True)
            for index, (part, stored) in enumerate(pieces):
                yield Block(name, index * size, part, stored)

    def _sum(self, gradient: Combination, block: Block) -> Tensor:
        """Return a gradient at a block; it is good until the next call."""
        coefficients, directions = gradient
        total = self._rooms[block.value.device][1][: block.value.numel()]
        torch.mul(self._noise(directions[0], block), coefficients[0], out=total)
        for coefficient, direction in zip(coefficients[1:], directions[1:], strict=True):
            total.add_(self._noise(direction, block), alpha=coefficient)
        return total

    def _noise(self, direction: Key, block: Block) -> Tensor:
        """Return a direction's noise at a block; it is good until the next call."""
        count = block.value.numel()
        if direction in self._kept:
            whole = self._kept[direction][block.name]
            return whole.view(-1)[block.start : block.start + count]
        room = self._rooms[block.value.device][0][:count]
        return normal_(room, direction, block.name, start=block.start)


def _rooms(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the memory of a block's noise and of its gradient."""
    size = BLOCK_CUDA if device.type == "cuda" else BLOCK_CPU
    return torch.empty(size, device=device), torch.empty(size, device=device)


def _square(values: Tensor) -> Tensor:
    flat = values.view(-1)
    return torch.dot(flat, flat)


def _root(squares: Iterable[Tensor]) -> float:
    return math.sqrt(math.fsum(square.item() for square in squares))
