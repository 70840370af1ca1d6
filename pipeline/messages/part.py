"""What every piece of a message is built on."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of a message: frozen, nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
