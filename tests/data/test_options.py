import pytest

from kick.data.options import refers_to_options


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which of the following is a metal?", ["copper", "ice"]),
        ("Which of these is a metal?", ["copper", "ice"]),
        ("Which one of those lakes is deep?", ["Odde", "Vin"]),
        ("Which statement is true?", ["It sails.", "It rests."]),
        ("A ferry is", ["a ship", "a boat", "both A and B", "neither"]),
        ("A ferry is", ["a ship", "a boat", "Both of these", "a car"]),
        ("A ferry is", ["a ship", "a boat", "all of the above", "a car"]),
        ("A ferry is", ["a ship", "a boat", "None of the above.", "a car"]),
        ("A ferry is", ["I", "II", "I and II", "I, II, and III"]),
        ("A ferry is", ["a ship", "a boat", "Both", "Neither"]),
        ("Pick the answer given below", ["a ship", "a boat"]),
    ],
)
def test_an_item_that_needs_its_list_is_found(question: str, options: list[str]) -> None:
    assert refers_to_options(question, options)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which metal is a kettle made of?", ["copper", "ice"]),
        ("Which is the largest lake north of Vinsted?", ["Odde", "Vin"]),
        ("Both banks of the river belong to", ["Odde", "Vin and Odde"]),
        ("What is above the door?", ["a heron", "nothing at all"]),
        ("Vitamin A and vitamin B are", ["both symmetric and antisymmetric", "vitamins"]),
        ("Statement 1 | Ice floats. Statement 2 | Ice sinks.", ["True, True", "True, False"]),
    ],
)
def test_an_item_that_stands_alone_is_kept(question: str, options: list[str]) -> None:
    assert not refers_to_options(question, options)
