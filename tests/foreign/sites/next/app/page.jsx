import Link from "next/link";

export default function Home() {
  return (
    <main>
      <h1>Home</h1>
      <Link id="private" href="/private" prefetch={false}>private</Link>
      <Link id="slow" href="/slow" prefetch={false}>slow</Link>
    </main>
  );
}
