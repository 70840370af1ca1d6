"""What METADATA asks of a store: one suite over every one of them."""

import contextlib
from collections.abc import Callable

import pytest

from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.port import Entity, StoreRefusedError
from tests.contract.store.conftest import Story, World

Tell = Callable[[Story], None]


async def table(world: World, **attributes: object) -> Entity:
    name = f"{world.prefix}orders"
    write = EntityWrite(type_name="Table", qualified_name=name, attributes={"name": "orders", **attributes})
    guid = (await world.store.upsert([write]))[name]
    return (await world.store.get([guid]))[guid]


def update(entity: Entity, **parts: object) -> EntityWrite:
    given = {"type_name": "Table", "qualified_name": entity.qualified_name, "guid": entity.guid}
    return EntityWrite.model_validate({"attributes": {"name": "orders"}, **given, **parts})


def test_classifications_are_made_so_again_and_again(tell: Tell) -> None:
    async def story(world: World) -> None:
        entity = await table(world)
        for _ in range(2):
            await world.store.classify(entity.guid, [Tag(type_name="PII", propagate=False)], ["Confidential"])
            found = (await world.store.get([entity.guid]))[entity.guid]
            assert [(tag.type_name, tag.propagate) for tag in found.tags] == [("PII", False)]
            assert found.classifications == ("PII",)
        await world.store.classify(entity.guid, [Tag(type_name="PII", propagate=True)], [])
        for _ in range(2):
            await world.store.classify(entity.guid, [Tag(type_name="Confidential")], ["PII"])
            found = (await world.store.get([entity.guid]))[entity.guid]
            assert [tag.type_name for tag in found.tags] == ["Confidential"]
        with pytest.raises(StoreRefusedError):
            await world.store.classify(entity.guid, [Tag(type_name="BlocklineNoSuchTag")], [])

    tell(story)


def test_custom_attributes_and_unset_values(tell: Tell) -> None:
    async def story(world: World) -> None:
        entity = await table(world, description="old", ownerUsers=["ann"])
        assert dict(entity.custom_attributes) == {}
        await world.store.upsert([update(entity, unset=("description",), custom_attributes={"team": "sales"})])
        found = (await world.store.get([entity.guid]))[entity.guid]
        assert "description" not in found.attributes
        assert found.attributes["ownerUsers"] == ["ann"]
        assert dict(found.custom_attributes) == {"team": "sales"}
        await world.store.upsert([update(entity, custom_attributes={})])
        assert dict((await world.store.get([entity.guid]))[entity.guid].custom_attributes) == {}

    tell(story)


def test_an_update_of_an_asset_that_never_was_makes_none(tell: Tell) -> None:
    async def story(world: World) -> None:
        entity = await table(world)
        ghost = update(entity).model_copy(update={"guid": "00000000-0000-4000-8000-000000000000"})
        # A real Atlas finds the entity by its qualified name then; the others refuse. The sink has read it before.
        with contextlib.suppress(StoreRefusedError):
            await world.store.upsert([ghost])
        assert await world.store.get([str(ghost.guid)]) == {}

    tell(story)


def test_a_type_says_what_its_entities_have(tell: Tell) -> None:
    async def story(world: World) -> None:
        kind = await world.store.kind("Table")
        assert kind is not None
        assert kind.attributes["rowCount"] == "long"
        assert kind.attributes["ownerUsers"] == "array<string>"
        assert {"Asset", "DataSet", "Referenceable"} <= kind.super_types
        assert {"name", "qualifiedName"} <= kind.mandatory
        assert await world.store.kind("BlocklineNoSuchType") is None
        assert await world.store.kind("PII", is_fresh=True) is None

    tell(story)
