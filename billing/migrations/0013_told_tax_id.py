"""What Stripe was told of a tax id; and customers from before details were told at all are told once."""

from django.db import migrations, models
from django.db.models import Q


def tell_all(apps, schema_editor):
    apps.get_model("billing", "PaymentProfile").objects.filter(stripe_customer__isnull=False).exclude(
        Q(company_name="") & Q(address="") & Q(country="") & Q(tax_id="") & Q(billing_email="")
    ).update(is_stripe_behind=True)


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0012_campaign_codes'),
    ]

    operations = [
        migrations.AddField(
            model_name='paymentprofile',
            name='told_tax_id',
            field=models.CharField(blank=True, default='', help_text="Kind and value that Stripe was told by us, '' for none.", max_length=100),
        ),
        migrations.RunPython(tell_all, migrations.RunPython.noop),
    ]
