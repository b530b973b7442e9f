import { createHash } from "node:crypto";

export const dynamic = "force-dynamic";

async function answer(request) {
  const body = Buffer.from(await request.arrayBuffer());
  const url = new URL(request.url);
  return Response.json({
    method: request.method, path: url.pathname + url.search, body: createHash("sha256").update(body).digest("hex"),
    headers: Object.fromEntries([...request.headers].sort()),
  });
}

export { answer as GET, answer as POST, answer as PUT, answer as DELETE };
