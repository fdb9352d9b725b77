"""One form for one moment: PostgreSQL's own."""

from __future__ import annotations

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.sync import moments
from tests.examples import examples
from tests.sync.databases import dsn

NUMBERS = st.integers(0, 59)
MOMENTS = st.builds(
    lambda y, mo, d, t, h, mi, s, f, z, bc: (
        f"{y:04d}-{mo:02d}-{d:02d}{t}{h:02d}:{mi:02d}:{s:02d}{f}{z}{bc}"
    ),
    st.integers(1, 20_000),
    st.integers(1, 12),
    st.integers(1, 28),
    st.sampled_from(" T"),
    st.integers(0, 24),
    st.just(0),
    st.integers(0, 1),
    st.sampled_from(["", ".5", ".000001", ".120", ".999999"]),
    st.sampled_from(["Z", "+00", "-03:30", "+1400", "+05"]),
    st.sampled_from(["", ""]),
).filter(
    lambda text: " 24:00:01" not in text and "T24:00:0" not in text and "24:00:00." not in text
)


@examples(20)
@given(st.lists(MOMENTS, min_size=20, max_size=60), st.lists(st.integers(1, 4000), max_size=20))
def test_moments_are_written_as_postgresql_does(texts: list[str], years: list[int]) -> None:
    texts = [*texts, *(f"{year:04d}-02-28 23:59:59 BC" for year in years), "infinity", "-infinity"]
    with psycopg.connect(dsn("postgres")) as pg:
        pg.execute("SET TimeZone = 'UTC'")
        said = pg.execute(
            "SELECT (t::timestamptz AT TIME ZONE 'UTC')::text FROM unnest(%s::text[]) AS t",
            (texts,),
        ).fetchall()
    assert [moments.timestamp(text) for text in texts] == [row[0] for row in said]
    assert moments.date("2024-02-29") == "2024-02-29"
    assert moments.date("0044-03-15 BC") == "0044-03-15 BC"
