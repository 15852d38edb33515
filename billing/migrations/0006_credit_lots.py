"""Lots of granted credit, which transfers name; sign-up credit. What was granted before becomes a lot per organization."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models


def _sql(name):
    return Path(__file__).with_name(f'0006_{name}.sql').read_text(encoding='utf-8')


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_people_and_keys'),
        ('billing', '0005_signing_keys'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CreditLot',
            fields=[
                ('id', models.UUIDField(help_text="The grant's group, or made from the charge that came back.", primary_key=True, serialize=False)),
                ('amount_nanos', models.BigIntegerField(help_text='What was granted, nanos (1e-9 USD).')),
                ('spent_nanos', models.BigIntegerField(default=0, help_text='Charged for usage.')),
                ('expired_nanos', models.BigIntegerField(default=0, help_text='Taken because its time was over.')),
                ('taken_back_nanos', models.BigIntegerField(default=0, help_text='Taken by a correction.')),
                ('expires_at', models.DateTimeField(blank=True, help_text='Null never expires.', null=True)),
                ('campaign', models.CharField(blank=True, default='', help_text="What it was granted for: sign-up, spring-2027, ''.", max_length=60)),
                ('reason', models.CharField(blank=True, default='', help_text='In words that the customer reads.', max_length=500)),
                ('granted_by', models.CharField(help_text="E-mail of who granted it, or 'system'.", max_length=254)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='SignupCredit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mailbox_hash', models.CharField(help_text='Keyed hash of the address without tags and dots: the same mailbox has it once, for ever.', max_length=64, unique=True)),
                ('network_hash', models.CharField(blank=True, default='', help_text='Keyed hash of the network that verified it.', max_length=64)),
                ('domain', models.CharField(max_length=253)),
                ('state', models.CharField(choices=[('waiting', 'Waits for a free place'), ('granted', 'Granted'), ('refused', 'Refused')], max_length=10)),
                ('reason', models.CharField(blank=True, default='', help_text='Why it waits or was refused.', max_length=100)),
                ('amount_nanos', models.BigIntegerField(default=0, help_text='What was granted, nanos (1e-9 USD).')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('granted_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.AddField(
            model_name='transfer',
            name='lot_id',
            field=models.UUIDField(help_text='CreditLot that promo credit came into or was taken from.', null=True),
        ),
        migrations.AddIndex(
            model_name='transfer',
            index=models.Index(condition=models.Q(('lot_id__isnull', False)), fields=['lot_id'], name='billing_transfer_by_lot'),
        ),
        migrations.AddField(
            model_name='creditlot',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='signupcredit',
            name='organization',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='signupcredit',
            name='user',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='creditlot',
            index=models.Index(fields=['organization', 'created_at'], name='billing_creditlot_by_org'),
        ),
        migrations.AddIndex(
            model_name='creditlot',
            index=models.Index(condition=models.Q(('amount_nanos__gt', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('spent_nanos'), '+', models.F('expired_nanos')), '+', models.F('taken_back_nanos')))), fields=['organization'], name='billing_creditlot_open'),
        ),
        migrations.AddIndex(
            model_name='creditlot',
            index=models.Index(condition=models.Q(('amount_nanos__gt', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('spent_nanos'), '+', models.F('expired_nanos')), '+', models.F('taken_back_nanos'))), ('expires_at__isnull', False)), fields=['expires_at'], name='billing_creditlot_expiring'),
        ),
        migrations.AddConstraint(
            model_name='creditlot',
            constraint=models.CheckConstraint(condition=models.Q(('amount_nanos__gt', 0), ('expired_nanos__gte', 0), ('spent_nanos__gte', 0), ('taken_back_nanos__gte', 0)), name='billing_creditlot_amounts_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='creditlot',
            constraint=models.CheckConstraint(condition=models.Q(('amount_nanos__gte', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('spent_nanos'), '+', models.F('expired_nanos')), '+', models.F('taken_back_nanos')))), name='billing_creditlot_never_overdrawn'),
        ),
        migrations.AddIndex(
            model_name='signupcredit',
            index=models.Index(condition=models.Q(('state', 'granted')), fields=['granted_at'], name='billing_signupcredit_granted'),
        ),
        migrations.AddIndex(
            model_name='signupcredit',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['created_at'], name='billing_signupcredit_waiting'),
        ),
        migrations.AlterField(
            model_name='transfer',
            name='code',
            field=models.SmallIntegerField(choices=[(1, 'grant'), (2, 'purchase'), (3, 'refund'), (4, 'dispute'), (5, 'stripe_fee'), (6, 'expiry'), (7, 'cover'), (10, 'usage'), (11, 'usage_return'), (12, 'provider_cost'), (13, 'provider_cost_return'), (90, 'correction')]),
        ),
        migrations.RunSQL(_sql('credit_lots'), _sql('credit_lots_reverse')),
    ]
