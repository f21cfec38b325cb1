const form = document.getElementById("filters");
const search = document.getElementById("search");
const checks = [...document.querySelectorAll(".check")];
function filter() {
  const chosen = (group) => new Set([...form.elements[group]].filter((box) => box.checked).map((box) => box.value));
  const outcomes = chosen("outcome"), levels = chosen("level"), words = search.value.toLowerCase();
  let shown = 0;
  for (const check of checks) {
    const text = check.querySelector("summary").textContent.toLowerCase();
    const keep = outcomes.has(check.dataset.outcome) && levels.has(check.dataset.level) && text.includes(words);
    check.hidden = !keep;
    shown += keep ? 1 : 0;
  }
  document.getElementById("shown").textContent = `${shown} of ${checks.length} checks`;
}
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
filter();
if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
