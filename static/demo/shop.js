// The demo shop: a cart in localStorage, and GA4's e-commerce events through the tracker's realStreaming(name, params).
(() => {
  const CURRENCY = "EUR";
  const tracker = document.querySelector("script[data-stream]");

  // The tracker loads on its own time; what happens before waits for it.
  const track = (name, params) => {
    const send = () => window.realStreaming && window.realStreaming(name, params);
    if (window.realStreaming) send();
    else tracker.addEventListener("load", send, { once: true });
  };

  const items = (list) => list.map((item, index) => ({ index, quantity: 1, ...item }));
  const total = (list) => list.reduce((sum, item) => sum + item.price * (item.quantity || 1), 0);
  const commerce = (name, list, more) => track(name, { currency: CURRENCY, value: total(list), items: items(list), ...more });

  // A page that is kept or restored may outlive its stored text: unreadable means empty.
  const cart = {
    read() { try { return JSON.parse(localStorage.getItem("cart")) || []; } catch { return []; } },
    write(list) { localStorage.setItem("cart", JSON.stringify(list)); show(); },
    add(item) {
      const list = this.read();
      const known = list.find((entry) => entry.item_id === item.item_id);
      if (known) known.quantity += 1; else list.push({ ...item, quantity: 1 });
      this.write(list);
    },
  };

  const show = () => {
    const list = cart.read();
    const count = list.reduce((sum, item) => sum + item.quantity, 0);
    document.querySelectorAll("[data-cart-count]").forEach((node) => { node.textContent = count; });
    const basket = document.querySelector("[data-basket]");
    if (!basket) return;
    basket.replaceChildren(...list.map((item) => {
      const row = document.createElement("div");
      row.className = "row";
      const name = document.createElement("span");
      name.textContent = item.quantity > 1 ? `${item.item_name} × ${item.quantity}` : item.item_name;
      const price = document.createElement("span");
      price.textContent = `€${item.price * item.quantity}`;
      const remove = document.createElement("button");
      remove.textContent = "Remove";
      remove.onclick = () => {
        commerce("remove_from_cart", [item]);
        cart.write(cart.read().filter((entry) => entry.item_id !== item.item_id));
      };
      row.append(name, price, remove);
      return row;
    }));
    if (!list.length) {
      const empty = document.createElement("p");
      empty.className = "empty";
      empty.textContent = "Nothing in it yet.";
      basket.append(empty);
    }
    document.querySelector("[data-checkout]").hidden = !list.length;
    document.querySelector("[data-total]").textContent = `€${total(list)}`;
  };

  document.querySelectorAll("[data-list]").forEach((node) => {
    const name = node.dataset.list;
    const cards = [...node.querySelectorAll("[data-item]")];
    track("view_item_list", { item_list_name: name, items: items(cards.map((card) => JSON.parse(card.dataset.item))) });
    cards.forEach((card) => card.addEventListener("click", () => {
      commerce("select_item", [JSON.parse(card.dataset.item)], { item_list_name: name });
    }));
  });

  document.querySelectorAll("[data-view]").forEach((node) => commerce("view_item", [JSON.parse(node.dataset.view)]));

  document.querySelectorAll("[data-add]").forEach((button) => button.addEventListener("click", () => {
    const item = JSON.parse(button.dataset.add);
    cart.add(item);
    commerce("add_to_cart", [item]);
    button.textContent = "Added";
    setTimeout(() => { button.textContent = "Add to cart"; }, 1200);
  }));

  const buy = document.querySelector("[data-purchase]");
  if (buy) {
    if (cart.read().length) commerce("view_cart", cart.read());
    buy.addEventListener("click", () => {
      const list = cart.read();
      const order = `T${Date.now()}`;
      commerce("purchase", list, { transaction_id: order, tax: 0, shipping: 0 });
      sessionStorage.setItem("order", order);
      cart.write([]);
      location.href = "/thanks";
    });
  }
  document.querySelectorAll("[data-order]").forEach((node) => { node.textContent = sessionStorage.getItem("order") || ""; });

  show();
})();
