"""When an operator dealt with a dead letter, and who."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_books'),
    ]

    operations = [
        migrations.AddField(
            model_name='settlementdeadletter',
            name='resolved_at',
            field=models.DateTimeField(blank=True, help_text='When an operator had dealt with it; null is open.', null=True),
        ),
        migrations.AddField(
            model_name='settlementdeadletter',
            name='resolved_by',
            field=models.CharField(blank=True, default='', help_text="The operator's e-mail.", max_length=254),
        ),
    ]
