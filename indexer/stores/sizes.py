"""How collections on a Qdrant server are set up, by how many items they are to hold.

Only vectors of `items` are searched among all; those of the other collections are fetched by id.
What a point takes in memory and on disk is reckoned in docs/capacity.md. The quantised copies are
TurboQuant's: at the same size they find more than binary ones do (Qdrant's own figures, of 1536
dimensions: 0.93 of the true neighbours with 4 bits, 0.88 with 2, 0.80 with 1, each before the best
are scored again in full), and unlike int8 they are made as soon as a point is written, not when it
is indexed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from qdrant_client import models

__all__ = ["SIZES", "Size", "SizeName"]

SizeName = Literal["100k", "1m", "10m", "100m"]

_LINKS = 16
_SMALL_VECTOR = 16
"""Dimensions up to which a vector is kept in memory at every size: there is little to gain."""


@dataclass(frozen=True, slots=True)
class Size:
    """One order of magnitude.

    ``bits``: of the quantised copy of searched vectors, which is in memory; None for no copy, and
    then the vectors themselves are. ``rescored_min``, ``rescored_each``: how many of the nearest
    by the copy are scored again in full, at the least and for each one wanted. ``effort``: the
    list that a search of the graph keeps (``ef``).
    """

    ef_construct: int
    effort: int
    bits: models.TurboQuantBitSize | None = None
    rescored_min: int = 0
    rescored_each: int = 0
    unsearched_on_disk: bool = True
    graph_on_disk: bool = False
    sparse_on_disk: bool = False

    def creation(
        self,
        vectors: Mapping[str, models.VectorParams],
        sparse: Mapping[str, models.SparseVectorParams],
        hnsw: models.HnswConfigDiff | None,
    ) -> dict[str, Any]:
        """Return the arguments of ``create_collection`` that say where and how data is kept.

        The flags are the older ones of two ways to say it, as Qdrant 1.18 has no others.
        """
        searched = hnsw is None or hnsw.m != 0
        on_disk = self.bits is not None if searched else self.unsearched_on_disk
        created: dict[str, Any] = {
            "vectors_config": {
                name: params.model_copy(update={"on_disk": on_disk and params.size > _SMALL_VECTOR})
                for name, params in vectors.items()
            },
            "sparse_vectors_config": {name: self._sparse(params) for name, params in sparse.items()}
            or None,
            "hnsw_config": hnsw or self._graph(),
            "on_disk_payload": True,
        }
        if searched and self.bits is not None:
            copy = models.TurboQuantQuantizationConfig(bits=self.bits, always_ram=True)
            created["quantization_config"] = models.TurboQuantization(turbo=copy)
        return created

    def search(self, rows: int) -> models.SearchParams:
        """Return how to search for the best ``rows``; of no effect on what is not indexed."""
        if self.bits is None:
            return models.SearchParams(hnsw_ef=self.effort)
        rescored = max(self.rescored_min, self.rescored_each * rows)
        again = models.QuantizationSearchParams(
            rescore=True, oversampling=max(1.0, rescored / max(rows, 1))
        )
        return models.SearchParams(hnsw_ef=self.effort, quantization=again)

    def _graph(self) -> models.HnswConfigDiff:
        return models.HnswConfigDiff(
            m=_LINKS, ef_construct=self.ef_construct, on_disk=self.graph_on_disk
        )

    def _sparse(self, params: models.SparseVectorParams) -> models.SparseVectorParams:
        if not self.sparse_on_disk:
            return params
        index = params.index or models.SparseIndexParams()
        return params.model_copy(update={"index": index.model_copy(update={"on_disk": True})})


SIZES: Final[Mapping[SizeName, Size]] = {
    "100k": Size(ef_construct=128, effort=256, unsearched_on_disk=False),
    "1m": Size(128, 256, models.TurboQuantBitSize.BITS4, rescored_min=200, rescored_each=2),
    "10m": Size(200, 256, models.TurboQuantBitSize.BITS2, rescored_min=200, rescored_each=4),
    "100m": Size(
        200,
        256,
        models.TurboQuantBitSize.BITS1,
        rescored_min=400,
        rescored_each=8,
        graph_on_disk=True,
        sparse_on_disk=True,
    ),
}
