"""The database itself refuses to change a price version or a published catalog."""

from pathlib import Path

from django.db import migrations

REVERSE = """
DROP TRIGGER catalog_catalogsnapshot_append_only ON catalog_catalogsnapshot;
DROP TRIGGER catalog_priceversion_append_only ON catalog_priceversion;
DROP FUNCTION catalog_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_catalog")]

    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"), REVERSE)]
