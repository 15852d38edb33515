"""A simulated Stripe: the part of its API that buying credit uses, a Checkout page and signed webhooks. No card is ever charged.

Tests talk to it through the official client, and ``make run`` starts it where no Stripe key is set. Behaviour as Stripe documents it:
https://docs.stripe.com/api, /testing, /api/idempotent_requests, /webhooks.
"""
