"""What calls cost. Prices are US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = ["LIST_PRICES", "Price", "read_price"]


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens sent (``input``) and received (``output``)."""

    input: float
    output: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Return the cost of a call in dollars."""
        return (self.input * tokens_in + self.output * tokens_out) / 1e6


LIST_PRICES: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "text-embedding-3-small": Price(0.02, 0.0),
        "text-embedding-3-large": Price(0.13, 0.0),
        "text-embedding-ada-002": Price(0.10, 0.0),
        "deepseek-v3.2": Price(0.28, 0.42),
        "gemini-2.5-flash": Price(0.30, 2.50),
        "gpt-4.1": Price(2.00, 8.00),
        "gpt-4.1-mini": Price(0.40, 1.60),
        "claude-sonnet-4.5": Price(3.00, 15.00),
    }
)
"""The makers' list prices of late 2025. A reseller's differ: give yours in the settings."""


def read_price(value: Any, where: str) -> Price | None:
    """Read a price from settings; None for one that is declared unknown.

    Raises:
        ValueError: naming ``where``, the value and what is accepted.
    """
    if value == "unknown":
        return None
    if isinstance(value, Mapping) and {"input"} <= set(value) <= {"input", "output"}:
        pair = (value["input"], value.get("output", 0.0))
    elif isinstance(value, list) and len(value) == 2:
        pair = (value[0], value[1])
    else:
        pair = (None, None)
    if all(_is_price(amount) for amount in pair):
        return Price(float(pair[0]), float(pair[1]))
    raise ValueError(
        f"{where}: {value!r}; accepted: {{input = 0.28, output = 0.42}} in dollars per million "
        'tokens, or "unknown"'
    )


def _is_price(amount: Any) -> bool:
    number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    return number and 0.0 <= amount <= 1e6
