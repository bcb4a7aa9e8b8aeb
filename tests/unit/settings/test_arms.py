"""What every arm answers for its stage, and the names in it that make no sense."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from holdfast.errors import HoldfastError
from holdfast.settings.arms import STAGES, Arm, Original
from holdfast.settings.stages import FirstOrder, SmoothedFirstOrder

ARM: TypeAdapter[Any] = TypeAdapter(Arm)
ENTRIES: dict[str, dict[str, Any]] = {
    "original": {"stage": "original"},
    "fo": {"stage": "first_order", "from": "original", "sweep": {"momentum": [0, 0.5]}},
    "smooth": {"stage": "smoothed_first_order", "from": "fo", "layers": "snip", "rho": 0.1},
    "zo": {"stage": "zeroth_order", "from": "fo", "layers": "all", "steps": 2, "directions": 4},
    "lox": {"stage": "lox", "from": "fo", "rank": 6},
    "whole": {"stage": "lox", "from": "fo", "rank": 0},
    "recast": {"stage": "recast", "from": "fo"},
    "random": {"stage": "random_move", "from": "fo", "like": "zo"},
    "flip": {"stage": "sign_flip", "from": "fo", "like": "zo"},
}
ARMS: dict[str, Any] = {name: ARM.validate_python(entry) for name, entry in ENTRIES.items()}


def answers(question: str) -> dict[str, Any]:
    """Every arm's answer that is not no."""
    found = {name: getattr(arm, question) for name, arm in ARMS.items()}
    return {name: answer for name, answer in found.items() if answer}


def test_arms_answer_for_their_stages() -> None:
    assert answers("makes") == {
        "original": "base",
        "fo": "checkpoint",
        "smooth": "checkpoint",
        "zo": "replay_log",
        **dict.fromkeys(["lox", "whole", "recast", "random", "flip"], "move"),
    }
    assert answers("parent") == dict.fromkeys(ARMS.keys() - {"original"}, "fo") | {"fo": "original"}
    assert answers("other") == {
        "lox": "original",
        "whole": "original",
        "random": "zo",
        "flip": "zo",
    }
    assert answers("loaded_with") == {"whole": "original"}
    assert answers("factor_rank") == {"lox": 6}
    assert answers("imitates") == {"random": "zo", "flip": "zo"}
    assert answers("selection") == {"smooth": "snip"}
    assert answers("swept") == {"fo": {"momentum": [0.0, 0.5]}}
    assert answers("has_cost") == dict.fromkeys(ARMS.keys() - {"original"}, True)
    assert answers("has_history") == {"fo": True, "smooth": True}
    sizes = {name: arm.stored_bytes(10**9) for name, arm in ARMS.items()}
    assert {name: size for name, size in sizes.items() if size} == {
        "fo": 10**9,
        "smooth": 10**9,
        "zo": 2 * (500 + 4 * 50),
    }


def test_every_arm_but_the_original_is_of_a_known_stage() -> None:
    assert {*STAGES.values(), Original} == set(get_args(get_args(Arm)[0]))
    assert all(ENTRIES[name]["stage"] in STAGES for name in ARMS if name != "original")


def test_smoothed_training_is_one_processs_and_passes_through_all_copies() -> None:
    plain, smooth = FirstOrder(momentum=0.5), SmoothedFirstOrder(rho=1, copies=4)
    assert (plain.processes(0), plain.processes(4), smooth.processes(4)) == (1, 4, 1)
    assert (plain.passes, smooth.passes) == (3, 12)
    assert (plain.held, smooth.held) == (3, 3)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            {"stage": "lox", "from": "fo", "base": "zo"},
            r"a\.base: 'zo' is not among .* \(original\)",
        ),
        ({"stage": "lox", "from": "original", "base": "fo"}, r"not among the arms .* \(none\)"),
        (
            {"stage": "random_move", "from": "original", "like": "zo"},
            "does not come from 'original'",
        ),
        ({"stage": "random_move", "from": "fo", "like": "original"}, "does not come from 'fo'"),
        ({"stage": "random_move", "from": "fo", "like": "flip"}, "is a control itself"),
        ({"stage": "sign_flip", "from": "fo", "like": "flip"}, "is no zeroth-order arm"),
        ({"stage": "sign_flip", "from": "original", "like": "fo"}, "is no zeroth-order arm"),
    ],
)
def test_arms_that_do_not_suit_each_other_are_told(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(HoldfastError, match=told):
        ARM.validate_python(entry).check("arms.a", ARMS)


def test_a_lineage_that_goes_in_a_circle_ends_the_search_of_a_base() -> None:
    circle = {"a": ARMS["recast"].model_copy(update={"parent": "b"})}
    circle["b"] = circle["a"].model_copy(update={"parent": "a"})
    lox = ARM.validate_python({"stage": "lox", "from": "a", "base": "original"})
    with pytest.raises(HoldfastError, match=r"not among the arms that 'a' was made from \(b\)"):
        lox.check("arms.c", circle)
