#!/bin/sh
# One image, several roles: web | worker | beat | migrate | manage ARGS…
# web and worker wait for nothing: they retry by themselves, and /readyz says what is missing.
set -eu

role="${1:-web}"
[ "$#" -gt 0 ] && shift

case "$role" in
    web)
        python manage.py check
        exec python -m gunicorn -c docker/gunicorn.conf.py gateway.asgi:application "$@"
        ;;
    worker)
        exec python -m celery -A gateway.celery worker -Q default,ledger -c "${CELERY_CONCURRENCY:-2}" \
            -l "${LOG_LEVEL:-INFO}" --without-mingle --without-gossip "$@"
        ;;
    beat)
        # The schedule's state may be lost: every job is due by the second or idempotent.
        exec python -m celery -A gateway.celery beat -l "${LOG_LEVEL:-INFO}" --pidfile= \
            -s "${TMPDIR:-/tmp}/tollway-beat-schedule" "$@"
        ;;
    migrate)
        python manage.py migrate --noinput
        exec python manage.py load_catalog
        ;;
    manage)
        exec python manage.py "$@"
        ;;
    *)
        echo "Unknown role '$role'. One of: web, worker, beat, migrate, manage." >&2
        exit 64
        ;;
esac
