"""Start of a live feed: without history, after a published partition, or from a saved state."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import duckdb
import numpy as np
from msgspec import Struct, structs

from sqlgen.compile.scope import Scan
from sqlgen.errors import SqlgenError
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from sqlgen.project.model import Model
from sqlgen.published import states
from sqlgen.published.records import Published
from sqlgen.published.states import Snapshot, StateError
from sqlgen.run.engine import Engine
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path
from udfs import Pipeline

NO_KERNELS = Pipeline(())

_DAY = 86_400_000_000_000
_POSITION = "place in the feed"
"""Name of the feed position in a saved state, beside the states of kernels."""


class FeedPosition(Struct, frozen=True):
    """Position of a feed: its last row, and the number of the next."""

    last: int | None = None
    """Time of the last row, ns since the epoch."""
    date: dt.date | None = None
    """Date of the last row."""
    seq: int = 0
    """Number of the next row of that date."""

    def next(self, time: int) -> tuple[dt.date, int]:
        """Date (UTC) and number of a row."""
        date = dt.date(1970, 1, 1) + dt.timedelta(days=time // _DAY)
        return date, self.seq if date == self.date else 0


class Start(Struct, frozen=True):
    """Start of a feed: kernel states and position."""

    state: Snapshot
    position: FeedPosition = FeedPosition()


def save(path: Path, model: Model, where: Partition, start: Start) -> None:
    """Write a file that :func:`find` reads."""
    position = start.position
    date = position.date.toordinal() if position.date is not None else 0
    numbers = np.array([position.last is not None, position.last or 0, date, position.seq], np.int64)
    whose = np.frombuffer(where.path.encode(), np.uint8)
    kernels = start.state.kernels | {_POSITION: {"numbers": numbers, "whose": whose}}
    content = states.encode(
        structs.replace(start.state, kernels=kernels), (model.pipeline or NO_KERNELS).state_identity
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def find(engine: Engine, model: Model, where: Partition, state: Path | str | None) -> Start:
    """The start that ``state`` means, see :func:`sqlgen.live.model.open_model`."""
    if state is None:
        return Start(Snapshot((model.pipeline or NO_KERNELS).start()))
    path = _newest(engine, model, where) if state == "last" else Path(state)
    try:
        return _published(engine, path, model, where) if path.is_dir() else _saved(path, model, where)
    except OSError as error:
        raise SqlgenError(f"the state {path} cannot be read ({error.strerror})") from None
    except StateError as error:
        raise SqlgenError(
            f"the state in {path} cannot be used: {error}. Give another one, or run the model to build it anew"
        ) from None


def _newest(engine: Engine, model: Model, where: Partition) -> Path:
    """Folder of the newest published partition with rows."""
    root = engine.project.lake / model.output.path
    found = [
        unit for unit, record in engine.table(model.name).records.items() if record.rows and _belongs(record, where)
    ]
    if not found:
        raise SqlgenError(
            f"model '{model.name}' has published nothing for {where} to continue from. Run it first, or start without "
            "history (state=None)"
        )
    return root / max(found).path


def _published(engine: Engine, folder: Path, model: Model, where: Partition) -> Start:
    root = engine.project.lake / model.output.path
    table, unit = engine.table(model.name), Partition()
    if folder.resolve() != root.resolve() and folder.resolve().is_relative_to(root.resolve()):
        unit = Partition.from_path(folder.resolve().relative_to(root.resolve()).as_posix())
    record = table.records.get(unit)
    if record is None or unit not in table.present:
        raise SqlgenError(f"{folder} holds no partition that sqlgen published")
    if not _belongs(record, where):
        raise SqlgenError(f"{folder} holds another symbol than {where}")
    state = Snapshot({})
    if model.pipeline is not None:
        state = engine.states.read(model.name, unit, record.build, record.state, model.pipeline.state_identity)
    mounts.fetch(folder / name for name in record.files)
    files = tuple(exact_path(folder / name) for name in record.files)
    rows = engine.compiler(()).published_select(model.name, Scan(files, types=record.types))
    return Start(state, _position(rows, where) if files else FeedPosition())


def _belongs(record: Published, where: Partition) -> bool:
    unit = record.partition
    return all(unit[key] == value for key, value in where.values if key in unit)


def _position(rows: str, where: Partition) -> FeedPosition:
    """Position after the rows of a SELECT; columns that the table lacks are unknown."""
    with duckdb.connect() as connection:
        last = query("last_row", rows=rows, names=list(columns_of(connection, rows)), keys=dict(where.values))
        last_time, last_date, last_seq = connection.execute(last).fetchall()[0]
    return FeedPosition(last_time, last_date, 0 if last_seq is None else last_seq + 1)


def _saved(path: Path, model: Model, where: Partition) -> Start:
    snapshot = states.decode(path.read_bytes(), (model.pipeline or NO_KERNELS).state_identity)
    kernels = dict(snapshot.kernels)
    position = kernels.pop(_POSITION, None)
    if position is None:
        return Start(snapshot)
    whose = Partition.from_path(position["whose"].tobytes().decode())
    if whose != where:
        raise SqlgenError(f"{path} was saved for {whose}, not for {where}")
    known, last, date, seq = position["numbers"].tolist()
    day = dt.date.fromordinal(date) if date else None
    return Start(structs.replace(snapshot, kernels=kernels), FeedPosition(last if known else None, day, seq))
