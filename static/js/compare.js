// Models ticked for comparison stay ticked while the list is searched, filtered and turned over; no more than four can be.

const COMPARED_MAX = 4;
const ticked = new Map(); // id → name, in the order of ticking

function showTicked() {
  const form = document.getElementById("compare");
  if (!form) return;
  const boxes = [...document.querySelectorAll('input[type="checkbox"][form="compare"]')];
  for (const box of boxes) {
    box.checked = ticked.has(box.value);
    box.disabled = ticked.size >= COMPARED_MAX && !box.checked;
  }
  const shown = new Set(boxes.map((box) => box.value));
  form.replaceChildren(
    ...[...ticked.keys()]
      .filter((id) => !shown.has(id))
      .map((id) => Object.assign(document.createElement("input"), { type: "hidden", name: "m", value: id })),
  );
  const told = document.getElementById("compared");
  if (told) told.textContent = ticked.size ? `${ticked.size} of ${COMPARED_MAX}: ${[...ticked.values()].join(", ")}` : "";
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (!box.matches('input[type="checkbox"][form="compare"]')) return;
  if (box.checked) ticked.set(box.value, box.dataset.name);
  else ticked.delete(box.value);
  showTicked();
});

// Browsers tick boxes again when somebody comes back.
addEventListener("pageshow", () => {
  for (const box of document.querySelectorAll('input[type="checkbox"][form="compare"]:checked')) ticked.set(box.value, box.dataset.name);
  showTicked();
});
document.addEventListener("htmx:afterSettle", showTicked);
