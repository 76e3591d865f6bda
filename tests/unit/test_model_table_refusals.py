"""What is refused in a file of models, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.errors import SettingsError
from indexer.provider.choices import model_table
from indexer.settings import load_settings

PROVIDER = '[providers.one]\nbase_url = "http://one/v1"\n'
MODEL = '[[models.profile]]\nprovider = "one"\nmodel = "gpt-4.1"\n'
SECRET = "sk-very-secret"


def refused(path: Path, text: str | bytes) -> str:
    """Return in which words a file is refused."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsError) as caught:
        model_table(load_settings(models_file=path), {"EMPTY": " \n", "SET": SECRET})
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models.toml"


def test_a_file_that_is_not_there_is_refused_by_name(path: Path):
    with pytest.raises(SettingsError, match=r"^RECSVC_MODELS_FILE='.*models.toml'.*No such file"):
        model_table(load_settings(models_file=path), {})


@pytest.mark.parametrize("text", ["providers", "[providers", b"\xff\xfe", "a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_refused(path: Path, text: str | bytes):
    assert refused(path, text).startswith(f"RECSVC_MODELS_FILE={str(path)!r}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[provider.one]", "the file: 'provider' is unknown; accepted: models, providers"),
        ("providers = 1", "providers is no table"),
        ("[[providers]]", "providers is no table"),
        ("models = []", "models is no table"),
        ("[providers]\none = 1", "[providers.one]: 1 is no table"),
        ("[models]\nchat = []", "'chat' is unknown; accepted: embedding, profile, summary"),
        ('[models]\nprofile = "gpt-4.1"', "models.profile is no list; write [[models.profile]]"),
        ("[models.profile]", "models.profile is no list; write [[models.profile]]"),
    ],
)
def test_the_shape_of_the_file_is_checked(path: Path, text: str, said: str):
    words = refused(path, text)
    assert words.startswith("RECSVC_MODELS_FILE=")
    assert words.endswith(said) or said in words


@pytest.mark.parametrize("entry", ["1", '"gpt-4.1"', '""', "[]", "true", "1979-05-27"])
def test_an_entry_that_is_no_table_is_refused(path: Path, entry: str):
    words = refused(path, f"[models]\nprofile = [{entry}]\n{PROVIDER}")
    assert words.startswith("RECSVC_MODELS_FILE=")
    assert "[[models.profile]]" in words
    assert "is no table" in words


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", "base_url=None; accepted: http(s)://host/v1"),
        ('base_url = ""', "base_url=''; accepted: http(s)://host/v1"),
        ("base_url = 1", "base_url=1; accepted: http(s)://host/v1"),
        ('base_url = "one/v1"', "base_url='one/v1'; accepted: http(s)://host/v1"),
        ('base_url = "ftp://one"', "base_url='ftp://one'; accepted: http(s)://host/v1"),
    ],
)
def test_a_provider_needs_an_address(path: Path, fields: str, said: str):
    assert refused(path, f"[providers.one]\n{fields}\n").endswith(f"[providers.one] {said}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("url", '"x"', "'url' is unknown; accepted: api_key_command, api_key_env, api_key_file"),
        ("api_key", '"sk-very-secret"', "'api_key' is unknown; accepted: api_key_command"),
        ("api_key_env", '"MISSING"', "api_key_env: the variable 'MISSING' is not set"),
        ("api_key_env", '"EMPTY"', "api_key_env: the variable 'EMPTY' is not set"),
        ("api_key_env", '""', "api_key_env: the variable '' is not set"),
        ("api_key_env", "5", "api_key_env: the variable 5 is not set"),
        ("timeout_s", "0", "timeout_s=0; accepted: a number from 0.01 up"),
        ("timeout_s", "-1.5", "timeout_s=-1.5; accepted: a number from 0.01 up"),
        ("timeout_s", "nan", "timeout_s=nan; accepted: a number from 0.01 up"),
        ("timeout_s", '"5"', "timeout_s='5'; accepted: a number from 0.01 up"),
        ("timeout_s", "true", "timeout_s=True; accepted: a number from 0.01 up"),
        ("deadline_s", "[]", "deadline_s=[]; accepted: a number from 0.01 up"),
        ("max_retries", "-1", "max_retries=-1; accepted: a whole number from 0 up"),
        ("max_retries", "1.0", "max_retries=1.0; accepted: a whole number from 0 up"),
        ("concurrency", "0", "concurrency=0; accepted: a whole number from 1 up"),
        ("concurrency", "false", "concurrency=False; accepted: a whole number from 1 up"),
        ("requests_per_minute", "0", "requests_per_minute=0; accepted: a number from 1 up"),
        ("tokens_per_minute", "0.5", "tokens_per_minute=0.5; accepted: a number from 1 up"),
    ],
)
def test_a_wrong_field_of_a_provider_is_named_with_its_value_and_what_is_accepted(
    path: Path, field: str, value: str, said: str
):
    words = refused(path, f"{PROVIDER}{field} = {value}\n")
    assert words.startswith(f"RECSVC_MODELS_FILE={str(path)!r}: [providers.one]")
    assert said in words
    assert SECRET not in words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('provider = "two"', "[[models.profile]] provider='two'; accepted: one"),
        ("", "[[models.profile]] provider=None; accepted: one"),
        ("provider = 1", "[[models.profile]] provider=1; accepted: one"),
        ('provider = ["one"]', "[[models.profile]] provider=['one']; accepted: one"),
        ("provider = {a = 1}", "[[models.profile]] provider={'a': 1}; accepted: one"),
    ],
)
def test_a_model_is_at_a_provider_of_the_file(path: Path, change: str, said: str):
    text = f'{PROVIDER}[[models.profile]]\nmodel = "gpt-4.1"\n{change}\n'
    assert refused(path, text).endswith(said)


@pytest.mark.parametrize("value", ['""', "1", '["gpt-4.1"]'])
def test_a_model_needs_a_name(path: Path, value: str):
    text = f'{PROVIDER}[[models.profile]]\nprovider = "one"\nmodel = {value}\n'
    words = refused(path, text)
    assert "[[models.profile]] model=" in words
    assert words.endswith("a name is needed")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("cost = 1", "[[models.profile]]: 'cost' is unknown; accepted: context_tokens, model"),
        ('price = "free"', "model 'gpt-4.1' (profile) price: 'free'; accepted: {input = 0.28"),
        ("price = [1]", "model 'gpt-4.1' (profile) price: [1]; accepted: "),
        ("price = {output = 1}", "price: {'output': 1}; accepted: "),
        ("context_tokens = 1023", "context_tokens=1023; accepted: a whole number from 1024 up"),
        ("context_tokens = 8e3", "context_tokens=8000.0; accepted: a whole number from 1024 up"),
    ],
)
def test_a_wrong_field_of_a_model_is_named_with_its_value_and_what_is_accepted(
    path: Path, field: str, said: str
):
    words = refused(path, f"{PROVIDER}{MODEL}{field}\n")
    assert words.startswith(f"RECSVC_MODELS_FILE={str(path)!r}: ")
    assert said in words


def test_without_providers_a_model_has_no_place(path: Path):
    assert refused(path, MODEL).endswith("provider='one'; accepted: none")
