// Charts over time, drawn by uPlot. A page that has some
//
//   - loads what they need:            {{define "head"}}{{template "charts"}}{{end}}
//   - says where one stands:           {{chart "cpu-figures" (t "node.cpu")}}   which writes
//         <figure class="chart" id="chart-cpu-figures" data-chart="cpu-figures" data-keep aria-label="..."></figure>
//   - says what it shows, inside a live block (so that it follows), from a ui.Chart: {{figures "cpu-figures" .Data.CPU}}
//         <script type="application/json" id="cpu-figures">{...}</script>
//
// The figures: {
//   "unit":   "bytes" | "bytes/s" | "seconds" | "share" (0 to 1, shown as %) | "celsius" | "watts" | "count" | "/s" | "tokens/s" | "tokens",
//   "times":  [unix seconds, rising],
//   "series": [{"label": "p50", "values": [1, null, 2], "unit": "" (a second axis, right, where it is another one),
//               "steps": true (a stair: replicas), "bars": true, "tone": "danger" (else a colour of the row)}],
//   "from", "to": unix seconds the axis covers (else what there is), "min", "max": of the left axis (else 0 and what there is),
//   "stacked": true, "sync": "name" (charts of one name share the cursor), "tall": true,
//   "marks":  [{"at": unix seconds, "text": "scaled to 3: ...", "tone": "warning"}]  lines on the time axis that say why,
//   "empty":  "what is said while there is nothing to draw"
// }
// A page that has figures from elsewhere (a websocket, fetch) draws them itself: palisade.chart(figure, figures).
//
// Nothing here takes the keyboard: what a chart shows stands in a table beside it for those who cannot see it.
(() => {
  'use strict';
  const language = document.documentElement.lang;
  const drawn = new WeakMap(); // figure -> {text, plot, shape, parts}
  const all = new Set();
  const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const clockSeconds = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const day = new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric' });
  const moment = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });

  // Numbers with their units -----------------------------------------------------------------------------------------
  function digits(v) {
    const abs = Math.abs(v);
    if (abs === 0) return '0';
    if (abs < 0.001) return v.toExponential(1);
    return new Intl.NumberFormat(language, { maximumFractionDigits: abs >= 100 ? 0 : abs >= 1 ? 1 : 3 }).format(v);
  }
  function scaled(v, base, names) {
    let i = 0;
    while (Math.abs(v) >= base && i < names.length - 1) { v /= base; i++; }
    return digits(v) + (names[i] ? ' ' + names[i] : '');
  }
  const decimal = ['', 'k', 'M', 'G', 'T'];
  function seconds(v) {
    const abs = Math.abs(v);
    if (abs === 0) return '0 s';
    if (abs < 0.001) return digits(v * 1e6) + ' µs';
    if (abs < 1) return digits(v * 1e3) + ' ms';
    if (abs < 120) return digits(v) + ' s';
    if (abs < 7200) return digits(v / 60) + ' min';
    return digits(v / 3600) + ' h';
  }
  function said(v, unit) {
    if (v == null || !isFinite(v)) return '–';
    switch (unit) {
      case 'bytes': return palisade.bytes(v);
      case 'bytes/s': return palisade.bytes(v) + '/s';
      case 'seconds': return seconds(v);
      case 'share': return digits(v * 100) + ' %';
      case 'celsius': return digits(v) + ' °C';
      case 'watts': return scaled(v, 1000, ['W', 'kW']);
      case '/s': return scaled(v, 1000, decimal) + '/s';
      case 'tokens/s': return scaled(v, 1000, decimal) + ' tok/s';
      default: return scaled(v, 1000, decimal);
    }
  }

  // Colours: those of the style sheet, so that light and dark follow ---------------------------------------------------
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function colourOf(series, i) { return colour(series.tone ? '--tblr-' + series.tone : '--chart-' + (i % 6)); }
  // A colour of the sheet is #rrggbb; what is below a line is the same, and mostly seen through.
  function faint(c) { return /^#[0-9a-f]{6}$/i.test(c) ? c + '26' : 'transparent'; }

  // Drawing ----------------------------------------------------------------------------------------------------------
  // Stacked series are drawn from the highest sum down, so that each covers what is below it.
  function columns(f) {
    const values = f.series.map((s) => s.values);
    if (!f.stacked) return [f.times, ...values];
    const sums = [];
    let below = f.times.map(() => 0);
    for (const v of values) {
      below = below.map((b, i) => b + (v[i] || 0));
      sums.push(below);
    }
    return [f.times, ...sums.reverse()];
  }
  function timeTicks(u, splits) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 60;
    let before = '';
    return splits.map((at) => {
      if (at == null) return '';
      const d = new Date(at * 1000);
      const date = day.format(d);
      if (step >= 86400) return date;
      const text = (step < 60 ? clockSeconds : clock).format(d);
      const fresh = before !== '' && date !== before;
      before = date;
      return fresh ? text + '\n' + date : text;
    });
  }
  const binarySteps = [];
  for (let p = 0; p < 60; p++) binarySteps.push(2 ** p);
  const wholeSteps = [];
  for (let p = 0; p < 15; p++) wholeSteps.push(10 ** p, 2 * 10 ** p, 5 * 10 ** p);

  function yAxis(scale, unit, side) {
    const axis = {
      scale, side, size: 68, gap: 4, font: '11px sans-serif', stroke: () => colour('--chart-text'),
      grid: { show: side === 3, stroke: () => colour('--chart-grid'), width: 1 }, ticks: { show: false }, space: 36,
      values: (u, splits) => splits.map((v) => said(v, unit)),
    };
    if (unit.startsWith('bytes')) axis.incrs = binarySteps;
    if (unit === 'count') axis.incrs = wholeSteps;
    return axis;
  }
  function range(f, unit, own) {
    return (u, low, high) => {
      let top = own && f.max != null ? f.max : high == null ? 1 : high * 1.08;
      const bottom = own && f.min != null ? f.min : Math.min(0, low == null ? 0 : low);
      if (!(top > bottom)) top = bottom + (unit === 'share' ? 1 : 1);
      if (unit === 'count' && top - bottom < 2) top = bottom + 2;
      return [bottom, top];
    };
  }
  function options(f, figure, parts) {
    const second = f.series.map((s) => s.unit).find((unit) => unit && unit !== f.unit);
    const order = f.series.map((s, i) => [s, i]);
    if (f.stacked) order.reverse();
    const series = order.map(([s, i]) => {
      const stroke = () => colourOf(s, i);
      const one = {
        label: s.label, scale: s.unit && s.unit === second ? 'second' : 'y', stroke, width: 1.5, points: { show: f.times.length < 2, size: 5 }, spanGaps: false,
        fill: f.stacked ? stroke : () => (f.series.length === 1 && !s.steps ? faint(stroke()) : 'transparent'),
      };
      if (s.steps) one.paths = uPlot.paths.stepped({ align: 1 });
      if (s.bars) { one.paths = uPlot.paths.bars({ size: [0.7, 48] }); one.fill = stroke; one.width = 0; one.points.show = false; }
      return one;
    });
    const axes = [{
      font: '11px sans-serif', stroke: () => colour('--chart-text'), grid: { show: false }, ticks: { show: true, size: 4, stroke: () => colour('--chart-grid') },
      values: timeTicks, size: 38, space: 64,
    }, yAxis('y', f.unit, 3)];
    const scales = {
      x: { time: true, range: (u, low, high) => [f.from == null ? low : f.from, f.to == null ? (high > low ? high : low + 1) : f.to] },
      y: { range: range(f, f.unit, true) },
    };
    if (second) { axes.push(yAxis('second', second, 1)); scales.second = { range: range(f, second, false) }; }
    const o = {
      width: Math.max(figure.clientWidth, 120), height: f.tall ? 280 : 180, padding: [8, second ? 0 : 24, 0, 0], legend: { show: false }, series: [{}, ...series], axes, scales,
      cursor: { drag: { x: false, y: false }, points: { size: 6 }, y: false },
      hooks: { draw: [(u) => marks(u, drawn.get(figure).figures)], setCursor: [(u) => legend(u, figure, parts)] },
    };
    if (f.sync) o.cursor.sync = { key: f.sync, setSeries: false };
    return o;
  }
  function marks(u, f) {
    const ctx = u.ctx;
    for (const m of f.marks || []) {
      const x = u.valToPos(m.at, 'x', true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour('--tblr-' + (m.tone || 'secondary'));
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + u.bbox.height);
      ctx.stroke();
      const r = 4 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - r, u.bbox.top);
      ctx.lineTo(x + r, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + r * 1.4);
      ctx.fill();
      ctx.restore();
    }
  }

  // What stands below: each row with its colour and its value at the cursor, else the last one; the mark beside the cursor.
  function legend(u, figure, parts) {
    const { figures: f } = drawn.get(figure);
    const at = u.cursor.idx;
    const here = u.cursor.left >= 0 && at != null;
    f.series.forEach((s, i) => {
      let value = here ? s.values[at] : null;
      if (!here) for (let k = s.values.length - 1; k >= 0 && value == null; k--) value = s.values[k];
      parts.values[i].textContent = said(value, s.unit || f.unit);
    });
    let text = here ? moment.format(new Date(f.times[at] * 1000)) : '';
    let tone = '';
    if (here) {
      let near = 12;
      for (const m of f.marks || []) {
        const away = Math.abs(u.valToPos(m.at, 'x') - u.cursor.left);
        if (away < near) { near = away; text = moment.format(new Date(m.at * 1000)) + ': ' + m.text; tone = m.tone || ''; }
      }
    }
    parts.at.textContent = text;
    parts.at.className = 'chart-at' + (tone ? ' text-' + tone : '');
  }
  function element(name, className, text) {
    const el = document.createElement(name);
    if (className) el.className = className;
    if (text != null) el.textContent = text;
    return el;
  }
  function frame(figure, f) {
    const parts = { plot: element('div', 'chart-plot'), caption: element('figcaption', 'chart-legend'), at: element('span', 'chart-at'), values: [], table: element('div', 'visually-hidden') };
    parts.plot.setAttribute('aria-hidden', 'true');
    f.series.forEach((s, i) => {
      const row = element('span', 'chart-row');
      const key = element('span', 'chart-key');
      key.style.setProperty('--key', s.tone ? 'var(--tblr-' + s.tone + ')' : 'var(--chart-' + (i % 6) + ')');
      const value = element('span', 'chart-value');
      parts.values.push(value);
      row.append(key, element('span', '', s.label), value);
      parts.caption.append(row);
    });
    parts.caption.append(parts.at);
    parts.caption.setAttribute('aria-hidden', 'true');
    figure.replaceChildren(parts.plot, parts.caption, parts.table);
    return parts;
  }
  // At most a dozen rows: enough to hear where it goes.
  function table(figure, f, parts) {
    const t = element('table');
    t.append(element('caption', '', figure.getAttribute('aria-label') || ''));
    const head = t.createTHead().insertRow();
    head.append(element('td', '', ''));
    for (const s of f.series) {
      const th = element('th', '', s.label);
      th.scope = 'col';
      head.append(th);
    }
    const rows = t.createTBody();
    const every = Math.max(1, Math.ceil(f.times.length / 12));
    for (let i = f.times.length - 1; i >= 0; i -= every) {
      const row = rows.insertRow();
      const th = element('th', '', moment.format(new Date(f.times[i] * 1000)));
      th.scope = 'row';
      row.append(th, ...f.series.map((s) => element('td', '', said(s.values[i], s.unit || f.unit))));
    }
    const list = element('ul');
    for (const m of (f.marks || []).slice(-12)) list.append(element('li', '', moment.format(new Date(m.at * 1000)) + ': ' + m.text));
    parts.table.replaceChildren(t, ...(list.children.length ? [list] : []));
  }

  const sizes = new ResizeObserver((entries) => {
    for (const e of entries) {
      const d = drawn.get(e.target);
      const width = Math.floor(e.contentRect.width);
      if (d && d.plot && width > 0 && width !== d.plot.width) d.plot.setSize({ width, height: d.plot.height });
    }
  });
  function shape(f) {
    return JSON.stringify([f.unit, f.stacked, f.tall, f.sync, f.empty, f.series.map((s) => [s.label, s.unit, s.steps, s.bars, s.tone])]);
  }
  function chart(figure, f) {
    const before = drawn.get(figure);
    f.series = f.series || [];
    f.times = f.times || [];
    f.unit = f.unit || '';
    if (!f.times.length || !f.series.length) {
      if (before && before.plot) before.plot.destroy();
      drawn.set(figure, { figures: f, shape: '' });
      figure.replaceChildren(element('p', 'chart-empty text-secondary', f.empty || '–'));
      return;
    }
    const now = shape(f);
    if (before && before.plot && before.shape === now && figure.contains(before.plot.root)) {
      before.figures.series = f.series; // what the hooks and scales look at is the same object
      Object.assign(before.figures, { times: f.times, from: f.from, to: f.to, min: f.min, max: f.max, marks: f.marks });
      before.plot.setData(columns(f));
      legend(before.plot, figure, before.parts);
      table(figure, f, before.parts);
      return;
    }
    if (before && before.plot) before.plot.destroy();
    const parts = frame(figure, f);
    const one = { figures: f, shape: now, parts };
    drawn.set(figure, one);
    one.plot = new uPlot(options(f, figure, parts), columns(f), parts.plot);
    legend(one.plot, figure, parts);
    table(figure, f, parts);
    sizes.observe(figure);
    all.add(figure);
  }

  // Following --------------------------------------------------------------------------------------------------------
  const texts = new WeakMap(); // figure -> the figures it was drawn from
  function look() {
    for (const figure of document.querySelectorAll('[data-chart]')) {
      const from = document.getElementById(figure.dataset.chart);
      if (!from || texts.get(figure) === from.textContent) continue;
      texts.set(figure, from.textContent);
      chart(figure, JSON.parse(from.textContent));
    }
    for (const figure of all) {
      if (figure.isConnected) continue;
      drawn.get(figure)?.plot?.destroy();
      drawn.delete(figure);
      sizes.unobserve(figure);
      all.delete(figure);
    }
  }
  new MutationObserver(() => {
    for (const figure of all) drawn.get(figure)?.plot?.redraw();
  }).observe(document.documentElement, { attributes: true, attributeFilter: ['data-bs-theme'] });
  document.addEventListener('palisade:part', look);
  if (window.palisade) window.palisade.chart = chart;
  look();
})();
