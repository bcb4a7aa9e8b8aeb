"""Arms that are one: of which weights, under which perturbations, and how that is said."""

from __future__ import annotations

from typing import Any

from built import pooled
from holdfast.results.measured.pooling import Pooled
from holdfast.results.measured.same_arms import cell_key, is_same, same_arm_notes, same_arms
from holdfast.settings.labels import Labels, PerturbationLabel
from small_tables import summary

LABELS = Labels(
    arms={"zo": "ZO", "snip": "SNIP", "wanda": "WANDA"},
    perturbations={"ready": PerturbationLabel(label="Ready-made", partial=True)},
)


def arm(name: str, *digests: str, model: str = "m") -> Pooled:
    seeds: list[dict[str, Any]] = [
        {**summary(name, model=model), "seed": seed, "weights": weights}
        for seed, weights in enumerate(digests)
    ]
    return pooled(*seeds)


def test_an_arm_has_the_digest_of_every_seed_in_their_order() -> None:
    assert arm("zo", "x", "y").weights == ("x", "y")


def test_arms_are_one_where_the_weights_of_all_seeds_are_equal() -> None:
    zo = arm("zo", "x", "y")
    assert is_same(zo, arm("snip", "x", "y"))
    assert not is_same(zo, arm("snip", "x", "z"))
    assert not is_same(zo, arm("snip", "y", "x"))
    assert not is_same(zo, arm("snip", "x", "y", model="other"))


def test_groups_are_in_the_order_shown_and_name_an_arm_once() -> None:
    zo, snip, wanda = (arm(name, "x") for name in ("zo", "snip", "wanda"))
    fo = arm("fo", "y")
    (group,) = same_arms([fo, zo, snip, wanda, zo])
    assert (group.model, group.arms) == ("m", ("zo", "snip", "wanda"))
    assert same_arms([zo, fo, zo]) == []


def test_a_plain_sentence_says_which_arms_are_one() -> None:
    zo, snip, wanda = (arm(name, "x") for name in ("zo", "snip", "wanda"))
    assert same_arm_notes([zo, snip, arm("fo", "y")], LABELS) == [
        "SNIP is the same arm as ZO: the weights are equal."
    ]
    assert same_arm_notes([zo, snip, wanda], LABELS) == [
        "SNIP and WANDA are the same arm as ZO: the weights are equal."
    ]
    other = [arm(name, name, model="n") for name in ("zo", "snip")]
    assert same_arm_notes([zo, snip, *other], LABELS) == [
        "Of m, SNIP is the same arm as ZO: the weights are equal."
    ]
    assert same_arm_notes([zo, arm("fo", "y")], LABELS) == []


def test_a_ready_made_checkpoint_is_of_its_own_arm_alone() -> None:
    zo, snip = arm("zo", "x"), arm("snip", "x")
    noise, other, ready = ("weight_noise", "1"), ("weight_noise", "2"), ("ready", "W4")
    assert cell_key(zo, noise, LABELS) == cell_key(snip, noise, LABELS)
    assert cell_key(zo, noise, LABELS) != cell_key(snip, other, LABELS)
    assert cell_key(zo, noise, LABELS) != cell_key(arm("fo", "y"), noise, LABELS)
    assert cell_key(zo, ready, LABELS) != cell_key(snip, ready, LABELS)
