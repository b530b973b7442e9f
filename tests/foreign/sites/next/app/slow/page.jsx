import { connection } from "next/server";
import { Suspense } from "react";

async function Late() {
  await connection();
  await new Promise((resolve) => setTimeout(resolve, 800));
  return <p id="late">late</p>;
}

// The frame of the page comes at once, the rest when it is there: what buffers shows nothing until then.
export default function Slow() {
  return (
    <main>
      <p id="early">early</p>
      <Suspense fallback={<p id="waiting">waiting</p>}>
        <Late />
      </Suspense>
    </main>
  );
}
