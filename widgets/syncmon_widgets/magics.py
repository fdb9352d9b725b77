"""``%syncmon`` and ``%%syncmon``: tasks from a cell, without Python around them."""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
import shlex
from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from syncmon_widgets.handle import Task
from syncmon_widgets.session import Session, TaskList, connect

if TYPE_CHECKING:
    from syncmon_widgets.loop import Loop

_CELL: Final = "<%%syncmon>"  # in tracebacks
_CALL: Final = "get_ipython().run_cell_magic('syncmon', "  # what IPython makes of such a cell
_LOOP: Final = "loop"
_NOTHING: Final = object()


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
        Stop take hold. The cell's last expression is its result, as ever, and it may ``await``. A variable
        of one's own named ``loop`` is there again after the cell, and in it where no total is given.
        """
        from syncmon_widgets.loop import track

        parser = _Parser(prog="%%syncmon", add_help=False)
        parser.add_argument("--track", required=True, metavar="NAME")
        parser.add_argument("--total", type=int)
        asked = parser.parse_args(shlex.split(line))
        shell = self.shell
        assert shell is not None  # noqa: S101  # it registered these magics
        names = shell.user_ns
        body, last = _parsed(shell.transform_cell(cell))  # type: ignore[no-untyped-call]  # IPython's
        tracked = track(asked.track, total=asked.total)
        named = asked.total is not None or _LOOP not in names
        if _awaits(body) or (last is not None and _awaits(last)):
            return _run_async(tracked, names, body, last, named=named)
        with tracked, _loop_in(names, tracked if named else None):
            exec(body, names)  # noqa: S102  # the cell, as its author asked
            return None if last is None else eval(last, names)  # noqa: S307  # likewise


async def _run_async(
    tracked: Loop[Any],
    names: dict[str, Any],
    body: CodeType,
    last: CodeType | None,
    *,
    named: bool,
) -> Any:
    """The same for a cell that awaits, in the kernel's own event loop."""
    with tracked, _loop_in(names, tracked if named else None):
        result = None
        for code in (body, last):
            if code is not None:
                result = eval(code, names)  # noqa: S307  # the cell, as its author asked
                if _awaits(code):
                    result = await result
        return None if last is None else result


@contextlib.contextmanager
def _loop_in(names: dict[str, Any], tracked: Loop[Any] | None) -> Iterator[None]:
    """``tracked`` under the name ``loop``; afterwards what was there before, unless the cell set it."""
    if tracked is None:
        yield
        return
    before = names.get(_LOOP, _NOTHING)
    names[_LOOP] = tracked
    try:
        yield
    finally:
        if names.get(_LOOP) is tracked:
            if before is _NOTHING:
                del names[_LOOP]
            else:
                names[_LOOP] = before


def awaiting(shell: Any) -> Callable[[list[str]], list[str]]:
    """What has IPython await a ``%%syncmon`` cell that awaits: a magic itself is an ordinary call."""

    def transform(lines: list[str]) -> list[str]:
        source = "".join(lines)
        if not source.startswith(_CALL) or not shell.autoawait:
            return lines
        try:
            [cell] = [
                ast.literal_eval(node.args[2])
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call) and len(node.args) == 3
            ]
            codes = _parsed(shell.transform_cell(cell))
        except (SyntaxError, ValueError):
            return lines  # the cell says so itself
        awaits = any(code is not None and _awaits(code) for code in codes)
        return ["await ", *lines] if awaits else lines

    return transform


def _awaits(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _parsed(source: str) -> tuple[CodeType, CodeType | None]:
    """The statements of a cell, and its last expression apart where it ends in one."""
    tree = ast.parse(source)
    final = tree.body[-1] if tree.body else None
    ends_quietly = source.rstrip().endswith(";")
    if not isinstance(final, ast.Expr) or ends_quietly:
        return _compiled(tree, "exec"), None
    tree.body.pop()
    return _compiled(tree, "exec"), _compiled(ast.Expression(final.value), "eval")


def _compiled(tree: ast.Module | ast.Expression, mode: str) -> CodeType:
    code: CodeType = compile(
        tree, _CELL, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    return code
