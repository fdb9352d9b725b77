from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import syncmon_widgets.loop_exit as loop_exit
from tests.server import ROOT

# Run by each Python there is: the rule rests on how CPython leaves a loop.
PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("loop_exit", sys.argv[1])
loop_exit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loop_exit)
seen = []

def numbers():
    consumer = sys._getframe(1).f_code
    try:
        yield from range(5)
    except GeneratorExit:
        left = loop_exit.departure(sys._getframe(1), consumer)
        seen.append(isinstance(left, loop_exit.Departure) or left.value)
        raise
    else:
        seen.append("ended")

def with_break():
    for x in numbers():
        if x == 2:
            break

def with_return():
    for x in numbers():
        if x == 2:
            return x

def with_constant_return():
    for x in numbers():
        return "done"

def with_break_after_an_old_exception():
    kept = None
    for x in numbers():
        try:
            int("no")
        except ValueError as error:
            kept = error
        if x == 1:
            break
    return kept

def with_break_in_with():
    import contextlib
    with contextlib.suppress(KeyError):
        for x in numbers():
            break

def to_the_end():
    for x in numbers():
        continue

def dropped():
    items = numbers()
    next(items)
    del items

def closed():
    items = numbers()
    next(items)
    items.close()

def unpacked():
    first, *_ = zip(numbers(), range(2))

def with_raise():
    for x in numbers():
        raise ValueError("no luck")

def with_call():
    for x in numbers():
        int("no")

def with_operator():
    for x in numbers():
        1 / 0

def with_assert():
    for x in numbers():
        assert x > 7

def caught_around():
    try:
        for x in numbers():
            {}["no"]
    except KeyError:
        pass

def in_enumerate():
    for at, x in enumerate(numbers()):
        int("no")

def in_nested():
    for y in range(3):
        for x in numbers():
            int("no")

def interrupted():
    for x in numbers():
        raise KeyboardInterrupt

def in_a_comprehension():
    return [1 / (3 - x) for x in numbers()]

def caught_around_a_comprehension():
    try:
        {1 / (3 - x) for x in numbers()}
    except ZeroDivisionError:
        pass

def caught_by_name_far_from_it():
    try:
        {x: 1 / (3 - x) for x in numbers()}
    except ZeroDivisionError as error:
        str(error)

def zipped():
    for x, y in zip(numbers(), range(2)):
        pass

def zipped_in_a_comprehension():
    return [x for x, y in zip(numbers(), range(2))]

def any_of_them():
    any(x == 2 for x in numbers())

left = [with_break, with_return, with_constant_return, with_break_after_an_old_exception,
        with_break_in_with]
unknown = [dropped, closed, unpacked, zipped, zipped_in_a_comprehension, any_of_them]
failed = [in_a_comprehension, caught_around_a_comprehension, caught_by_name_far_from_it,
          with_raise, with_call, with_operator, with_assert, caught_around, in_enumerate,
          in_nested, interrupted]
for function, expected in [*((f, "chosen") for f in left), *((f, "unknown") for f in unknown),
                           *((f, True) for f in failed), (to_the_end, "ended")]:
    seen.clear()
    try:
        function()
    except BaseException:
        pass
    assert seen == [expected], (function.__name__, seen)
print("well")
"""

# What an exception is called that somebody catches, in the same frame or in another one.
CAUGHT = """
import contextlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("loop_exit", sys.argv[1])
loop_exit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loop_exit)
seen = []

def numbers():
    try:
        yield from range(5)
    except GeneratorExit:
        seen.append(loop_exit.departure(sys._getframe(1)))
        raise

def failing():
    for x in numbers():
        int("no")

def here():
    try:
        for x in numbers():
            int("no")
    except ValueError:
        pass

def in_the_caller():
    try:
        failing()
    except (KeyError, ValueError):
        pass

def in_a_with():
    with contextlib.suppress(ValueError):
        failing()

def behind_a_finally():
    try:
        try:
            failing()
        finally:
            sorted([2, 1])
    except ValueError:
        pass

def while_another_is_handled():
    try:
        {}["key"]
    except KeyError:
        with contextlib.suppress(ValueError):
            for x in numbers():
                int("no")

for function in (here, in_the_caller, in_a_with, behind_a_finally, while_another_is_handled):
    seen.clear()
    function()
    assert sys.gettrace() is None, function.__name__
    [departure] = seen
    said = departure.text(0)
    assert said == "ValueError: invalid literal for int() with base 10: 'no'", (function, said)
print("well")
"""


def pythons() -> list[str]:
    names = [f"python3.{minor}" for minor in range(11, 16)]
    found = [sys.executable, *(path for name in names if (path := shutil.which(name)))]
    # A name may be a shim for a version that is not chosen.
    works = [subprocess.run([p, "-c", ""], capture_output=True, check=False) for p in found]
    return [path for path, done in zip(found, works, strict=True) if done.returncode == 0]


@pytest.mark.parametrize("program", [PROGRAM, CAUGHT], ids=["left", "caught"])
@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_exception_is_told_from_break(python: str, program: str) -> None:
    done = subprocess.run(
        [python, "-c", program, str(loop_exit.__file__)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "widgets")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "well\n", done.stderr


def test_exception_that_is_shown_is_named(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('loop_exit', {loop_exit.__file__!r})\n"
        "loop_exit = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(loop_exit)\n"
        "import atexit\n"
        "def numbers():\n"
        "    try:\n"
        "        yield 1\n"
        "    except GeneratorExit:\n"
        "        left = loop_exit.departure(sys._getframe(1))\n"
        "        atexit.register(lambda: print(left.text(0)))\n"
        "for x in numbers():\n"
        "    raise ValueError('no\\nluck')\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "ValueError: no\nluck\n"
    assert "ValueError" in done.stderr
