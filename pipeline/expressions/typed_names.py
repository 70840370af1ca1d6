"""The types of the names an expression may use, for the check alone.

CEL types the members of an object one by one only if the object is a protobuf message; so the check declares two
messages, and the evaluation, which is given maps, doesn't. What a map can do and a message can't
(``run.requester["name"]``, ``"output" in tasks.x``) isn't an error of the author's: :func:`is_of_messages` tells such
findings from the others.
"""

from typing import Any, Final

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2, wrappers_pb2

_PACKAGE: Final = "blockline"
_FIELD: Final = descriptor_pb2.FieldDescriptorProto


def plain_names() -> dict[str, Any]:
    """The names as the evaluation has them: `run` has two members only, so that a third is an error at the check."""
    types = cel.Type
    return {
        "run.input": types.DYN,
        "run.requester": types.Map(types.STRING, types.DYN),
        "tasks": types.Map(types.STRING, types.Map(types.STRING, types.DYN)),
        "asset": types.Map(types.STRING, types.DYN),
        "now": types.TIMESTAMP,
        "item": types.DYN,
    }


def typed_environment() -> Any:
    """An environment that compiles and never evaluates, in which members have their types."""
    names = plain_names()
    names["run.requester"] = cel.Type(f"{_PACKAGE}.Requester")
    names["tasks"] = cel.Type.Map(cel.Type.STRING, cel.Type(f"{_PACKAGE}.Task"))
    return cel.NewEnv(descriptor_pool=_pool(), variables=names)


def is_of_messages(message: str) -> bool:
    """Whether a finding of the typed environment speaks of its messages, which an author never sees."""
    return f"{_PACKAGE}." in message


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/names.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name],
    )
    requester = file.message_type.add(name="Requester")
    _add(requester, "name")
    # may be absent, and `has(run.requester.email) ? run.requester.email : null` is a way to say so: a text or null
    _add(requester, "email", ".google.protobuf.StringValue")
    _add(requester, "groups").label = _FIELD.LABEL_REPEATED
    task = file.message_type.add(name="Task")
    _add(task, "status")
    _add(task, "output", ".google.protobuf.Value")  # any type, to CEL
    pool = descriptor_pool.DescriptorPool()
    for known in (struct_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, message_type: str | None = None
) -> descriptor_pb2.FieldDescriptorProto:
    kind = _FIELD.TYPE_STRING if message_type is None else _FIELD.TYPE_MESSAGE
    return message.field.add(
        name=name, number=len(message.field) + 1, label=_FIELD.LABEL_OPTIONAL, type=kind, type_name=message_type
    )
