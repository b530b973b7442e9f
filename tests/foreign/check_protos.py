"""Holds every message, field and enum value of `proto/google` against the descriptors in Google's own packages.

usage: check_protos.py

Exits 0 when they agree; 1 when they do not; 3 when `google-cloud-bigquery-storage`, `google-cloud-pubsub` or
`grpcio-tools` is not installed.
"""

import pathlib
import sys
import tempfile

try:
    import google.cloud.bigquery_storage_v1.types
    import google.pubsub_v1.types
    import grpc_tools
    import proto
    from google.protobuf import descriptor_pb2
    from google.rpc import error_details_pb2, status_pb2
    from grpc_tools import protoc
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(3)

root = pathlib.Path(__file__).resolve().parents[2] / "proto"
well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
compiled = pathlib.Path(tempfile.mkdtemp()) / "ours.bin"
files = sorted(str(path.relative_to(root)) for path in (root / "google").rglob("*.proto"))
if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", f"-o{compiled}", *files]) != 0:
    sys.exit("protoc does not take the files")
ours = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes())

# Google's messages and enums by full name.
theirs = {}


def note(prefix, message):
    theirs[prefix + message.name] = message
    for nested in message.nested_type:
        note(f"{prefix}{message.name}.", nested)
    for enum in message.enum_type:
        theirs[f"{prefix}{message.name}.{enum.name}"] = enum


def note_file(descriptor):
    file = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(file)
    for message in file.message_type:
        note(f"{file.package}.", message)
    for enum in file.enum_type:
        theirs[f"{file.package}.{enum.name}"] = enum


for module in (google.cloud.bigquery_storage_v1.types, google.pubsub_v1.types):
    members = [getattr(module, name) for name in dir(module)]
    messages = [member for member in members if isinstance(member, type) and issubclass(member, proto.Message)]
    for descriptor in {message.pb().DESCRIPTOR.file.name: message.pb().DESCRIPTOR.file for message in messages}.values():
        note_file(descriptor)
for module in (status_pb2, error_details_pb2):
    note_file(module.DESCRIPTOR)

ENUM, MESSAGE, INT32 = 14, 11, 5
checked = 0
faults = []


def same(field, reference):
    """Whether a field is the same on the wire and in its presence. An enum may be declared as an integer."""
    kinds = {field.type, reference.type}
    return (
        reference.name.rstrip("_") == field.name
        and reference.label == field.label
        and (len(kinds) == 1 or kinds == {INT32, ENUM})
        and (field.type != MESSAGE or reference.type_name.split(".")[-1] == field.type_name.split(".")[-1])
        and field.HasField("oneof_index") == reference.HasField("oneof_index")
    )


def check_enum(prefix, enum):
    global checked
    reference = theirs.get(prefix + enum.name)
    numbers = {value.name: value.number for value in reference.value} if reference else {}
    for value in enum.value:
        checked += 1
        if numbers.get(value.name) != value.number:
            faults.append(f"{prefix}{enum.name}.{value.name}")


def check(prefix, message):
    global checked
    reference = theirs.get(prefix + message.name)
    if reference is None:
        if not message.options.map_entry:
            faults.append(prefix + message.name)
        return
    fields = {field.number: field for field in reference.field}
    for field in message.field:
        checked += 1
        if field.number not in fields or not same(field, fields[field.number]):
            faults.append(f"{prefix}{message.name}.{field.name}")
    for nested in message.nested_type:
        check(f"{prefix}{message.name}.", nested)
    for enum in message.enum_type:
        check_enum(f"{prefix}{message.name}.", enum)


for file in ours.file:
    for message in file.message_type:
        check(f"{file.package}.", message)
    for enum in file.enum_type:
        check_enum(f"{file.package}.", enum)
for fault in faults:
    print(f"differs: {fault}")
print(f"{checked} fields and values checked, {len(faults)} differ")
sys.exit(1 if faults or checked == 0 else 0)
