"""A perturbation of the user's own: any class with a method ``perturb``.

``kind: python`` with ``object: package.module:Class`` and ``options`` enters
``Class(**options).perturb(model, level, key)``, a context manager that changes a live model (its
weights, or what hooks do) and puts it back on exit. ``level`` is one of ``levels``, a float, or
None without any; ``key`` names the noise of the draw, the same at every level::

    class Dropout:
        @contextmanager
        def perturb(self, model, level, key):
            kept = {name: p.detach().clone() for name, p in model.named_parameters()}
            with torch.no_grad():
                for name, p in model.named_parameters():
                    p[normal(p.shape, key, name) < level] = 0  # holdfast.numerics.noise
            yield
            with torch.no_grad():
                for name, p in model.named_parameters():
                    p.copy_(kept[name])

The object is made anew for every cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from holdfast.engine.parameters import fingerprint
from holdfast.errors import HoldfastError
from holdfast.numerics.stream import Key, key
from holdfast.settings.own import load_own
from holdfast.settings.perturbations import PythonPerturbation

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class OwnPerturbation(Protocol):
    """What a user writes."""

    def perturb(
        self, model: PreTrainedModel, level: float | None, key: Key
    ) -> AbstractContextManager[object]:
        """Return a context in which ``model`` is perturbed, and after which it is as before."""


@contextmanager
def perturb(
    model: PreTrainedModel, settings: PythonPerturbation, level: str, noise_seed: int
) -> Iterator[None]:
    """Perturb ``model`` by the user's object.

    Raises:
        HoldfastError: what the object returns is no context manager, or the weights, of which
            evenly spaced ones are looked at, are not what they were when its context ends.
    """
    own: OwnPerturbation = load_own(settings)
    where = f"object: '{settings.object}'"
    before = fingerprint(model)
    context = own.perturb(model, float(level) if level else None, key(noise_seed, settings.object))
    if not isinstance(context, AbstractContextManager):
        raise HoldfastError(
            f"{where}: `perturb` returns no context manager; decorate it with"
            " contextlib.contextmanager"
        )
    with context:
        yield
    if fingerprint(model) != before:
        raise HoldfastError(
            f"{where}: `perturb` leaves other weights behind than it found; put them back when its"
            " context ends"
        )
