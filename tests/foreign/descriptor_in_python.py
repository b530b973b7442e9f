"""Takes the descriptor and the rows that the binary sends, as bytes, and reads them with Google's own protobuf library: the
descriptor alone, as a file of proto2, must be a whole one, and the rows must say what the events said. The form of it that
`schema --format descriptor` prints, compiled by protoc, must have the same fields.

usage: descriptor_in_python.py <real-streaming> <fake_google>

Exits 0 when all of that holds; 1 when it does not; 3 when `google-cloud-bigquery-storage` or `grpcio-tools` is not installed.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

from loopback import FakeGoogle, call, eventually, free_port

try:
    import grpc
    from google.cloud.bigquery_storage_v1 import types
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
    from grpc_tools import protoc
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(3)

# They are started in another folder.
binary, fake = (os.path.abspath(path) for path in sys.argv[1:3])
METHOD = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
REPEATED, MESSAGE = 3, 11
faults = []


def check(what, seen, wanted):
    if seen != wanted:
        faults.append(f"{what}: {seen!r} instead of {wanted!r}")


class Service(grpc.GenericRpcHandler):
    """Takes every row, with Google's classes for what comes and goes."""

    def __init__(self):
        self.descriptors, self.rows = [], []

    def service(self, call_details):
        if call_details.method != METHOD:
            return None
        request, response = types.AppendRowsRequest, types.AppendRowsResponse
        return grpc.stream_stream_rpc_method_handler(self.append, request.deserialize, response.serialize)

    def append(self, requests, context):
        for request in requests:
            data = request.proto_rows
            if "writer_schema" in data:
                self.descriptors.append(types.ProtoSchema.pb(data.writer_schema).proto_descriptor)
            self.rows.extend(data.rows.serialized_rows)
            yield types.AppendRowsResponse(append_result={})


def fields(message, prefix="", around={}):
    """Path, number, type and label of every field, at any depth."""
    nested = {**around, **{inner.name: inner for inner in message.nested_type}}
    found = set()
    for field in message.field:
        found.add((prefix + field.name, field.number, field.type, field.label))
        if field.type == MESSAGE:
            found |= fields(nested[field.type_name.rsplit(".", 1)[-1]], f"{prefix}{field.name}.", nested)
    return found


def reader(descriptor):
    """The class of rows with this descriptor, which stands alone. Throws when it cannot."""
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2", message_type=[descriptor])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.name))


def unknown(message):
    if len(unknown_fields.UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.type == MESSAGE and any(unknown(inner) for inner in (value if field.is_repeated else [value])):
            return True
    return False


EVENTS = [
    {"event_id": "plain", "event_name": "page_view"},
    {
        "event_id": "values",
        "event_name": "ünï😀",
        "event_params": [
            {"key": "i", "value": {"int_value": -(1 << 63)}},
            {"key": "d", "value": {"double_value": 0.1}},
            {"key": "s", "value": {"string_value": ""}},
            {"key": "z", "value": {"int_value": 0}},
        ],
    },
    {
        "event_id": "items",
        "event_name": "purchase",
        "items": [{"item_id": f"i{n}", "quantity": n, "item_params": [{"key": "k", "value": {"int_value": n}}]} for n in range(3)],
    },
]

folder = pathlib.Path(tempfile.mkdtemp())
public, admin = free_port(), free_port()
service = Service()
server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers([service])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
processes = []
try:
    google = FakeGoogle(fake)
    processes.append(google.process)
    rest = google.ports["rest"]
    config = folder / "c.yaml"
    config.write_text(f"""
server: {{ listen: ["127.0.0.1:{public}"], admin: "127.0.0.1:{admin}" }}
writers:
  strategy: direct
  project_id: p
  local: {{ directory: {folder}/lake }}
  spool: {{ directory: {folder}/spool }}
  bq: {{ dataset_id: d, table_id: events, endpoint: "http://127.0.0.1:{port}", rest_endpoint: "http://127.0.0.1:{rest}" }}
""")
    with open(folder / "log", "wb") as log:
        serve = subprocess.Popen([binary, "serve", "--config", str(config)], stdout=log, stderr=log, cwd=folder)
    processes.append(serve)
    eventually("the binary serves", lambda: call(public, "/healthz"))
    call(public, "/api/v1/streaming/1", EVENTS)
    eventually("the rows come", lambda: len(service.rows) >= len(EVENTS))
    serve.terminate()
    check("exit code", serve.wait(30), 0)
finally:
    for process in processes:
        process.kill()
        process.wait()
    server.stop(None)

descriptor = service.descriptors[0]
check("enums, extensions and oneofs", (len(descriptor.enum_type), len(descriptor.extension), len(descriptor.oneof_decl)), (0, 0, 0))
rows = {}
for data in service.rows:
    row = reader(descriptor).FromString(data)
    check("a row is whole", (row.IsInitialized(), unknown(row)), (True, False))
    rows[row.rs_info.event_id] = row
check("rows", sorted(rows), sorted(event["event_id"] for event in EVENTS))
plain, values, items = (rows[event["event_id"]] for event in EVENTS)
check("a name", values.event_name, "ünï😀")
params = {param.key: param.value for param in values.event_params}
check("a small number", params["i"].int_value, -(1 << 63))
check("a fraction", params["d"].double_value, 0.1)
check("an empty text is there", (params["s"].HasField("string_value"), params["s"].string_value), (True, ""))
check("a zero is there", (params["z"].HasField("int_value"), params["z"].HasField("string_value")), (True, False))
check("what is not there", (plain.HasField("user_id"), len(plain.items)), (False, 0))
check("items", [(item.item_id, item.quantity) for item in items.items], [(f"i{n}", n) for n in range(3)])
check("members of items", [item.item_params[0].value.int_value for item in items.items], [0, 1, 2])
check("required or groups", {field.label for field in descriptor.field} <= {1, REPEATED}, True)

printed = folder / "row.proto"
printed.write_bytes(subprocess.run([binary, "schema", "--format", "descriptor"], check=True, capture_output=True).stdout)
compiled = folder / "row.bin"
if protoc.main(["protoc", f"-I{folder}", f"-o{compiled}", printed.name]) != 0:
    sys.exit("protoc does not take what is printed")
(file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
check("messages in the printed form", [(message.name, file.package) for message in file.message_type], [(descriptor.name, "")])
sent, said = fields(descriptor), fields(file.message_type[0])
check("fields that are sent and not printed", sorted(sent - said), [])
check("fields that are printed and not sent", sorted(said - sent), [])
for data in service.rows:
    row = reader(file.message_type[0]).FromString(data)
    check("a row read by the printed form", row.SerializeToString(deterministic=True),
          reader(descriptor).FromString(data).SerializeToString(deterministic=True))

print("\n".join(faults) or f"{len(sent)} fields, {len(rows)} rows read as they were meant")
sys.exit(1 if faults else 0)
