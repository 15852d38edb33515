"""Every setting, read once from the environment. docker/.env.example lists the variables with a comment each."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.env import BadEnvironment, env_bool, env_int, env_list, env_str
from gateway.provider_variables import PROVIDER_VARIABLES

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Who we are -----------------------------------------------------------------------------------------------------
DEBUG = env_bool("DEBUG", default=False)
SECRET_KEY = env_str("SECRET_KEY")
# Earlier keys, newest first: sessions and sealed provider credentials made under them still open.
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")
HOST = env_str("HOST", "127.0.0.1")
PORT = env_int("PORT", 8000)
PUBLIC_URL = env_str("PUBLIC_URL", f"http://{'localhost' if HOST in ('0.0.0.0', '::') else HOST}:{PORT}").rstrip("/")  # noqa: S104 -- compared, not bound
DATA_DIR = Path(env_str("TOLLWAY_DATA", str(BASE_DIR / ".tollway"))).resolve()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{urlsplit(PUBLIC_URL).hostname}")
CSRF_TRUSTED_ORIGINS = sorted({PUBLIC_URL, *env_list("CSRF_TRUSTED_ORIGINS")})
# Providers without credentials are answered by the simulated provider. Never on where customers pay.
DEMO_MODE = env_bool("DEMO_MODE", default=False)
SIMULATOR_URL = env_str("SIMULATOR_URL", "")
LOCAL_MODEL_URL = env_str("LOCAL_MODEL_URL", "")
# Provider slug → key, from the variables that the providers' own SDKs use. Keys set by set_provider are in the database instead.
PROVIDER_CREDENTIALS = {
    slug: value for slug, names in PROVIDER_VARIABLES.items() if (value := next(filter(None, (env_str(name, "") for name in names)), ""))
}
# What we add to the providers' prices, in basis points (100 is 1 %). 0 passes them through.
MARKUP_BASIS_POINTS = env_int("MARKUP_BASIS_POINTS", 0)

# --- Stores ---------------------------------------------------------------------------------------------------------
DATABASE_URL = env_str("DATABASE_URL")
# The money store: live balances, holds, usage streams. Append-only file on, noeviction, nothing else in it.
REDIS_URL = env_str("REDIS_URL")
# Cache, Channels and Celery. May be the same server as REDIS_URL on a small machine (another database number).
BROKER_REDIS_URL = env_str("BROKER_REDIS_URL", REDIS_URL)


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        msg = f"DATABASE_URL must start with postgresql://, not {parts.scheme}://. Tollway runs on PostgreSQL only."
        raise BadEnvironment(msg)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"pool": {"min_size": 1, "max_size": env_int("DATABASE_POOL_SIZE", 8), "timeout": 5}},
    }


DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": BROKER_REDIS_URL, "KEY_PREFIX": "tollway"}}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [BROKER_REDIS_URL], "prefix": "tollway:ws"}}
}

# --- Celery: wake-ups, never the carrier of money -------------------------------------------------------------------
CELERY_BROKER_URL = BROKER_REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"billing.tasks.settle_*": {"queue": "ledger"}}
# The two unacked_* options make the message of a killed worker return within seconds instead of minutes.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600, "unacked_restore_interval": 5, "unacked_restore_throttle": 1}
CELERY_TIMEZONE = "UTC"
WORKER_NICENESS = env_int("WORKER_NICENESS", 5)

# --- Ledger ---------------------------------------------------------------------------------------------------------
LEDGER_SHARDS = 256  # fixed for the life of the books; organizations store theirs
SPOOL_DIR = Path(env_str("SPOOL_DIR", str(DATA_DIR / "spool")))

# --- Data plane -----------------------------------------------------------------------------------------------------
BODY_MAX_BYTES = env_int("BODY_MAX_BYTES", 32 * 1024 * 1024)
LEASES = env_bool("LEASES", default=True)

# --- Applications ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "accounts",
    "catalog",
    "billing",
    "gateway",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "channels",
    "allauth",
    "allauth.account",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gateway.middleware.RequestIdMiddleware",
    "gateway.middleware.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.OrganizationMiddleware",
    "gateway.middleware.HastyPagesMiddleware",
]
ROOT_URLCONF = "gateway.urls"
ASGI_APPLICATION = "gateway.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "gateway.context_processors.site",
            ],
        },
    },
]

# --- People ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.allauth_adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = env_str("ACCOUNT_EMAIL_VERIFICATION", "optional")
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/300s/key", "signup": "20/m/ip", "reset_password": "20/m/ip,5/m/key"}
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_REDIRECT_URL = "/dashboard"
LOGIN_URL = "/accounts/login/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_SIGNUP_REDIRECT_URL = "/dashboard"

# --- Mail: to the console when no server is set ---------------------------------------------------------------------
EMAIL_HOST = env_str("EMAIL_HOST", "")
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "django.core.mail.backends.console.EmailBackend"
EMAIL_PORT = env_int("EMAIL_PORT", 587)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env_str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", default=True)
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "Tollway <no-reply@localhost>")

# Who is told when the books do not balance; empty is every superuser.
OPERATOR_EMAILS = env_list("OPERATOR_EMAILS")
# Lets a collector read /operator/metrics with it as bearer token; empty leaves that to operators who are signed in.
METRICS_TOKEN = env_str("METRICS_TOKEN", "")

# --- Security -------------------------------------------------------------------------------------------------------
HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Cookies ignore ports, so several copies on one host need names of their own.
SESSION_COOKIE_NAME = f"tollway_session_{PORT}"
CSRF_COOKIE_NAME = f"tollway_csrf_{PORT}"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
# Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
FORWARDED_ALLOW_IPS = env_str("FORWARDED_ALLOW_IPS", "127.0.0.1")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("TRUST_PROXY", default=False) else None
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "gateway.pages.site.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

# --- Payments -------------------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env_str("STRIPE_SECRET_KEY", "")
# Several while a secret is being changed, separated by commas.
STRIPE_WEBHOOK_SECRETS = env_list("STRIPE_WEBHOOK_SECRET")
# Empty is Stripe itself; the simulated one (gateway.stripe_simulator) speaks its API too.
STRIPE_API_URL = env_str("STRIPE_API_URL", "").rstrip("/")
STRIPE_TIMEOUT_S = 20.0
STRIPE_RETRIES = 2
# So long a page waits for one answer of Stripe, and asks once.
STRIPE_PAGE_TIMEOUT_S = 6.0
STRIPE_AUTOMATIC_TAX = env_bool("STRIPE_AUTOMATIC_TAX", default=False)
STRIPE_PROMOTION_CODES = env_bool("STRIPE_PROMOTION_CODES", default=True)
# Where Checkout and the customer portal live; pages may send people there.
STRIPE_PAGE_ORIGINS = env_list("STRIPE_PAGE_ORIGINS", "https://checkout.stripe.com,https://billing.stripe.com")
# Our fee on purchases, and what may be bought at once. Cents.
PURCHASE_FEE_BASIS_POINTS = env_int("PURCHASE_FEE_BASIS_POINTS", 550)
PURCHASE_FEE_MIN_CENTS = env_int("PURCHASE_FEE_MIN_CENTS", 80)
PURCHASE_MIN_CENTS = env_int("PURCHASE_MIN_CENTS", 500)
PURCHASE_MAX_CENTS = env_int("PURCHASE_MAX_CENTS", 2_500_000)
# Credit that operators and campaigns grant expires after so many days, unless they say otherwise. 0 is never.
GRANT_DAYS = env_int("GRANT_DAYS", 365)
# Where days of usage older than the retention are kept as files when they leave the database; empty keeps them in it for ever.
USAGE_ARCHIVE_DIR = env_str("USAGE_ARCHIVE_DIR", "")
USAGE_RETENTION_DAYS = env_int("USAGE_RETENTION_DAYS", 400)
# Credit for signing up, cents; 0 is none. Granted when the mail address is verified, once per person and mailbox; it expires.
SIGNUP_CREDIT_CENTS = env_int("SIGNUP_CREDIT_CENTS", 0)
SIGNUP_CREDIT_DAYS = env_int("SIGNUP_CREDIT_DAYS", 30)
# Its limits: grants in a UTC day (more wait), from one network in 24 hours, and ever to one domain that is not open to everybody.
SIGNUP_CREDIT_A_DAY = env_int("SIGNUP_CREDIT_A_DAY", 500)
SIGNUP_CREDIT_A_NETWORK = env_int("SIGNUP_CREDIT_A_NETWORK", 3)
SIGNUP_CREDIT_A_DOMAIN = env_int("SIGNUP_CREDIT_A_DOMAIN", 10)
SIGNUP_CREDIT_OPEN_DOMAINS = env_list(
    "SIGNUP_CREDIT_OPEN_DOMAINS",
    "gmail.com,outlook.com,hotmail.com,live.com,yahoo.com,icloud.com,me.com,proton.me,protonmail.com,gmx.de,gmx.net,web.de,qq.com,163.com",
)
SIGNUP_CREDIT_BLOCKED_DOMAINS = env_list(
    "SIGNUP_CREDIT_BLOCKED_DOMAINS",
    "mailinator.com,guerrillamail.com,10minutemail.com,temp-mail.org,yopmail.com,trashmail.com,sharklasers.com,getnada.com,maildrop.cc",
)
# Who sells, as it stands on receipts. Lines of the address are separated by '|'.
SELLER_NAME = env_str("SELLER_NAME", "Tollway")
SELLER_ADDRESS = env_str("SELLER_ADDRESS", "")
SELLER_TAX_ID = env_str("SELLER_TAX_ID", "")
RECEIPT_PREFIX = env_str("RECEIPT_PREFIX", "TW-")

# --- Providers' costs: keys for their cost APIs, which are not those that models are called with --------------------
PROVIDER_COSTS = {
    "openai": {"url": env_str("OPENAI_COSTS_URL", "https://api.openai.com"), "key": env_str("OPENAI_ADMIN_KEY", "")},
    "anthropic": {"url": env_str("ANTHROPIC_COSTS_URL", "https://api.anthropic.com"), "key": env_str("ANTHROPIC_ADMIN_KEY", "")},
    "openrouter": {"url": env_str("OPENROUTER_COSTS_URL", "https://openrouter.ai"), "key": env_str("OPENROUTER_MANAGEMENT_KEY", "")},
    "google": {
        "url": env_str("GOOGLE_COSTS_URL", "https://bigquery.googleapis.com"),
        "key": env_str("GOOGLE_BILLING_TOKEN", ""),
        "extra": env_str("GOOGLE_BILLING_TABLE", ""),
    },
}

# --- API ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["gateway.drf.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["gateway.drf.ExactJsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["gateway.drf.JsonParser"],
    "EXCEPTION_HANDLER": "gateway.drf.handle_exception",
    "UNAUTHENTICATED_USER": None,
}

# --- Time, language, static files -----------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Logs -----------------------------------------------------------------------------------------------------------
LOG_LEVEL = env_str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "gateway.logs.RedactSecrets"}},
    "formatters": {"json": {"()": "gateway.logs.JsonFormatter"}, "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": env_str("LOG_FORMAT", "json")}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # One line per call at INFO, which says nothing that the inbox and the purchases do not.
    "loggers": {"stripe": {"level": "WARNING"}},
}
