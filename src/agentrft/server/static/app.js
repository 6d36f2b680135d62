// The jobs page: asks the API with the user's key, again every few seconds while the tab is seen.
"use strict";

const POLL_MS = 2500;
const KEY = "agentrft-api-key";
const el = (id) => document.getElementById(id);

class Refused extends Error {}

async function ask(path) {
  const reply = await fetch(path, { headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` } });
  if (reply.status === 401) throw new Refused((await reply.json()).error.message);
  if (!reply.ok) throw new Error((await reply.json().catch(() => null))?.error?.message ?? `status ${reply.status}`);
  return reply.json();
}

function make(tag, text, className) {
  return Object.assign(document.createElement(tag), { textContent: text ?? "", className: className ?? "" });
}

function at(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

function jobInAddress() {
  const found = location.pathname.match(/^\/finetune\/([^/]+)$/);
  return found ? decodeURIComponent(found[1]) : null;
}

function showJobs(jobs, chosen) {
  el("none").hidden = jobs.length > 0;
  el("jobs").replaceChildren(...jobs.map((job) => {
    const link = make("a");
    link.href = `/finetune/${encodeURIComponent(job.id)}`;
    if (job.id === chosen) link.setAttribute("aria-current", "page");
    link.append(make("span", job.user_provided_suffix || job.id), make("small", `${job.method.type}, ${job.model}`));
    link.append(make("small", `${job.status}, ${new Date(job.created_at * 1000).toLocaleString()}`, job.status));
    const item = make("li");
    item.append(link);
    return item;
  }));
}

function showDetails(job) {
  const hyper = Object.entries(job.method[job.method.type].hyperparameters).map(([key, value]) => `${key} ${value}`);
  const rows = {
    "Base model": job.model, "Output model": job.fine_tuned_model, Method: job.method.type, Seed: job.seed,
    Created: new Date(job.created_at * 1000).toLocaleString(),
    "Time left": job.estimated_finish ? `until about ${at(job.estimated_finish)}` : null,
    Training: job.training_file, Validation: job.validation_file, Hyperparameters: hyper.join(", "),
    "Trained tokens": job.trained_tokens, Results: job.result_files.join(", "), Error: job.error?.message,
  };
  el("details").replaceChildren(...Object.entries(rows).filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([key, value]) => [make("dt", key), make("dd", String(value), key === "Error" ? "bad" : "")]));
}

// Sum over tools of a per-tool number; null where no tool has it.
function overTools(row, key) {
  const values = (row.tools ?? []).map((tool) => tool[key]).filter(Number.isFinite);
  return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
}

const CHARTS = [
  ["Reward", (row) => row.train_mean_reward ?? row.scores?.train_reward_mean, (row) => row.full_valid_mean_reward ?? row.scores?.valid_reward_mean],
  ["Tool calls per episode", (row) => row.train_tool_calls_mean ?? overTools(row, "train_calls_per_rollout_mean"), (row) => row.valid_tool_calls_mean ?? overTools(row, "valid_calls_per_rollout_mean")],
  ["Output tokens per episode", (row) => row.completion_tokens_mean, (row) => row.valid_completion_tokens_mean],
  ["Reasoning tokens per episode", (row) => row.reasoning_tokens_mean, (row) => row.valid_reasoning_tokens_mean],
  ["Loss", (row) => row.train_loss, (row) => row.full_valid_loss ?? row.valid_loss],
  ["Attempts lost to faults", (row) => row.agentrft?.train_rollouts_discarded, (row) => row.agentrft?.valid_rollouts_discarded],
  ["Seconds per step", (row) => row.timing?.step?.full_iteration, () => null],
];

// One chart for each part of a grader, where it has several, and for each monitor grader.
function graderCharts(rows) {
  const names = { grader: new Set(), monitor: new Set() };
  for (const key of rows.flatMap((row) => Object.keys(row.agentrft ?? {}))) {
    const [, kind, name] = key.match(/^(?:train|valid)_(grader|monitor)_mean_(.+)$/) ?? [];
    if (kind) names[kind].add(name);
  }
  const read = (kind, name) => ["train", "valid"].map((split) => (row) => row.agentrft?.[`${split}_${kind}_mean_${name}`]);
  const parts = names.grader.size > 1 ? [...names.grader] : [];
  return [
    ...parts.map((name) => [`Grader: ${name}`, ...read("grader", name)]),
    ...[...names.monitor].map((name) => [`Monitor: ${name}`, ...read("monitor", name)]),
  ];
}

function showCharts(rows) {
  const charts = [];
  for (const [title, train, valid] of [...CHARTS, ...graderCharts(rows)]) {
    const series = [["train", train], ["valid", valid]]
      .map(([kind, read]) => ({ kind, points: rows.map((row) => ({ x: row.step, y: read(row) })).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y)) }))
      .filter((one) => one.points.length > 0);
    if (series.length) charts.push(drawChart(title, series));
  }
  el("charts").replaceChildren(...charts);
}

function showEvents(events) {
  el("events").replaceChildren(...events.map((event) => {
    const item = make("li", "", event.level);
    item.append(make("time", at(event.created_at)), make("span", event.message));
    return item;
  }));
}

function showCheckpoints(checkpoints) {
  el("checkpoints").replaceChildren(...checkpoints.map((checkpoint) => {
    const item = make("li");
    item.append(make("time", `step ${checkpoint.step_number}`), make("span", checkpoint.fine_tuned_model_checkpoint));
    return item;
  }));
}

function showNow(job, progress) {
  const where = progress && job.status === "running"
    ? `, step ${progress.step}, ${progress.phase} ${progress.done} of ${progress.expected}` : "";
  el("now").replaceChildren(make("span", job.status, job.status), document.createTextNode(where));
}

async function showJob(id) {
  const name = encodeURIComponent(id);
  const [job, metrics, progress, events, checkpoints] = await Promise.all([
    ask(`/v1/fine_tuning/jobs/${name}`), ask(`/agentrft/v1/jobs/${name}/metrics`), ask(`/agentrft/v1/jobs/${name}/progress`),
    ask(`/v1/fine_tuning/jobs/${name}/events?limit=200`), ask(`/v1/fine_tuning/jobs/${name}/checkpoints?limit=100`),
  ]);
  el("title").textContent = job.id;
  document.title = `${job.status}: ${job.user_provided_suffix || job.id}`;
  showNow(job, progress.progress);
  showDetails(job);
  showCharts(metrics.data);
  showCheckpoints(checkpoints.data);
  showEvents(events.data);
  el("job").hidden = false;
  el("pick").hidden = true;
}

function askForKey(message) {
  sessionStorage.removeItem(KEY);
  el("refused").textContent = message ?? "";
  el("login").hidden = false;
  el("board").hidden = el("forget").hidden = true;
  el("key").focus();
}

async function refresh() {
  if (!sessionStorage.getItem(KEY)) {
    if (el("login").hidden) askForKey();
    return;
  }
  const chosen = jobInAddress();
  try {
    const jobs = await ask("/v1/fine_tuning/jobs?limit=100");
    el("login").hidden = true;
    el("board").hidden = el("forget").hidden = false;
    showJobs(jobs.data, chosen);
    if (chosen) await showJob(chosen);
    el("state").textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (error instanceof Refused) return askForKey(error.message);
    el("state").textContent = `not up to date: ${error.message}`;
  }
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, POLL_MS);
}

el("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, el("key").value.trim());
  el("key").value = "";
  refresh();
});
el("forget").addEventListener("click", () => askForKey());
poll();
