"""Other spellings of one name: countries, streets, languages, titles in encyclopaedias, numerals.

pycountry and babel know formal names but neither "USA" nor "Britain", and take ten megabytes each, so the countries
that English texts name in several ways are a table here. No alias of another place is in it: "England" is not "UK".
"""

import re
from functools import lru_cache

from kick.metrics.numbers import numeral_variants
from kick.metrics.words import ARTICLES, tokens

COUNTRIES = (
    ("United States", "United States of America", "USA", "US", "America", "U.S. of A.", "the States"),
    (
        "United Kingdom",
        "UK",
        "Great Britain",
        "Britain",
        "United Kingdom of Great Britain and Northern Ireland",
    ),
    ("Russia", "Russian Federation"),
    ("Soviet Union", "USSR", "Union of Soviet Socialist Republics"),
    ("China", "People's Republic of China", "PRC"),
    ("Taiwan", "Republic of China", "Chinese Taipei"),
    ("South Korea", "Republic of Korea", "ROK"),
    ("North Korea", "Democratic People's Republic of Korea", "DPRK"),
    ("Germany", "Federal Republic of Germany", "Deutschland"),
    ("West Germany", "FRG"),
    ("East Germany", "German Democratic Republic", "GDR"),
    ("Netherlands", "Holland", "Kingdom of the Netherlands"),
    ("Czech Republic", "Czechia"),
    ("Ivory Coast", "Côte d'Ivoire"),
    ("Myanmar", "Burma"),
    ("Iran", "Islamic Republic of Iran", "Persia"),
    ("Vietnam", "Viet Nam"),
    ("Turkey", "Türkiye", "Turkiye"),
    ("Eswatini", "Swaziland"),
    ("North Macedonia", "Republic of Macedonia"),
    ("Cape Verde", "Cabo Verde"),
    ("East Timor", "Timor-Leste"),
    ("Sri Lanka", "Ceylon"),
    ("Thailand", "Siam"),
    ("United Arab Emirates", "UAE"),
    ("Democratic Republic of the Congo", "DR Congo", "DRC", "Zaire", "Congo-Kinshasa"),
    ("Republic of the Congo", "Congo-Brazzaville"),
    ("Vatican City", "Holy See", "Vatican"),
    ("Ireland", "Republic of Ireland", "Éire"),
    ("Bosnia and Herzegovina", "Bosnia"),
    ("Trinidad and Tobago", "Trinidad & Tobago"),
    ("New Zealand", "Aotearoa"),
    ("India", "Republic of India"),
    ("France", "French Republic"),
    ("Italy", "Italian Republic"),
    ("Brazil", "Brasil"),
    ("Mexico", "United Mexican States"),
    ("Egypt", "Arab Republic of Egypt"),
    ("Syria", "Syrian Arab Republic"),
    ("Bolivia", "Plurinational State of Bolivia"),
    ("Venezuela", "Bolivarian Republic of Venezuela"),
    ("Tanzania", "United Republic of Tanzania"),
    ("Moldova", "Republic of Moldova"),
    ("Laos", "Lao PDR"),
    ("Brunei", "Brunei Darussalam"),
    ("European Union", "EU"),
    ("United Nations", "UN"),
)
# Encyclopaedias tell titles apart in brackets: Bang (song). An apostrophe may part words: Jay'Ed.
_IN_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")
_APOSTROPHE = re.compile(r"(?<=\w\w)['\u2018\u2019](?=\w\w)")
# A street may end in its short form.
_LAST = (("saint", "street"), ("st", "street"), ("ave", "avenue"), ("rd", "road"), ("mt", "mountain"))


@lru_cache(maxsize=1)
def _countries() -> dict[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    groups: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {}
    for names in COUNTRIES:
        forms = tuple(dict.fromkeys(tuple(tokens(name)) for name in names))
        groups.update(dict.fromkeys(forms, forms))
    return groups


@lru_cache(maxsize=2**16)
def variants(alias: str) -> tuple[tuple[str, ...], ...]:
    """Return the ways to write *alias*, each as words of the normal form, the alias itself first; () if it is empty."""
    forms = tuple(tokens(alias))
    if not forms:
        return ()
    result = {forms: None, **dict.fromkeys(_countries().get(forms, (forms,)))}
    for text in (_IN_BRACKETS.sub("", alias), _APOSTROPHE.sub(" ", alias)):
        other = tuple(tokens(text))
        if other and not ARTICLES.issuperset(other):
            result[other] = None
    if len(forms) > 1 and forms[-1] == "language":
        result[forms[:-1]] = None
    for short, long in _LAST:
        for ending, replacement in ((short, long), (long, short)):
            if len(forms) > 1 and forms[-1] == ending:
                result[(*forms[:-1], replacement)] = None
    result.update(dict.fromkeys(numeral_variants(forms)))
    return tuple(result)


def is_country(forms: tuple[str, ...]) -> bool:
    """Return whether words of the normal form are a country of the table."""
    return forms in _countries()
