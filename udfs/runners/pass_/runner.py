"""PASS: gives back what it is given."""

from typing import ClassVar

from pydantic import BaseModel, Field, JsonValue

from pipeline.blocks.contract import Arguments, Attempt, Runner, Succeeded, ValueOutput, succeeded


class PassArguments(Arguments):
    """The value to hand on."""

    output: JsonValue = Field(default=None, title="Output", description="Any JSON value; it becomes the task's output")


class PassRunner(Runner[PassArguments, ValueOutput]):
    """Ends SUCCESS with its argument as output; repeating it has no effect at all."""

    arguments_type: ClassVar[type[Arguments]] = PassArguments
    output_type: ClassVar[type[BaseModel]] = ValueOutput

    async def run(self, arguments: PassArguments, attempt: Attempt) -> Succeeded[ValueOutput]:
        """See :class:`pipeline.blocks.contract.Runner`."""
        del attempt  # nothing of it matters here
        return succeeded(ValueOutput(arguments.output))
