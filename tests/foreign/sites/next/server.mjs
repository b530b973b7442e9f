// Next.js on a server of one's own, as its manual shows it, for the web socket beside it: node server.mjs PORT
import { createServer } from "node:http";
import next from "next";
import { WebSocketServer } from "ws";

const port = Number(process.argv[2]);
// As `next start` does. Without it, a server action's redirect is fetched from here by the scheme that a proxy names, over TLS too.
process.env.__NEXT_PRIVATE_ORIGIN ??= `http://127.0.0.1:${port}`;
const app = next({ dev: false, hostname: "127.0.0.1", port, dir: import.meta.dirname });
const handle = app.getRequestHandler();
await app.prepare();

const sockets = new WebSocketServer({
  noServer: true, maxPayload: 64 << 20, perMessageDeflate: true, handleProtocols: (offered) => [...offered][0] ?? false,
});
const server = createServer((request, response) => handle(request, response));
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on("message", (data, isBinary) => {
      if (!isBinary && String(data) === "close") client.close(4001, "as asked");
      else client.send(data, { binary: isBinary });
    });
  });
});
server.listen(port, "127.0.0.1");
