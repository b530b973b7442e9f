import { cookies } from "next/headers";
import { redirect } from "next/navigation";

export default async function Private() {
  const who = (await cookies()).get("who")?.value;
  if (!who) redirect("/login");
  return <h1 id="who">hello {who}</h1>;
}
