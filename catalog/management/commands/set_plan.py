"""manage.py set_plan: put an organization on a plan."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Organization
from catalog import plans
from catalog.plans import BadPlan
from catalog.publication import BrokenCatalog


class Command(BaseCommand):
    """What the plan costs is said by ``set_markup --plan``."""

    help = "Put an organization on a plan, whose markup rules then hold for it; 'none' takes it off."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take who and what."""
        parser.add_argument("organization", help="its public id, org_…")
        parser.add_argument("plan", help="the plan's name, or none")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Assign the plan and publish."""
        organization = Organization.objects.filter(public_id=options["organization"]).first()
        if organization is None:
            raise CommandError(f"there is no organization {options['organization']!r}")
        plan = "" if options["plan"] == "none" else options["plan"]
        try:
            plans.assign(organization=organization, plan=plan, by=None)
        except BadPlan as error:
            raise CommandError(str(error)) from error
        except BrokenCatalog as error:
            raise CommandError(f"The catalog has errors and nothing has changed: {error}") from error
        self.stdout.write(f"{organization} is on {plan or 'no plan'}.")
