"""What a METADATA task is told: which asset, what to change on it, what to read of it."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from pipeline.blocks.contract import Arguments, Output, misfit
from pipeline.core.limits import CHANGED_ATTRIBUTES_MAX, CHANGED_VALUES_MAX

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=1024)]
Names = Annotated[list[Text], Field(max_length=CHANGED_VALUES_MAX)]
Values = Annotated[dict[Name, JsonValue], Field(max_length=CHANGED_ATTRIBUTES_MAX)]
Lists = Annotated[
    dict[Name, Annotated[list[JsonValue], Field(max_length=CHANGED_VALUES_MAX)]],
    Field(max_length=CHANGED_ATTRIBUTES_MAX),
]
_EITHER = "name the asset by guid, or by typeName and qualifiedName"


class AssetName(Arguments):
    """An asset by its guid, or by type and qualified name."""

    guid: Text | None = Field(default=None, title="Guid")
    type_name: Name | None = Field(default=None, alias="typeName", title="Type")
    qualified_name: Text | None = Field(default=None, alias="qualifiedName", title="Qualified name")

    @model_validator(mode="before")
    @classmethod
    def _is_one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            by_guid = value.get("guid") is not None
            parts = [value.get(name) is not None for name in ("typeName", "qualifiedName")]
            if by_guid is any(parts) or (not by_guid and not all(parts)):
                raise misfit(_EITHER)
        return value


class Some(Arguments):
    """A list as it is to be, or what to put into it and take out of it."""

    add: Names = Field(default_factory=list, title="Add")
    remove: Names = Field(default_factory=list, title="Remove")
    set: Names | None = Field(default=None, title="Set to", description="Instead of what is there")


class Owners(Arguments):
    """Whose asset it is."""

    users: Some | None = Field(default=None, title="Users")
    groups: Some | None = Field(default=None, title="Groups")


class Certificate(Arguments):
    """How far the asset can be relied on."""

    status: Literal["DRAFT", "VERIFIED", "DEPRECATED"] | None = Field(title="Status", description="null takes it away")
    message: str | None = Field(default=None, title="Message", max_length=5_000)


class Terms(Arguments):
    """Glossary terms, by guid or qualified name."""

    add: Names = Field(default_factory=list, title="Add")
    remove: Names = Field(default_factory=list, title="Remove")


CustomName = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,50}$")]


class CustomAttributes(Arguments):
    """Free names and texts on one asset."""

    set: Annotated[
        dict[CustomName, Annotated[str, Field(max_length=5_000)]], Field(max_length=CHANGED_ATTRIBUTES_MAX)
    ] = Field(default_factory=dict, title="Set")
    remove: Annotated[list[CustomName], Field(max_length=CHANGED_ATTRIBUTES_MAX)] = Field(
        default_factory=list, title="Remove"
    )


class Classification(Arguments):
    """A classification with its attributes."""

    type_name: Name = Field(alias="typeName", title="Classification")
    attributes: Values = Field(default_factory=dict, title="Attributes")
    propagate: bool | None = Field(default=None, title="Propagate", description="To what depends on the asset")


class Classifications(Arguments):
    """Classifications to put on the asset, or take off it."""

    add: Annotated[list[Name | Classification], Field(max_length=CHANGED_VALUES_MAX)] = Field(
        default_factory=list, title="Add"
    )
    remove: Annotated[list[Name], Field(max_length=CHANGED_VALUES_MAX)] = Field(default_factory=list, title="Remove")


class MetadataArguments(Arguments):
    """What to change on which asset, and what to read of it."""

    asset: AssetName | None = Field(
        default=None, title="Asset", description="By guid, or by typeName and qualifiedName; the run's own by default"
    )
    set: Values = Field(
        default_factory=dict, title="Set", description="Attributes and their values; null takes a value away"
    )
    add: Lists = Field(default_factory=dict, title="Add", description="Values to add to attributes that are lists")
    remove: Lists = Field(
        default_factory=dict, title="Remove", description="Values to take out of attributes that are lists"
    )
    description: str | None = Field(default=None, title="Description", max_length=50_000)
    owners: Owners | None = Field(default=None, title="Owners", description="users and groups: add, remove or set")
    certificate: Certificate | None = Field(default=None, title="Certificate", description="status and message")
    terms: Terms | None = Field(default=None, title="Terms", description="Glossary terms to add and remove")
    custom_attributes: CustomAttributes | None = Field(
        default=None, alias="customAttributes", title="Custom attributes", description="set and remove"
    )
    classifications: Classifications | None = Field(
        default=None, title="Classifications", description="add (by name, or with attributes and propagate) and remove"
    )
    expect: Values = Field(
        default_factory=dict,
        title="Expect",
        description="Values that attributes must have (null: none); else nothing is changed (Metadata.Conflict)",
    )
    read: Annotated[list[Name], Field(max_length=CHANGED_VALUES_MAX)] = Field(
        default_factory=list, title="Read", description="Attributes whose values become the output, as they are now"
    )


class MetadataOutput(Output):
    """The asset, and with ``read`` its values before the change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    guid: str | None = None
    type_name: str | None = Field(default=None, alias="typeName")
    qualified_name: str | None = Field(default=None, alias="qualifiedName")
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    classifications: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    custom_attributes: dict[str, str] = Field(default_factory=dict, alias="customAttributes")
    terms: list[str] = Field(default_factory=list)
