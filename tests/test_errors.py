"""Messages name the nearest valid choice, or list the choices within reason."""

from kick.errors import nearest


def test_a_near_miss_is_named_and_a_long_list_is_cut() -> None:
    assert nearest("magnitud", ["magnitude", "rtn"]) == "Did you mean 'magnitude'?"
    assert nearest("x", ["rtn", "awq"]) == "Valid choices: awq, rtn."
    assert nearest("?", [f"model-{number:03}" for number in range(500)]).endswith(", model-099 and 400 more.")
