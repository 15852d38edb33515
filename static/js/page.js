// What every page does once it lives: theme, copying, menus, the search key, sliders and times in the reader's zone.

document.documentElement.classList.add("js");

// --- Theme: the form works without script; with it, there is no reload ---

const ONE_YEAR_S = 31536000;

function presentTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-theme-form]")) return;
  event.preventDefault();
  const theme = presentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.cookie = `tollway_theme=${theme}; path=/; max-age=${ONE_YEAR_S}; samesite=lax`;
});

// --- Copy ---

function writeByHand(text) {
  // navigator.clipboard needs a secure page; plain http on a local network is not one.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
  } else {
    writeByHand(text);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent;
  await copyText(text.trim());
  const status = document.getElementById("status");
  if (status) status.textContent = "Copied";
  button.classList.add("is-done");
  setTimeout(() => {
    button.classList.remove("is-done");
    if (status) status.textContent = "";
  }, 1600);
});

// --- Menus close on Escape and on a click elsewhere ---

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

// --- Sliders: a second handle of the number field that data-slider-of names; the field alone is sent ---
// On a scale of decades the positions are 0, 1, 2 … 9, 10, 20 … 90, 100: a thousand is as easy to hit as a million.

function valueAt(slider) {
  const position = Number(slider.value);
  if (slider.dataset.scale !== "decades" || position < 1) return position;
  return (((position - 1) % 9) + 1) * 10 ** Math.floor((position - 1) / 9);
}

function positionOf(value, slider) {
  if (slider.dataset.scale !== "decades" || value < 1) return value;
  const decade = String(Math.trunc(value)).length - 1;
  return 9 * decade + Math.round(value / 10 ** decade);
}

function describeSlider(slider, value) {
  slider.setAttribute("aria-valuetext", value.toLocaleString("en"));
}

function followField(slider) {
  const value = Number(document.getElementById(slider.dataset.sliderOf).value);
  slider.value = positionOf(value, slider);
  describeSlider(slider, value);
}

document.addEventListener("input", (event) => {
  const { sliderOf } = event.target.dataset;
  if (sliderOf) {
    const value = valueAt(event.target);
    document.getElementById(sliderOf).value = value;
    describeSlider(event.target, value);
  } else {
    const slider = event.target.id && document.querySelector(`[data-slider-of="${CSS.escape(event.target.id)}"]`);
    if (slider) followField(slider);
  }
});

// Also after going back, when browsers put old numbers into fields.
addEventListener("pageshow", () => document.querySelectorAll("[data-slider-of]").forEach(followField));

// --- Times: the server writes UTC; here they become relative when fresh and local on hover ---

const STEPS = [
  [60, "second", 1],
  [3600, "minute", 60],
  [86400, "hour", 3600],
  [604800, "day", 86400],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "long" });
const dayOnly = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

function ageText(at) {
  const seconds = (at - Date.now()) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return "now";
  const step = STEPS.find(([limit]) => size < limit);
  return step ? relative.format(Math.round(seconds / step[2]), step[1]) : dayOnly.format(at);
}

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    element.title = absolute.format(at);
    if (element.hasAttribute("data-relative")) {
      const text = ageText(at);
      if (element.textContent !== text) element.textContent = text;
    } else {
      element.textContent = absolute.format(at);
    }
  }
}

showTimes();
setInterval(showTimes, 10000);
document.addEventListener("htmx:afterSettle", showTimes);
