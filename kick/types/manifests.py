"""The list of the files of a results folder, and the origin that it gives them."""

from typing import Literal

from pydantic import Field

from kick.types.base import Record


class ListedFile(Record):
    """A file of a results folder."""

    sha256: str
    bytes: int


class Manifest(Record):
    """The files of a results folder at one time."""

    # The version of kick that wrote the manifest.
    kick: str
    # ISO 8601, UTC.
    written: str
    # Path relative to the results folder, with "/" -> file.
    files: dict[str, ListedFile] = Field(default_factory=dict)


class Origin(Record):
    """Who vouches for the files of a results folder.

    `signed`: the holder of a key that the reader trusts vouches for exactly these files. `checksummed`: they are the
    files of a manifest, whoever wrote it. `unknown`: there is no manifest, or the files are not those that it lists.
    """

    kind: Literal["signed", "checksummed", "unknown"]
    # The id of the key, or why the origin is not of a better kind.
    note: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.note})"
