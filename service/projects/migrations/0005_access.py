import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0004_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='key',
            name='successor',
            field=models.OneToOneField(editable=False, help_text='The key that took its place.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='predecessor', to='projects.key'),
        ),
    ]
