"""Only for `alembic revision`: the program migrates through `store.migrate`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from syncmon_ext.store.schema import metadata

engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://")
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
