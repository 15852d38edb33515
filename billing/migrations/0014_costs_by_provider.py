"""Hourly sums put what each try cost with the provider that asks for it."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0013_told_tax_id'),
    ]

    operations = [
        migrations.RunSQL(Path(__file__).with_suffix('.sql').read_text(), migrations.RunSQL.noop),
    ]
