"""``%syncmon`` and ``%%syncmon``: tasks from a cell, without Python around them."""

from __future__ import annotations

import argparse
import ast
import shlex
from types import CodeType
from typing import Any, Final, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from syncmon_widgets.handle import Task
from syncmon_widgets.session import Session, TaskList, connect

_CELL: Final = "<%%syncmon>"  # in tracebacks


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. {self.format_usage().strip()}")


@magics_class
class SyncmonMagics(Magics):
    """The magics; they share one connection."""

    _session: Session | None = None

    @line_magic("syncmon")  # type: ignore[arg-type]  # IPython's decorators lose the signature
    def show(self, line: str) -> TaskList | Task:
        """``%syncmon`` lists the tasks; ``%syncmon nightly`` shows one, live."""
        parser = _Parser(prog="%syncmon", add_help=False)
        parser.add_argument("task", nargs="?")
        asked = parser.parse_args(shlex.split(line))
        if self._session is None:
            self._session = connect()
        return self._session.tasks() if asked.task is None else self._session.task(asked.task)

    @cell_magic("syncmon")  # type: ignore[arg-type]  # as above
    def track(self, line: str, cell: str) -> Any:
        """``%%syncmon --track name`` shows the cell's run as a task, with its time and its error.

        With ``--total N`` the cell counts iterations: ``loop.update()``; that is also where Pause and
        Stop take hold. The cell's last expression is its result, as ever.
        """
        from syncmon_widgets.loop import track

        parser = _Parser(prog="%%syncmon", add_help=False)
        parser.add_argument("--track", required=True, metavar="NAME")
        parser.add_argument("--total", type=int)
        asked = parser.parse_args(shlex.split(line))
        shell = self.shell
        assert shell is not None  # noqa: S101  # it registered these magics
        names = shell.user_ns
        source: str = shell.transform_cell(cell)  # type: ignore[no-untyped-call]  # IPython's
        body, last = _parsed(source)
        with track(asked.track, total=asked.total) as loop:
            names["loop"] = loop
            exec(body, names)  # noqa: S102  # the cell, as its author asked
            return None if last is None else eval(last, names)  # noqa: S307  # likewise


def _parsed(source: str) -> tuple[CodeType, CodeType | None]:
    """The statements of a cell, and its last expression apart where it ends in one."""
    tree = ast.parse(source)
    final = tree.body[-1] if tree.body else None
    ends_quietly = source.rstrip().endswith(";")
    if not isinstance(final, ast.Expr) or ends_quietly:
        return compile(tree, _CELL, "exec"), None
    tree.body.pop()
    return compile(tree, _CELL, "exec"), compile(ast.Expression(final.value), _CELL, "eval")
