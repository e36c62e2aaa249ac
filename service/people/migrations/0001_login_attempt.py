from django.db import migrations

# Read and written by attempts.py alone, by an address's digest, or by its with a name. Unlogged: a crash costs no more
# than a few minutes' count. The index is for what is swept.
CREATE = """
    CREATE UNLOGGED TABLE login_attempt (
        who bytea PRIMARY KEY,
        failures integer NOT NULL,
        ends_at timestamptz NOT NULL
    ) WITH (fillfactor = 50);
    CREATE INDEX login_attempt_ends_at ON login_attempt (ends_at);
"""


class Migration(migrations.Migration):

    dependencies = []

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE login_attempt"),
    ]
