"""Business rules: how they are written, what is refused, and how a changed file is taken up."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import SettingsError
from recsvc.rules import Boost, Cap, Hide, Pin, Rules, RulesFile, parse_rules

EXAMPLE = Path(__file__).parents[2] / "docs" / "rules.example.toml"
NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z

BOOST = '[[default.boost]]\nfilter = ["brand=acme"]\n'
PIN = '[[default.pin]]\nitem_id = "p1"\n'
CAP = '[[default.cap]]\nfeature = "brand"\n'
NO_TIME = "position = 1\nfrom = 2026-01-01T00:00:00Z\nuntil = 2026-01-01T01:00:00+01:00"
HIDE = '[[default.hide]]\nfilter = ["in_stock=false"]\n'


def default(text: str) -> Rules:
    return parse_rules(text, "rules.toml")["default"]


# What can be written


def test_an_empty_file_has_no_rules():
    assert parse_rules("", "rules.toml") == {}


def test_what_a_table_leaves_out_is_off():
    assert default("[default]\n") == Rules()
    assert Rules().factor({"brand": "acme"}) == 1.0
    assert not Rules().hidden({"brand": "acme"})


def test_every_rule_is_read():
    text = (
        f"[default]\nnovelty = 0.1\nexploration = 1\nfatigue = 0\n{BOOST}factor = 1.5\n{PIN}"
        'position = 3\nfilter = ["in_stock=true"]\n'
        "from = 2026-01-01T00:00:00Z\nuntil = 2026-01-01T02:00:00+01:00\n"
        f"{CAP}most = 2\n{HIDE}"
    )
    assert default(text) == Rules(
        novelty=0.1,
        exploration=1.0,
        fatigue=0.0,
        boosts=(Boost(1.5, filter=("brand=acme",)),),
        pins=(Pin("p1", 3, NEW_YEAR, NEW_YEAR + 3600, filter=("in_stock=true",)),),
        caps=(Cap("brand", 2),),
        hides=(Hide(filter=("in_stock=false",)),),
    )


def test_tables_are_tenants_and_are_not_merged():
    rules = parse_rules('[default]\nnovelty = 1\n["shop.a"]\nfatigue = 1\n', "rules.toml")
    assert rules == {"default": Rules(novelty=1.0), "shop.a": Rules(fatigue=1.0)}


def test_the_example_is_accepted_and_shows_every_rule():
    rules = parse_rules(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    shown = rules["default"]
    assert all((shown.novelty, shown.exploration, shown.fatigue, shown.boosts, shown.pins))
    assert len(shown.caps) == len(shown.hides) == 1
    assert rules["outlet"] == Rules(boosts=(Boost(2.0, filter=("price<20",)),))
    assert set(rules) == {"default", "outlet", "shop.example"}


# What rules say


def test_all_filters_of_a_boost_must_hold_and_the_factors_of_those_that_match_multiply():
    both = Boost(4.0, filter=("brand=acme", "price<=50")), Boost(0.5, filter=("tags~old",))
    rules = Rules(boosts=both)
    assert rules.factor({"brand": "acme", "price": 50}) == 4.0
    assert rules.factor({"brand": "acme", "price": 51}) == 1.0
    assert rules.factor({"brand": "acme", "price": 9, "tags": ["old"]}) == 2.0


def test_an_item_is_hidden_by_any_rule_all_of_whose_filters_hold():
    rules = Rules(hides=(Hide(filter=("a=1", "b=1")), Hide(filter=("c=1",))))
    hidden = [rules.hidden(features) for features in ({"a": 1, "b": 1}, {"c": 1}, {"a": 1})]
    assert hidden == [True, True, False]


def test_a_pin_holds_from_its_start_until_just_before_its_end():
    pin = Pin("p1", 1, 10.0, 20.0)
    assert [pin.active(now) for now in (9.9, 10.0, 19.9, 20.0)] == [False, True, True, False]
    assert Pin("p1", 1).active(0.0)
    assert Pin("p1", 1, until_at=20.0).active(-1.0)
    assert Pin("p1", 1, start_at=10.0).active(1e12)


def test_a_pin_without_a_filter_is_for_any_features():
    assert Pin("p1", 1).matches({})
    assert not Pin("p1", 1, filter=("in_stock=true",)).matches({"in_stock": False})


def test_a_rule_cannot_be_made_of_a_malformed_filter():
    with pytest.raises(ValueError, match="'brand': not of the form"):
        Hide(filter=("brand",))


# What is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default", "rules.toml: "),
        ("[" * 5_000, "rules.toml: "),
        ("novelty = 0.1", "[novelty]: 0.1 is no table"),
        ("['a b']", "[a b] is not the name of a tenant; accepted: an id"),
        ("[default]\nspeed = 1", "[default]: 'speed' is unknown; accepted: boost, cap, explor"),
        ("[default]\nnovelty = 1.1", "[default] novelty=1.1; accepted: a number from 0 to 1"),
        ("[default]\nfatigue = nan", "[default] fatigue=nan; accepted: a number from 0 to 1"),
        ("[default]\nfatigue = inf", "fatigue=inf"),
        ("[default]\nexploration = true", "exploration=True"),
        ("[default]\nexploration = 1" + "0" * 400, "exploration=1000"),
        ("[default]\nboost = 2", "[default] boost=2; accepted: a list, written [[default.boost]]"),
        ("[default.boost]\nfactor = 2", "a list, written [[default.boost]]"),
        ("[default]\nboost = [2]", "[[default.boost]] no. 1: 2 is no table"),
        (BOOST, "[[default.boost]] no. 1 factor is missing; accepted: a number from 0.1 to 10"),
        (BOOST + "factor = 2\n" + BOOST + "factor = 0", "[[default.boost]] no. 2 factor=0;"),
        (BOOST + "factor = 2\nweight = 1", "'weight' is unknown; accepted: factor, filter"),
        ("[[default.boost]]\nfactor = 2", "no. 1 filter is missing; accepted: 1 to 20 texts"),
        (BOOST.replace('["brand=acme"]', "[]") + "factor = 2", "filter=[]; accepted: 1 to 20"),
        (BOOST.replace('["brand=acme"]', '"a=b"') + "factor = 2", "filter='a=b'; accepted"),
        (BOOST.replace('"brand=acme"', "1") + "factor = 2", "filter=[1]; accepted"),
        (BOOST.replace("=acme", "") + "factor = 2", "no. 1 filter: 'brand': not of the form"),
        (BOOST.replace("=acme", "<x") + "factor = 2", "'brand<x': < takes one finite number"),
        (BOOST.replace('"brand=acme"', "'a=b'," * 21) + "factor = 2", "accepted: 1 to 20 texts"),
        (PIN, "[[default.pin]] no. 1 position is missing; accepted: a whole number from 1 to 100"),
        (PIN + "position = 101", "position=101"),
        (PIN + "position = 1.0", "position=1.0; accepted: a whole number"),
        (PIN + "position = true", "position=True"),
        (PIN.replace("p1", "p 1") + "position = 1", "item_id='p 1'; accepted: an id, 1..128"),
        (PIN.replace('"p1"', "1") + "position = 1", "item_id=1"),
        ("[[default.pin]]\nposition = 1", "item_id is missing"),
        (PIN + "position = 1\nfrom = 2026-01-01T00:00:00", "accepted: a moment with its offset"),
        (PIN + "position = 1\nuntil = 2026-01-01", "until=datetime.date(2026, 1, 1)"),
        (PIN + "position = 1\nuntil = '2026-01-01T00:00:00Z'", "until='2026"),
        (PIN + NO_TIME, "accepted: a moment after from=2026-01-01 00:00:00+00:00"),
        (CAP, "[[default.cap]] no. 1 most is missing; accepted: a whole number from 1 to 100"),
        (CAP + "most = 0", "most=0"),
        (CAP.replace("brand", "a=b") + "most = 1", "feature='a=b'; accepted: a feature name"),
        ("[[default.cap]]\nmost = 1", "feature is missing"),
        ((BOOST + "factor = 2\n") * 21, "[[default.boost]]: 21 of them; accepted: at most 20"),
        ((PIN + "position = 1\n") * 21, "[[default.pin]]: 21 of them; accepted: at most 20"),
        ((CAP + "most = 1\n") * 11, "[[default.cap]]: 11 of them; accepted: at most 10"),
        (HIDE * 11, "[[default.hide]]: 11 of them; accepted: at most 10"),
    ],
)
def test_what_is_not_accepted_is_named_with_what_is(text: str, said: str):
    with pytest.raises(SettingsError, match=re.escape(said)) as caught:
        parse_rules(text, "rules.toml")
    assert str(caught.value).startswith("rules.toml: ")


def test_as_many_rules_are_accepted_as_is_said():
    rules = default((BOOST + "factor = 2\n") * 20 + (PIN + "position = 100\n") * 20 + HIDE * 10)
    assert (len(rules.boosts), len(rules.pins), len(rules.hides)) == (20, 20, 10)


@given(st.one_of(st.text(), st.text(alphabet="[]{}=.\"',\n default boost pin 0123-:TZ")))
def test_any_text_is_rules_or_refused(text: str):
    try:
        parse_rules(text, "rules.toml")
    except SettingsError as exc:
        refused = str(exc)
        assert refused.startswith("rules.toml: ")


# A file that changes


class Kept:
    """A file of rules and what is read of it, on a clock of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self._written = path, 100.0, 0
        self.write("[default]\nnovelty = 0.1\n")
        self.file = RulesFile(path, lambda: self.now)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")
        self._written += 1  # two writes within one tick of the file system's clock would look alike
        os.utime(self.path, (self._written, self._written))

    def novelty(self, *, after_s: float = 1.0, tenant: str = "default") -> float:
        self.now += after_s
        return self.file.current(tenant).novelty


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "rules.toml")


