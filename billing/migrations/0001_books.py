"""The books: accounts, transfers, the partitioned usage table, rollups, outbox; and the triggers that keep them append-only."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models


def _sql(name):
    return Path(__file__).with_name(f'0001_{name}.sql').read_text(encoding='utf-8')


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_people_and_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='SettlementDeadLetter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('shard', models.SmallIntegerField()),
                ('src', models.TextField(help_text='<epoch>:<stream id>.', unique=True)),
                ('event', models.BinaryField(help_text='The entry as it was read.')),
                ('reason', models.TextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='UsageBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('shard', models.SmallIntegerField()),
                ('events', models.IntegerField(help_text='Usage rows that this batch added.')),
                ('duplicates', models.IntegerField(help_text='Stream entries whose event was booked before.')),
                ('amount_nanos', models.BigIntegerField(help_text='Charged to customers, nanos (1e-9 USD), net of returns.')),
                ('cost_nanos', models.BigIntegerField(help_text='Owed to providers, nanos, net of returns; simulated requests cost nothing.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='UsageRollup',
            fields=[
                ('pk', models.CompositePrimaryKey('org_id', 'key_id', 'hour', 'model', 'provider', blank=True, editable=False, primary_key=True, serialize=False)),
                ('org_id', models.BigIntegerField()),
                ('key_id', models.BigIntegerField()),
                ('model', models.TextField()),
                ('provider', models.TextField()),
                ('hour', models.DateTimeField(help_text='Start of the UTC hour inside the event ids.')),
                ('requests', models.BigIntegerField()),
                ('amount_nanos', models.BigIntegerField()),
                ('cost_nanos', models.BigIntegerField()),
                ('input_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SmallIntegerField(choices=[(2010, 'customer credit'), (2020, 'customer promo credit'), (2030, 'provider payable'), (4010, 'revenue from usage'), (5010, 'provider cost'), (5030, 'promo expense'), (5040, 'goodwill')])),
                ('shard', models.SmallIntegerField(default=0, help_text='Ledger shard of a sharded or customer account, else 0.')),
                ('provider', models.TextField(blank=True, default='', help_text="Provider slug of a per-provider account, else ''.")),
                ('debits_nanos', models.BigIntegerField(default=0, help_text='Sum of all debits ever, nanos (1e-9 USD).')),
                ('credits_nanos', models.BigIntegerField(default=0, help_text='Sum of all credits ever, nanos (1e-9 USD).')),
                ('seq', models.BigIntegerField(default=0, help_text="On customer credit: number of the organization's latest balance change.")),
                ('limit_nanos', models.BigIntegerField(default=0, help_text='Agreed overdraft of a customer, nanos; verify_ledger reports what is below it.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('org', models.ForeignKey(blank=True, help_text="Set on customers' accounts only.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
        ),
        migrations.CreateModel(
            name='BalanceChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.BigIntegerField(help_text='1, 2, 3, … per organization, without gaps.')),
                ('amount_nanos', models.BigIntegerField(help_text='Signed, nanos (1e-9 USD).')),
                ('group_id', models.UUIDField(help_text='The transfers that moved it.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('published_at', models.DateTimeField(blank=True, help_text='When the money store had applied it.', null=True)),
                ('org', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
        ),
        migrations.CreateModel(
            name='Transfer',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv5 of (kind, natural key, leg): a repeat collides by construction.', primary_key=True, serialize=False)),
                ('group_id', models.UUIDField(help_text='UUIDv5 of (kind, natural key): legs that belong together.')),
                ('amount_nanos', models.BigIntegerField(help_text='Nanos (1e-9 USD), above zero.')),
                ('code', models.SmallIntegerField(choices=[(1, 'grant'), (10, 'usage'), (11, 'usage_return'), (12, 'provider_cost'), (13, 'provider_cost_return'), (90, 'correction')])),
                ('org_id', models.BigIntegerField(help_text='The organization concerned; null between system accounts.', null=True)),
                ('ref_kind', models.CharField(help_text='What the natural key is: grant, usage, transfer.', max_length=32)),
                ('ref_id', models.CharField(help_text='The natural key.', max_length=200)),
                ('request_hash', models.BinaryField(help_text='SHA-256 of what was asked: a repeat that asks something else is an error.', max_length=32)),
                ('batch_id', models.BigIntegerField(help_text='UsageBatch of usage and provider cost.', null=True)),
                ('actor', models.CharField(help_text="E-mail of who moved it, or 'system'.", max_length=254)),
                ('memo', models.CharField(blank=True, default='', help_text='The reason in words.', max_length=500)),
                ('effective_at', models.DateTimeField(help_text='When it counts from.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('credit_account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.account')),
                ('debit_account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.account')),
            ],
        ),
        # Django cannot create a partitioned table; the SQL beside this file does.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_sql('usageevent'), 'DROP TABLE billing_usageevent')],
            state_operations=[
                migrations.CreateModel(
                    name='UsageEvent',
                    fields=[
                        ('pk', models.CompositePrimaryKey('org_id', 'event_id', 'day', 'part', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('org_id', models.BigIntegerField()),
                        ('event_id', models.UUIDField(help_text='UUIDv7 minted by the data plane; public as gen-<hex>.')),
                        ('day', models.DateField(help_text='UTC day inside the event id: the partition.')),
                        ('part', models.SmallIntegerField(default=0)),
                        ('src', models.TextField(help_text='Stream entry that brought it, <epoch>:<id>: tells a redelivery from a second charge.')),
                        ('batch_id', models.BigIntegerField(help_text='UsageBatch that booked it.')),
                        ('shard', models.SmallIntegerField()),
                        ('key_id', models.BigIntegerField()),
                        ('amount_nanos', models.BigIntegerField(help_text='Charged to the customer, nanos; may be negative in part 1.')),
                        ('amount_picos', models.BigIntegerField(help_text='The same before its one rounding, picos (1e-12 USD).')),
                        ('cost_nanos', models.BigIntegerField(help_text='What the provider charges us, nanos; may be negative in part 1.')),
                        ('hold_nanos', models.BigIntegerField(help_text='What was held for the request.')),
                        ('status', models.TextField(help_text='ok, error, cancelled, expired.')),
                        ('api_type', models.TextField()),
                        ('model', models.TextField()),
                        ('requested_model', models.TextField()),
                        ('provider', models.TextField()),
                        ('provider_name', models.TextField()),
                        ('endpoint_id', models.TextField()),
                        ('price_version_id', models.BigIntegerField()),
                        ('meters', models.JSONField(help_text='Disjoint counts by meter name.')),
                        ('started_at_ms', models.BigIntegerField(help_text='Unix milliseconds.')),
                        ('latency_ms', models.BigIntegerField(help_text='To the first byte of the answer.')),
                        ('generation_ms', models.BigIntegerField(help_text='From the first to the last byte.')),
                        ('streamed', models.BooleanField()),
                        ('is_estimate', models.BooleanField(help_text='The provider reported no usage; the counts were estimated.')),
                        ('simulated', models.BooleanField(help_text='Answered by the simulated provider, which costs nothing.')),
                        ('service_tier', models.TextField()),
                        ('finish_reason', models.TextField()),
                        ('native_finish_reason', models.TextField()),
                        ('http_status', models.SmallIntegerField()),
                        ('error_type', models.TextField()),
                        ('upstream_id', models.TextField()),
                        ('external_user', models.TextField()),
                        ('session_id', models.TextField()),
                        ('app_referer', models.TextField()),
                        ('app_title', models.TextField()),
                        ('user_agent', models.TextField()),
                        ('attempts', models.JSONField(help_text='List of billing.types.AttemptRecord.')),
                        ('created_at', models.DateTimeField(help_text='The moment inside the event id.')),
                        ('booked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                    ],
                    options={
                        'constraints': [models.CheckConstraint(condition=models.Q(('part__in', [0, 1])), name='billing_usageevent_part_known'), models.CheckConstraint(condition=models.Q(('part', 1), models.Q(('amount_nanos__gte', 0), ('cost_nanos__gte', 0)), _connector='OR'), name='billing_usageevent_amount_not_negative'), models.CheckConstraint(condition=models.Q(('amount_picos__gte', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('amount_nanos'), '*', models.Value(1000)), '-', django.db.models.expressions.CombinedExpression(models.Value(500), '*', django.db.models.expressions.CombinedExpression(models.F('part'), '+', models.Value(1))))), ('amount_picos__lte', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('amount_nanos'), '*', models.Value(1000)), '+', django.db.models.expressions.CombinedExpression(models.Value(500), '*', django.db.models.expressions.CombinedExpression(models.F('part'), '+', models.Value(1)))))), name='billing_usageevent_rounded_once')],
                    },
                ),
            ],
        ),
        migrations.AddIndex(
            model_name='account',
            index=models.Index(condition=models.Q(('org__isnull', False)), fields=['shard'], name='billing_account_by_shard'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(condition=models.Q(('org__isnull', False)), fields=('org', 'code'), name='billing_account_customer_once'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(condition=models.Q(('org__isnull', True)), fields=('code', 'shard', 'provider'), name='billing_account_system_once'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('debits_nanos__gte', 0), ('credits_nanos__gte', 0), ('limit_nanos__gte', 0)), name='billing_account_counters_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('code__in', (2020, 2010)), ('org__isnull', False)), models.Q(('org__isnull', True), models.Q(('code__in', (2020, 2010)), _negated=True)), _connector='OR'), name='billing_account_customer_has_org'),
        ),
        migrations.AddIndex(
            model_name='balancechange',
            index=models.Index(condition=models.Q(('published_at__isnull', True)), fields=['org', 'seq'], name='billing_balancechange_pending'),
        ),
        migrations.AddConstraint(
            model_name='balancechange',
            constraint=models.UniqueConstraint(fields=('org', 'seq'), name='billing_balancechange_seq_once'),
        ),
        migrations.AddIndex(
            model_name='transfer',
            index=models.Index(fields=['org_id', 'created_at'], name='billing_transfer_by_org'),
        ),
        migrations.AddIndex(
            model_name='transfer',
            index=models.Index(fields=['group_id'], name='billing_transfer_by_group'),
        ),
        migrations.AddIndex(
            model_name='transfer',
            index=models.Index(condition=models.Q(('batch_id__isnull', False)), fields=['batch_id'], name='billing_transfer_by_batch'),
        ),
        migrations.AddConstraint(
            model_name='transfer',
            constraint=models.CheckConstraint(condition=models.Q(('amount_nanos__gt', 0)), name='billing_transfer_amount_above_zero'),
        ),
        migrations.AddConstraint(
            model_name='transfer',
            constraint=models.CheckConstraint(condition=models.Q(('debit_account', models.F('credit_account')), _negated=True), name='billing_transfer_between_two_accounts'),
        ),
        migrations.RunSQL(_sql('append_only'), _sql('append_only_reverse')),
    ]
