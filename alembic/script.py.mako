"""${message}."""

import sqlalchemy as sa
from alembic import op
% if "JSON" in (upgrades or "") + (downgrades or ""):
from sqlalchemy.dialects import postgresql
% endif
% if imports:
${imports}
% endif

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
% if "BIG" in (upgrades or "") + (downgrades or ""):

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
% endif
% if "JSON" in (upgrades or "") + (downgrades or ""):
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
% endif


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
