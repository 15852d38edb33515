"""Purchases, refunds, disputes, Stripe's events and mails; accounts for what Stripe owes us and for what customers owe."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_people_and_keys'),
        ('billing', '0002_dead_letters_dealt_with'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dispute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_dispute', models.CharField(help_text='du_…', max_length=64, unique=True)),
                ('status', models.CharField(help_text="Stripe's word, such as needs_response, won, lost.", max_length=40)),
                ('reason', models.CharField(blank=True, default='', max_length=60)),
                ('amount_cents', models.BigIntegerField()),
                ('credit_cents', models.BigIntegerField(default=0, help_text='Credit taken from the customer while it lasts.')),
                ('is_open', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='LowBalance',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('threshold_nanos', models.BigIntegerField()),
                ('crossed_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=40)),
                ('key', models.CharField(help_text="What happens once, such as the purchase's id.", max_length=120)),
                ('context', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.SmallIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='PaymentProfile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_customer', models.CharField(blank=True, help_text='cus_…; null before the first purchase.', max_length=64, null=True, unique=True)),
                ('company_name', models.CharField(blank=True, default='', max_length=200)),
                ('address', models.TextField(blank=True, default='', help_text='Lines of the postal address.')),
                ('country', models.CharField(blank=True, default='', help_text='ISO 3166 code.', max_length=2)),
                ('tax_id', models.CharField(blank=True, default='', max_length=50)),
                ('billing_email', models.EmailField(blank=True, default='', help_text='Where receipts and warnings go; owners and admins if empty.', max_length=254)),
                ('payment_method', models.CharField(blank=True, default='', help_text="pm_…, '' for none.", max_length=64)),
                ('card_brand', models.CharField(blank=True, default='', max_length=30)),
                ('card_last4', models.CharField(blank=True, default='', max_length=4)),
                ('card_expires', models.CharField(blank=True, default='', help_text='MM/YYYY.', max_length=7)),
                ('auto_enabled', models.BooleanField(default=False)),
                ('auto_threshold_nanos', models.BigIntegerField(default=0, help_text='Top up when less than this is available, nanos.')),
                ('auto_amount_cents', models.BigIntegerField(default=0, help_text='Credit to buy each time.')),
                ('auto_monthly_cap_cents', models.BigIntegerField(default=0, help_text='Most credit to buy so in one UTC month.')),
                ('auto_failures', models.SmallIntegerField(default=0, help_text='Declines in a row.')),
                ('auto_next_at', models.DateTimeField(blank=True, help_text='Not before this moment, after a decline.', null=True)),
                ('auto_paused_for', models.CharField(blank=True, default='', help_text="'', declined, needs_action, runaway, no_card.", max_length=30)),
                ('alert_thresholds_nanos', models.JSONField(blank=True, default=list, help_text='Balances below which a mail is sent, nanos, descending.')),
                ('frozen_at', models.DateTimeField(blank=True, help_text='Set while a payment is disputed: nothing is bought or refunded.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Purchase',
            fields=[
                ('id', models.UUIDField(help_text="UUIDv7; in Stripe's metadata and idempotency keys.", primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('checkout', 'Checkout'), ('auto', 'Auto top-up')], max_length=10)),
                ('state', models.CharField(choices=[('open', 'Open'), ('charging', 'Charging'), ('processing', 'Processing'), ('paid', 'Paid'), ('declined', 'Declined'), ('needs_action', 'Needs confirmation'), ('expired', 'Expired'), ('failed', 'Failed'), ('review', 'Under review')], max_length=15)),
                ('credit_cents', models.BigIntegerField(help_text='Credit that the customer gets.')),
                ('fee_cents', models.BigIntegerField(help_text='Our fee on top.')),
                ('discount_cents', models.BigIntegerField(default=0, help_text='Taken off by a promotion code.')),
                ('tax_cents', models.BigIntegerField(default=0, help_text='Added by Stripe.')),
                ('refunded_cents', models.BigIntegerField(default=0, help_text='Credit taken back by refunds, those on their way included.')),
                ('session', models.CharField(blank=True, help_text='cs_…', max_length=100, null=True, unique=True)),
                ('payment_intent', models.CharField(blank=True, help_text='pi_…', max_length=64, null=True, unique=True)),
                ('charge', models.CharField(blank=True, default='', help_text='ch_…', max_length=64)),
                ('failure', models.CharField(blank=True, default='', help_text='Why it was not paid, in words for the customer.', max_length=200)),
                ('number', models.BigIntegerField(blank=True, help_text='Of the receipt: 1, 2, 3, … without gaps.', null=True, unique=True)),
                ('billed_to', models.JSONField(blank=True, default=dict, help_text='Name, address, tax id and mail as they were when it was paid.')),
                ('paid_with', models.CharField(blank=True, default='', help_text="Such as 'Visa ending in 4242'.", max_length=60)),
                ('asked_by', models.CharField(help_text="E-mail of who bought, or 'system'.", max_length=254)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('paid_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv7; the idempotency key at Stripe.', primary_key=True, serialize=False)),
                ('stripe_refund', models.CharField(blank=True, help_text='re_…', max_length=64, null=True, unique=True)),
                ('state', models.CharField(choices=[('asked', 'On its way'), ('succeeded', 'Refunded'), ('failed', 'Failed')], max_length=10)),
                ('credit_cents', models.BigIntegerField(help_text='Credit taken back.')),
                ('total_cents', models.BigIntegerField(help_text='Money that goes back: the credit and its share of the tax.')),
                ('group_id', models.UUIDField(help_text='The transfers that took the credit.')),
                ('reason', models.CharField(blank=True, default='', max_length=200)),
                ('failure', models.CharField(blank=True, default='', max_length=200)),
                ('asked_by', models.CharField(max_length=254)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='StripeEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.CharField(help_text='evt_…', max_length=100, unique=True)),
                ('type', models.CharField(max_length=100)),
                ('object_id', models.CharField(blank=True, default='', help_text='Id of the object that it tells of.', max_length=100)),
                ('body', models.JSONField()),
                ('created_at', models.DateTimeField(help_text="When it happened, by Stripe's clock.")),
                ('received_at', models.DateTimeField(auto_now_add=True)),
                ('processed_at', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.SmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(auto_now_add=True)),
                ('error', models.CharField(blank=True, default='', help_text='Why the last attempt failed.', max_length=500)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='account',
            name='billing_account_customer_has_org',
        ),
        migrations.AlterField(
            model_name='account',
            name='code',
            field=models.SmallIntegerField(choices=[(1010, 'Stripe clearing'), (1020, 'Stripe disputed'), (2010, 'customer credit'), (2020, 'customer promo credit'), (2030, 'provider payable'), (2040, 'tax payable'), (2050, 'customer debt'), (4010, 'revenue from usage'), (4020, 'revenue from purchase fees'), (4040, 'breakage'), (5010, 'provider cost'), (5020, 'Stripe fees'), (5021, 'dispute fees'), (5030, 'promo expense'), (5040, 'goodwill')]),
        ),
        migrations.AlterField(
            model_name='transfer',
            name='code',
            field=models.SmallIntegerField(choices=[(1, 'grant'), (2, 'purchase'), (3, 'refund'), (4, 'dispute'), (5, 'stripe_fee'), (6, 'expiry'), (10, 'usage'), (11, 'usage_return'), (12, 'provider_cost'), (13, 'provider_cost_return'), (90, 'correction')]),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('code__in', [2020, 2010, 2050]), ('org__isnull', False)), models.Q(('org__isnull', True), models.Q(('code__in', [2020, 2010, 2050]), _negated=True)), _connector='OR'), name='billing_account_customer_has_org'),
        ),
        migrations.AddField(
            model_name='lowbalance',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='notice',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='paymentprofile',
            name='organization',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='payment_profile', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='purchase',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='purchase',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='disputes', to='billing.purchase'),
        ),
        migrations.AddField(
            model_name='refund',
            name='purchase',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='billing.purchase'),
        ),
        migrations.AddIndex(
            model_name='stripeevent',
            index=models.Index(condition=models.Q(('processed_at__isnull', True)), fields=['next_attempt_at'], name='billing_stripeevent_waiting'),
        ),
        migrations.AddConstraint(
            model_name='lowbalance',
            constraint=models.UniqueConstraint(fields=('organization', 'threshold_nanos'), name='billing_lowbalance_once'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('sent_at__isnull', True)), fields=['created_at'], name='billing_notice_unsent'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('organization', 'kind', 'key'), name='billing_notice_once'),
        ),
        migrations.AddConstraint(
            model_name='paymentprofile',
            constraint=models.CheckConstraint(condition=models.Q(('auto_amount_cents__gte', 0), ('auto_monthly_cap_cents__gte', 0), ('auto_threshold_nanos__gte', 0)), name='billing_paymentprofile_amounts_not_negative'),
        ),
        migrations.AddIndex(
            model_name='purchase',
            index=models.Index(fields=['organization', '-created_at'], name='billing_purchase_by_org'),
        ),
        migrations.AddIndex(
            model_name='purchase',
            index=models.Index(condition=models.Q(('state__in', ['open', 'charging', 'processing'])), fields=['updated_at'], name='billing_purchase_unsettled'),
        ),
        migrations.AddConstraint(
            model_name='purchase',
            constraint=models.CheckConstraint(condition=models.Q(('credit_cents__gt', 0), ('discount_cents__gte', 0), ('fee_cents__gte', 0), ('refunded_cents__gte', 0), ('tax_cents__gte', 0)), name='billing_purchase_amounts_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='purchase',
            constraint=models.CheckConstraint(condition=models.Q(('refunded_cents__lte', models.F('credit_cents'))), name='billing_purchase_refunded_at_most_once'),
        ),
        migrations.AddConstraint(
            model_name='purchase',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('number__isnull', False), ('paid_at__isnull', False), ('state', 'paid')), models.Q(models.Q(('state', 'paid'), _negated=True), ('number__isnull', True)), _connector='OR'), name='billing_purchase_paid_has_number'),
        ),
        migrations.AddConstraint(
            model_name='purchase',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'auto'), ('state__in', ['charging', 'processing'])), fields=('organization',), name='billing_purchase_one_auto_at_once'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('credit_cents__gte', 0), ('total_cents__gt', 0)), name='billing_refund_amounts_above_zero'),
        ),
    ]
