"""Copies of Parquet files, with the columns that an adapter reads by its names for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.sources.schemas import Place, parquet_columns, place_of, sql_schema


def copy_columns(
    connection: duckdb.DuckDBPyConnection, path: Path, target: Path, names: Mapping[str, str], types: Mapping[str, str]
) -> int:
    """Write a Parquet file with some columns of ``path`` renamed (new -> old); return its number of rows.

    A column that is not there is NULL, of its SQL type in ``types``.
    """
    with pq.ParquetFile(path) as file:
        there = parquet_columns(connection, [path])[str(path)]
        found = {new: place_of(connection, old, there) for new, old in names.items()}
        absent = sql_schema({new: types[new] for new, place in found.items() if place is None})
        fields = {
            new: _field(file.schema_arrow, place) if place is not None else absent.field(new)
            for new, place in found.items()
        }
        schema = pa.schema([field.with_name(new) for new, field in fields.items()])
        read = list(dict.fromkeys(".".join(place.steps) for place in found.values() if place is not None))
        with pq.ParquetWriter(target, schema, compression="none") as writer:
            for batch in file.iter_batches(columns=read):
                columns = [
                    _column(batch, place) if place is not None else pa.nulls(batch.num_rows, fields[new].type)
                    for new, place in found.items()
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        return int(file.metadata.num_rows)


def _field(schema: pa.Schema, place: Place) -> pa.Field:
    field = schema.field(place.steps[0])
    for step in place.steps[1:]:
        field = field.type.field(step)
    return field


def _column(batch: pa.RecordBatch, place: Place) -> pa.Array:
    column = batch.column(place.steps[0])
    if not place.steps[1:]:
        return column
    import pyarrow.compute as pc  # planning loads this module, and decodes nothing

    return pc.struct_field(column, [*place.steps[1:]])
