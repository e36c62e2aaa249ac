"""Which ids the events of each hour have, by which a range of time is found among the ids."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0005_objects")]

    operations = [
        migrations.CreateModel(
            name='Hour',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('hour', models.DateTimeField(help_text='Its beginning, in UTC.')),
                ('first_id', models.UUIDField()),
                ('last_id', models.UUIDField()),
            ],
            options={
                'db_table': 'event_hour',
            },
        ),
    ]
