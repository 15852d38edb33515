"""Buying credit: Stripe's side and the books' side of it. Only ``stripe_api`` knows Stripe's client."""
