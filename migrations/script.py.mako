<%!
def plain(text):
    """Return the operations without the lines that alembic puts around them."""
    return "\n".join(line for line in text.split("\n") if not line.strip().startswith("# ###")).strip() or "pass"
%>"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision or "nothing" | comma,n}
Create Date: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${"\n" + imports + "\n" if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${plain(upgrades or "")}


def downgrade() -> None:
    ${plain(downgrades or "")}
