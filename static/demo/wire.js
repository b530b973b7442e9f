// The corner of the demo shop: which events really left, and how they were answered. It stands before the tracker and
// reads the network, not our intentions.
(() => {
  const KEEP = 7;
  let sent = [];
  try { sent = JSON.parse(sessionStorage.getItem("wire")) || []; } catch { /* unreadable means none */ }

  const show = () => {
    const wire = document.querySelector("[data-wire]");
    if (!wire) return;
    wire.replaceChildren(...sent.map(([name, status]) => {
      const line = document.createElement("li");
      const answer = document.createElement("span");
      answer.textContent = status;
      answer.className = status === 200 ? "" : "bad";
      line.append(name, answer);
      return line;
    }));
  };

  const note = (name) => {
    const entry = [name, "sent"];
    const keep = (status) => {
      entry[1] = status;
      sessionStorage.setItem("wire", JSON.stringify(sent));
      show();
    };
    sent = [entry, ...sent].slice(0, KEEP);
    keep("sent");
    return keep;
  };

  const fetched = window.fetch;
  window.fetch = function (url, options) {
    const answer = fetched.apply(this, arguments);
    let name;
    try { name = JSON.parse(options.body).event_name; } catch { /* not an event */ }
    if (name) {
      const keep = note(name);
      answer.then((response) => keep(response.status), () => keep("failed"));
    }
    return answer;
  };

  document.addEventListener("DOMContentLoaded", show);
})();
