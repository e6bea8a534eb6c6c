"""A score for each session and method: those for a session alone are computed anew."""

import sqlalchemy as sa
from alembic import op

from compdb import types

revision = "methods"
down_revision = "species"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.recompute("session_analysis__jobs", "session_analysis")
    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_session_analysis__jobs_subject_id_session_idx_session"), type_="foreignkey"
        )

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_session_analysis_subject_id_session_idx_session"), type_="foreignkey")

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("pk_session_analysis"), type_="primary")
        batch_op.add_column(sa.Column("method_name", types.portable(sa.String(length=32)), nullable=False))
        batch_op.create_primary_key(batch_op.f("pk_session_analysis"), ["subject_id", "session_idx", "method_name"])
        batch_op.create_index(batch_op.f("ix_session_analysis_method_name"), ["method_name"], unique=False)

    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_session_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx")
        )
        batch_op.drop_constraint(batch_op.f("pk_session_analysis__jobs"), type_="primary")
        batch_op.add_column(sa.Column("method_name", types.portable(sa.String(length=32)), nullable=False))
        batch_op.create_primary_key(
            batch_op.f("pk_session_analysis__jobs"), ["subject_id", "session_idx", "method_name"]
        )
        batch_op.create_index(
            batch_op.f("ix_session_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx_method_name"),
            ["status", "priority", "scheduled_time", "subject_id", "session_idx", "method_name"],
            unique=False,
        )

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis_subject_id_session_idx_session"),
            "session",
            ["subject_id", "session_idx"],
            ["subject_id", "session_idx"],
            ondelete="RESTRICT",
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis_method_name_analysis_method"),
            "analysis_method",
            ["method_name"],
            ["method_name"],
            ondelete="RESTRICT",
        )

    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis__jobs_subject_id_session_idx_session"),
            "session",
            ["subject_id", "session_idx"],
            ["subject_id", "session_idx"],
            ondelete="CASCADE",
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis__jobs_method_name_analysis_method"),
            "analysis_method",
            ["method_name"],
            ["method_name"],
            ondelete="CASCADE",
        )


def downgrade() -> None:
    op.recompute("session_analysis__jobs", "session_analysis")
    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_session_analysis__jobs_method_name_analysis_method"), type_="foreignkey"
        )
        batch_op.drop_constraint(
            batch_op.f("fk_session_analysis__jobs_subject_id_session_idx_session"), type_="foreignkey"
        )

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_session_analysis_method_name_analysis_method"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_session_analysis_subject_id_session_idx_session"), type_="foreignkey")

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_analysis_method_name"))
        batch_op.drop_constraint(batch_op.f("pk_session_analysis"), type_="primary")
        batch_op.drop_column("method_name")
        batch_op.create_primary_key(batch_op.f("pk_session_analysis"), ["subject_id", "session_idx"])

    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_session_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx_method_name")
        )
        batch_op.drop_constraint(batch_op.f("pk_session_analysis__jobs"), type_="primary")
        batch_op.drop_column("method_name")
        batch_op.create_primary_key(batch_op.f("pk_session_analysis__jobs"), ["subject_id", "session_idx"])
        batch_op.create_index(
            batch_op.f("ix_session_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx"),
            ["status", "priority", "scheduled_time", "subject_id", "session_idx"],
            unique=False,
        )

    with op.batch_alter_table("session_analysis", schema=None) as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis_subject_id_session_idx_session"),
            "session",
            ["subject_id", "session_idx"],
            ["subject_id", "session_idx"],
            ondelete="RESTRICT",
        )

    with op.batch_alter_table("session_analysis__jobs", schema=None) as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_session_analysis__jobs_subject_id_session_idx_session"),
            "session",
            ["subject_id", "session_idx"],
            ["subject_id", "session_idx"],
            ondelete="CASCADE",
        )
