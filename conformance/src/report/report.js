
"use strict";
(() => {
  const form = document.getElementById("filters");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const checks = [...document.querySelectorAll("details.check")];
  const groups = [...document.querySelectorAll("section.group")];
  // What a search looks through: the line, and what the opened check says of itself, but not bodies.
  const words = new Map(checks.map((check) => [
    check,
    (check.querySelector("summary").textContent + " " + check.querySelector(".facts").textContent).toLowerCase(),
  ]));

  const apply = () => {
    const chosen = (name) => new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
    const outcomes = chosen("outcome");
    const levels = chosen("level");
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const check of checks) {
      const fits = outcomes.has(check.dataset.outcome) && levels.has(check.dataset.level)
        && terms.every((term) => words.get(check).includes(term));
      check.hidden = !fits;
      count += fits ? 1 : 0;
    }
    for (const group of groups) {
      group.hidden = !group.querySelector("details.check:not([hidden])");
    }
    shown.textContent = `${count} of ${checks.length} shown`;
  };

  const showAll = () => {
    for (const box of form.querySelectorAll("input[type=checkbox]:not(:disabled)")) {
      box.checked = true;
    }
    search.value = "";
    apply();
  };

  // A link to a check opens it, also when a filter hides it.
  const follow = () => {
    let check = null;
    try {
      check = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return;
    }
    if (!check || !check.matches("details.check")) {
      return;
    }
    if (check.hidden) {
      showAll();
    }
    check.open = true;
    check.scrollIntoView();
    check.querySelector("summary").focus({ preventScroll: true });
  };

  const copy = async (button) => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Without a clipboard the command is selected, so that one keystroke copies it.
      getSelection().selectAllChildren(code);
      return;
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    showAll();
  });
  document.getElementById("only-failures").addEventListener("click", () => {
    for (const box of form.querySelectorAll("input[name=outcome]:not(:disabled)")) {
      box.checked = ["fail", "error", "known"].includes(box.value);
    }
    apply();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      apply();
    }
  });
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }

  // Paper cannot be clicked: what failed is printed open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = checks.filter((check) => !check.open && ["fail", "error"].includes(check.dataset.outcome));
    opened.forEach((check) => { check.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((check) => { check.open = false; });
  });

  addEventListener("hashchange", follow);
  apply();
  follow();
})();
