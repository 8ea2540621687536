"""A DuckDB prompt over a project: statements end in a semicolon, commands begin with a dot."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from sqlgen.explore import session
from sqlgen.explore.completion import DELIMITERS, Completer
from sqlgen.functions.registration import FUNCTIONS
from sqlgen.functions.sqlfunction import plain_error
from sqlgen.templating.connection import kind_of
from sqlgen.templating.queries import query

PROMPT, CONTINUED = "sqlgen> ", "   ...> "
HISTORY = ".sqlgen_history"
COMMANDS = (".tables", ".functions", ".help", ".quit")
HELP = """\
Statements end in ; and may take several lines. What there is besides SQL:
  .tables            sources and models, as views
  .functions         the kernels as functions, with their arguments
  .help              this
  .quit, Ctrl-D      leave
Tab completes tables, columns, functions and keywords.
SUMMARIZE and DESCRIBE show what is in a table; columns have comments: FROM duckdb_columns()"""


def run(file: Path, command: str | None) -> int:
    """Run ``command``, or standard input, and return the exit code. On a terminal that is always 0."""
    connection, problems = session.begin(file)
    with connection:
        # A Python variable is no table.
        connection.execute("SET python_enable_replacements = false")
        shell = Shell(connection)
        for problem in problems:
            shell.tell(f"note: {problem}")
        if command is not None:
            shell.loop(_reader([command]))
        elif sys.stdin.isatty():
            print("A DuckDB prompt. Statements end in ;  .help tells more")
            with _line_editing(shell.completer):
                shell.loop(input)
            return 0
        else:
            shell.loop(lambda _: input())
        return int(shell.failed)


class Shell:
    """Reads statements, runs them and prints their results."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.completer = Completer(connection, COMMANDS)
        self.failed = False

    def loop(self, read: Callable[[str], str]) -> None:
        """Execute lines of ``read``, which is called with a prompt, until it has no more, or one is .quit."""
        text = ""
        while True:
            self.completer.before = text
            try:
                line = read(CONTINUED if text else PROMPT)
            except EOFError:
                self.execute(text)
                return
            except KeyboardInterrupt:
                text = ""
                print()
                continue
            if not text and line.lstrip().startswith("."):
                if line.strip() in (".quit", ".exit"):
                    return
                self.dot(line.strip())
                continue
            text = f"{text}{line}\n".lstrip()
            if is_complete(text):
                self.execute(text)
                text = ""

    def execute(self, text: str) -> None:
        """Run the statements of a text, up to the first that fails."""
        try:
            for statement in self.connection.extract_statements(text):
                self._show(statement)
        except duckdb.Error as error:
            self._fail(plain_error(error))
        except KeyboardInterrupt:
            self._fail("interrupted")
        self.completer.forget()

    def _show(self, statement: duckdb.Statement) -> None:
        relation = self.connection.sql(statement.query)
        if kind_of(statement) == "EXPLAIN":
            print("\n".join(row[1] for row in relation.fetchall()))
        elif relation is not None and relation.columns != ["Success"]:
            session.show(relation)

    def dot(self, command: str) -> None:
        """Run a command that begins with a dot."""
        match command:
            case ".tables":
                self.execute(query("tables"))
            case ".functions":
                print("\n".join(f"{function.signature}\n    {function.doc}" for function in FUNCTIONS))
            case ".help":
                print(HELP)
            case _:
                self._fail(f"no command {command}; there are .tables, .functions, .help and .quit")

    def _fail(self, message: str) -> None:
        self.failed = True
        self.tell(message)

    def tell(self, message: str) -> None:
        """Print a message to the user, after the results before it."""
        sys.stdout.flush()
        print(message, file=sys.stderr, flush=True)


def is_complete(text: str) -> bool:
    """True if a text ends in a semicolon outside of strings and comments."""
    positions = [at for at, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    # Offsets count bytes.
    return bool(positions) and text.encode()[positions[-1] :].startswith(b";")


def _reader(lines: list[str]) -> Callable[[str], str]:
    left = iter(lines)

    def read(prompt: str) -> str:
        for line in left:
            return line
        raise EOFError

    return read


@contextlib.contextmanager
def _line_editing(completer: Completer) -> Iterator[None]:
    """Lines of earlier sessions and completion of words, if readline is available."""
    try:
        import readline
    except ImportError:
        yield
        return
    readline.set_completer(completer.state)
    readline.set_completer_delims(DELIMITERS)
    is_editline = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_editline else "tab: complete")
    path = Path.home() / HISTORY
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)
