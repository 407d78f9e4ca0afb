// The filters of a leaderboard.

function setUpBoard(form, table) {
  const rows = [...table.tBodies[0].rows];
  const count = document.getElementById("board-count");
  const { base, method, bits, bytes, text } = form.elements;
  const among = (select, fact) => !select.value || fact === select.value;
  const below = (select, fact) => !select.value || (fact !== undefined && Number(fact) <= Number(select.value));
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const facts = row.dataset;
      const content = row.textContent.toLowerCase();
      row.hidden = !(among(base, facts.base) && among(method, facts.method) && below(bits, facts.bits) &&
        below(bytes, facts.bytes) && words.every((word) => content.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = shown === rows.length ? `${shown} entries` : `${shown} of ${rows.length} entries`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

setUpBoard(document.getElementById("board-form"), document.getElementById("board"));
