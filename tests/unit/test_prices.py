"""What calls cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import SettingsError
from indexer.provider.choices import price_list
from indexer.provider.prices import LIST_PRICES, Price, read_price
from indexer.settings import load_settings

amounts = st.floats(0, 1e6)
counts = st.integers(0, 10**9)


def test_prices_are_for_a_million_tokens():
    assert Price(2.0, 8.0).of(1_000_000, 500_000) == 6.0
    assert Price(0.02, 0.0).of(1_000, 0) == pytest.approx(2e-5)
    assert Price(3.0, 15.0).of(0, 0) == 0.0


@given(amounts, amounts, counts, counts, counts, counts)
def test_two_calls_cost_what_one_with_their_tokens_would(
    sent: float, got: float, in_1: int, out_1: int, in_2: int, out_2: int
):
    price = Price(sent, got)
    both = price.of(in_1, out_1) + price.of(in_2, out_2)
    assert both == pytest.approx(price.of(in_1 + in_2, out_1 + out_2))
    assert both >= 0.0


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ([0.28, 0.42], Price(0.28, 0.42)),
        ([0, 0], Price(0.0, 0.0)),
        ([1_000_000, 0], Price(1e6, 0.0)),
        ({"input": 0.28, "output": 0.42}, Price(0.28, 0.42)),
        ({"input": 3}, Price(3.0, 0.0)),
        ("unknown", None),
    ],
)
def test_a_price_is_a_pair_or_declared_unknown(value: Any, price: Price | None):
    assert read_price(value, "here") == price


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.28,
        "0.28",
        "Unknown",
        "",
        [],
        [0.28],
        [0.28, 0.42, 1],
        ["0.28", "0.42"],
        [True, False],
        [None, 0.42],
        [-0.01, 0.42],
        [0.28, -0.0001],
        [1_000_001, 0],
        [float("nan"), 0.0],
        [float("inf"), 0.0],
        {},
        {"output": 0.42},
        {"input": 0.28, "cached": 0.1},
        {"input": None},
        {"input": 0.28, "output": "0.42"},
    ],
)
def test_what_is_no_price_is_refused_with_place_value_and_what_is_accepted(value: Any):
    with pytest.raises(ValueError, match="per million tokens") as caught:
        read_price(value, "model 'm' price")
    said = str(caught.value)
    assert said.startswith(f"model 'm' price: {value!r}; accepted: ")
    assert '"unknown"' in said


def test_the_list_cannot_be_changed():
    with pytest.raises(TypeError):
        LIST_PRICES["mine"] = Price(0.0, 0.0)  # type: ignore[index]


@pytest.mark.parametrize("model", sorted(LIST_PRICES))
def test_every_price_of_the_list_is_one_that_would_be_accepted(model: str):
    price = LIST_PRICES[model]
    assert read_price([price.input, price.output], model) == price
    assert price.input > 0
    assert (price.output == 0) == model.startswith("text-embedding")


# With the settings


def test_prices_of_the_settings_are_added_to_the_list_and_win():
    prices = price_list(load_settings(prices={"mine": [1, 2], "gpt-4.1": "unknown"}))
    assert prices["mine"] == Price(1.0, 2.0)
    assert prices["gpt-4.1"] is None
    assert prices["gpt-4.1-mini"] == LIST_PRICES["gpt-4.1-mini"]


def test_prices_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_PRICES", '{"mine": {"input": 0.5}}')
    assert price_list(load_settings())["mine"] == Price(0.5, 0.0)


def test_a_wrong_price_of_the_settings_is_refused_by_model():
    with pytest.raises(SettingsError, match=r"^RECSVC_PRICES, mine: 'cheap'; accepted: "):
        price_list(load_settings(prices={"mine": "cheap"}))


@pytest.mark.parametrize("value", ["[1]", "gpt=1", '"x"', "{"])
def test_prices_that_are_no_object_are_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("RECSVC_PRICES", value)
    with pytest.raises(SettingsError, match=r"^RECSVC_PRICES"):
        load_settings()
