export const dynamic = "force-dynamic";

export async function GET() {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(stream) {
      for (let number = 0; number < 5; number++) {
        stream.enqueue(encoder.encode(`id: ${number}\ndata: event ${number}\n\n`));
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      stream.enqueue(encoder.encode("event: done\ndata: end\n\n"));
      stream.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" } });
}
