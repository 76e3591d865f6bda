"""Rules that a request brings along: what is accepted, and what is said of the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InvalidInput
from recsvc.request_rules import request_rules
from recsvc.rules import NO_RULES, Boost, Cap, Pin, Rules

BOOST_NEEDS = "accepted: a filter, ^ and a factor from 0.1 to 10, such as brand=acme^1.5"
CAP_NEEDS = "accepted: a feature, a colon and a number, such as brand:2"
PIN_NEEDS = "accepted: an item id, a colon and a position, such as p1:1"
PLACE_NEEDS = "accepted: 1 to 100 after the last colon, such as "


def asked(name: str, *texts: str) -> Rules:
    """Read texts as the values of one parameter."""
    values = {"boost": (), "cap": (), "pin": (), name: texts}
    return request_rules(values["boost"], values["cap"], values["pin"])


# Accepted


def test_a_request_without_rules_has_none():
    assert request_rules([], [], []) is NO_RULES
    assert Rules() == NO_RULES


def test_every_kind_of_rule_is_read_in_the_order_given():
    rules = request_rules(["brand=acme^1.5", "price>50^0.5"], ["brand:2"], ["p2:9", "p1:1"])
    assert rules == Rules(
        boosts=(Boost(1.5, filter=("brand=acme",)), Boost(0.5, filter=("price>50",))),
        caps=(Cap("brand", 2),),
        pins=(Pin("p2", 9), Pin("p1", 1)),
    )


@pytest.mark.parametrize("factor", ["0.1", "10", "1e0", "+2", "10.0"])
def test_a_factor_from_a_tenth_to_ten_is_accepted(factor: str):
    assert asked("boost", f"brand=acme^{factor}").boosts[0].factor == float(factor)


def test_a_boost_may_have_any_filter_and_its_factor_follows_the_last_mark():
    (boost,) = asked("boost", "tags~a^b,c^2").boosts
    assert (boost.filter, boost.factor) == (("tags~a^b,c",), 2.0)
    assert boost.matches({"tags": ["a^b"]})
    assert not boost.matches({"tags": ["a"]})


@pytest.mark.parametrize("place", [1, 2, 99, 100])
def test_places_from_one_to_a_hundred_are_accepted(place: int):
    assert asked("pin", f"p1:{place}").pins == (Pin("p1", place),)
    assert asked("cap", f"brand:{place}").caps == (Cap("brand", place),)


def test_an_item_id_may_have_colons():
    assert asked("pin", "shop:p1:3").pins == (Pin("shop:p1", 3),)


def test_a_pin_of_a_request_always_holds():
    (pin,) = asked("pin", "p1:3").pins
    assert pin.active(0.0)
    assert pin.matches({})


# Refused


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("boost", "brand=acme", BOOST_NEEDS),
        ("boost", "brand=acme^", BOOST_NEEDS),
        ("boost", "brand=acme^much", BOOST_NEEDS),
        ("boost", "brand=acme^0.09", BOOST_NEEDS),
        ("boost", "brand=acme^10.1", BOOST_NEEDS),
        ("boost", "brand=acme^-1", BOOST_NEEDS),
        ("boost", "brand=acme^nan", BOOST_NEEDS),
        ("boost", "brand=acme^inf", BOOST_NEEDS),
        ("boost", "", BOOST_NEEDS),
        ("boost", "^2", "not of the form"),
        ("boost", "brand^2", "'brand': not of the form"),
        ("boost", "price<cheap^2", "'price<cheap': < takes one finite number"),
        ("cap", "brand", CAP_NEEDS),
        ("cap", ":2", CAP_NEEDS),
        ("cap", "", CAP_NEEDS),
        ("cap", "brand:", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:0", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:101", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:1000", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:" + "9" * 5_000, PLACE_NEEDS + "brand:2"),
        ("cap", "brand:-1", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:1.5", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:²", PLACE_NEEDS + "brand:2"),
        ("cap", "brand:٢", PLACE_NEEDS + "brand:2"),
        ("pin", "p1", PIN_NEEDS),
        ("pin", ":1", PIN_NEEDS),
        ("pin", "p 1:1", PIN_NEEDS),
        ("pin", "p" * 129 + ":1", PIN_NEEDS),
        ("pin", "", PIN_NEEDS),
        ("pin", "p1:", PLACE_NEEDS + "p1:1"),
        ("pin", "p1:0", PLACE_NEEDS + "p1:1"),
        ("pin", "p1:101", PLACE_NEEDS + "p1:1"),
        ("pin", "p1: 1", PLACE_NEEDS + "p1:1"),
    ],
)
def test_what_is_refused_is_named_with_its_parameter_and_what_is_accepted(
    name: str, text: str, said: str
):
    with pytest.raises(InvalidInput, match=re.escape(said)) as caught:
        asked(name, text)
    (problem,) = caught.value.errors
    assert problem.loc == (name,)
    assert problem.msg.startswith(f"{text[:80]!r}: ")


def test_one_malformed_rule_refuses_all_of_a_request():
    with pytest.raises(InvalidInput, match="'p1:0'"):
        request_rules(["brand=acme^2"], ["brand:2"], ["p1:1", "p1:0"])


@pytest.mark.parametrize("digits", ["01000", "0001999999"])
def test_zeros_in_front_lift_no_bound(digits: str):
    with pytest.raises(InvalidInput):
        asked("cap", f"brand:{digits}")


@given(
    st.sampled_from(["boost", "cap", "pin"]),
    st.one_of(st.text(), st.from_regex(r"\A[a-c=<>~!,]{0,4}[\^:][0-9.e-]{0,3}\Z")),
)
def test_any_text_is_a_rule_or_refused(name: str, text: str):
    try:
        rules = asked(name, text)
    except InvalidInput as exc:
        refused = str(exc)
        assert refused.startswith(f"{name}: ")
    else:
        assert len(rules.boosts) + len(rules.caps) + len(rules.pins) == 1
