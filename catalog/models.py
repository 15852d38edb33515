"""Who serves which model, under which name, at what price. Loaded by ``loader.py`` from ``data/``; read through ``queries.py``.

Nothing here is deleted: usage rows and receipts name models, endpoints and price versions for years. What leaves the data files is
withdrawn (``withdrawn_at``); what the operator switches off has ``enabled`` false.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Organization


class Origin(models.TextChoices):
    """Where a row comes from. The loader writes rows of the data files and leaves the operator's own alone."""

    DATA = "data", "Data files"
    OPERATOR = "operator", "Added by the operator"


class AgreementLevel(models.TextChoices):
    """How well the sources of a price agree; data/README.md defines the levels."""

    HIGH = "high", "All of several sources agree"
    GOOD = "good", "Most sources agree"
    SINGLE = "single", "One source"
    DISPUTED = "disputed", "Each source says something else"
    OPERATOR = "operator", "Set by the operator"


class CatalogRow(models.Model):
    """What providers, models and endpoints have in common."""

    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.DATA)
    enabled = models.BooleanField(default=True, help_text="The operator's switch; off takes effect with the next publication.")
    withdrawn_at = models.DateTimeField(null=True, blank=True, help_text="When the row left the data files; null while it is there.")
    facts = models.JSONField(default=dict, blank=True, help_text="What the data files say beyond the other columns.")

    class Meta:
        abstract = True


class Provider(CatalogRow):
    """A host that serves models."""

    slug = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, help_text="'lab', 'cloud', 'host' or 'own' (the operator's own server).")
    base_url = models.CharField(max_length=300, blank=True, help_text="May hold {placeholders} that the operator fills by an override.")
    base_url_override = models.CharField(max_length=300, blank=True, default="", help_text="Set by set_provider; survives a reload.")
    protocol = models.CharField(max_length=20, help_text="Wire format of the provider: openai, anthropic, gemini, bedrock, ….")
    auth = models.CharField(max_length=20, help_text="How it takes the key: bearer, x-api-key, query-key, api-key, none, ….")
    allow_private_address = models.BooleanField(default=False, help_text="Lets the base URL point into a private network or loopback.")
    like = models.CharField(max_length=60, blank=True, default="", help_text="Slug whose quirks it shares: openrouter, litellm, ….")
    options = models.JSONField(default=dict, blank=True, help_text="Fill {placeholders} of the base URL; region, project, api_version, ….")
    sealed_headers = models.BinaryField(null=True, blank=True, help_text="Headers for every call, as sealed JSON; some are secret.")
    is_last_resort = models.BooleanField(default=False, help_text="Tried only after all that are not.")
    balancing = models.CharField(max_length=14, default="weighted", help_text="How its keys share requests: types.Balancing.")
    group = models.CharField(max_length=40, blank=True, default="", help_text="Providers of one group share requests by their strategy.")
    cooldown_s = models.PositiveSmallIntegerField(default=5, help_text="Rest of a key after a rate limit that does not say how long.")
    hq = models.CharField(max_length=2, blank=True, default="", help_text="Country code of the headquarters.")
    docs_url = models.CharField(max_length=300, blank=True, default="")
    status_page_url = models.CharField(max_length=300, blank=True, default="")
    terms_url = models.CharField(max_length=300, blank=True, default="")
    privacy_policy_url = models.CharField(max_length=300, blank=True, default="")
    data_policy = models.JSONField(default=dict, blank=True, help_text="trains_on_prompts, retains_prompts, retention_days, zdr, source.")

    def __str__(self) -> str:
        return self.slug

    @property
    def effective_base_url(self) -> str:
        """The operator's URL where there is one, else the catalog's."""
        return self.base_url_override or self.base_url


class Model(CatalogRow):
    """A model as customers name it."""

    slug = models.CharField(max_length=120, unique=True, help_text="author/slug")
    canonical_slug = models.CharField(max_length=120, blank=True, default="", help_text="A dated id that is accepted as an alias.")
    name = models.CharField(max_length=150)
    author = models.CharField(max_length=60, db_index=True)
    author_name = models.CharField(max_length=100)
    type = models.CharField(max_length=13, help_text="chat, embedding, image, speech, transcription or rerank.")
    description = models.TextField(blank=True, default="")
    released = models.DateField(null=True, blank=True)
    context_length = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens; null is unknown.")
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    input_modalities = ArrayField(models.CharField(max_length=20), default=list)
    output_modalities = ArrayField(models.CharField(max_length=20), default=list)
    supported_parameters = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    reasoning = models.BooleanField(default=False)
    reasoning_efforts = ArrayField(models.CharField(max_length=10), default=list, blank=True)
    tool_calling = models.BooleanField(default=False)
    structured_output = models.BooleanField(default=False)
    open_weights = models.BooleanField(null=True, blank=True, help_text="Null is unknown.")
    knowledge_cutoff = models.CharField(max_length=10, blank=True, default="", help_text="YYYY, YYYY-MM or YYYY-MM-DD.")
    tokenizer = models.CharField(max_length=30, blank=True, default="")
    hugging_face_id = models.CharField(max_length=150, blank=True, default="")
    deprecation_date = models.DateField(null=True, blank=True)
    embedding_dimensions = models.PositiveIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.slug


