"""Reading bills: every provider's columns, a map for others, exact decimals, and errors that name the line."""

import datetime as dt
from decimal import Decimal

import pytest

from billing.reconciliation import bills
from billing.reconciliation.bills import PRESETS, BadBill, Charge, ColumnMap

DAY = dt.date(2026, 5, 4)

FILES = {
    "openai": "start_time,end_time,start_time_iso,amount_value,amount_currency,line_item\n"
    '1777852800,1777939200,2026-05-04T00:00:00+00:00,0.0000000123456,usd,"gpt-4o-mini-2024-07-18, input"\n',
    "anthropic": "usage_date_utc,model,workspace,token_type,cost_usd\n2026-05-04,claude-sonnet-4-5-20250929,Default,output,12.5\n",
    "openrouter": "date,model,model_permaslug,usage,requests\n2026-05-04,openai/gpt-4.1,openai/gpt-4.1-2025-04-14,0.015,5\n",
    "google": 'Usage start date,SKU description,Cost ($)\n2026-05-04,"Gemini 2.5 Flash Input","1,234.56"\n',
}
READ = {
    "openai": Charge(DAY, "gpt-4o-mini-2024-07-18", Decimal("0.0000000123456")),
    "anthropic": Charge(DAY, "claude-sonnet-4-5-20250929", Decimal("12.5")),
    "openrouter": Charge(DAY, "openai/gpt-4.1-2025-04-14", Decimal("0.015")),
    "google": Charge(DAY, "Gemini 2.5 Flash Input", Decimal("1234.56")),
}


@pytest.mark.parametrize("provider", PRESETS)
def test_each_providers_own_export_is_read(provider):
    assert bills.read_csv(FILES[provider], PRESETS[provider]) == [READ[provider]]


def test_any_other_file_is_read_by_naming_its_columns_and_its_unit():
    columns = ColumnMap(("When",), ("SKU",), ("Cents",), Decimal("0.01"))

    assert bills.read_csv("\ufeffSKU,Cents,When\nm,123.45,2026-05-04T23:30:00-05:00\n\n", columns) == [
        Charge(dt.date(2026, 5, 5), "m", Decimal("1.2345"))
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column for the day: looked for date; the file has none"),
        ("date,cost\n", "no column for the model"),
        ("date,model,cost\n", "has no lines"),
        ("date,model,cost\n2026-05-04,m,1\n2026-13-01,m,1\n", "line 3: '2026-13-01' is not a day"),
        ("date,model,cost\n2026-05-04,m,one\n", "line 2: 'one' is not an amount"),
        ("date,model,cost\n2026-05-04,m,NaN\n", "line 2: 'NaN' is not an amount"),
        ('date,model,cost\n2026-05-04,m,"12,50"\n', "line 2: '12,50' has a comma that is not before thousands"),
        ('date,model,cost\n2026-05-04,m,"0,123"\n', "line 2: '0,123' has a comma that is not before thousands"),
    ],
)
def test_what_cannot_be_read_names_its_place(text, words):
    with pytest.raises(BadBill, match=words):
        bills.read_csv(text, ColumnMap(("date",), ("model",), ("cost",)))


def test_a_day_and_model_are_summed_exactly_and_rounded_once():
    third = Charge(DAY, "m", Decimal("0.0000000003"))

    assert bills.sum_up([third] * 5) == {(DAY, "m"): 2}  # 1.5 nanos, half up; 0 if each were rounded
    with pytest.raises(BadBill, match="amounts to"):
        bills.sum_up([Charge(DAY, "m", Decimal(10) ** 12)])


def test_their_names_find_our_models_with_or_without_maker_and_date():
    ours = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-flash"]

    assert bills.match_models(["gpt-4o-mini-2024-07-18", "claude-sonnet-4-5-20250929", "google/gemini-2.5-flash", "dall-e-3"], ours) == {
        "gpt-4o-mini-2024-07-18": "openai/gpt-4o-mini",
        "claude-sonnet-4-5-20250929": "anthropic/claude-sonnet-4.5",
        "google/gemini-2.5-flash": "google/gemini-2.5-flash",
        "dall-e-3": "dall-e-3",
    }
