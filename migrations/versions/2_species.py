"""The species of a subject: all that are there are mice."""

import sqlalchemy as sa
from alembic import op

from compdb import types

revision = "species"
down_revision = "examples"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.add_column(sa.Column("species", types.portable(sa.String(length=50)), nullable=True))

    # what rows that are there get for species: a value, or SQL of their other attributes as sa.text('...')
    op.fill("subject", "species", "Mus musculus")
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.alter_column("species", existing_type=types.portable(sa.String(length=50)), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.drop_column("species")
