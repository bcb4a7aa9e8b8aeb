"""Imports without optional packages."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys

import pytest

from holdfast.checkpoints.light import without


def test_a_hidden_package_is_absent_in_the_block_and_there_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    sys.modules.pop("wave", None)
    with without("wave"):
        assert importlib.util.find_spec("wave") is None
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert not gc.isenabled()
    assert importlib.import_module("wave").open
    assert gc.isenabled()


def test_what_is_imported_already_stays() -> None:
    before = importlib.import_module("json")
    with without("json"):
        assert importlib.import_module("json") is before
    assert sys.modules["json"] is before


def test_nothing_is_hidden_once_transformers_has_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", sys)
    sys.modules.pop("wave", None)
    with without("wave"):
        assert importlib.import_module("wave").open


def test_all_is_put_back_when_an_import_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    sys.modules.pop("wave", None)
    with pytest.raises(ZeroDivisionError), without("wave"):
        _ = 1 / 0
    assert "wave" not in sys.modules
    assert gc.isenabled()
