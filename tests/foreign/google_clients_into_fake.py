"""Judges the stand-ins that our writers are tested against: Google's own Python clients write through them. What is right
is stored as it was, what is wrong is answered as Google documents it.

usage: google_clients_into_fake.py <fake_google>

Exits 0 when every case ends as it should; 1 when one does not; 3 when a client is not installed.
"""

import base64
import contextlib
import os
import sys

from loopback import FakeGoogle, ask

try:
    import grpc
    from google.api_core import exceptions
    from google.cloud import bigquery_storage_v1 as storage
    from google.cloud import pubsub_v1
    from google.cloud.bigquery_storage_v1 import types, writer
    from google.cloud.bigquery_storage_v1.services.big_query_write import transports
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as error:
    print(f"missing: {error}")
    sys.exit(3)

PATIENCE = 30
TABLE = "projects/p/datasets/d/tables/t"
COLUMNS = [
    {"name": "id", "type": "STRING", "mode": "REQUIRED"},
    {"name": "n", "type": "INTEGER"},
    {"name": "price", "type": "FLOAT"},
    {"name": "ok", "type": "BOOLEAN"},
    {"name": "day", "type": "DATE"},
    {"name": "at", "type": "TIMESTAMP"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {"name": "inner", "type": "RECORD", "fields": [{"name": "a", "type": "STRING"}, {"name": "b", "type": "INTEGER"}]},
]
KINDS = {"STRING": 9, "INTEGER": 3, "TIMESTAMP": 3, "FLOAT": 1, "BOOLEAN": 8, "DATE": 5, "RECORD": 11}
passed = 0


def check(what, holds, shown=""):
    global passed
    if not holds:
        sys.exit(f"wrong: {what}: {shown}")
    passed += 1


def descriptor(columns, name="Row"):
    """The columns as a proto2 message, as a person would write it for the client."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, column in enumerate(columns, 1):
        label = 3 if column.get("mode") == "REPEATED" else 1
        field = message.field.add(name=column["name"], number=number, type=KINDS[column["type"]], label=label)
        if column["type"] == "RECORD":
            nested = message.nested_type.add()
            nested.CopyFrom(descriptor(column["fields"], f"Of_{column['name']}"))
            field.type_name = nested.name
    return message


def message_class(columns):
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2")
    file.message_type.add().CopyFrom(descriptor(columns))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Row"))


Row = message_class(COLUMNS)


def row(number, **values):
    return Row(id=f"r{number}", n=number, price=number / 3, ok=number % 2 == 0, day=20_454, at=-1, tags=["a", ""],
               inner={"a": "x", "b": 0}, **values)


def request(rows, stream, schema=None, offset=None):
    data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=rows))
    if schema is not None:
        data.writer_schema = types.ProtoSchema(proto_descriptor=schema)
    made = types.AppendRowsRequest(write_stream=stream, proto_rows=data)
    if offset is not None:
        made.offset = offset
    return made


class BigQuery:
    def __init__(self, ports):
        self.ports = ports
        limit = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{ports['bigquery']}", options=limit)
        transport = transports.BigQueryWriteGrpcTransport(channel=self.channel)
        self.client = storage.BigQueryWriteClient(transport=transport)

    @contextlib.contextmanager
    def stream(self, name, schema):
        template = request([], name, schema)
        stream = writer.AppendRowsStream(self.client, template)
        try:
            yield lambda rows, offset=None: stream.send(request([made.SerializeToString() for made in rows], name,
                                                                offset=offset)).result(timeout=PATIENCE)
        finally:
            with contextlib.suppress(Exception):
                stream.close()

    def refusal(self, rows, stream, schema=None, offset=None, metadata=None):
        """How one request ends by the bare method, without the writer's comforts: code, and faults by row."""
        first = request(rows, stream, schema, offset)
        metadata = [("x-goog-request-params", f"write_stream={stream}")] if metadata is None else metadata
        try:
            for answer in self.client.append_rows(iter([first]), metadata=metadata, timeout=PATIENCE):
                return grpc_code(answer.error.code), {fault.index: fault.message for fault in answer.row_errors}, answer.error
        except exceptions.GoogleAPICallError as error:
            return error.grpc_status_code, {}, error
        return None, {}, None

    def stored(self):
        rows = ask(self.ports["control"], "/rows/p/d/t")
        return [Row.FromString(base64.b64decode(text)) for text in rows]


def grpc_code(number):
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def storage_code(error):
    for detail in error.details:
        found = types.StorageError.deserialize(detail.value)
        return found.code
    return None


def default_stream(bigquery):
    stream, schema = f"{TABLE}/streams/_default", descriptor(COLUMNS)
    rows = [row(number) for number in range(200)]
    with bigquery.stream(stream, schema) as append:
        for first in range(0, 200, 50):
            answer = append(rows[first:first + 50])
            check("the default stream has no offsets", "offset" not in answer.append_result)
        # Absent is not the same as nought.
        bare = Row(id="bare")
        append([bare])
    check("rows are stored as they were, in order", bigquery.stored() == [*rows, bare])
    seen = ask(bigquery.ports["control"], "/seen")
    check("slashes in the routing header may stand as they are", seen[0]["routing"] == f"write_stream={stream}", seen[0])
    view = {"name": stream, "view": types.WriteStreamView.FULL}
    known = bigquery.client.get_write_stream(request=view).table_schema.fields
    fields = {field.name: (field.type_.name, field.mode.name) for field in known}
    check("the stream knows the table's columns", fields["id"] == ("STRING", "REQUIRED"), fields)
    check("types and modes too", (fields["tags"], fields["inner"][0]) == (("STRING", "REPEATED"), "STRUCT"), fields)


def committed_stream(bigquery):
    made = bigquery.client.create_write_stream(
        parent=TABLE, write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED))
    before = len(bigquery.stored())
    with bigquery.stream(made.name, descriptor(COLUMNS)) as append:
        for offset in (0, 3, 6):
            answer = append([row(1_000 + offset + n) for n in range(3)], offset)
            check("the answer has the offset", answer.append_result.offset == offset, answer)
    check("each is there once", len(bigquery.stored()) == before + 9)

    def ends(offset):
        code, _, error = bigquery.refusal([row(9).SerializeToString()], made.name, descriptor(COLUMNS), offset)
        return code, storage_code(error), error.message
    code, inner, words = ends(6)
    check("an offset that was", code == grpc.StatusCode.ALREADY_EXISTS, code)
    check("says so", (inner, words.endswith("expected offset 9, received 6")) == (8, True), words)
    code, inner, words = ends(100)
    check("an offset to come", (code, inner) == (grpc.StatusCode.OUT_OF_RANGE, 9), code)
    check("is said so", words.endswith("expected offset 9, received 100"), words)
    finalized = bigquery.client.finalize_write_stream(name=made.name)
    check("all rows are counted", finalized.row_count == 9, finalized)
    code, inner, _ = ends(9)
    check("a finalized stream takes nothing", (code, inner) == (grpc.StatusCode.INVALID_ARGUMENT, 6), code)
    code, inner, _ = bigquery.refusal([b""], f"{TABLE}/streams/nobody", descriptor(COLUMNS))
    check("a stream that nobody made", code == grpc.StatusCode.NOT_FOUND, code)
    check("no row was stored by any of them", len(bigquery.stored()) == before + 9)


