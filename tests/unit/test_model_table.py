"""Which models are used, from variables or from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexer.errors import SettingsError
from indexer.provider.choices import Choice, ModelTable, model_table
from indexer.provider.prices import LIST_PRICES, Price
from indexer.settings import load_settings

SECRET = "sk-very-secret"
PROVIDER = '[providers.one]\nbase_url = "http://one/v1"\n'
TWO = PROVIDER + '[providers.two]\nbase_url = "https://two/v1"\n'

Read = Callable[..., ModelTable]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for prefix in ("RECSVC_PROVIDER", "OPENAI", "HOLYSHEEP"):
        for name in ("BASE_URL", "API_KEY"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)


def of_settings(**given: Any) -> ModelTable:
    return model_table(load_settings(provider_base_url="http://host/v1", **given), {})


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads a table from the text of a file."""

    def read_one(text: str, environment: dict[str, str] | None = None, **given: Any) -> ModelTable:
        path = tmp_path / "models.toml"
        path.write_text(text, encoding="utf-8")
        return model_table(load_settings(models_file=path, **given), environment or {})

    return read_one


def model(purpose: str, **fields: str) -> str:
    """One entry; values are TOML."""
    fields = {"provider": '"one"', "model": '"gpt-4.1"', **fields}
    return f"[[models.{purpose}]]\n" + "".join(f"{k} = {v}\n" for k, v in fields.items())


def names(table: ModelTable) -> dict[str, list[tuple[str, str]]]:
    return {
        purpose: [(choice.provider, choice.model) for choice in choices]
        for purpose, choices in table.choices.items()
    }


# Variables


def test_without_a_provider_nothing_is_chosen():
    table = model_table(load_settings(), {})
    assert table.providers == {}
    assert names(table) == {"embedding": [], "profile": [], "summary": []}


def test_one_provider_serves_all_purposes():
    table = of_settings(summary_model="gpt-4.1-mini")
    assert names(table) == {
        "embedding": [("default", "text-embedding-3-small")],
        "profile": [("default", "deepseek-v3.2")],
        "summary": [("default", "gpt-4.1-mini")],
    }
    assert table.choices["profile"][0].price == LIST_PRICES["deepseek-v3.2"]


def test_the_model_of_profiles_makes_the_summaries_unless_another_is_named():
    assert names(of_settings(profile_model="gpt-4.1"))["summary"] == [("default", "gpt-4.1")]


def test_counted_profiles_need_no_chat_model():
    chosen = names(of_settings(profile_model="counter", summary_model="gpt-4.1"))
    assert (chosen["profile"], chosen["summary"]) == ([], [])
    assert len(chosen["embedding"]) == 1


def test_the_single_provider_has_the_limits_of_the_settings():
    spec = of_settings(
        provider_timeout_s=2, provider_deadline_s=9, provider_max_retries=1,
        provider_concurrency=7, provider_requests_per_minute=60, provider_tokens_per_minute=1e5,
        provider_api_key=SECRET,
    ).providers["default"]  # fmt: skip
    assert (spec.timeout_s, spec.deadline_s, spec.max_retries, spec.concurrency) == (2, 9, 1, 7)
    assert (spec.requests_per_minute, spec.tokens_per_minute) == (60, 1e5)
    assert spec.api_key == SECRET


# A file


def test_a_file_gives_several_providers_in_order_of_preference(read: Read):
    table = read(
        TWO
        + model("embedding", model='"text-embedding-3-large"')
        + model("profile", provider='"two"')
        + model("profile", model='"gpt-4.1-mini"')
        + model("summary", model='"gpt-4.1-mini"')
    )
    assert names(table) == {
        "embedding": [("one", "text-embedding-3-large")],
        "profile": [("two", "gpt-4.1"), ("one", "gpt-4.1-mini")],
        "summary": [("one", "gpt-4.1-mini")],
    }
    assert {name: spec.base_url for name, spec in table.providers.items()} == {
        "one": "http://one/v1",
        "two": "https://two/v1",
    }


def test_the_file_takes_the_place_of_the_single_provider(read: Read):
    assert set(read(PROVIDER, provider_base_url="http://host/v1").providers) == {"one"}


def test_the_models_of_profiles_make_the_summaries_unless_others_are_named(read: Read):
    table = read(PROVIDER + model("profile"))
    assert table.choices["summary"] == table.choices["profile"]


@pytest.mark.parametrize("text", ["", "[models]\n", "[providers]\n", PROVIDER])
def test_a_file_may_leave_things_out(read: Read, text: str):
    assert names(read(text)) == {"embedding": [], "profile": [], "summary": []}


