"""Outages that several children meet at once."""

from __future__ import annotations

from syncmon_ext.sync.outages import Outages


def test_outage_of_several_children_is_told_once_and_its_end_too() -> None:
    outages = Outages()
    assert not outages.ended("flights")
    assert [outages.is_news("flights", now) for now in (0.0, 0.1, 9.0)] == [True, False, False]
    assert outages.is_news("planes", 0.2)
    assert outages.is_news("flights", 15.0)
    assert outages.ended("flights") and not outages.ended("flights")
    assert outages.is_news("flights", 16.0)  # another one
