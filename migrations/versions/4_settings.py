"""Other settings of the detector. What was found with setting 2 stays; delete it, and populate finds it anew."""

import sqlalchemy as sa
from alembic import op

from compdb import types

revision = "settings"
down_revision = "methods"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.change_rows(
        sa.table(
            "blob_param_set",
            sa.column("blob_paramset", types.portable(sa.BigInteger())),
            sa.column("min_sigma", sa.Double()),
            sa.column("max_sigma", sa.Double()),
            sa.column("threshold", sa.Double()),
        ),
        key=["blob_paramset"],
        insert=[
            {"blob_paramset": 3, "min_sigma": 4.0, "max_sigma": 20.0, "threshold": 0.01},
        ],
        update=[
            ({"blob_paramset": 2}, {"threshold": 0.003}, {"threshold": 0.002}),
        ],
    )


def downgrade() -> None:
    op.change_rows(
        sa.table(
            "blob_param_set",
            sa.column("blob_paramset", types.portable(sa.BigInteger())),
            sa.column("min_sigma", sa.Double()),
            sa.column("max_sigma", sa.Double()),
            sa.column("threshold", sa.Double()),
        ),
        key=["blob_paramset"],
        update=[
            ({"blob_paramset": 2}, {"threshold": 0.002}, {"threshold": 0.003}),
        ],
        delete=[
            {"blob_paramset": 3},
        ],
    )