def test_limits_of_a_provider_win_over_those_of_the_settings(read: Read):
    text = PROVIDER + "timeout_s = 1.5\nmax_retries = 0\nrequests_per_minute = 30\n"
    spec = read(text, provider_timeout_s=3, provider_deadline_s=11).providers["one"]
    assert (spec.timeout_s, spec.deadline_s, spec.max_retries) == (1.5, 11, 0)
    assert (spec.requests_per_minute, spec.tokens_per_minute) == (30, None)


def test_keys_come_from_a_variable_a_file_or_a_command(read: Read):
    text = (
        PROVIDER
        + 'api_key_env = "MY_KEY"\n[providers.two]\nbase_url = "http://two"\napi_key_file = "k"\n'
        + '[providers.three]\nbase_url = "http://three"\napi_key_command = "get key"\n'
    )
    specs = read(text, {"MY_KEY": f" {SECRET}\n"}).providers
    assert specs["one"].api_key == SECRET
    assert specs["two"].api_key_file == Path("k")
    assert specs["three"].api_key_command == "get key"
    assert specs["two"].api_key is None


def test_a_key_is_never_in_a_repr(read: Read):
    tables = (
        of_settings(provider_api_key=SECRET),
        read(PROVIDER + 'api_key_env = "K"\n', {"K": SECRET}),
    )
    for table in tables:
        assert SECRET not in f"{table!r}{table}{table.providers}"


# Prices


def test_a_price_in_the_file_wins_over_one_of_the_settings_and_that_over_the_list(read: Read):
    text = PROVIDER + model("profile", price="[9, 9]") + model("summary")
    table = read(text, prices={"gpt-4.1": [5, 5]})
    assert table.choices["profile"][0].price == Price(9.0, 9.0)
    assert table.choices["summary"][0].price == Price(5.0, 5.0)


def test_a_price_may_be_declared_unknown(read: Read):
    assert of_settings(profile_model="new", prices={"new": "unknown"}).choices["profile"] == (
        Choice("default", "new", None, vectors="new"),
    )
    table = read(PROVIDER + model("profile", model='"new"', price='"unknown"'))
    assert table.choices["profile"][0].price is None


@pytest.mark.parametrize("which", ["embedding_model", "profile_model", "summary_model"])
def test_a_model_without_a_price_is_refused_with_what_to_write(which: str):
    with pytest.raises(SettingsError, match=r"model 'new' \(\w+\) has no price") as caught:
        of_settings(**{which: "new"})
    assert """RECSVC_PRICES='{"new": [0.28, 0.42]}'""" in str(caught.value)
    assert '"unknown"' in str(caught.value)


def test_a_model_without_a_price_is_refused_in_a_file_too(read: Read):
    with pytest.raises(SettingsError, match=r"model 'new' \(profile\) has no price"):
        read(PROVIDER + model("profile", model='"new"'))


@pytest.mark.parametrize("budget", ["budget_day_usd", "budget_user_day_usd"])
@pytest.mark.parametrize("which", ["profile_model", "summary_model"])
def test_a_budget_refuses_a_chat_model_of_unknown_price(budget: str, which: str):
    with pytest.raises(SettingsError, match=r"'new' .* price unknown.* budget could never stop"):
        of_settings(**{which: "new", budget: 0.0, "prices": {"new": "unknown"}})


def test_a_budget_refuses_embeddings_of_unknown_price_only_where_it_stops_them():
    unknown = {"embedding_model": "new", "prices": {"new": "unknown"}, "budget_day_usd": 1.0}
    assert of_settings(**unknown).choices["embedding"][0].price is None
    with pytest.raises(SettingsError, match=r"'new' \(embedding\)"):
        of_settings(**unknown, budget_stops_embeddings=True)


def test_a_budget_refuses_a_price_unknown_at_the_second_choice(read: Read):
    text = PROVIDER + model("profile") + model("profile", model='"new"', price='"unknown"')
    with pytest.raises(SettingsError, match="'new'"):
        read(text, budget_day_usd=1.0)


# Vectors that can be compared


def test_several_providers_may_have_the_same_embedding_model(read: Read):
    small = '"text-embedding-3-small"'
    other = {"model": '"openai/small"', "vectors": small, "price": "[0.02, 0]"}
    table = read(TWO + model("embedding", model=small) + model("embedding", **other))
    assert {choice.vectors for choice in table.choices["embedding"]} == {"text-embedding-3-small"}


def test_embedding_models_that_differ_are_refused_by_name(read: Read):
    text = (
        PROVIDER
        + model("embedding", model='"text-embedding-3-small"')
        + model("embedding", model='"text-embedding-3-large"')
    )
    with pytest.raises(SettingsError, match=r"embedding-3-large, text-embedding-3-small make diff"):
        read(text)
