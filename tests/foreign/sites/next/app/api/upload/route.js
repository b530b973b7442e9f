import { createHash } from "node:crypto";

export async function POST(request) {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of request.body) {
    hash.update(chunk);
    size += chunk.length;
  }
  return Response.json({ size, hash: hash.digest("hex") }, { status: 201 });
}
