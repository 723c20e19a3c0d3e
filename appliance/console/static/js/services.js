// Pages of one service: its charts, samples that are filled in with a token that was just made, its log as it is written,
// and forms that show a part of themselves. Nothing here decides anything: what may be done is the API's to say.
(() => {
  'use strict';
  const json = (id) => { const el = document.getElementById(id); return el ? JSON.parse(el.textContent) : null; };

  // A token that was just made stands in the samples too ---------------------------------------------------------------
  let token = 'YOUR_TOKEN';
  document.addEventListener('htmx:afterSwap', (e) => {
    const made = e.target.querySelector && e.target.querySelector('[data-token]');
    if (!made) return;
    for (const code of document.querySelectorAll('[data-sample]')) code.textContent = code.textContent.replaceAll(token, made.textContent);
    token = made.textContent;
    made.closest('[role=status]').scrollIntoView({ block: 'nearest' });
  });

  // Charts of the last hour: asked for once, then what has come since --------------------------------------------------
  const charts = json('service-charts');
  if (charts && window.palisade && palisade.chart) follow(charts);
  function follow(c) {
    const t = c.texts;
    let points = [];
    let decisions = [];
    let step = 10;
    async function get(url) {
      const answer = await fetch(url, { headers: { Accept: 'application/json' } });
      if (!answer.ok) throw new Error(answer.statusText);
      return answer.json();
    }
    function draw() {
      const times = points.map((p) => Date.parse(p.at) / 1000);
      const of = (name) => points.map((p) => p[name] || 0);
      const some = (name) => points.map((p) => (p[name] == null ? null : p[name]));
      const to = Date.now() / 1000;
      const from = Math.max(to - 3600, Math.min(to - 600, times.length ? times[0] : to));
      const marks = decisions.filter((d) => d.was !== d.replicas).map((d) => ({ at: Date.parse(d.at) / 1000, text: d.was + ' → ' + d.replicas + ': ' + d.reason, tone: d.replicas > d.was ? 'primary' : 'secondary' })).filter((m) => m.at >= from);
      // What was wanted is known from one decision to the next.
      const order = decisions.slice().reverse();
      const wanted = times.map((at) => {
        let n = order.length ? order[0].was : null;
        for (const d of order) if (Date.parse(d.at) / 1000 <= at) n = d.replicas;
        return n;
      });
      const base = { times, from, to, sync: 'service', empty: t.empty };
      const put = (name, figures) => { const at = document.getElementById('chart-' + name); if (!at) return;
        const nothing = figures.series.every((s) => s.values.every((v) => v == null));
        palisade.chart(at, Object.assign({}, base, figures, nothing ? { times: [] } : {}));
      };
      const ready = { label: t.ready, values: of('routes'), steps: true };
      put('replicas', { unit: 'count', marks, series: order.length ? [ready, { label: t.wanted, values: wanted, steps: true }] : [ready] });
      put('requests', { unit: '/s', marks, series: [{ label: t.requests, values: of('requests_per_second') }, { label: t.errors, values: of('errors_per_second'), tone: 'danger' }] });
      put('ttft', { unit: 'seconds', series: [{ label: t.p50, values: some('ttft_p50') }, { label: t.p95, values: some('ttft_p95') }] });
      put('latency', { unit: 'seconds', series: [{ label: t.p50, values: some('duration_p50') }, { label: t.p95, values: some('duration_p95') }] });
      put('tokens', { unit: 'tokens/s', series: [{ label: t.answers, values: of('tokens_per_second') }, { label: t.prompts, values: of('prompt_tokens_per_second') }] });
      put('queue', { unit: 'count', series: [{ label: t.in_flight, values: of('in_flight') }, { label: t.waiting, values: of('waiting'), tone: 'warning' }] });
    }
    let busy = false;
    async function look() {
      if (busy || document.hidden) return;
      busy = true;
      try {
        const after = points.length ? '&after=' + encodeURIComponent(points[points.length - 1].at) : '';
        const more = await get(c.history + after);
        step = more.step;
        points = points.concat(more.points).slice(-Math.ceil(3600 / step));
        try { decisions = (await get(c.decisions + '&limit=100')).items; } catch { decisions = []; } // nothing is scaled by itself here
        draw();
      } catch {
        if (!points.length) draw();
      } finally {
        busy = false;
      }
    }
    look();
    setInterval(look, 10000);
    document.addEventListener('visibilitychange', look);
  }
})();

