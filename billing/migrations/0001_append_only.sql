-- The books are only ever added to. The database refuses the rest, whoever asks.
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused; corrections are new rows', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER billing_transfer_append_only BEFORE UPDATE OR DELETE ON billing_transfer
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_usageevent_append_only BEFORE UPDATE OR DELETE ON billing_usageevent
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_usagebatch_append_only BEFORE UPDATE OR DELETE ON billing_usagebatch
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_account_not_deleted BEFORE DELETE ON billing_account
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_balancechange_not_deleted BEFORE DELETE ON billing_balancechange
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();

-- Counters are sums of an append-only table, so they only grow.
CREATE TRIGGER billing_account_counters_grow BEFORE UPDATE ON billing_account
    FOR EACH ROW WHEN (
        NEW.debits_nanos < OLD.debits_nanos OR NEW.credits_nanos < OLD.credits_nanos OR NEW.seq < OLD.seq
        OR NEW.code <> OLD.code OR NEW.org_id IS DISTINCT FROM OLD.org_id
    ) EXECUTE FUNCTION billing_refuse_change();

-- Of an outbox row only its publication may be noted.
CREATE TRIGGER billing_balancechange_append_only BEFORE UPDATE ON billing_balancechange
    FOR EACH ROW WHEN (
        (NEW.id, NEW.org_id, NEW.seq, NEW.amount_nanos, NEW.group_id, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.org_id, OLD.seq, OLD.amount_nanos, OLD.group_id, OLD.created_at)
    ) EXECUTE FUNCTION billing_refuse_change();