def test_without_a_file_nothing_is_ruled():
    file = RulesFile(None)
    assert file.current("anyone") == Rules()
    assert (file.version, file.problem) == ("", None)


@pytest.mark.parametrize(
    ("text", "novelty"),
    [
        ("[default]\nnovelty = 0.2\n[other]\nnovelty = 0.3\n", 0.2),
        ("[default]\nnovelty = 0.2\n[shop]\nfatigue = 0.5\n", 0.0),
        ("[default]\nnovelty = 0.2\n[shop]\n", 0.0),
        ("[other]\nnovelty = 0.3\n", 0.0),
    ],
)
def test_a_tenant_has_its_own_table_or_else_the_default(kept: Kept, text: str, novelty: float):
    kept.write(text)
    assert kept.novelty(tenant="shop") == novelty


def test_a_changed_file_is_read_again_and_has_a_version_of_its_own(kept: Kept):
    before = kept.file.version
    kept.write("[default]\nnovelty = 0.2\n")
    assert (kept.novelty(), kept.file.version != before) == (0.2, True)
    after = kept.file.version
    assert (kept.novelty(), kept.file.version) == (0.2, after)


def test_the_same_rules_have_the_same_version_in_every_process(kept: Kept):
    assert kept.file.version == RulesFile(kept.path).version != ""