class Endpoint(CatalogRow):
    """One way to reach one model: a provider, its own name for the model, its limits."""

    slug = models.CharField(max_length=200, unique=True, help_text="model@provider[/region][/variant][/quantization]")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="endpoints")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="endpoints")
    provider_model_id = models.CharField(max_length=200, help_text="What is sent upstream.")
    tag = models.CharField(max_length=80, help_text="What routing preferences name: the part of the slug after '@'.")
    variant = models.CharField(max_length=30, blank=True, default="")
    region = models.CharField(max_length=30, blank=True, default="")
    quantization = models.CharField(max_length=20, blank=True, default="")
    context_length = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    input_modalities = ArrayField(models.CharField(max_length=20), default=list)
    supported_parameters = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    is_free = models.BooleanField(default=False, help_text="Price 0 by the provider's own list.")
    deprecated = models.BooleanField(default=False)
    deprecation_date = models.DateField(null=True, blank=True)
    last_seen = models.DateField(help_text="Date of the newest source that has the row.")
    price_notice = models.JSONField(null=True, blank=True, help_text="A warning about the price for a person to act on.")
    source = models.JSONField(default=dict, help_text="The newest confirmation of the price: data_set, key, date, url.")
    agreement = models.JSONField(default=dict, help_text="What every source says today.")

    def __str__(self) -> str:
        return self.slug


class MarkupRule(models.Model):
    """What is added to the provider's price of everything that the rule names. Ended, never deleted: price versions name it."""

    class Scope(models.TextChoices):
        """What a rule can name, from the general to the specific; markup.py has the order."""

        GLOBAL = "global", "Everything"
        PROVIDER = "provider", "Provider"
        AUTHOR = "author", "Author"
        MODEL = "model", "Model"
        ENDPOINT = "endpoint", "Endpoint"
        PLAN = "plan", "Plan"
        ORGANIZATION = "organization", "Organization"

    scope = models.CharField(max_length=12, choices=Scope.choices)
    target = models.CharField(max_length=200, blank=True, default="", help_text="Slug of what the scope names; empty for everything.")
    basis_points = models.PositiveIntegerField(help_text="On every rate: 500 is 5 %.")
    floor_picos = models.PositiveBigIntegerField(
        default=0,
        help_text="Least addition to the price of a token that is not free, in picos: 10000 is $0.01 per million tokens.",
    )
    effective_from = models.DateTimeField()
    effective_until = models.DateTimeField(null=True, blank=True, help_text="Empty: until further notice.")
    note = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254, help_text="E-mail, or 'system' for a command.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(scope="global", target="") | ~Q(scope="global") & ~Q(target=""), name="catalog_markup_target"
            ),
            models.CheckConstraint(
                condition=Q(effective_until=None) | Q(effective_until__gte=models.F("effective_from")), name="catalog_markup_period"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.basis_points / 100:g} % on {self.target or 'everything'}"


class PriceVersionQuerySet(models.QuerySet["PriceVersion"]):
    """Price versions."""

    def public(self) -> "PriceVersionQuerySet":
        """Return those that hold for everybody who has no price of their own."""
        return self.filter(caller="")


class PriceVersion(models.Model):
    """What an endpoint costs from a moment on. Append-only: the database refuses changes (migration 0002).

    The version in force at T is the one with the greatest (``effective_from``, id) not after T, so a later row corrects an earlier one
    and a dated change is a row that waits. ``cost`` and ``price`` are RateCards (types.py) in integer picos (1e-12 USD) per unit.
    """

    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="price_versions")
    caller = models.CharField(
        max_length=60, blank=True, default="", help_text="Whose price it is: organization:<id> or plan:<name>; empty is everybody's."
    )
    base = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="A caller's price: the public version whose cost it is made from.",
    )
    effective_from = models.DateTimeField()
    cost = models.JSONField(help_text="Rate card of what the provider charges us.")
    price = models.JSONField(help_text="Rate card of what the customer pays.")
    markup_basis_points = models.PositiveIntegerField(default=0, help_text="What made the price out of the cost: 500 is 5 %.")
    markup_floor_picos = models.PositiveBigIntegerField(default=0, help_text="The least addition per token that went with it.")
    markup_rule = models.ForeignKey(
        MarkupRule,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The rule that said so; empty for the installation's own rate.",
    )
    listed = models.JSONField(help_text="The price block as the data file has it, dollars as exact decimal text.")
    source = models.JSONField(default=dict)
    agreement = models.JSONField(default=dict)
    agreement_level = models.CharField(max_length=8, choices=AgreementLevel.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PriceVersionQuerySet.as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["endpoint", "-effective_from", "-id"], name="catalog_price_for_all", condition=Q(caller="")),
            models.Index(fields=["effective_from"], name="catalog_price_from"),
            models.Index(fields=["caller", "endpoint", "-id"], name="catalog_price_of_caller", condition=~Q(caller="")),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(caller="", base=None) | ~Q(caller="") & Q(base__isnull=False), name="catalog_price_base"),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_id} from {self.effective_from:%Y-%m-%d %H:%M}"


