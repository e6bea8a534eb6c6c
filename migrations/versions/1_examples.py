"""The pipelines of `examples/`, as they were at first."""

import sqlalchemy as sa
from alembic import op

from compdb import dialects, types

revision = "examples"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blob_param_set",
        sa.Column("blob_paramset", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("min_sigma", sa.Double(), nullable=False),
        sa.Column("max_sigma", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("blob_paramset", name=op.f("pk_blob_param_set")),
        comment="lookup: Detector settings to try.",
    )
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
            {"blob_paramset": 1, "min_sigma": 2.0, "max_sigma": 6.0, "threshold": 0.001},
            {"blob_paramset": 2, "min_sigma": 3.0, "max_sigma": 8.0, "threshold": 0.003},
        ],
    )
    op.create_table(
        "image",
        sa.Column("image_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("image_name", types.portable(sa.String(length=255)), nullable=False),
        sa.Column("pixels", types.Blob(), nullable=False),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image")),
        comment="manual: An image to search.",
    )
    op.create_table(
        "detection",
        sa.Column("image_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("blob_paramset", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("nblobs", types.portable(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_paramset"],
            ["blob_param_set.blob_paramset"],
            name=op.f("fk_detection_blob_paramset_blob_param_set"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.image_id"], name=op.f("fk_detection_image_id_image"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("image_id", "blob_paramset", name=op.f("pk_detection")),
        comment="computed: Blobs found in one image with one parameter set.",
    )
    op.create_index(op.f("ix_detection_blob_paramset"), "detection", ["blob_paramset"], unique=False)
    op.create_table(
        "detection__blob",
        sa.Column("image_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("blob_paramset", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("blob_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("r", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id", "blob_paramset"],
            ["detection.image_id", "detection.blob_paramset"],
            name=op.f("fk_detection__blob_image_id_blob_paramset_detection"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("image_id", "blob_paramset", "blob_id", name=op.f("pk_detection__blob")),
        comment="part: One blob.",
    )
    op.create_table(
        "compdb_workers",
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=False),
        sa.Column(
            "machine",
            types.portable(sa.String(length=64)),
            nullable=False,
            comment="this boot of this machine; empty where that is not known",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("pid_start", sa.BigInteger(), nullable=False, comment="tells processes of one number apart"),
        sa.Column("user", types.portable(sa.String(length=255)), nullable=False),
        sa.Column("started_time", types.portable(sa.DateTime()), server_default=dialects.utcnow(), nullable=False),
        sa.Column("lease_until", types.portable(sa.DateTime()), nullable=False, comment="taken for dead from then on"),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_compdb_workers")),
        comment="jobs: the workers that are alive",
    )
    op.create_table(
        "compdb_runs",
        sa.Column("run_id", types.portable(sa.BigInteger()), autoincrement=True, nullable=False),
        sa.Column("table_name", types.portable(sa.String(length=255)), nullable=False),
        sa.Column("key", types.portable(sa.Text()), nullable=False, comment="as JSON"),
        sa.Column(
            "started_time", types.portable(sa.DateTime()), nullable=False, comment="UTC, on the clock of the database"
        ),
        sa.Column("seconds", sa.Double(), nullable=False, comment="that its make took"),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=False),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=False),
        sa.Column("user", types.portable(sa.String(length=255)), nullable=False),
        sa.Column(
            "version",
            types.portable(sa.String(length=64)),
            nullable=False,
            comment="of the code of the make: a digest of its source",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_compdb_runs")),
        comment="jobs: every make that was kept",
    )
    op.create_table(
        "detection__jobs",
        sa.Column("image_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("blob_paramset", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_detection__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["blob_paramset"],
            ["blob_param_set.blob_paramset"],
            name=op.f("fk_detection__jobs_blob_paramset_blob_param_set"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.image_id"], name=op.f("fk_detection__jobs_image_id_image"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "blob_paramset", name=op.f("pk_detection__jobs")),
        comment="jobs: the keys of Detection that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_detection__jobs_status_priority_scheduled_time_image_id_blob_paramset"),
        "detection__jobs",
        ["status", "priority", "scheduled_time", "image_id", "blob_paramset"],
        unique=False,
    )
    op.create_table(
        "select_detection",
        sa.Column("image_id", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("blob_paramset", types.portable(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id", "blob_paramset"],
            ["detection.image_id", "detection.blob_paramset"],
            name=op.f("fk_select_detection_image_id_blob_paramset_detection"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.image_id"], name=op.f("fk_select_detection_image_id_image"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_select_detection")),
        comment="manual: The parameter set a person preferred for each image.",
    )
    op.create_index(
        op.f("ix_select_detection_image_id_blob_paramset"),
        "select_detection",
        ["image_id", "blob_paramset"],
        unique=False,
    )
    op.create_table(
        "subject",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subject")),
        comment="manual: A mouse.",
    )
    op.create_table(
        "session",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("session_date", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name=op.f("fk_session_subject_id_subject"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_session")),
        comment="manual: One recording day of one mouse.",
    )
    op.create_table(
        "trial_analysis",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("n_analyzed", types.portable(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_trial_analysis_subject_id_session_idx_session"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_trial_analysis")),
        comment="computed: Per-trial analysis results.",
    )
    op.create_table(
        "session__trial",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("trial_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("stimulus", types.portable(sa.String(length=50)), nullable=False),
        sa.Column("response", types.portable(sa.String(length=50)), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("reaction_time", sa.Numeric(precision=3, scale=2), nullable=False, comment="seconds"),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_session__trial_subject_id_session_idx_session"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", "trial_idx", name=op.f("pk_session__trial")),
        comment="part: One choice.",
    )
    op.create_table(
        "analysis_method",
        sa.Column("method_name", types.portable(sa.String(length=32)), nullable=False),
        sa.Column("description", types.portable(sa.String(length=255)), nullable=False),
        sa.PrimaryKeyConstraint("method_name", name=op.f("pk_analysis_method")),
        comment="lookup: How to score a session.",
    )
    op.change_rows(
        sa.table(
            "analysis_method",
            sa.column("method_name", types.portable(sa.String(length=32))),
            sa.column("description", types.portable(sa.String(length=255))),
        ),
        key=["method_name"],
        insert=[
            {"method_name": "basic", "description": "Simple accuracy calculation"},
            {"method_name": "weighted", "description": "Reaction-time weighted accuracy"},
        ],
    )
    op.create_table(
        "session_summary",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("n_trials", types.portable(sa.BigInteger()), nullable=False),
        sa.Column("n_correct", types.portable(sa.BigInteger()), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("mean_rt", sa.Double(), nullable=False, comment="mean reaction time (seconds)"),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_session_summary_subject_id_session_idx_session"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_session_summary")),
        comment="computed: Summary statistics for each session.",
    )
    op.create_table(
        "session_summary__jobs",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_session_summary__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_session_summary__jobs_subject_id_session_idx_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_session_summary__jobs")),
        comment="jobs: the keys of SessionSummary that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_session_summary__jobs_status_priority_scheduled_time_subject_id_session_idx"),
        "session_summary__jobs",
        ["status", "priority", "scheduled_time", "subject_id", "session_idx"],
        unique=False,
    )
    op.create_table(
        "session_analysis",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_session_analysis_subject_id_session_idx_session"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_session_analysis")),
        comment="computed: One score for each session and method.",
    )
    op.create_table(
        "session_analysis__jobs",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_session_analysis__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_session_analysis__jobs_subject_id_session_idx_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_session_analysis__jobs")),
        comment="jobs: the keys of SessionAnalysis that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_session_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx"),
        "session_analysis__jobs",
        ["status", "priority", "scheduled_time", "subject_id", "session_idx"],
        unique=False,
    )
    op.create_table(
        "trial_analysis__trial_result",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("trial_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("rt_percentile", sa.Double(), nullable=False, comment="reaction time percentile within session"),
        sa.Column("is_fast", sa.Boolean(), nullable=False, comment="below median reaction time"),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["trial_analysis.subject_id", "trial_analysis.session_idx"],
            name=op.f("fk_trial_analysis__trial_result_subject_id_session_idx_trial_analysis"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", "trial_idx", name=op.f("pk_trial_analysis__trial_result")),
        comment="part: Where one trial stands among those of its session.",
    )
    op.create_table(
        "trial_analysis__jobs",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_trial_analysis__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_trial_analysis__jobs_subject_id_session_idx_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_trial_analysis__jobs")),
        comment="jobs: the keys of TrialAnalysis that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_trial_analysis__jobs_status_priority_scheduled_time_subject_id_session_idx"),
        "trial_analysis__jobs",
        ["status", "priority", "scheduled_time", "subject_id", "session_idx"],
        unique=False,
    )
    op.create_table(
        "subject_summary",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("n_sessions", types.portable(sa.BigInteger()), nullable=False),
        sa.Column("total_trials", types.portable(sa.BigInteger()), nullable=False),
        sa.Column("overall_accuracy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.subject_id"],
            name=op.f("fk_subject_summary_subject_id_subject"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subject_summary")),
        comment="computed: Summary across all sessions of a subject: computed from a computed table.",
    )
    op.create_table(
        "subject_summary__jobs",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_subject_summary__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.subject_id"],
            name=op.f("fk_subject_summary__jobs_subject_id_subject"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subject_summary__jobs")),
        comment="jobs: the keys of SubjectSummary that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_subject_summary__jobs_status_priority_scheduled_time_subject_id"),
        "subject_summary__jobs",
        ["status", "priority", "scheduled_time", "subject_id"],
        unique=False,
    )
    op.create_table(
        "quality_check",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column("passes_qc", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_quality_check_subject_id_session_idx_session"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_quality_check")),
        comment="computed: Whether a session with enough trials is good: a table with a key source of its own.",
    )
    op.create_table(
        "quality_check__jobs",
        sa.Column("subject_id", types.portable(sa.String(length=16)), nullable=False),
        sa.Column("session_idx", types.portable(sa.BigInteger()), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            types.portable(sa.String(length=16)),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, reserved, error, ignore or success",
        ),
        sa.Column(
            "priority", sa.Integer(), server_default=sa.text("5"), nullable=False, comment="the smaller, the sooner"
        ),
        sa.Column(
            "created_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="UTC, as all times, on the clock of the database",
        ),
        sa.Column(
            "scheduled_time",
            types.portable(sa.DateTime()),
            server_default=dialects.utcnow(),
            nullable=False,
            comment="not before this time",
        ),
        sa.Column("reserved_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("completed_time", types.portable(sa.DateTime()), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True, comment="seconds that its make took"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many makes of it failed"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how many workers died that had reserved it",
        ),
        sa.Column("worker_id", types.portable(sa.String(length=32)), nullable=True, comment="who has reserved it"),
        sa.Column(
            "lease_token",
            types.portable(sa.String(length=32)),
            nullable=True,
            comment="of this reservation and no other",
        ),
        sa.Column("host", types.portable(sa.String(length=255)), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column(
            "error_message",
            types.portable(sa.String(length=2047)),
            nullable=True,
            comment="what was raised, or why it is ignored",
        ),
        sa.Column("error_stack", types.portable(sa.Text()), nullable=True, comment="the traceback"),
        sa.CheckConstraint(
            sa.column("status").in_(["pending", "reserved", "error", "ignore", "success"]),
            name=op.f("ck_quality_check__jobs_status_choice"),
        ),
        sa.ForeignKeyConstraint(
            ["subject_id", "session_idx"],
            ["session.subject_id", "session.session_idx"],
            name=op.f("fk_quality_check__jobs_subject_id_session_idx_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject_id", "session_idx", name=op.f("pk_quality_check__jobs")),
        comment="jobs: the keys of QualityCheck that are to be made, being made, or not",
    )
    op.create_index(
        op.f("ix_quality_check__jobs_status_priority_scheduled_time_subject_id_session_idx"),
        "quality_check__jobs",
        ["status", "priority", "scheduled_time", "subject_id", "session_idx"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("quality_check__jobs")
    op.drop_table("quality_check")
    op.drop_table("subject_summary__jobs")
    op.drop_table("subject_summary")
    op.drop_table("trial_analysis__jobs")
    op.drop_table("trial_analysis__trial_result")
    op.drop_table("session_analysis__jobs")
    op.drop_table("session_analysis")
    op.drop_table("session_summary__jobs")
    op.drop_table("session_summary")
    op.drop_table("analysis_method")
    op.drop_table("session__trial")
    op.drop_table("trial_analysis")
    op.drop_table("session")
    op.drop_table("subject")
    op.drop_table("select_detection")
    op.drop_table("detection__jobs")
    op.drop_table("compdb_runs")
    op.drop_table("compdb_workers")
    op.drop_table("detection__blob")
    op.drop_table("detection")
    op.drop_table("image")
    op.drop_table("blob_param_set")
