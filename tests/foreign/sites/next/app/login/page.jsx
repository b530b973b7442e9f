import { cookies } from "next/headers";
import { redirect } from "next/navigation";

// A server action: Next.js compares the page's `Origin` with the host that it was asked for, and refuses when they differ.
async function login(form) {
  "use server";
  if (form.get("password") !== "correct horse") redirect("/login?wrong=1");
  (await cookies()).set("who", String(form.get("name")), { httpOnly: true, sameSite: "lax", maxAge: 3600 });
  redirect("/private");
}

export default function Login() {
  return (
    <form action={login}>
      <input name="name" />
      <input name="password" type="password" />
      <button>log in</button>
    </form>
  );
}
