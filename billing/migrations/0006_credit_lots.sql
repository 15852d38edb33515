-- Lots are never forgotten, and their counters are sums of an append-only table, so they only grow.
CREATE TRIGGER billing_creditlot_not_deleted BEFORE DELETE ON billing_creditlot
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_creditlot_counters_grow BEFORE UPDATE ON billing_creditlot
    FOR EACH ROW WHEN (
        NEW.spent_nanos < OLD.spent_nanos OR NEW.expired_nanos < OLD.expired_nanos OR NEW.taken_back_nanos < OLD.taken_back_nanos
        OR (NEW.id, NEW.organization_id, NEW.amount_nanos, NEW.expires_at, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.amount_nanos, OLD.expires_at, OLD.created_at)
    ) EXECUTE FUNCTION billing_refuse_change();

-- What organizations had been granted before there were lots becomes one lot each, which never expires.
INSERT INTO billing_creditlot
    (id, organization_id, amount_nanos, spent_nanos, expired_nanos, taken_back_nanos, campaign, reason, granted_by, created_at)
SELECT gen_random_uuid(), org_id, credits_nanos - debits_nanos, 0, 0, 0, '', 'Granted credit', 'system', now()
FROM billing_account WHERE code = 2020 AND credits_nanos > debits_nanos;