def wrong_inputs(bigquery):
    stream, schema = f"{TABLE}/streams/_default", descriptor(COLUMNS)
    before = len(bigquery.stored())
    good = row(1).SerializeToString()
    refusal = bigquery.refusal
    code, faults, _ = refusal([good, Row(n=1).SerializeToString(), good], stream, schema)
    check("a required column without a value", (code, list(faults)) == (grpc.StatusCode.INVALID_ARGUMENT, [1]), faults)
    code, faults, _ = refusal([good, b"\xff\xff"], stream, schema)
    check("a row that is none", (code, list(faults)) == (grpc.StatusCode.INVALID_ARGUMENT, [1]), faults)
    for what, late in (("a day", Row(id="x", day=3_000_000)), ("a time", Row(id="x", at=2**62))):
        code, faults, _ = refusal([good, late.SerializeToString()], stream, schema)
        check(f"{what} beyond the year 9999", (code, list(faults)) == (grpc.StatusCode.INVALID_ARGUMENT, [1]), faults)
    code, _, error = refusal([good], stream, descriptor([*COLUMNS, {"name": "extra", "type": "STRING"}]))
    check("a column too many", (code, storage_code(error)) == (grpc.StatusCode.INVALID_ARGUMENT, 7), error)
    retyped = [{**column, "type": "INTEGER"} if column["name"] == "id" else column for column in COLUMNS]
    code, _, _ = refusal([good], stream, descriptor(retyped))
    check("a column of another type", code == grpc.StatusCode.INVALID_ARGUMENT, code)
    open_ended = descriptor(COLUMNS)
    open_ended.field[-1].type_name = "Elsewhere"
    check("a type from elsewhere", refusal([good], stream, open_ended)[0] == grpc.StatusCode.INVALID_ARGUMENT)
    proto3 = descriptor(COLUMNS)
    proto3.field[1].proto3_optional = True
    check("proto3's optional", refusal([good], stream, proto3)[0] == grpc.StatusCode.INVALID_ARGUMENT)
    check("no descriptor", refusal([good], stream)[0] == grpc.StatusCode.INVALID_ARGUMENT)
    check("an offset", refusal([good], stream, schema, offset=0)[0] == grpc.StatusCode.INVALID_ARGUMENT)
    large = [Row(id="x" * 1_000_000).SerializeToString()] * 21
    check("more than 20 MB", refusal(large, stream, schema)[0] == grpc.StatusCode.INVALID_ARGUMENT)
    unknown = "projects/p/datasets/d/tables/nobody/streams/_default"
    code, _, error = refusal([good], unknown, schema)
    check("a table that is not there", (code, storage_code(error)) == (grpc.StatusCode.NOT_FOUND, 1), code)
    for metadata in ([], [("x-goog-request-params", "write_stream=projects/p/datasets/d/tables/other/streams/_default")]):
        code, _, _ = refusal([good], stream, schema, metadata=metadata)
        check(f"routed by {metadata}", code == grpc.StatusCode.PERMISSION_DENIED, code)
    check("nothing was stored by any of them", len(bigquery.stored()) == before)
    # The writer's own comforts see the same.
    with bigquery.stream(stream, schema) as append:
        try:
            append([Row(n=1)])
            check("the writer raises", False)
        except exceptions.InvalidArgument as error:
            check("the writer raises what it should", "row_errors" in str(error) or "rows" in str(error), error)
        append([row(2)])
    check("and goes on", len(bigquery.stored()) == before + 1)


