"""The base of pydantic's models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A model whose validator is built when it is first used: a function's modules declare many
    more models than one request needs, and to build each at the import took half of a cold start.
    """

    model_config = ConfigDict(defer_build=True)
