"use strict";
// Without this script the page shows every view of every pair, one below the other.
const BLINK_MILLISECONDS = 700;
const everyCase = [...document.querySelectorAll(".case")];
const failingCases = everyCase.filter((element) => "failing" in element.dataset);
const pairs = [...document.querySelectorAll(".pair.whole")];
// What the script says, in the language of the page.
const words = document.querySelector(".keys")?.dataset;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let at = null;
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

// What a link, a key or a search leads to may lie in folded parts of the page.
const reveal = (element) => {
  for (let part = element; part; part = part.parentElement) {
    if (part.matches("details")) part.open = true;
  }
};

// The next of some cases, counted from the case that was gone to last.
const next = (cases, by) => {
  if (!at) return by > 0 ? cases[0] : undefined;
  const place = everyCase.indexOf(at);
  const beyond = cases.filter((element) => (everyCase.indexOf(element) - place) * by > 0);
  return by > 0 ? beyond[0] : beyond[beyond.length - 1];
};

const go = (cases, by, told) => {
  if (!words) return;
  const status = document.querySelector(".keys [role=status]");
  const target = next(cases, by);
  if (!target) {
    status.textContent = cases.length ? (by > 0 ? words.further : words.earlier) : words.none;
    return;
  }
  at = target;
  status.textContent = told.replace("{number}", cases.indexOf(at) + 1).replace("{count}", cases.length);
  reveal(at);
  at.focus({ preventScroll: true });
  // At once: a key that is pressed next acts on what is on the screen.
  at.scrollIntoView({ behavior: "instant" });
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

const follow = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  reveal(target);
  target.scrollIntoView({ behavior: "instant" });
};
addEventListener("hashchange", follow);
follow();

for (const filter of document.querySelectorAll(".filter")) {
  filter.hidden = false;
  const folded = [...filter.parentElement.querySelectorAll(":scope > .case")];
  filter.querySelector("input").addEventListener("input", ({ target }) => {
    const wanted = target.value.toLowerCase().split(" ");
    for (const element of folded) {
      const text = element.querySelector("summary").textContent.toLowerCase();
      element.hidden = !wanted.every((word) => text.includes(word));
    }
    const left = folded.filter((element) => !element.hidden).length;
    filter.querySelector("[role=status]").textContent = `${left} / ${folded.length}`;
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input[type=search]")) return;
  if (event.key === "n") return go(failingCases, 1, words?.place);
  if (event.key === "p") return go(failingCases, -1, words?.place);
  if (event.key === "j") return go(everyCase, 1, words?.any);
  if (event.key === "k") return go(everyCase, -1, words?.any);
  const pair = current();
  const button = [...(pair ? pair.querySelectorAll("button") : [])].find(
    (each) => each.querySelector("kbd").textContent === event.key,
  );
  if (button) choose(pair, button.dataset.view);
});
