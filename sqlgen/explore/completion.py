"""Tab completion of the shell: tables, columns, functions and keywords that fit where the cursor is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

import duckdb
from msgspec import Struct, field

from sqlgen.templating.queries import query
from sqlgen.templating.quoting import ident

DELIMITERS = " \t\n\"'`@$><=;|&{}()[],+-*/%!"
"""Signs between words; a dot is none, so that ``table.column`` is one."""
_TABLES = re.compile(r'\b(?:FROM|JOIN)\s+("(?:[^"]|"")+"|\w+)(?:\s+(?:AS\s+)?(\w+))?', re.IGNORECASE)
_AFTER_TABLE_WORD = re.compile(r"\b(?:FROM|JOIN|DESCRIBE|SUMMARIZE|TABLE)\s+\S*$", re.IGNORECASE)
_NO_ALIAS = {"where", "join", "group", "order", "limit", "on", "using", "left", "inner", "asof", "cross", "qualify"}


class Completer(Struct):
    """Completes words of statements over a connection."""

    connection: duckdb.DuckDBPyConnection
    commands: tuple[str, ...] = ()
    """Commands that begin with a dot."""
    before: str = ""
    """Lines of the statement above the one that is typed."""
    _words: dict[str, list[str]] = field(default_factory=dict)
    _columns: dict[str, list[str]] = field(default_factory=dict)
    _found: list[str] = field(default_factory=list)

    def complete(self, line: str, word: str) -> list[str]:
        """Words that begin with ``word``, at the end of ``line``; those that fit best come first."""
        if line.lstrip().startswith(".") and not self.before.strip():
            return [command for command in self.commands if command.startswith(line.strip())]
        self._load()
        text = f"{self.before}{line}"
        if "." in word:
            return self._of_table(text, *word.rsplit(".", 1))
        tables = self._words["table"]
        if _AFTER_TABLE_WORD.search(text):
            return _beginning(word, [*tables, *self._words["own function"]])
        own = [column for table in self._read(text).values() for column in self._columns.get(table, ())]
        every = [own, tables, self._words["own function"], self._words["keyword"], self._words["function"]]
        if not own:
            every.insert(2, [column for columns in self._columns.values() for column in columns])
        return _beginning(word, (one for group in every for one in group))

    def state(self, word: str, number: int) -> str | None:
        """The word with this number, as readline asks for it."""
        import readline

        if number == 0:
            self._found = self.complete(readline.get_line_buffer()[: readline.get_endidx()], word)
        return self._found[number] if number < len(self._found) else None

    def forget(self) -> None:
        """Read the tables again at the next completion: a statement may have changed them."""
        self._words.clear()

    def _load(self) -> None:
        if self._words:
            return
        self._words = {kind: [] for kind in ("table", "own function", "function", "keyword")}
        self._columns.clear()
        with contextlib.suppress(duckdb.Error):  # in a failed transaction nothing is known
            for kind, table, word in self.connection.execute(query("completions")).fetchall():
                if kind == "column":
                    self._columns.setdefault(table, []).append(ident(word))
                else:
                    self._words[kind].append(ident(word) if kind == "table" else word)

    def _read(self, text: str) -> dict[str, str]:
        """Names by which a statement calls tables -> the tables."""
        found = {}
        for table, alias in _TABLES.findall(text):
            name = table.strip('"').replace('""', '"')
            found[name.lower()] = name
            if alias and alias.lower() not in _NO_ALIAS:
                found[alias.lower()] = name
        return found

    def _of_table(self, text: str, table: str, begun: str) -> list[str]:
        """Columns of a table or alias, with its name before them."""
        name = self._read(text).get(table.lower(), table)
        columns = next((known for one, known in self._columns.items() if one.lower() == name.lower()), [])
        return [f"{table}.{column}" for column in _beginning(begun, columns)]


def _beginning(word: str, known: Iterable[str]) -> list[str]:
    """Known words that begin with ``word`` in any case, each once; keywords in the case that is typed."""
    lower = word.lower()
    found = dict.fromkeys(one for one in known if one.lower().lstrip('"').startswith(lower))
    is_small = word != "" and word == lower
    return [one.lower() if is_small and one.isupper() else one for one in found]
