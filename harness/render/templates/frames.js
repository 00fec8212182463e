
// Frames of one video: "." goes to the next one that is stored, "," to the previous one.
const frames = everyCase.filter((element) => "frame" in element.dataset);
const onScreen = () => document.activeElement.closest("[data-frame]") ?? at ?? frames.find(visible) ?? frames[0];

const step = (by) => {
  const from = onScreen();
  if (!from || !("frame" in from.dataset)) return;
  const number = (element) => Number(element.dataset.frame);
  const video = frames.filter((element) => element.dataset.video === from.dataset.video);
  video.sort((one, other) => number(one) - number(other));
  const target = video[video.indexOf(from) + by];
  if (!target) return;
  at = target;
  reveal(target);
  target.focus({ preventScroll: true });
  target.scrollIntoView({ behavior: "instant" });
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input[type=search]")) return;
  if (event.key === ".") step(1);
  if (event.key === ",") step(-1);
});
