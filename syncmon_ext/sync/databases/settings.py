"""The settings of PostgreSQL's sessions: how values and names are written and read in them."""

from __future__ import annotations

from typing import Final

# Functions and defaults of a target may go by these: there the role's, or the database's, own hold.
FELT: Final = {
    "search_path": "pg_catalog",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "array_nulls": "on",
    "lc_monetary": "C",
    "extra_float_digits": "3",
    "standard_conforming_strings": "on",
    "xmloption": "content",
    "quote_all_identifiers": "off",  # types are known by their names
}
# A value's text is read back the same only with these; names are always written with their schema.
SETTINGS: Final = {
    **FELT,
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The server notices that its client is gone, and lets its locks go.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "5s",
}
# With the role's own of these no value that is written as SETTINGS say is read as another.
HARMLESS: Final = (
    "search_path",
    "DateStyle",
    "TimeZone",
    "bytea_output",
    "extra_float_digits",
    "standard_conforming_strings",
)
