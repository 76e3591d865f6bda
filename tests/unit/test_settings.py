"""Settings: what is read, what is refused and in which words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.errors import SettingsError
from indexer.settings import DAY_S, Settings, load_settings, unknown_variables

PREFIXES = ("RECSVC_", "OPENAI_", "HOLYSHEEP_")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("data_dir", Path("./data")),
        ("qdrant_url", "edge"),
        ("qdrant_api_key", None),
        ("event_log_url", "sqlite"),
        ("cache_url", "memory"),
        ("cache_ttl_s", 300),
        ("cache_enabled", True),
        ("provider_base_url", None),
        ("provider_api_key", None),
        ("provider_timeout_s", 5),
        ("provider_max_retries", 3),
        ("provider_concurrency", 10),
        ("embedding_model", "text-embedding-3-small"),
        ("embedding_dim", 1536),
        ("profile_weight", 0.3),
        ("batch_size", 100),
        ("flush_interval_s", 0),
        ("api_keys_file", None),
    ],
)
def test_a_default_is_the_one_that_is_promised(name: str, default: object):
    assert getattr(load_settings(), name) == default


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_says_what_it_is(name: str):
    said = Settings.model_fields[name].description
    assert said
    assert said.endswith(".")


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().batch_size = 5


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("RECSVC_QDRANT_URL", "ftp://host", "edge, memory, http(s)://host:6333"),
        ("RECSVC_QDRANT_URL", "Edge", "edge, memory, http(s)://host:6333"),
        ("RECSVC_QDRANT_GRPC_PORT", "0", "greater than or equal to 1"),
        ("RECSVC_EVENT_LOG_URL", "postgres://host", "sqlite"),
        ("RECSVC_CACHE_URL", "memcached://host", "memory"),
        ("RECSVC_CACHE_TTL_S", "0", "greater than 0"),
        ("RECSVC_CACHE_TTL_S", "nan", "greater than 0"),
        ("RECSVC_CACHE_ENABLED", "perhaps", "boolean"),
        ("RECSVC_PROVIDER_BASE_URL", "api.example.com", "http(s)://host/v1"),
        ("RECSVC_PROVIDER_BASE_URL", "http://host:port/v1", "http(s)://host/v1"),
        ("RECSVC_PROVIDER_TIMEOUT_S", "-1", "greater than 0"),
        ("RECSVC_PROVIDER_MAX_RETRIES", "many", "integer"),
        ("RECSVC_PROVIDER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("RECSVC_EMBEDDING_DIM", "7", "greater than or equal to 8"),
        ("RECSVC_EMBEDDING_DIM", "1.5", "integer"),
        ("RECSVC_OFFLINE_EMBEDDER", "bert", "'auto', 'wordllama' or 'hashed'"),
        ("RECSVC_PROFILE_WEIGHT", "1.01", "less than or equal to 1"),
        ("RECSVC_PROFILE_WEIGHT", "nan", "1"),
        ("RECSVC_SHORT_WEIGHT", "-0.1", "greater than or equal to 0"),
        ("RECSVC_BATCH_SIZE", "1001", "less than or equal to 1000"),
        ("RECSVC_FLUSH_INTERVAL_S", "6", "less than or equal to 5"),
        ("RECSVC_FILTER_KEYS_MAX", "few", "integer"),
    ],
)
def test_a_wrong_value_is_one_line_with_variable_value_and_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, accepted: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert said.startswith(f"{variable}={value!r}: ")
    assert accepted in said
    assert "\n" not in said


def test_all_wrong_values_are_said_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_BATCH_SIZE", "0")
    monkeypatch.setenv("RECSVC_CACHE_TTL_S", "soon")
    with pytest.raises(SettingsError, match=r"CACHE_TTL_S='soon'.*; .*BATCH_SIZE='0'"):
        load_settings()


def test_half_lives_in_the_wrong_order_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_HALF_LIFE_SHORT_S", str(31 * DAY_S))
    with pytest.raises(
        SettingsError,
        match=r"HALF_LIFE_SHORT_S=2678400 must not exceed RECSVC_HALF_LIFE_LONG_S=2592000$",
    ):
        load_settings()


# Secrets


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_PROVIDER_API_KEY", "sk-secret-1")
    monkeypatch.setenv("RECSVC_QDRANT_API_KEY", "sk-secret-2")
    settings = load_settings()
    shown = f"{settings!r} {settings} {settings.model_dump_json()}"
    assert "sk-secret" not in shown
    assert settings.provider_api_key is not None
    assert settings.provider_api_key.get_secret_value() == "sk-secret-1"


@pytest.mark.parametrize("name", ["provider_api_key", "qdrant_api_key"])
def test_a_refused_secret_is_masked(name: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(**{name: ["sk-secret"]})
    assert str(caught.value).startswith(f"RECSVC_{name.upper()}=***: ")
    assert "sk-secret" not in str(caught.value)


def test_a_password_in_a_refused_url_is_masked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_QDRANT_URL", "ftp://ada:open-sesame@host")
    with pytest.raises(SettingsError, match=r"^RECSVC_QDRANT_URL=") as caught:
        load_settings()
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize("name", ["RECSVC_PROVIDER_API_KEY", "RECSVC_QDRANT_API_KEY"])
def test_a_line_end_after_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "sk-1\n")
    key = getattr(load_settings(), name.removeprefix("RECSVC_").lower())
    assert key.get_secret_value() == "sk-1"


# Aliases


@pytest.mark.parametrize("prefix", ["RECSVC_PROVIDER", "HOLYSHEEP", "OPENAI"])
def test_the_provider_is_read_from_the_names_people_have_set(
    monkeypatch: pytest.MonkeyPatch, prefix: str
):
    monkeypatch.setenv(f"{prefix}_BASE_URL", "https://api.example.com/v1")
    monkeypatch.setenv(f"{prefix}_API_KEY", "sk-1")
    settings = load_settings()
    assert settings.provider_base_url == "https://api.example.com/v1"
    assert settings.provider_api_key is not None
    assert settings.provider_api_key.get_secret_value() == "sk-1"


def test_our_own_name_wins_over_the_aliases(monkeypatch: pytest.MonkeyPatch):
    for prefix in ("OPENAI", "HOLYSHEEP", "RECSVC_PROVIDER"):
        monkeypatch.setenv(f"{prefix}_BASE_URL", f"https://{prefix.lower()}.example.com")
    assert load_settings().provider_base_url == "https://recsvc_provider.example.com"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_PROVIDER_BASE_URL", "")
    monkeypatch.setenv("RECSVC_BATCH_SIZE", "")
    assert load_settings().provider_base_url is None
    assert load_settings().batch_size == 100


def test_a_wrong_value_under_an_alias_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    with pytest.raises(SettingsError, match="BASE_URL='nowhere': accepted"):
        load_settings()


# Where settings come from


def test_settings_are_read_from_a_file(tmp_path: Path):
    (tmp_path / ".env").write_text("RECSVC_BATCH_SIZE=7\nUNRELATED=x\n", encoding="utf-8")
    assert load_settings().batch_size == 7


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("RECSVC_BATCH_SIZE=7\n", encoding="utf-8")
    monkeypatch.setenv("RECSVC_BATCH_SIZE", "8")
    assert load_settings().batch_size == 8


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_BATCH_SIZE", "8")
    assert load_settings(batch_size=9).batch_size == 9
    assert load_settings(provider_base_url="http://h/v1").provider_base_url == "http://h/v1"


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_BATCHSIZE", "8")
    monkeypatch.setenv("RECSVC_BATCH_SIZE", "8")
    monkeypatch.setenv("RECSVC_PROVIDER_BASE_URL", "http://h/v1")
    assert unknown_variables() == ["RECSVC_BATCHSIZE"]


# Values with a form of their own


def test_event_weights_are_added_to_the_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_EVENT_WEIGHTS", '{"view": 0, "share": 1.5}')
    weights = load_settings().event_weights
    assert weights == {**DEFAULT_WEIGHTS, "view": 0.0, "share": 1.5}
    assert load_settings().fold_rules.weights == weights


@pytest.mark.parametrize(
    "value",
    [
        '{"view": ',
        "view=1",
        "[1]",
        '{"view": "much"}',
        '{"View": 1}',
        '{"view": 101}',
        '{"view": NaN}',
        '{"view": Infinity}',
    ],
)
def test_wrong_event_weights_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("RECSVC_EVENT_WEIGHTS", value)
    with pytest.raises(SettingsError, match=r"^RECSVC_EVENT_WEIGHTS"):
        load_settings()


def test_text_features_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_TEXT_FEATURES", "title, plot,,")
    assert load_settings().text_features == {"title", "plot"}


def test_filter_keys_are_pairs_separated_by_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSVC_FILTER_KEYS", "price:number, brand:keyword")
    assert load_settings().filter_keys == {"price": "number", "brand": "keyword"}


@pytest.mark.parametrize("value", ["price:float", "price"])
def test_wrong_filter_keys_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("RECSVC_FILTER_KEYS", value)
    with pytest.raises(SettingsError, match=r"^RECSVC_FILTER_KEYS.*'keyword', 'number' or 'bool'"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("qdrant_url", "memory"),
        ("qdrant_url", "https://cluster.example.com:6333"),
        ("profile_weight", 0.0),
        ("profile_weight", 1.0),
        ("seen_max", 0),
        ("provider_max_retries", 0),
        ("half_life_long_s", float("inf")),
    ],
)
def test_the_ends_of_what_is_accepted_are_accepted(name: str, value: Any):
    assert getattr(load_settings(**{name: value}), name) == value


def test_the_rules_of_the_fold_are_those_of_the_settings():
    rules = load_settings(half_life_long_s=9.0, half_life_short_s=3.0, seen_max=4).fold_rules
    assert (rules.half_life_long_s, rules.half_life_short_s, rules.seen_max) == (9.0, 3.0, 4)


# Whose pages


def test_origins_are_read_as_browsers_write_them(monkeypatch: pytest.MonkeyPatch):
    sent = "https://Shop.Example/, http://[::1]:3000,https://a.example:443, http://b.example:8080"
    monkeypatch.setenv("RECSVC_ALLOWED_ORIGINS", sent)
    assert load_settings().allowed_origins == {
        "https://shop.example",
        "http://[::1]:3000",
        "https://a.example",
        "http://b.example:8080",
    }


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "null",
        "shop.example",
        "https://*.example",
        "https://shop.example/path",
        "https://shop.example?x",
        "ftp://shop.example",
        "https://user@shop.example",
        "https://shop.example:0",
        "https://shop.example:65536",
        "https://[1.2.3.4]",
        "https://",
    ],
)
def test_what_is_no_origin_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("RECSVC_ALLOWED_ORIGINS", f"https://fine.example,{value}")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "RECSVC_ALLOWED_ORIGINS" in str(caught.value)
    assert f"{value}: http(s)://host" in str(caught.value)
