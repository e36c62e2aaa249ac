"""When events occurred is kept of types with their senders only: it has to be looked up where some were taken away."""

from importlib import import_module

from django.db import migrations, models

SIGNALS = import_module("service.stats.migrations.0001_counts").SIGNALS
# Until a fold, what was taken away is there twice, once as less than nothing.
THERE = SIGNALS.replace("CREATE VIEW", "CREATE OR REPLACE VIEW") + "HAVING sum(count) > 0"


class Migration(migrations.Migration):
    dependencies = [("stats", "0001_counts"), ("events", "0007_removal")]

    operations = [
        migrations.RemoveField("count", "oldest"),
        migrations.AlterField("series", "oldest", models.DateTimeField(null=True)),
        migrations.AlterField("series", "newest", models.DateTimeField(null=True)),
        migrations.RunSQL(THERE, SIGNALS.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")),
    ]
