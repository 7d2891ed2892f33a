// Live updates: the stream sends the parts of this page that have changed, and charts are drawn.
"use strict";

const charts = new Map(); // by the name of the part that holds it

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

function draw(part) {
  const place = part.querySelector("[data-chart]");
  if (!place || typeof uPlot === "undefined") return;
  const series = JSON.parse(place.dataset.chart);
  const data = [series.at, series.requests, series.errors, series.median];
  let chart = charts.get(part.dataset.live);
  if (!chart) {
    const of = colours();
    const axis = { stroke: of("--soft"), grid: { stroke: of("--line"), width: 1 }, ticks: { stroke: of("--line") } };
    chart = new uPlot({
      width: Math.max(260, place.clientWidth),
      height: 190,
      scales: { y: { range: (_, __, max) => [0, max || 1] }, ms: { range: (_, __, max) => [0, max || 1] } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      legend: { live: false },
      cursor: { show: false },
      axes: [{ ...axis, values: "{HH}:{mm}", space: 70 }, { ...axis, size: 46 }, { ...axis, scale: "ms", side: 1, size: 76, values: (_, ticks) => ticks.map((tick) => tick + " ms"), grid: { show: false } }],
      series: [
        {},
        { label: "requests / s", stroke: of("--link"), fill: of("--plain-soft"), width: 1.5, points: { show: false } },
        { label: "errors / s", stroke: of("--bad"), width: 1.5, points: { show: false } },
        { label: "median, ms", scale: "ms", stroke: of("--function"), width: 1, spanGaps: true },
      ],
    }, data, place);
    charts.set(part.dataset.live, chart);
  } else {
    chart.setData(data);
    place.append(chart.root);
  }
}

// A part keeps its focus, its scroll positions and its opened details.
function replace(part, html) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  if (focused && focused.matches("input:not([type=hidden]), select, textarea")) return;
  const selector = "a, button, summary, input, select, [tabindex]";
  const index = focused ? [...part.querySelectorAll(selector)].indexOf(focused) : -1;
  const scrolled = [...part.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const opened = [...part.querySelectorAll("details")].map((details) => details.open);
  part.innerHTML = html;
  part.querySelectorAll(".scroll").forEach((box, n) => { if (scrolled[n]) [box.scrollLeft, box.scrollTop] = scrolled[n]; });
  part.querySelectorAll("details").forEach((details, n) => { details.open = Boolean(opened[n]); });
  if (index >= 0) part.querySelectorAll(selector)[index]?.focus({ preventScroll: true });
  draw(part);
}

function follow() {
  const state = document.getElementById("stream");
  const page = location.pathname + location.search;
  const source = new EventSource("/dev/dashboard/stream?of=" + encodeURIComponent(page));
  const show = (name, text) => { state.dataset.state = name; state.textContent = text; };
  source.onopen = () => show("live", "live");
  source.onerror = () => show("lost", "waits for the server");
  source.onmessage = (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.querySelector(`[data-live="${name}"]`);
      if (part) replace(part, html);
    }
  };
  return source;
}

document.querySelectorAll("[data-live]").forEach(draw);
if (new URLSearchParams(location.search).has("note")) {
  const address = new URL(location.href); // the note is said once
  address.searchParams.delete("note");
  history.replaceState(null, "", address);
}
if (document.body.dataset.livePage === "yes") {
  let source = follow();
  document.addEventListener("visibilitychange", () => { // nothing is sent to a hidden page
    source.close();
    if (!document.hidden) source = follow();
  });
}
addEventListener("resize", () => charts.forEach((chart) => {
  chart.setSize({ width: Math.max(260, chart.root.parentElement.clientWidth), height: 190 });
}));
