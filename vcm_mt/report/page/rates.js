"use strict";
// BD-rates: those against one anchor, or all; without this script all of them.

(() => {
  const anchor = find("#anchor");
  if (!anchor) return;
  const parts = findAll("#rates .by-score");

  function show() {
    for (const part of parts) {
      const rows = findAll("tr[data-anchor]", part);
      for (const row of rows) {
        row.hidden = Boolean(anchor.value) && row.dataset.anchor !== anchor.value;
      }
      part.hidden = rows.every((row) => row.hidden);
    }
  }

  anchor.addEventListener("change", show);
  anchor.closest("label").hidden = false;
  show();
})();
