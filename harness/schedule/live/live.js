"use strict";

const byId = (id) => document.getElementById(id);
const SIGNS = {
  ok: ["✓ ok", "good"], worse: ["▲ worse", "bad"], undecided: ["? undecided", "note"], partial: ["◐ partial", "note"],
  failed: ["✗ failed", "bad"], interrupted: ["✗ interrupted", "bad"], skipped: ["– skipped", "note"],
  "not possible": ["– not possible", "note"],
};
let state = null;
let received = 0;

const when = (seconds) => {
  if (seconds === null) return "–";
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
};
const long = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h} h ${m} min` : m ? `${m} min ${s} s` : `${s} s`;
};
const number = (value) => (value === null ? "–" : String(value));

function element(name, text, css) {
  const made = document.createElement(name);
  made.textContent = text;
  if (css) made.className = css;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  for (const cell of cells) made.append(cell instanceof Node ? cell : element("td", cell));
  return made;
}

function list(id, texts, empty) {
  const made = (each) => (each instanceof Node ? each : element("li", each));
  const items = texts.length ? texts.map(made) : [element("li", empty, "empty")];
  byId(id).replaceChildren(...items);
}

function alertLine(alert) {
  const item = document.createElement("li");
  const link = element("a", `Alert ${alert.key}`);
  link.href = `/alerts/${alert.key}.html`;
  item.append(link, `: ${confirmed(alert)} (since ${when(alert.opened_at)})`);
  return item;
}

function confirmed(alert) {
  if (alert.confirmation === "waiting") return `${alert.sentence}; not reported yet, a duel is to confirm it`;
  return alert.confirmation_reason ? `${alert.sentence}; ${alert.confirmation_reason}` : alert.sentence;
}

function runLink(id) {
  const cell = document.createElement("td");
  if (id) {
    const link = element("a", id);
    link.href = "/runs/" + encodeURIComponent(id) + ".html";
    cell.append(link);
  } else cell.textContent = "–";
  return cell;
}

function outcome(fire) {
  if (!fire) return element("td", "never", "empty");
  const [text, css] = SIGNS[fire.outcome] || [fire.outcome, ""];
  return element("td", text, css);
}

function showNow(clock) {
  const { running, watched } = state;
  const scheduler = state.keeper; // codespell:ignore keeper
  byId("progress").hidden = !running;
  if (!running) {
    const next = state.jobs.filter((job) => job.next_at !== null).sort((a, b) => a.next_at - b.next_at)[0];
    byId("now").textContent = scheduler && scheduler.doing.includes("busy") ? scheduler.doing : "Nothing runs.";
    byId("detail").textContent = next ? `Next: ${next.name}, in ${long(next.next_at - clock)}.` : "No job is due.";
    return;
  }
  byId("now").textContent = `${running.job} has run for ${long(clock - running.started_at)}.`;
  const seen = watched || { share: 0, doing: "starting", blocks: 0, launches: 0, lost: 0, remaining_s: null };
  byId("progress").value = seen.share;
  const left = seen.remaining_s === null ? "time left unknown" : `${long(seen.remaining_s - (clock - seen.at))} left`;
  const lost = seen.lost ? `, ${seen.lost} scenarios lost` : "";
  byId("detail").textContent =
    `Launch ${seen.launches}, ${seen.blocks} blocks measured${lost}; ${left}; now: ${seen.doing}`;
}

function show() {
  const scheduler = state.keeper; // codespell:ignore keeper
  byId("who").textContent = scheduler
    ? `${state.runner} · process ${scheduler.pid} on ${scheduler.host} since ${when(scheduler.since)}`
    : `${state.runner} · no scheduler is running`;
  list("alerts", state.open_alerts.map(alertLine), "none");
  list("queue", state.queue.map((fire) => `${fire.job}, due ${when(fire.due_at)}`), "empty");
  byId("jobs").replaceChildren(...state.jobs.map((job) => row([
    job.name, job.when, job.paused ? "paused" : when(job.next_at), outcome(job.last),
    job.last ? long(job.last.ended_at - job.last.started_at) : "–",
    element("td", number(job.streak), job.streak < 0 ? "bad" : "good"), number(job.succeeded), number(job.failed),
  ])));
  byId("recent").replaceChildren(...state.recent.map((past) => row([
    when(past.fire.ended_at), past.fire.job, outcome(past.fire), number(past.regressed), number(past.improved),
    number(past.missed_targets), runLink(past.fire.run_id), past.fire.reason || "",
  ])));
}

function trouble(text) {
  byId("trouble").hidden = !text;
  byId("trouble").textContent = text;
}

const source = new EventSource("/live/events");
source.onmessage = (event) => {
  state = JSON.parse(event.data);
  received = performance.now();
  trouble("");
  show();
  showNow(state.now);
};
source.addEventListener("trouble", (event) => trouble(JSON.parse(event.data)));
source.onerror = () => trouble("The scheduler does not answer; trying again.");
setInterval(() => { if (state) showNow(state.now + (performance.now() - received) / 1000); }, 1000);