class PlanMember(models.Model):
    """An organization on a plan. Markup rules may name the plan."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="+")
    plan = models.SlugField(max_length=40)

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.plan}"


class PriceOverride(models.Model):
    """A reviewed price in the place of the data files', until they have a newer one or the operator ends it."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="price_overrides")
    listed = models.JSONField(help_text="The price block, as a data file would have it.")
    dated = models.DateField(help_text="Files whose row was seen later than this win.")
    source = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254)
    ended_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"price of endpoint {self.endpoint_id} of {self.dated}"


class SyncRule(models.Model):
    """What may be applied without a person: moves of one source up to a percentage, unless they are flagged."""

    source = models.CharField(max_length=80, help_text="genai-prices, models-dev or provider:<slug>.")
    provider = models.CharField(max_length=60, blank=True, default="", help_text="Slug; empty for every provider.")
    percent_max = models.DecimalField(max_digits=5, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.source} up to {self.percent_max} %"


class SyncRun(models.Model):
    """One comparison with a source. An unreadable source leaves a run with an error and no proposals."""

    source = models.CharField(max_length=80)
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=254)
    summary = models.JSONField(default=dict, help_text="How many findings of each kind.")
    error = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"{self.source} {self.started_at:%Y-%m-%d %H:%M}"


class PriceProposal(models.Model):
    """One difference that a source shows, for a person to apply or reject."""

    class Kind(models.TextChoices):
        """What differs; sync/comparison.py decides."""

        NEW = "new", "New at a provider"
        GONE = "gone", "No longer listed"
        MOVED = "moved", "Price moved"
        DISAGREES = "disagrees", "Source disagrees as before"

    class State(models.TextChoices):
        """What has become of it. ``HELD``: flagged, so no rule may apply it."""

        OPEN = "open", "To review"
        HELD = "held", "Held back, flagged"
        APPLIED = "applied", "Applied"
        REJECTED = "rejected", "Rejected"
        SUPERSEDED = "superseded", "A newer run says otherwise"

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="proposals")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    provider = models.CharField(max_length=60)
    key = models.CharField(max_length=200, blank=True, default="", help_text="The source's name for the model.")
    name = models.CharField(max_length=200)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, null=True, blank=True, related_name="price_proposals")
    moves = models.JSONField(default=list, help_text="[meter, tier edge, picos before, picos after], …")
    offered = models.JSONField(default=dict, help_text="Of what is new: price as a data file has it, context_length, max_output_tokens.")
    largest_percent = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    flags = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, db_index=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=254, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class ProviderCredential(models.Model):
    """A provider's key, sealed (accounts/secrets.py). Never shown, never logged; replaced, not edited."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    name = models.CharField(max_length=40, default="main", help_text="What the operator calls it; unique per provider.")
    sealed = models.BinaryField()
    weight = models.PositiveSmallIntegerField(default=1, help_text="Its share of the requests, beside the provider's other keys.")
    rpm_limit = models.PositiveIntegerField(default=0, help_text="Requests a minute at one endpoint; 0 is no limit.")
    tpm_limit = models.PositiveIntegerField(default=0, help_text="Tokens a minute at one endpoint; 0 is no limit.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254, help_text="E-mail, or 'system' for a command.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["provider", "name"], name="catalog_credential_name"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="catalog_credential_weight"),
        ]

    def __str__(self) -> str:
        return f"credential {self.name} of provider {self.provider_id}"


class CatalogLoad(models.Model):
    """One reading of the data files. The newest row's digest tells whether they have changed since."""

    digest = models.CharField(max_length=64, help_text="SHA-256 over names and contents of all data files and the loader's own settings.")
    loaded_at = models.DateTimeField(auto_now_add=True)
    summary = models.JSONField(default=dict, help_text="Counts of what was added, changed and withdrawn.")

    def __str__(self) -> str:
        return f"{self.loaded_at:%Y-%m-%d %H:%M} {self.digest[:12]}"


class CatalogSnapshot(models.Model):
    """A published catalog as the data plane reads it. The one with the greatest version is in force."""

    version = models.BigIntegerField(primary_key=True)
    published_at = models.DateTimeField()
    body = models.BinaryField(help_text="types.Snapshot as MessagePack.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the body without version and date: equal content, equal digest.")
    environment_digest = models.CharField(max_length=64, help_text="SHA-256 over what the settings add: who has credentials, demo mode.")
    rolled_back_to = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Set when this repeats an earlier version; holds automatic publication until an explicit one.",
    )
    model_count = models.PositiveIntegerField()
    endpoint_count = models.PositiveIntegerField()
    provider_count = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(version__gt=0), name="catalog_snapshot_version_positive"),
        ]

    def __str__(self) -> str:
        return f"version {self.version}"
