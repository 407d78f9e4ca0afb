"""Numbers as words, ordinals, Roman numerals, units and dates: notations of one value become one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
CARDINALS = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * at for at, word in enumerate(_TENS, 2)},
}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
ORDINALS = {
    **{f"{word}th": value for word, value in CARDINALS.items() if word not in _TENS},
    **{f"{word[:-1]}ieth": CARDINALS[word] for word in _TENS},
    **_IRREGULAR,
    "hundredth": 100,
    "thousandth": 1000,
}
UNITS = {
    form: unit
    for unit, forms in {
        "kilometre": "km kms kilometre kilometres kilometer kilometers",
        "metre": "m metre metres meter meters",
        "centimetre": "cm cms centimetre centimetres centimeter centimeters",
        "millimetre": "mm millimetre millimetres millimeter millimeters",
        "mile": "mi mile miles",
        "foot": "ft foot feet",
        "inch": "in inch inches",
        "yard": "yd yds yard yards",
        "kilogram": "kg kgs kilogram kilograms kilogramme kilogrammes",
        "pound": "lb lbs pound pounds",
        "ounce": "oz ounce ounces",
        "litre": "litre litres liter liters",
        "hour": "hr hrs hour hours",
        "minute": "min mins minute minutes",
        "second": "sec secs second seconds",
        "kilometres per hour": "kmh kph",
        "miles per hour": "mph",
        "year": "yr yrs year years",
    }.items()
    for form in forms.split()
}
# Units that are also words are read as units only if they stand alone after the number, never glued to it.
_GLUED = frozenset({"km", "kms", "cm", "mm", "mi", "ft", "kg", "kgs", "lb", "lbs", "oz", "kmh", "kph", "mph"})
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WITH_UNIT = re.compile(rf"(-?\d+(?:\.\d+)?)({'|'.join(sorted(_GLUED, key=len, reverse=True))})")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_ROMAN = re.compile(r"(?=[ivxlcdm])m{0,3}(?:cm|cd|d?c{0,3})(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
_ROMAN_PARTS = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
LARGEST_ROMAN = 40

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}
_MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = [
    re.compile(rf"(?<!\w){pattern}(?!\w)")
    for pattern in (
        rf"{_DAY}(?:\s+of)?\s+{_MONTH},?\s+{_YEAR}",
        rf"{_MONTH}\s+(?:the\s+)?{_DAY},?\s+{_YEAR}",
        rf"{_YEAR},?\s+{_MONTH}\s+{_DAY}",
        r"(?P<year>\d{4})[-/.](?P<first>\d{1,2})[-/.](?P<last>\d{1,2})",
        r"(?P<first>\d{1,2})[-/.](?P<last>\d{1,2})[-/.](?P<year>\d{4})",
        rf"{_MONTH},?\s+{_YEAR}",
        rf"{_DAY}(?:\s+of)?\s+{_MONTH}",
        rf"{_MONTH}\s+(?:the\s+)?{_DAY}",
    )
]


@dataclass(frozen=True)
class Date:
    """A day, a month of a year, or a day of any year. At least two of the three fields are known."""

    year: int | None
    month: int
    day: int | None

    def tells(self, other: "Date") -> bool:
        """Return whether this date says everything that *other* says."""
        return (
            self.month == other.month
            and other.year in (None, self.year)
            and (other.day is None or other.day == self.day)
        )


def split_unit(word: str) -> list[str]:
    """Return "5km" as ["5", "km"]; any other word as itself."""
    match = _WITH_UNIT.fullmatch(word)
    return list(match.groups()) if match else [word]


def is_number(word: str) -> bool:
    """Return whether a word of the normal form is a number."""
    return _NUMBER.fullmatch(word) is not None


def join_numbers(forms: Sequence[str]) -> list[tuple[str, int, int]]:
    """Read the numbers, ordinals, per cent and units among folded words.

    Returns:
        The words that are left, each with the range (start, stop) of the given words that it stands for.
    """
    result: list[tuple[str, int, int]] = []
    at = 0
    while at < len(forms):
        form, stop = _number_at(forms, at)
        previous = result[-1][0] if result else ""
        if is_number(previous) and form in UNITS:
            result.append((UNITS[form], at, stop))
        elif is_number(previous) and form == "percent":
            pass
        elif is_number(previous) and form == "per" and forms[at + 1 : at + 2] == ["cent"]:
            stop = at + 2
        else:
            result.append((form, at, stop))
        at = stop
    return result


def _number_at(forms: Sequence[str], at: int) -> tuple[str, int]:
    """Return the number that begins at a position, as digits, and where it ends; else the word itself."""
    total, group, stop, ordinal = 0, None, at, False
    while stop < len(forms) and not ordinal:
        word = forms[stop]
        if word == "and" and group is not None and stop > at and forms[stop - 1] in SCALES:
            following = forms[stop + 1] if stop + 1 < len(forms) else ""
            if following not in CARDINALS and following not in ORDINALS:
                break
            stop += 1
            continue
        value, ordinal = (CARDINALS.get(word), False) if word not in ORDINALS else (ORDINALS[word], True)
        if word in SCALES and group is not None:
            total, group = (total, group * 100) if word == "hundred" else (total + group * SCALES[word], 0)
        elif word == "hundred" and group is None:
            group = 100
        elif value is not None and _joins(group, value, forms, stop, at):
            year = group is not None and 10 <= group < 100 <= 10 * value
            group = value if group is None else group * 100 + value if year else group + value
        elif group is None and stop == at and _NUMBER.fullmatch(word):
            if forms[stop + 1 : stop + 2] and forms[stop + 1] in SCALES:
                return _scaled(word, forms[stop + 1]), stop + 2
            return word, stop + 1
        else:
            ordinal = False
            break
        stop += 1
    if stop == at or group is None:
        return forms[at], at + 1
    number = total + group
    return (f"{number}{_suffix(number)}" if ordinal else str(number)), stop


def _joins(group: int | None, value: int, forms: Sequence[str], stop: int, start: int) -> bool:
    """Return whether a number word goes on with the number before it: twenty-one, one hundred five, nineteen ten."""
    if group is None or stop == start:
        return True
    if forms[stop - 1] in SCALES or forms[stop - 1] == "and":
        return value < 100
    if group % 10 == 0 and group % 100 >= 20 and 0 < value < 10:
        return True
    return 10 <= group < 100 and 10 <= value < 100


def _scaled(number: str, scale: str) -> str:
    whole, _, fraction = number.partition(".")
    power = len(str(SCALES[scale])) - 1
    if len(fraction) > power:
        return number
    digits = f"{whole}{fraction.ljust(power, '0')}"
    sign = "-" if digits.startswith("-") else ""
    return sign + (digits.lstrip("-").lstrip("0") or "0")


def _suffix(number: int) -> str:
    if 10 <= number % 100 <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def numeral_forms(word: str) -> tuple[str, ...]:
    """Return a word and its other notations among digits, ordinals and Roman numerals up to 40: 8, 8th, viii."""
    value: int | None = None
    if word.isdecimal() and word.isascii():
        value = int(word)
    elif match := _ORDINAL.fullmatch(word):
        value = int(match.group(1))
    elif _ROMAN.fullmatch(word):
        value = _from_roman(word)
    if value is None or not 0 < value <= LARGEST_ROMAN:
        return (word,)
    return tuple(dict.fromkeys((word, str(value), f"{value}{_suffix(value)}", _to_roman(value))))


def _from_roman(word: str) -> int:
    value, rest = 0, word
    for worth, letters in _ROMAN_PARTS:
        while rest.startswith(letters):
            value, rest = value + worth, rest[len(letters) :]
    return value


def _to_roman(value: int) -> str:
    result = ""
    for worth, letters in _ROMAN_PARTS:
        while value >= worth:
            result, value = result + letters, value - worth
    return result


def dates(text: str) -> list[Date]:
    """Return the dates in *text*, in any order and notation; a numeric date that reads two ways gives both."""
    return [date for _, readings in _date_matches(text) for date in readings]


def whole_date(text: str) -> list[Date]:
    """Return the readings of *text* as one date and nothing else; none if it is more or less than that."""
    bare = re.sub(r"^\W*(?:on\s+|the\s+)*(?:\w+day,?\s+)?(?:the\s+)?|\W+$", "", text.casefold())
    return [date for matched, readings in _date_matches(bare) if matched == bare for date in readings]


def _date_matches(text: str) -> list[tuple[str, list[Date]]]:
    rest = text.casefold()
    result = []
    for pattern in _DATES:
        for match in list(pattern.finditer(rest)):
            readings = _readings(match.groupdict())
            if readings:
                result.append((match.group(), readings))
                rest = rest[: match.start()] + "\0" * len(match.group()) + rest[match.end() :]
    return result


def _readings(fields: dict[str, str]) -> list[Date]:
    year = int(fields["year"]) if fields.get("year") else None
    if "first" in fields:
        first, last = int(fields["first"]), int(fields["last"])
        orders = {(first, last), (last, first)}
        return [
            Date(year, month, day) for month, day in sorted(orders) if 1 <= month <= 12 and 1 <= day <= 31
        ]
    day = int(fields["day"]) if fields.get("day") else None
    return [Date(year, MONTHS[fields["month"]], day)] if day is None or 1 <= day <= 31 else []


def numeral_variants(forms: Sequence[str], limit: int = 16) -> list[tuple[str, ...]]:
    """Return a name with the numerals after its first word in every notation: henry 8, henry 8th, henry viii."""
    options = [(forms[0],), *(numeral_forms(form) for form in forms[1:])] if forms else []
    return [tuple(variant) for variant, _ in zip(product(*options), range(limit), strict=False)]
