"""Which columns of a table hold the text and the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa

from tamis.data.ids import is_text
from tamis.errors import PoolError

ImageForm: TypeAlias = Literal["path", "bytes", "struct"]

# The names that are looked for when none is given: more than one of them is an error.
TEXT_NAMES = ("text", "caption", "TEXT")
IMAGE_NAMES = ("image", "image_path", "path")


@dataclass(frozen=True)
class SampleColumns:
    """The columns of a table that are samples rather than metadata.

    Attributes:
        text: name of the text column, None where there is none.
        image: name of the image column, None where there is none.
        form: what the image column holds: a "path", the encoded "bytes", or a "struct" of both,
            `{bytes, path}`, as Hugging Face datasets store images.
    """

    text: str | None = None
    image: str | None = None
    form: ImageForm = "path"

    @property
    def names(self) -> list[str]:
        """Those that there are."""
        return [name for name in (self.text, self.image) if name is not None]

    def describe(self) -> str:
        """Return them in a few words."""
        image = None if self.image is None else f"images in {self.image} ({self.form})"
        text = None if self.text is None else f"texts in {self.text}"
        return " and ".join(filter(None, (image, text))) or "neither images nor texts"


def sample_columns(
    schema: pa.Schema, where: str, *, text: str | None, image: str | None, images: bool = True
) -> SampleColumns:
    """Choose the text and the image column of a table.

    Args:
        schema: of the table.
        where: the file, for messages.
        text, image: the names to take; None looks for TEXT_NAMES and IMAGE_NAMES.
        images: whether an image column is looked for when none is named.

    Raises:
        PoolError: a named column is absent or of a wrong type, or several names fit.
    """
    texts = [name for name in TEXT_NAMES if name in schema.names and _text(schema, name)]
    pictures = [name for name in IMAGE_NAMES if name in schema.names and _form(schema, name)]
    chosen = _choose(texts, text, "text", where, schema)
    if chosen is not None and not _text(schema, chosen):
        raise PoolError(
            f"{where}: expected column {chosen!r} to hold text, got {schema.field(chosen).type}; "
            "name another one with text="
        )
    picture = _choose(pictures if images else [], image, "image", where, schema)
    form = _form(schema, picture) if picture is not None else "path"
    if form is None:
        raise PoolError(
            f"{where}: expected column {picture!r} to hold paths, encoded images or structs of "
            f"bytes and path, got {schema.field(picture).type}; name another one with image="
        )
    return SampleColumns(chosen, picture, form)


def _choose(
    found: Sequence[str], asked: str | None, side: str, where: str, schema: pa.Schema
) -> str | None:
    if asked is not None:
        if asked not in schema.names:
            names = ", ".join(schema.names)
            raise PoolError(f"{where}: expected a column {asked!r}, it has {names}")
        return asked
    if len(found) > 1:
        raise PoolError(f"{where}: both {found[0]} and {found[1]} may be the {side}; name one "
                        f"with {side}=")  # fmt: skip
    return found[0] if found else None


def _text(schema: pa.Schema, name: str) -> bool:
    kind = _plain(schema.field(name).type)
    return is_text(kind) or _binary(kind)


def _form(schema: pa.Schema, name: str) -> ImageForm | None:
    kind = _plain(schema.field(name).type)
    if is_text(kind):
        return "path"
    if _binary(kind):
        return "bytes"
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        return "struct"
    return None


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