// A log as it is written ----------------------------------------------------------------------------------------------
(() => {
  'use strict';
  const log = document.getElementById('service-log');
  if (!log) return;
  const most = 5000; // lines that are kept in the page
  const search = document.getElementById('log-search');
  const only = document.getElementById('log-only');
  const go = document.getElementById('log-follow');
  const state = document.getElementById('log-state');
  let rest = '';
  function mark(line) {
    const text = line.dataset.text;
    const word = search.value.toLowerCase();
    line.replaceChildren();
    let at = 0;
    let found = false;
    if (word) {
      const low = text.toLowerCase();
      for (let i = low.indexOf(word); i >= 0; i = low.indexOf(word, at)) {
        const hit = document.createElement('mark');
        hit.textContent = text.slice(i, i + word.length);
        line.append(text.slice(at, i), hit);
        at = i + word.length;
        found = true;
      }
    }
    line.append(text.slice(at) + '\n');
    line.classList.toggle('hidden', Boolean(word) && only.checked && !found);
    return found;
  }
  function find(jump) {
    let n = 0;
    let first = null;
    for (const line of log.children) if (mark(line)) { n++; first = first || line; }
    state.textContent = search.value ? state.dataset.found.replace('{0}', n) : '';
    if (jump && first) { go.checked = false; first.scrollIntoView({ block: 'center' }); }
  }
  function add(text) {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    if (!lines.length) return;
    const part = document.createDocumentFragment();
    for (const text of lines) {
      const line = document.createElement('span');
      line.dataset.text = text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replace(/\r/g, '');
      mark(line);
      part.append(line);
    }
    log.append(part);
    while (log.childElementCount > most) log.firstElementChild.remove();
    if (go.checked) log.scrollTop = log.scrollHeight;
  }
  let wait;
  search.addEventListener('input', () => { clearTimeout(wait); wait = setTimeout(() => find(true), 200); });
  only.addEventListener('change', () => find(false));
  go.addEventListener('change', () => { if (go.checked) log.scrollTop = log.scrollHeight; });
  log.addEventListener('scroll', () => { go.checked = log.scrollHeight - log.scrollTop - log.clientHeight < 40; });
  const gone = new AbortController();
  addEventListener('pagehide', () => gone.abort());
  (async () => {
    try {
      const answer = await fetch(log.dataset.source, { signal: gone.signal });
      if (!answer.ok) { const p = await answer.json().catch(() => ({})); add((p.detail || answer.statusText) + '\n'); return; }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        add(value);
      }
      if (rest) add('\n');
      state.textContent = log.childElementCount ? state.dataset.ended : state.dataset.none;
    } catch { if (!gone.signal.aborted) state.textContent = state.dataset.ended; }
  })();
  setTimeout(() => { if (!log.childElementCount && !state.textContent) state.textContent = state.dataset.none; }, 1500);
})();

// Forms ---------------------------------------------------------------------------------------------------------------
(() => {
  'use strict';
  // A choice that is at once sent.
  document.addEventListener('change', (e) => { if (e.target.matches('[data-submit]')) e.target.form.requestSubmit(); });

  // Of a rule, the fields of its kind are shown: [data-for="target step"] in the [data-rule].
  function kind(rule) {
    const now = rule.querySelector('[data-kind]').value;
    const metric = rule.querySelector('[data-metric]');
    const auto = rule.querySelector('[data-auto]');
    const comparator = rule.querySelector('[data-comparator]');
    for (const el of rule.querySelectorAll('[data-for]')) {
      const words = el.dataset.for.split(' ');
      el.hidden = !words.includes(now)
        || (words.includes('query') && metric.value !== 'prometheus:')
        || (words.includes('threshold') && !comparator.value) || (words.includes('thresholds') && Boolean(comparator.value));
    }
    const target = rule.querySelector('[data-target]');
    target.placeholder = auto.checked ? target.dataset.measured : '';
  }
  function all() { for (const rule of document.querySelectorAll('[data-rule]')) kind(rule); }
  document.addEventListener('change', (e) => { const rule = e.target.closest('[data-rule]'); if (rule) kind(rule); });
  let next = document.querySelectorAll('[data-rule]').length;
  document.addEventListener('click', (e) => {
    const add = e.target.closest('[data-add]');
    if (add) { // a copy of a <template>, with a number of its own
      const from = document.querySelector(add.dataset.add);
      const copy = document.createElement('template');
      copy.innerHTML = from.innerHTML.replaceAll('NUMBER', String(next++));
      const made = copy.content.firstElementChild;
      document.querySelector(add.dataset.to).append(made);
      all();
      const field = made.querySelector('input, select');
      if (field) field.focus();
    }
    const remove = e.target.closest('[data-remove]');
    if (remove) {
      const what = remove.closest(remove.dataset.remove);
      const form = what.closest('form');
      what.remove();
      if (form) form.dispatchEvent(new Event('input', { bubbles: true }));
    }
  });
  all();
  // What was just put into the page may have charts in it.
  document.addEventListener('htmx:afterSwap', (e) => {
    if (window.palisade) palisade.times(e.target);
    document.dispatchEvent(new CustomEvent('palisade:part'));
  });
})();
