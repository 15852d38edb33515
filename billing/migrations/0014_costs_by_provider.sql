-- Hourly sums had the cost of tries that did not answer with the provider that did; it goes to the try's own, as in the accounts.
-- Days whose usage is archived stay as they are: their kept sums say the same.
INSERT INTO billing_usagerollup AS rollup
    (org_id, key_id, hour, model, provider, requests, amount_nanos, cost_nanos, input_tokens, output_tokens)
SELECT event.org_id, event.key_id, date_trunc('hour', event.created_at, 'UTC'), event.model, moved.provider,
    0, 0, sum(moved.cost_nanos)::bigint, 0, 0
FROM billing_usageevent AS event CROSS JOIN LATERAL jsonb_array_elements(event.attempts) AS attempt
CROSS JOIN LATERAL (VALUES (attempt->>'provider', (attempt->>'cost_nanos')::bigint), (event.provider, -(attempt->>'cost_nanos')::bigint))
    AS moved (provider, cost_nanos)
WHERE NOT event.simulated AND event.attempts @? '$[*].cost_nanos' AND attempt ? 'cost_nanos'
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (org_id, key_id, hour, model, provider) DO UPDATE SET cost_nanos = rollup.cost_nanos + excluded.cost_nanos;
