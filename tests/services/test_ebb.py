from __future__ import annotations

import ctypes
import mmap
import sys

import psutil
import pytest

from syncmon_ext.services.ebb import CROWD, Ebb


class Sea:
    """A crowd and a clock in hand."""

    def __init__(self) -> None:
        self.clients, self.now, self.given = 0, 0.0, 0
        self.ebb = Ebb(lambda: self.clients, self.give, lambda: self.now)

    def give(self) -> None:
        self.given += 1

    def at(self, now: float, clients: int) -> int:
        self.now, self.clients = now, clients
        self.ebb.look()
        return self.given


def test_memory_is_given_back_once_a_crowd_has_left_for_good() -> None:
    sea = Sea()
    assert sea.at(0, 3 * CROWD) == 0
    assert sea.at(10, 3 * CROWD) == 0, "they are here"
    assert sea.at(11, 0) == 0, "others may come at once"
    assert sea.at(15, 0) == 0
    assert sea.at(16, 0) == 1
    assert sea.at(200, 0) == 1, "nobody has left since"


def test_few_that_leave_are_no_crowd() -> None:
    sea = Sea()
    for turn in range(50):
        sea.at(100 * turn, CROWD - 1)
        assert sea.at(100 * turn + 50, 0) == 0


def test_crowds_that_follow_each_other_are_one_a_minute() -> None:
    sea = Sea()
    given = []
    for second in range(0, 240, 10):
        sea.at(second, 2 * CROWD)
        sea.at(second + 2, 0)
        given.append(sea.at(second + 8, 0))
    assert given[-1] == 4


def test_crowd_that_leaves_one_by_one_is_seen() -> None:
    sea = Sea()
    for second in range(2 * CROWD + 1):
        sea.at(second, 2 * CROWD - second)
    assert sea.at(2 * CROWD + 10, 0) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' allocators have no such call")
def test_free_memory_goes_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("musl gives memory back by itself")
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    piece, count = 16 * mmap.PAGESIZE, 200  # below what malloc maps by itself
    pieces = [libc.malloc(ctypes.c_size_t(piece)) for _ in range(count)]
    for address in pieces:
        ctypes.memset(address, 1, piece)
    guard = pieces.pop()  # what lies below the heap's top is not given back by itself
    for address in pieces:
        libc.free(address)
    crowd, now = [CROWD], [0.0]
    ebb = Ebb(lambda: crowd[0], clock=lambda: now[0])
    ebb.look()
    before = psutil.Process().memory_info().rss
    crowd[0], now[0] = 0, 1.0
    ebb.look()
    now[0] = 10.0
    ebb.look()
    after = psutil.Process().memory_info().rss
    libc.free(guard)
    assert before - after > piece * count // 2
