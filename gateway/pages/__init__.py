"""Pages that need more than one app: landing, dashboard, keys, requests, health. One file per noun."""
