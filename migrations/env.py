"""Alembic's environment: pass it the connection that ``migrations.upgrade`` opened."""

from __future__ import annotations

from alembic import context

from migrations.upgrade import VERSION_TABLE

if (attributes := context.config.attributes).get("connection") is None:
    raise RuntimeError("migrations run through migrations.upgrade (make db-migrate), with a lock")

context.configure(
    connection=attributes["connection"],
    version_table=VERSION_TABLE,
    on_version_apply=attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
