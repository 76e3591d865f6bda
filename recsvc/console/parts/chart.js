// Charts over time, by uPlot, in the console's colours and as wide as there is room.

import uPlot from "uplot";
import { clock } from "../format.js";
import { html, useEffect, useRef } from "../html.js";

const HEIGHT_PX = 190, WIDTH_LEAST_PX = 120, TICKS_S = [15, 30, 60, 120, 300, 600];

/** What a style variable is at the moment. */
export const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * A line chart. `times`: unix seconds; `lines`: `[{label, tone, values, fill?}]`, each value a number
 * or null; `format` writes a value, `tick` one on the axis. `span_s`: how much time is shown, the
 * newest on the right. `label` says what the chart shows to whoever does not see it.
 */
export function Chart({ label, times, lines, format, tick = format, span_s }) {
  const place = useRef(), plot = useRef();
  const data = [times, ...lines.map((one) => one.values)];
  const names = lines.map((one) => one.label).join("|");
  useEffect(() => {
    if (!place.current) return undefined; // it was taken away before it was seen
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options({ ...sizeOf(place.current), lines, format, tick, span_s }), plotted.current, place.current);
    };
    const wide = new ResizeObserver(([{ target }]) => plot.current?.setSize(sizeOf(target)));
    const themed = new MutationObserver(make);
    make();
    wide.observe(place.current);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      wide.disconnect();
      themed.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names]);
  const plotted = useRef(data);
  plotted.current = data;
  useEffect(() => {
    plot.current?.setData(data);
    if (plot.current?.cursor.idx == null) plot.current?.setLegend({ idx: times.length - 1 }); // the newest
  });
  return html`<div class="chart"><div class="plot" role="img" aria-label=${label} ref=${place}></div></div>`;
}

const sizeOf = (place) => ({ width: Math.max(place.clientWidth, WIDTH_LEAST_PX), height: HEIGHT_PX });

function options({ width, height, lines, format, tick, span_s }) {
  const axis = { stroke: tone("muted"), grid: { stroke: tone("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width,
    height,
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: {
      x: { range: (_, first, last) => [last - span_s, last] },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.12] },
    },
    axes: [
      { ...axis, size: 32, space: 80, incrs: TICKS_S, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 52, values: (_, ticks) => ticks.map(tick) },
    ],
    series: [
      { value: (_, seconds) => (seconds === null ? "–" : clock(seconds)) },
      ...lines.map((one) => ({
        label: one.label,
        stroke: tone(one.tone),
        width: 2,
        fill: one.fill ? `color-mix(in srgb, ${tone(one.tone)} 16%, transparent)` : undefined,
        points: { show: false },
        spanGaps: true,
        value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
      })),
    ],
  };
}

/** Bars side by side: `rows`: `[{name, value, text, tone?}]`, the longest fills the track. */
export function Bars({ rows }) {
  const most = Math.max(...rows.map((row) => row.value), 1e-12);
  return html`
    <div class="bars">
      ${rows.map((row) => html`
        <div class="bar" key=${row.name}>
          <span class="name" title=${row.name}>${row.name}</span>
          <span class="track" aria-hidden="true"><span class=${`fill ${row.tone ?? ""}`} style=${{ width: `${(row.value / most) * 100}%` }}></span></span>
          <span class="number small">${row.text}</span>
        </div>`)}
    </div>`;
}
