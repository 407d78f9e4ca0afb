// The item explorer of a report.

const PAGE = 25; // items shown at a time

class Explorer {
  constructor(index) {
    this.index = index;
    this.loaded = new Map(); // task -> a promise of its documents and changes
    this.turn = 0; // of the last restart: an earlier one that is still reading shows nothing
    this.page = 0;
    this.form = document.getElementById("explorer-form");
    this.list = document.getElementById("explorer-list");
    this.count = document.getElementById("explorer-count");
    this.pages = document.getElementById("explorer-pages");
    const { task, candidate, change, text } = this.form.elements;
    this.fields = { task, candidate, change, text };
    this.fill(task, Object.keys(index));
    this.fillCandidates();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    task.addEventListener("change", () => { this.fillCandidates(); this.restart(); });
    candidate.addEventListener("change", () => this.restart());
    change.addEventListener("change", () => this.show(0));
    text.addEventListener("input", () => this.show(0));
    this.pages.addEventListener("click", (event) => {
      const step = Number(event.target.dataset.step);
      if (step) { this.show(this.page + step); this.form.scrollIntoView(); }
    });
    this.form.hidden = false;
  }

  fill(select, values, chosen) {
    select.replaceChildren(...values.map((value) => {
      const option = make("option", "", value);
      option.value = value;
      return option;
    }));
    if (values.includes(chosen)) select.value = chosen;
  }

  fillCandidates() {
    const before = this.fields.candidate.value;
    this.fill(this.fields.candidate, Object.keys(this.index[this.fields.task.value].counts), before);
  }

  async open(task, candidate) {
    this.fields.task.value = task;
    this.fillCandidates();
    this.fields.candidate.value = candidate;
    this.fields.text.value = "";
    await this.restart();
    document.getElementById("section-explorer").scrollIntoView();
    this.fields.task.focus({ preventScroll: true });
  }

  load(task) {
    if (!this.loaded.has(task)) this.loaded.set(task, this.read(task));
    return this.loaded.get(task);
  }

  async read(task) {
    const scripts = document.querySelectorAll('script[type="application/gzip"]');
    const holder = [...scripts].find((script) => script.dataset.task === task);
    const bytes = Uint8Array.from(atob(holder.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  async restart() {
    this.count.textContent = "Reading the items…";
    const turn = ++this.turn;
    const data = await this.load(this.fields.task.value);
    if (turn !== this.turn) return; // another was chosen meanwhile
    this.documents = data.documents;
    this.changes = data.changes[this.fields.candidate.value];
    const kinds = [...new Set(this.changes.map((change) => change[1]))];
    this.fill(this.fields.change, ["all", ...kinds], this.fields.change.value);
    this.show(0);
  }

  show(page) {
    const kind = this.fields.change.value;
    const wanted = this.fields.text.value.toLowerCase();
    const matches = this.changes.filter((change) => {
      if (kind !== "all" && change[1] !== kind) return false;
      if (!wanted) return true;
      const document = this.documents[change[0]];
      return [document[1], document[2], document[3], document[4], change[2]].some(
        (text) => text.toLowerCase().includes(wanted));
    });
    const last = Math.max(0, Math.ceil(matches.length / PAGE) - 1);
    this.page = Math.min(Math.max(page, 0), last);
    const { counts } = this.index[this.fields.task.value];
    const [changed, packed] = counts[this.fields.candidate.value];
    const left = changed > packed ? ` This page holds ${packed} of the ${changed} items that changed.` : "";
    this.count.textContent = `${matches.length} of ${packed} items.${left}`;
    const start = this.page * PAGE;
    this.list.replaceChildren(...matches.slice(start, start + PAGE).map((change) => this.item(change)));
    this.pages.hidden = last === 0;
    document.getElementById("explorer-page").textContent = `Page ${this.page + 1} of ${last + 1}`;
    this.pages.querySelector('[data-step="-1"]').disabled = this.page === 0;
    this.pages.querySelector('[data-step="1"]').disabled = this.page === last;
  }

  item(change) {
    const [index, kind, response, score, margin] = change;
    const [id, group, prompt, target, referenceResponse, referenceScore, referenceMargin] = this.documents[index];
    const { reference, metric } = this.index[this.fields.task.value];
    const candidate = this.fields.candidate.value;
    const details = make("details", "item");
    const summary = make("summary");
    const said = this.answer(response, margin);
    const gist = make("span", "gist", margin === null ? `${target} → ${said}` : prompt.trim().slice(-200));
    gist.dir = "auto";
    const side = `${group && group !== String(id) ? `${group} · ` : ""}item ${id} · ${metric} ${referenceScore} → ${score}`;
    summary.append(make("span", `badge ${kind.split(" ")[0]}`, kind), gist, make("span", "sub", side));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (!details.open || details.children.length > 1) return;
      const list = make("dl");
      this.field(list, "Prompt", prompt, "whole");
      this.field(list, "Gold answer", target, "whole");
      const before = this.answer(referenceResponse, referenceMargin);
      this.field(list, `${reference}: ${metric} ${referenceScore}${this.margin(referenceMargin)}`, before);
      this.field(list, `${candidate}: ${metric} ${score}${this.margin(margin)}`, said);
      details.append(list);
    });
    return details;
  }

  answer(response, margin) {
    if (response.trim()) return response;
    return margin === null ? "(an empty answer)" : "(no text: scored by the likelihood of its choices)";
  }

  margin(nats) {
    return nats === null ? "" : `, margin ${nats.toFixed(2)} nats`;
  }

  field(list, label, text, className) {
    const box = make("div", className ? `field ${className}` : "field");
    const value = make("dd");
    const shown = make("pre", "", text || "(none)");
    shown.dir = "auto";
    shown.tabIndex = 0;
    shown.setAttribute("role", "region");
    shown.setAttribute("aria-label", label);
    value.append(shown);
    box.append(make("dt", "", label), value);
    list.append(box);
  }
}

function linkTables(explorer, index) {
  for (const block of document.querySelectorAll(".task")) {
    const { task } = block.dataset;
    const table = block.querySelector("table");
    if (!table || !index[task]) continue;
    for (const row of table.tBodies[0].rows) {
      const candidate = row.cells[0].textContent.trim();
      if (!(candidate in index[task].counts)) continue;
      const button = make("button", "see", "see items");
      button.type = "button";
      button.setAttribute("aria-label", `See the items of ${candidate} on ${task} that changed`);
      button.addEventListener("click", () => explorer.open(task, candidate));
      row.cells[0].append(button);
    }
  }
}

const index = JSON.parse(document.getElementById("explorer-index").textContent);
if (Object.keys(index).length) {
  const explorer = new Explorer(index);
  linkTables(explorer, index);
  const section = document.getElementById("section-explorer");
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting) && !explorer.documents) {
      observer.disconnect();
      explorer.restart();
    }
  }).observe(section);
}
