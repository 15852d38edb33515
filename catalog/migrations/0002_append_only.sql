-- Prices are only ever added to: a receipt of years ago must find the price it was made with.
CREATE FUNCTION catalog_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused; a correction is a new row', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER catalog_priceversion_append_only BEFORE UPDATE OR DELETE ON catalog_priceversion
    FOR EACH ROW EXECUTE FUNCTION catalog_refuse_change();
CREATE TRIGGER catalog_catalogsnapshot_append_only BEFORE UPDATE OR DELETE ON catalog_catalogsnapshot
    FOR EACH ROW EXECUTE FUNCTION catalog_refuse_change();
