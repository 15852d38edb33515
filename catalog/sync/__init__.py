"""Fresh prices from elsewhere, compared with ours: read, diff, review, apply."""
