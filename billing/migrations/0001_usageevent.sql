-- One row per settled request, partitioned by the UTC day inside the event id, so that (org_id, event_id, day, part) is unique
-- for ever and everywhere. The organization comes first: it is the distribution column if the books are ever sharded.
CREATE TABLE billing_usageevent (
    org_id bigint NOT NULL,
    event_id uuid NOT NULL,
    day date NOT NULL,
    part smallint NOT NULL,
    src text NOT NULL,
    batch_id bigint NOT NULL,
    shard smallint NOT NULL,
    key_id bigint NOT NULL,
    amount_nanos bigint NOT NULL,
    amount_picos bigint NOT NULL,
    cost_nanos bigint NOT NULL,
    hold_nanos bigint NOT NULL,
    status text NOT NULL,
    api_type text NOT NULL,
    model text NOT NULL,
    requested_model text NOT NULL,
    provider text NOT NULL,
    provider_name text NOT NULL,
    endpoint_id text NOT NULL,
    price_version_id bigint NOT NULL,
    meters jsonb NOT NULL,
    started_at_ms bigint NOT NULL,
    latency_ms bigint NOT NULL,
    generation_ms bigint NOT NULL,
    streamed boolean NOT NULL,
    is_estimate boolean NOT NULL,
    simulated boolean NOT NULL,
    service_tier text NOT NULL,
    finish_reason text NOT NULL,
    native_finish_reason text NOT NULL,
    http_status smallint NOT NULL,
    error_type text NOT NULL,
    upstream_id text NOT NULL,
    external_user text NOT NULL,
    session_id text NOT NULL,
    app_referer text NOT NULL,
    app_title text NOT NULL,
    user_agent text NOT NULL,
    attempts jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, event_id, day, part),
    CONSTRAINT billing_usageevent_part_known CHECK (part IN (0, 1)),
    CONSTRAINT billing_usageevent_amount_not_negative CHECK (part = 1 OR (amount_nanos >= 0 AND cost_nanos >= 0)),
    -- 500 picos are half a nano, the rounding of one amount; a difference of two amounts may carry twice that.
    CONSTRAINT billing_usageevent_rounded_once CHECK (
        amount_picos BETWEEN amount_nanos::numeric * 1000 - 500 * (part + 1) AND amount_nanos::numeric * 1000 + 500 * (part + 1)
    )
) PARTITION BY RANGE (day);

-- Batches only ever grow, so a block range index finds a batch at almost no cost to insertion.
CREATE INDEX billing_usageevent_by_batch ON billing_usageevent USING brin (batch_id) WITH (autosummarize = on);
