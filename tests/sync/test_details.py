"""PostgreSQL's DETAIL repeats the values of a row: it is told only where that is allowed."""

from __future__ import annotations

import pytest

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.sync import inherited, storage_checks
from syncmon_ext.sync.databases.postgresql import PostgresSession
from tests.databases import postgres_database


@pytest.mark.parametrize("allowed", [False, True])
def test_values_of_a_row_are_told_only_where_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setenv(inherited.DETAILS_VARIABLE, "1" if allowed else "0")
    with postgres_database("details") as url:
        session = PostgresSession(
            Connection(name="warehouse", url=url), application_name="x", read_only=False
        )
        session.change("CREATE TABLE public.people (name text PRIMARY KEY)")
        session.change("INSERT INTO public.people VALUES ('canary-ann')")
        with pytest.raises(SyncmonError) as caught:
            session.change("INSERT INTO public.people VALUES ('canary-ann')")
        session.close()
    assert "people_pkey" in caught.value.message
    assert ("canary-ann" in caught.value.message) is allowed


@pytest.mark.parametrize("allowed", [False, True])
def test_value_that_does_not_match_its_column_is_told_only_where_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setenv(inherited.DETAILS_VARIABLE, "1" if allowed else "0")
    told = storage_checks.described("canary-ann")
    assert ("canary-ann" in told) is allowed
    assert allowed or told == "a text of 10 characters"
