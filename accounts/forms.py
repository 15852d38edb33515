"""Forms of people and organizations."""

from django import forms

from accounts.organizations import NAME_MAX


class OrganizationForm(forms.Form):
    """The name of an organization."""

    name = forms.CharField(max_length=NAME_MAX, help_text="Keys, credit and requests belong to it. You can rename it later.")
