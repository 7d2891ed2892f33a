"""The database's schema: Alembic's versions, and ``migrations.upgrade``, which applies them.

In the cloud this folder is a layer that is attached to the function ``migrator`` alone.
"""
