"""How often items go together: the matrix that the item-to-item models are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsvc.evaluate.baselines.baseline import interactions
from recsvc.evaluate.datasets import Coded

__all__ = ["ITEMS_MAX", "Gram", "blocks", "gram"]

ITEMS_MAX: Final = 12_000
"""Of larger catalogues only the most frequent items are taken: 0.6 GB of float32."""

_BLOCK: Final = 512


@dataclass(frozen=True, slots=True, eq=False)
class Gram:
    """``matrix``: (m, m) float32, in how many users' histories both items are.

    ``items``: (m,) int64, the items of its rows; ``places``: (n,) int64, the row of each item of
    the catalogue, or -1.
    """

    matrix: NDArray[np.float32]
    items: NDArray[np.int64]
    places: NDArray[np.int64]

    def note(self) -> str:
        """Say what was left out."""
        left = len(self.places) - len(self.items)
        return f"without the {left:,} rarest items" if left else ""


def gram(train: Coded, items_max: int = ITEMS_MAX) -> Gram:
    """Count the users who have both of any two items."""
    matrix = interactions(train)
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    items = np.sort(np.argsort(-counts, kind="stable")[:items_max])
    places = np.full(len(counts), -1, np.int64)
    places[items] = np.arange(len(items))
    found = np.empty((len(items), len(items)), np.float32)
    for rows, block in blocks(matrix[:, items]):
        found[rows] = block
    return Gram(found, items, places)


def blocks(matrix: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the rows of ``matrix.T @ matrix`` some hundred at a time, dense.

    ``matrix``: csr_matrix of float32, users by items.
    """
    columns = matrix.T.tocsr()
    for start in range(0, columns.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, (columns[rows] @ matrix).toarray()
