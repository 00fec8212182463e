"use strict";
// Without this script the page shows every view of every pair, one below the other.
const BLINK_MILLISECONDS = 700;
const cases = [...document.querySelectorAll(".case[data-failing]")];
const pairs = [...document.querySelectorAll(".pair.whole")];
// What the script says, in the language of the page.
const words = document.querySelector(".keys")?.dataset;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let at = -1;
let blinking = 0;

const visible = (element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 80 && top < innerHeight * 0.8;
};

// The pair that keys act on: the one with the focus, else the first that is on the screen.
const current = () => {
  const focused = document.activeElement.closest(".pair.whole, .case[data-failing]");
  const own = focused && (focused.matches(".pair") ? focused : focused.querySelector(".pair.whole"));
  return own && visible(own) ? own : pairs.find(visible);
};

const swap = (pair) => {
  const swapped = pair.classList.toggle("swapped");
  const now = swapped ? words.expected : words.actual;
  pair.querySelector(".blinking").textContent = calm.matches ? words.calm.replace("{now}", now) : now;
};

const show = (pair, view) => {
  clearInterval(blinking);
  for (const other of pairs) {
    if (other !== pair && other.dataset.view === "blink") show(other, "all");
  }
  pair.dataset.view = view;
  for (const button of pair.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.view === view);
  }
  pair.querySelector(".slide").hidden = view !== "slider";
  pair.querySelector(".blinking").hidden = view !== "blink";
  pair.classList.add("swapped");
  if (view !== "blink") return;
  swap(pair);
  if (!calm.matches) blinking = setInterval(() => swap(pair), BLINK_MILLISECONDS);
};

const choose = (pair, view) => {
  if (view === "tile" && !pair.querySelector(".tile")) return;
  const again = pair.dataset.view === view;
  if (again && view === "blink" && calm.matches) swap(pair);
  else show(pair, again && (view === "blink" || view === "tile") ? "all" : view);
};

const go = (by) => {
  if (!words) return;
  const status = document.querySelector(".keys [role=status]");
  const next = at + by;
  if (!cases[next]) {
    status.textContent = cases.length ? (by > 0 ? words.further : words.earlier) : words.none;
    return;
  }
  at = next;
  status.textContent = words.place.replace("{number}", at + 1).replace("{count}", cases.length);
  cases[at].focus({ preventScroll: true });
  // At once: a key that is pressed next acts on what is on the screen.
  cases[at].scrollIntoView({ behavior: "instant" });
};

const slide = (pair, percent) => {
  pair.querySelector("input").value = percent;
  pair.style.setProperty("--at", `${percent}%`);
};

for (const pair of pairs) {
  const stage = pair.querySelector(".stage");
  pair.dataset.view = "all";
  pair.querySelector(".views").hidden = false;
  pair.querySelector(".views").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) choose(pair, button.dataset.view);
  });
  pair.querySelector("input").addEventListener("input", ({ target }) => slide(pair, target.value));
  const drag = (event) => {
    const picture = event.target.closest(".framed");
    if (pair.dataset.view !== "slider" || !picture || !event.buttons) return;
    const { left, width } = picture.getBoundingClientRect();
    slide(pair, Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width))));
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
}
for (const keys of document.querySelectorAll(".keys")) keys.hidden = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n") return go(1);
  if (event.key === "p") return go(-1);
  const pair = current();
  const button = [...(pair ? pair.querySelectorAll("button") : [])].find(
    (each) => each.querySelector("kbd").textContent === event.key,
  );
  if (button) choose(pair, button.dataset.view);
});
