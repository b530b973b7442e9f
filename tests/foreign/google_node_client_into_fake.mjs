// Judges the stand-in for the Storage Write API by Google's client for Node: it makes its descriptor from the columns that
// the stand-in tells it, writes rows as JSON through it, and has its mistakes answered.
//
// usage: node google_node_client_into_fake.mjs <fake_google> <folder with node_modules>
//
// Exits 0 when every case ends as it should; 1 when one does not.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const [fakeGoogle, modules] = process.argv.slice(2);
const require = createRequire(path.resolve(modules, "package.json"));
const { adapt, managedwriter } = require("@google-cloud/bigquery-storage");
const gax = require("google-gax");

const TABLE = "projects/p/datasets/d/tables/t";
const COLUMNS = [
  { name: "id", type: "STRING", mode: "REQUIRED" },
  { name: "n", type: "INTEGER" },
  { name: "price", type: "FLOAT" },
  { name: "ok", type: "BOOLEAN" },
  { name: "day", type: "DATE" },
  { name: "at", type: "TIMESTAMP" },
  { name: "tags", type: "STRING", mode: "REPEATED" },
  { name: "inner", type: "RECORD", fields: [{ name: "a", type: "STRING" }, { name: "b", type: "INTEGER" }] },
];

async function http(port, where, body) {
  const answer = await fetch(`http://127.0.0.1:${port}${where}`, body && { method: "POST", body: JSON.stringify(body) });
  return answer.json();
}

function row(n) {
  return { id: `r${n}`, n, price: n / 3, ok: n % 2 === 0, day: "2026-01-01", at: 1_767_225_600_000_000, tags: ["a", ""], inner: { a: "x", b: 0 } };
}

/** The code of the error, and the faults by row, of one append. */
async function refusal(append) {
  try {
    const answer = await append().getResult();
    return { code: answer.error?.code, rows: (answer.rowErrors ?? []).map((fault) => Number(fault.index)) };
  } catch (error) {
    return { code: error.code, rows: [] };
  }
}

const fake = spawn(path.resolve(fakeGoogle), [], { stdio: ["ignore", "pipe", "inherit"] });
const failed = setTimeout(() => { fake.kill(); throw new Error("no end after two minutes"); }, 120_000);
try {
  const lines = createInterface({ input: fake.stdout });
  const ports = JSON.parse(await new Promise((resolve) => lines.once("line", resolve)));
  const tableReference = { projectId: "p", datasetId: "d", tableId: "t" };
  await http(ports.rest, "/bigquery/v2/projects/p/datasets/d/tables", { tableReference, schema: { fields: COLUMNS } });
  const stored = async () => (await http(ports.control, "/rows/p/d/t")).length;
  const client = new managedwriter.WriterClient({
    projectId: "p",
    apiEndpoint: "127.0.0.1",
    port: ports.bigquery,
    sslCreds: gax.grpc.credentials.createInsecure(),
  });

  // The descriptor comes from what the stream says of the table.
  const stream = await client.getWriteStream({ streamId: `${TABLE}/streams/_default`, view: "FULL" });
  const protoDescriptor = adapt.convertStorageSchemaToProto2Descriptor(stream.tableSchema, "root");
  const connection = await client.createStreamConnection({ streamId: managedwriter.DefaultStream, destinationTable: TABLE });
  const writer = new managedwriter.JSONWriter({ connection, protoDescriptor });
  for (let first = 0; first < 200; first += 50) {
    const answer = await writer.appendRows(Array.from({ length: 50 }, (_, n) => row(first + n))).getResult();
    assert.ok(!answer.error, answer.error?.message);
  }
  assert.equal(await stored(), 200);

  const without = await refusal(() => writer.appendRows([row(1), { n: 1 }]));
  assert.deepEqual([without.code, without.rows], [3, [1]], "a required column without a value");

  // A committed stream and its offsets.
  const streamId = await client.createWriteStream({ streamType: managedwriter.CommittedStream, destinationTable: TABLE });
  const committed = await client.createStreamConnection({ streamId });
  const ordered = new managedwriter.JSONWriter({ connection: committed, protoDescriptor });
  for (const offset of [0, 2]) {
    const answer = await ordered.appendRows([row(1), row(2)], offset).getResult();
    assert.equal(Number(answer.appendResult.offset.value), offset);
  }
  assert.equal((await refusal(() => ordered.appendRows([row(1)], 1))).code, 6, "ALREADY_EXISTS");
  assert.equal((await refusal(() => ordered.appendRows([row(1)], 9))).code, 11, "OUT_OF_RANGE");
  assert.equal(Number((await committed.finalize()).rowCount), 4);
  assert.equal((await refusal(() => ordered.appendRows([row(1)], 4))).code, 3, "a finalized stream");

  // A column that the table has not.
  const wider = structuredClone(stream.tableSchema);
  wider.fields.push({ name: "extra", type: "STRING", mode: "NULLABLE" });
  const strange = new managedwriter.JSONWriter({
    connection: await client.createStreamConnection({ streamId: managedwriter.DefaultStream, destinationTable: TABLE }),
    protoDescriptor: adapt.convertStorageSchemaToProto2Descriptor(wider, "root"),
  });
  assert.equal((await refusal(() => strange.appendRows([row(1)]))).code, 3, "a column too many");

  assert.equal(await stored(), 204, "nothing was stored by what was refused");
  client.close();
  console.log("Google's client for Node and the stand-in agree");
} finally {
  clearTimeout(failed);
  fake.kill();
}
process.exit(0);
