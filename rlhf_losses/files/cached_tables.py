"""Datasets of Arrow tables, which `datasets` writes to its cache."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
from datasets import ArrowBasedBuilder, BuilderConfig, Dataset, DatasetInfo, Features, Split, SplitGenerator

Tables: TypeAlias = Callable[[], Iterable[pa.Table]]


def cached_dataset(tables: Tables, features: Features) -> Dataset:
    """Return the rows of tables. A second call with the same arguments reads them from the cache.

    This is `Dataset.from_generator` for tables, which takes a fraction of its time.

    Args:
        tables: a function that returns the tables; its pickled form is the key of the cache.
        features: columns of every table.
    """
    builder = _Builder(tables=tables, features=features)
    builder.download_and_prepare()
    dataset: Dataset = builder.as_dataset(split=Split.TRAIN)
    return dataset


@dataclass
class _Config(BuilderConfig):
    """Settings of the builder, whose hash is the key of the cache."""

    tables: Tables = tuple
    features: Features | None = None


class _Builder(ArrowBasedBuilder):
    BUILDER_CONFIG_CLASS = _Config

    def _info(self) -> DatasetInfo:
        return DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        return [SplitGenerator(name=Split.TRAIN)]

    def _generate_tables(self) -> Iterator[tuple[int, pa.Table]]:
        yield from enumerate(self.config.tables())
