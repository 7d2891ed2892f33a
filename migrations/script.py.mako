"""${message}.

Say why in a sentence or two, what existing rows become, and what a downgrade loses, if anything
(``ownership.refuse_to_lose`` protects people's data).
"""

from __future__ import annotations

from alembic import op

revision = "${up_revision}"
down_revision = ${'"%s"' % down_revision if down_revision else None}


def upgrade() -> None:
    ${upgrades if upgrades else 'op.execute("")'}


def downgrade() -> None:
    ${downgrades if downgrades else 'op.execute("")'}
