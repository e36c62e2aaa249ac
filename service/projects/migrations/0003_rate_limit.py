from django.db import migrations, models

# Read and written by ratelimit.py alone, by its key. Unlogged: a crash costs no more than a minute's count.
CREATE = """
    CREATE UNLOGGED TABLE rate_window (
        key_id bigint PRIMARY KEY,
        number bigint NOT NULL,
        taken bigint NOT NULL,
        granted bigint NOT NULL
    ) WITH (fillfactor = 50)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0002_key_reads'),
    ]

    operations = [
        migrations.AddField(
            model_name='key',
            name='rate_limit',
            field=models.PositiveIntegerField(blank=True, help_text='Requests a minute; 0 for any number, empty for RATE_LIMIT.', null=True),
        ),
        migrations.RunSQL(CREATE, "DROP TABLE rate_window"),
    ]
