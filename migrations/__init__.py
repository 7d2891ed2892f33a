"""The database's schema: Alembic's migrations, and ``migrations.upgrade``, which applies them.

In the cloud this folder is a layer that only the function ``migrator`` uses.
"""