def topics(ports):
    os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{ports['pubsub']}"
    batch = pubsub_v1.types.BatchSettings(max_messages=100, max_bytes=1_000_000, max_latency=0.01)
    client = pubsub_v1.PublisherClient(batch_settings=batch)
    topic = "projects/p/topics/foreign"
    client.create_topic(name=topic)
    futures = [client.publish(topic, b"%d" % number, number=str(number)) for number in range(500)]
    ids = {future.result(timeout=PATIENCE) for future in futures}
    check("each message has an id", len(ids) == 500, len(ids))
    kept = [message for message in ask(ports["control"], "/messages") if message["topic"] == topic]
    bodies = [(base64.b64decode(message["data"]), message["attributes"]) for message in kept]
    bodies.sort(key=lambda body: int(body[0]))  # without a key there is no order
    check("messages are kept as they were", bodies == [(b"%d" % n, {"number": str(n)}) for n in range(500)])

    message = lambda **members: pubsub_v1.types.PubsubMessage(**members)
    def ends(to, *messages):
        try:
            client.api.publish(topic=to, messages=list(messages), retry=None, timeout=PATIENCE)
        except exceptions.GoogleAPICallError as error:
            return type(error)
        return None
    wrong = exceptions.InvalidArgument
    one = message(data=b"x")
    for what, to, messages, expected in [
        ("a topic that is not there", "projects/p/topics/nobody", [one], exceptions.NotFound),
        ("no message", topic, [], wrong),
        ("1,001 messages", topic, [one] * 1_001, wrong),
        ("1,000 messages", topic, [one] * 1_000, None),
        ("an empty message", topic, [one, message()], wrong),
        ("a message of attributes alone", topic, [message(attributes={"a": ""})], None),
        ("10 MB", topic, [message(data=b"x" * 5_000_000)] * 2, wrong),
        ("9 MB", topic, [message(data=b"x" * 4_500_000)] * 2, None),
        ("101 attributes", topic, [message(attributes={f"a{n}": "" for n in range(101)})], wrong),
        ("an attribute of Google's", topic, [message(attributes={"googx": ""})], wrong),
        ("a long attribute", topic, [message(attributes={"a": "x" * 1_025})], wrong),
        ("two orders in one request", topic, [message(data=b"x", ordering_key=key) for key in "ab"], wrong),
    ]:
        found = ends(to, *messages)
        check(what, found == expected, found)
    try:
        client.create_topic(name=topic)
        check("a topic that is there", False)
    except exceptions.AlreadyExists:
        check("a topic that is there", True)


@contextlib.contextmanager
def stand_in(binary):
    """The ports of a stand-in that has the table."""
    with FakeGoogle(binary) as google:
        reference = {"projectId": "p", "datasetId": "d", "tableId": "t"}
        ask(google.ports["rest"], "/bigquery/v2/projects/p/datasets/d/tables",
            {"tableReference": reference, "schema": {"fields": COLUMNS}})
        yield google.ports


def main():
    with stand_in(sys.argv[1]) as ports:
        bigquery = BigQuery(ports)
        default_stream(bigquery)
        committed_stream(bigquery)
        wrong_inputs(bigquery)
        topics(ports)
    print(f"Google's Python clients and the stand-ins agree: {passed} passed, 0 failed")


if __name__ == "__main__":
    main()