def test_the_file_is_looked_at_once_a_second(kept: Kept):
    kept.write("[default]\nnovelty = 0.2\n")
    assert kept.novelty(after_s=0.9) == 0.1
    assert kept.novelty(after_s=0.2) == 0.2
    kept.write("[default]\nnovelty = 0.3\n")
    assert kept.novelty(after_s=0.9) == 0.2
    assert kept.novelty(after_s=0.2) == 0.3


def _malformed(kept: Kept) -> None:
    kept.write("[default]\nnovelty = 2\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_malformed, "[default] novelty=2; accepted: a number from 0 to 1"),
        (lambda kept: kept.path.unlink(), "No such file"),
        (lambda kept: kept.path.write_bytes(b"\xff\xfe"), "invalid start byte"),
    ],
)
def test_rules_outlive_a_file_gone_wrong_which_is_told_once(
    kept: Kept, caplog: pytest.LogCaptureFixture, spoil: Callable[[Kept], object], said: str
):
    before = kept.file.version
    spoil(kept)
    with caplog.at_level(logging.ERROR):
        assert [kept.novelty() for _ in range(3)] == [0.1] * 3
    assert kept.file.problem is not None
    assert said in kept.file.problem
    assert str(kept.path) in kept.file.problem
    assert kept.file.version == before
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_mended_file_is_taken_up_again(kept: Kept):
    _malformed(kept)
    kept.novelty()
    kept.write("[default]\nnovelty = 0.4\n")
    assert (kept.novelty(), kept.file.problem) == (0.4, None)


def test_a_file_put_back_as_it_was_is_taken_up_again(kept: Kept):
    aside = kept.path.rename(kept.path.with_suffix(".aside"))
    kept.novelty()
    assert kept.file.problem is not None
    aside.rename(kept.path)
    assert (kept.novelty(), kept.file.problem) == (0.1, None)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_seen(kept: Kept):
    other = kept.path.with_suffix(".new")
    other.write_text("[default]\nnovelty = 0.7\n", encoding="utf-8")
    os.utime(other, (1, 1))
    assert other.stat().st_size == kept.path.stat().st_size
    assert other.stat().st_mtime == kept.path.stat().st_mtime
    other.replace(kept.path)
    assert kept.novelty() == 0.7


def test_a_file_wrong_from_the_start_stops_the_start(tmp_path: Path):
    path = tmp_path / "rules.toml"
    with pytest.raises(SettingsError, match=r"rules\.toml': .*No such file"):
        RulesFile(path)
    path.write_text("[default]\nnovelty = 2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"rules\.toml': \[default\] novelty=2"):
        RulesFile(path)
