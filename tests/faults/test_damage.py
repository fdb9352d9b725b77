"""No false success: a target that damages what is written fails the table, and the chunks are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncmon_ext.model.state import State, UnitState
from tests.faults.harness import Rig, rig

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
ROUTES = ["sqlite-postgresql", "postgresql-postgresql"][: 2 if LONG else 1]
# Whatever table is made for the rows of flights, what is written to it is changed on its way.
DAMAGE = """
CREATE FUNCTION public.damage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
CREATE FUNCTION arm() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT objid::regclass AS name FROM pg_event_trigger_ddl_commands()
                WHERE command_tag LIKE 'CREATE TABLE%' AND objid::regclass::text LIKE '%stage%'
                      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = objid AND attname = 'note')
    LOOP
        EXECUTE format('CREATE TRIGGER damage BEFORE INSERT ON %s FOR EACH ROW '
                       'EXECUTE FUNCTION public.damage()', made.name);
    END LOOP;
END $$;
CREATE EVENT TRIGGER armed ON ddl_command_end EXECUTE FUNCTION arm();
"""
CHANGES = "IF NEW.id % 501 = 0 THEN NEW.note := 'damaged'; END IF; RETURN NEW;"
DROPS = "IF NEW.id % 501 = 0 THEN RETURN NULL; END IF; RETURN NEW;"


def run(it: Rig, body: str) -> tuple[str, str]:
    """The error and the hint of the table that is damaged; the others are sound."""
    it.make_old_target()
    before = it.target.content("flights")
    it.target.execute(DAMAGE.format(body=body))
    it.control.start("nightly")
    progress = it.until_ended()
    it.target.execute("DROP EVENT TRIGGER armed")
    units = {unit.unit_id: unit for unit in progress.units}
    assert progress.state is State.FAILED
    assert units["carriers"].state is UnitState.COMPLETED
    assert units["flights"].state is UnitState.FAILED
    assert it.target.content("flights") == before, "it is as it was"
    return units["flights"].error or "", units["flights"].hint or ""


@pytest.mark.parametrize("route", ROUTES)
def test_values_that_a_target_changes_fail_the_table_and_name_the_chunks(
    route: str, tmp_path: Path
) -> None:
    with rig(tmp_path, route, verify="hash") as it:
        error, hint = run(it, CHANGES)
        assert "chunks differs from the source: ([" in error
        assert "is the target sound?" in hint
        again = [message for message in it.messages() if "they are copied again" in message]
        assert len(again) == 2


@pytest.mark.parametrize("route", ROUTES)
def test_rows_that_a_target_drops_fail_the_table_and_name_the_chunk(
    route: str, tmp_path: Path
) -> None:
    with rig(tmp_path, route) as it:
        error, hint = run(it, DROPS)
        assert "rows were read and" in error and "chunk (" in error
        assert "a trigger or a rule of the target may drop rows" in hint
