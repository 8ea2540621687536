"""Trial source: read as in a run (adapter, decoding, keys), without a models.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from sqlgen.compile.adapters import RawForm
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout, StagedInput
from sqlgen.errors import TaskError
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.project.config import Config, ModelConfig, Source
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project
from sqlgen.sources.sourcefiles import FilePartitions, SourceFiles, list_source_files
from sqlgen.sources.staged import InputStager
from sqlgen.templating.header import TEMPLATE_SUFFIX, Header
from sqlgen.templating.templates import Library
from sqlgen.templating.yamlfile import Document

SOURCE = "inspected"


def default_options(library: Library, adapter: str) -> dict[str, Any]:
    """The options of an adapter with their defaults."""
    options = library.header(adapter_template(adapter)).options
    return {name: option.default for name, option in options.items()}


@dataclass
class TrialSource:
    """A source over a (small) lake."""

    library: Library
    lake: Path
    source: Source
    connection: duckdb.DuckDBPyConnection | None = None
    staged: StagedInput | None = None
    stager: InputStager | None = None
    project: Project = field(init=False)
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        config = Config(version=1, lake=str(self.lake), sources={SOURCE: self.source}, models={})
        spec = ModelConfig.model_validate({"sql": "", "inputs": {"rows": SOURCE}, "output": {"path": "x"}})
        entry = ModelInput("rows", spec.inputs["rows"], self.source)
        options = default_options(self.library, self.source.adapter) | self.source.options
        self.model = Model(SOURCE, spec, Header(), {}, {}, {"rows": options}, 0.0, 0.0, (entry,))
        file = self.lake / "models.yaml"
        self.project = Project(file, config, self.library, {SOURCE: self.model}, Document(file))

    @property
    def entry(self) -> ModelInput:
        return self.model.inputs[0]

    def columns(self, fmt: str) -> Mapping[str, Any]:
        """The raw columns that the adapter reads, with their SQL types, apart from keys."""
        keyed = self.source.model_copy(update={"exchange": "x", "symbol": "x"})
        trial_source = TrialSource(self.library, self.lake, keyed)
        return (
            Compiler(trial_source.project)
            .raw_form(trial_source.model, trial_source.entry, SourceLayout(fmt, ()))
            .known_columns
        )

    @property
    def takes_lines(self) -> bool:
        """True if the adapter parses lines itself: then each has a time, or is unreadable."""
        return bool(Compiler(self.project).csv(self.model, self.entry).lines)

    def row_keys(self) -> tuple[str, ...]:
        """Keys that are in the rows, other than as a column."""
        return Compiler(self.project).raw_form(self.model, self.entry, SourceLayout("ndjson", ())).keys_in_rows.keys

    def mixture(self) -> str:
        """Reason why the selected rows are not of the one market that their paths name; empty if they are."""
        assert self.stager is not None
        try:
            self.stager.check_keys(self.form(), self.files())
        except TaskError as error:
            return str(error)
        return ""

    def form(self) -> RawForm:
        """Form of the files, as the adapter reads them."""
        layout = self.source_files().layout
        return Compiler(self.project).raw_form(self.model, self.entry, layout)

    def source_files(self) -> SourceFiles:
        """The files of the source, as a run lists them."""
        return list_source_files(self.project, SOURCE, _anywhere)

    def files(self) -> list[FileInfo]:
        """All files of the source, in order."""
        return list(dict.fromkeys(file for files in self.source_files().partitions.values() for file in files))

    def select(self, survey: bool = False) -> str:
        """SQL of the canonical rows of all files; text is decoded first, once."""
        assert self.connection is not None
        compiler = Compiler(self.project)
        if self.staged is None:
            source_files, files = self.source_files(), self.files()
            self.stager = InputStager(self.library, self.lake, self.lake / ".decoded", self.connection)
            self.staged = self.stager.stage(self.form(), source_files.layout, files)
        return compiler.input_select(self.model, self.entry, self.staged.scan(survey=survey))


def _anywhere(source: str, file: FileInfo, layout: SourceLayout) -> FilePartitions:
    return FilePartitions((Partition(),))


def adapters(library: Library) -> list[str]:
    """Names of all adapters, including the project's own."""
    if adapters not in library.kept:
        names = [name.removesuffix(TEMPLATE_SUFFIX) for name in library.names() if name.startswith("sources/")]
        library.kept[adapters] = [name.removeprefix("sources/") for name in names if name != "sources/published"]
    found: list[str] = library.kept[adapters]
    return found
