"""The base of every record of kick."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable value. An unknown field is an error, so a stored record is read as it was meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
