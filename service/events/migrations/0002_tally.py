"""Tallies of the sequence numbers that are stored. See docs/why/tallied-numbers.md."""

import service.events.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('id', models.UUIDField()),
                ('emitter_id', models.UUIDField()),
                ('source', models.TextField()),
                ('sequences', service.events.models.Int8Multirange()),
                ('stored_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_tally',
            },
        ),
    ]
