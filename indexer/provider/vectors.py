"""Reads the reply to an embedding request, trusting nothing in it. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from indexer.domain.vectors import Vector, unit
from indexer.errors import InputRefused, InvalidVector, ProviderUnavailable

__all__ = ["TEXT_FAULTS", "numbers_of", "read_vectors"]

TEXT_FAULTS: Final = frozenset({"not_finite", "zero_vector", "no_vector"})
"""What can be wrong with one row only: its text may be the reason."""

_DATE = re.compile(r"[-@](\d{4}-\d\d-\d\d|\d{8})$")


def read_vectors(
    reply: Mapping[str, Any], texts: int, dim: int, model: str
) -> list[Vector | InputRefused]:
    """Return the rows in the order of the request, each checked and of unit length.

    In the place of a row that is no vector: why, with one of `TEXT_FAULTS`.

    Raises:
        ProviderUnavailable: ``fault`` names what is wrong; another try is worth it unless the
            provider is set up for other vectors than these.
    """
    _check_model(reply.get("model"), model)
    data = reply.get("data")
    if not isinstance(data, list):
        raise ProviderUnavailable("the provider's reply has no list of data", fault="no_data")
    if len(data) != texts:
        fault = "missing_rows" if len(data) < texts else "extra_rows"
        raise ProviderUnavailable(
            f"the provider sent {len(data)} rows for {texts} texts", fault=fault
        )
    rows: dict[int, Vector | InputRefused] = {}
    for place, row in enumerate(data):
        index = row.get("index", place) if isinstance(row, dict) else None
        if type(index) is not int or index in rows or not 0 <= index < texts:
            raise ProviderUnavailable(
                f"the provider's row {place} has index {index!r:.80} of {texts}", fault="bad_index"
            )
        rows[index] = _row(row.get("embedding"), dim, f"the provider's row {index}")
    bad = [row for row in rows.values() if isinstance(row, InputRefused)]
    if bad and len(bad) == texts:
        fault = bad[0].fault if texts == 1 else f"all_{bad[0].fault}"
        others = " (and all others)" if texts > 1 else ""
        raise ProviderUnavailable(f"{bad[0]}{others}", fault=fault)
    return [rows[index] for index in range(texts)]


def _check_model(answered: object, asked: str) -> None:
    """Gateways add a maker, a tag or a date to a model's name; any other name is another model."""
    if not isinstance(answered, str) or not answered or _plain(answered) == _plain(asked):
        return
    raise ProviderUnavailable(
        f"the provider answered with model {answered[:80]!r}, asked was {asked!r}",
        fault="wrong_model",
        again=False,
    )


def _plain(model: str) -> str:
    name = model.lower().rstrip("/").rpartition("/")[2].removesuffix(":latest")
    return _DATE.sub("", name)


def _row(embedding: object, dim: int, where: str) -> Vector | InputRefused:
    try:
        numbers = numbers_of(embedding)
        if len(numbers) != dim:
            raise ProviderUnavailable(
                f"{where} has {len(numbers)} dimensions, the settings want {dim}",
                fault="wrong_dimension",
                again=False,
            )
        return unit(numbers, dim, where)
    except InvalidVector as exc:
        said = str(exc)
        fault = "zero_vector" if "zero" in said else "not_finite"
        fault = "no_vector" if "shape" in said else fault  # lists of lists
        return InputRefused(said, fault=fault)
    except (ValueError, TypeError, OverflowError) as exc:
        return InputRefused(f"{where} is no vector: {exc}", fault="no_vector")


def numbers_of(embedding: object) -> Sequence[float] | np.ndarray[Any, np.dtype[np.float32]]:
    """Return an embedding as it was sent: a list of floats, or base64 of little-endian float32.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(embedding, list):
        return embedding
    if not isinstance(embedding, str):
        raise ValueError(f"it is a {type(embedding).__name__}")
    try:
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"its base64 is broken: {exc}") from exc
