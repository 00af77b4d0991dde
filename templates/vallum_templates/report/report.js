"use strict";
/* Filters the findings. The page is complete without it: every fact is in the document, here is only hide and show. */
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const list = document.getElementById("list");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const openAll = document.getElementById("open-all");
  const cards = Array.from(list.children, (item) => ({ item, data: item.dataset, text: null }));
  const selects = ["disp", "check", "svc", "stage"];
  const ANY = "*";
  let timer = 0;

  const words = (card) => (card.text ??= card.item.textContent.toLowerCase());
  const listed = (joined, value) => joined.includes(`|${value}|`);

  function matches(card, want) {
    if (want.sev.size && !want.sev.has(card.data.sev)) return false;
    if (want.disp !== ANY && card.data.disp !== want.disp) return false;
    if (want.svc !== ANY && card.data.svc !== want.svc) return false;
    if (want.check !== ANY && !listed(card.data.check, want.check)) return false;
    if (want.stage !== ANY && !listed(card.data.stage, want.stage)) return false;
    return want.q.every((word) => words(card).includes(word));
  }

  function wanted() {
    const want = { sev: new Set(), q: form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean) };
    for (const box of form.querySelectorAll("input[name=sev]:checked")) want.sev.add(box.value);
    for (const name of selects) want[name] = form.elements[name].value;
    return want;
  }

  function apply() {
    const want = wanted();
    let count = 0;
    for (const card of cards) {
      const show = matches(card, want);
      card.item.hidden = !show;
      if (show) count += 1;
    }
    shown.textContent = count === cards.length ? `${count} shown` : `${count} of ${cards.length} shown`;
    none.hidden = count > 0;
  }

  /* The filters live in the fragment (#sev=high,critical&svc=orders&q=sql), so that a view can be sent to somebody. */
  function remember() {
    const state = new URLSearchParams();
    const sev = Array.from(form.querySelectorAll("input[name=sev]:checked"), (box) => box.value);
    if (sev.length) state.set("sev", sev.join(","));
    for (const name of selects) if (form.elements[name].value !== ANY) state.set(name, form.elements[name].value);
    if (form.elements.q.value) state.set("q", form.elements.q.value);
    const text = state.toString();
    try {
      history.replaceState(null, "", text ? `#${text}` : `${location.pathname}${location.search}`);
    } catch {
      /* a browser that forbids it for files: the filters work, only the address does not follow */
    }
  }

  function restore() {
    const fragment = location.hash.slice(1);
    if (fragment.startsWith("f-")) {
      const found = document.getElementById(decodeURIComponent(fragment));
      if (found && found.localName === "details") {
        form.reset();
        apply();
        found.open = true;
        found.scrollIntoView();
      }
      return;
    }
    if (!fragment.includes("=")) return;
    const state = new URLSearchParams(fragment);
    const sev = (state.get("sev") ?? "").split(",");
    for (const box of form.querySelectorAll("input[name=sev]")) box.checked = sev.includes(box.value);
    for (const name of selects) {
      const select = form.elements[name];
      const value = state.get(name) ?? ANY;
      select.value = Array.from(select.options).some((option) => option.value === value) ? value : ANY;
    }
    form.elements.q.value = state.get("q") ?? "";
    apply();
    document.getElementById("findings").scrollIntoView();
  }

  function change() {
    apply();
    remember();
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(change, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(change, 0));
  openAll.addEventListener("click", () => {
    const open = openAll.textContent === "Expand all";
    for (const card of cards) if (!card.item.hidden) card.item.firstElementChild.open = open;
    openAll.textContent = open ? "Collapse all" : "Expand all";
  });
  addEventListener("hashchange", restore);
  addEventListener("beforeprint", () => {
    for (const card of cards) if (!card.item.hidden) card.item.firstElementChild.open = true;
  });

  form.hidden = false;
  apply();
  restore();
})();
