// Sessions: the filter of the list, what is drawn while one looks, the log, and the making of an image.
(() => {
  'use strict';
  for (const form of document.querySelectorAll('form[data-auto]')) {
    form.addEventListener('change', (e) => { if (e.target.tagName === 'SELECT') form.requestSubmit(); });
    // What is not chosen does not stand in the address.
    form.addEventListener('formdata', (e) => { for (const [name, value] of [...e.formData]) if (value === '') e.formData.delete(name); });
  }

  // Figures: a sample with every change of the page; what is drawn begins when the page was opened. -------------------
  const kept = 450; // samples: 15 minutes
  const samples = [];
  const rate = (a, b, of) => (of(a) < 0 || of(b) < 0 || of(b) < of(a) ? null : (of(b) - of(a)) / Math.max(b.t - a.t, 0.001));
  function figures() {
    const from = document.getElementById('session-stats');
    const card = document.getElementById('session-charts');
    if (!card) return;
    card.hidden = !from;
    if (!from || !window.palisade || !palisade.chart) return;
    let now;
    try { now = JSON.parse(from.textContent); } catch { return; }
    now.t = Date.parse(now.at) / 1000;
    const last = samples[samples.length - 1];
    if (!last || now.t > last.t) samples.push(now);
    if (last && now.cpu_time < last.cpu_time) samples.splice(0, samples.length - 1); // it was started again
    if (samples.length > kept) samples.shift();
    const times = samples.map((s) => s.t);
    const over = (of) => samples.map((s, i) => (i ? rate(samples[i - 1], s, of) : null));
    const draw = (id, f) => { const at = document.getElementById(id); if (at) palisade.chart(at, { times, sync: 'session', ...f }); };
    const label = (id) => document.getElementById(id).getAttribute('aria-label');
    draw('chart-cpu', { unit: 'count', series: [{ label: label('chart-cpu'), values: over((s) => s.cpu_time) }] });
    draw('chart-memory', { unit: 'bytes', series: [{ label: label('chart-memory'), values: samples.map((s) => (s.memory < 0 ? null : s.memory)) }] });
    draw('chart-network', { unit: 'bytes/s', series: [{ label: '↓', values: over((s) => s.rx_bytes) }, { label: '↑', values: over((s) => s.tx_bytes) }] });
  }
  document.addEventListener('palisade:part', (e) => { if (e.target.id === 'live-session-now') figures(); });
  addEventListener('load', figures);

  // The log ----------------------------------------------------------------------------------------------------------
  const log = document.getElementById('session-log');
  if (log) follow(log);
  function follow(log) {
    const most = 5000; // lines that are kept in the page
    const said = log.dataset;
    const box = document.getElementById('log-follow');
    const escapes = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
    const address = (query) => '/api/v1/sessions/' + encodeURIComponent(said.session) + '/logs?project=' + encodeURIComponent(said.project) + query;
    let rest = '';
    let at = null; // text of the line that has not ended
    function note(text, first) {
      const el = document.createElement('span');
      el.className = 'log-note';
      el.textContent = text + '\n';
      if (first) log.prepend(el); else log.append(el);
      if (!first) log.scrollTop = log.scrollHeight;
    }
    // A line that is written over again and again, as a progress bar is, is shown as it is last.
    const plain = (line) => { const parts = line.replace(/\r$/, '').split('\r'); return parts[parts.length - 1]; };
    function write(text) {
      const stick = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
      rest += text.replace(escapes, '');
      const lines = rest.split('\n');
      rest = lines.pop().slice(-100000);
      if (at) at.remove();
      at = null;
      if (lines.length) log.append(document.createTextNode(lines.map(plain).join('\n') + '\n'));
      if (rest) { at = document.createElement('span'); at.textContent = plain(rest); log.append(at); }
      while (log.childNodes.length > 400) log.normalize(), trim();
      if (lines.length > most) trim();
      if (stick) log.scrollTop = log.scrollHeight;
    }
    function trim() {
      const all = log.textContent.split('\n');
      if (all.length > most) log.replaceChildren(document.createTextNode(all.slice(-most).join('\n')));
      at = null;
    }
    let stop = null;
    async function read(tail) {
      stop = new AbortController();
      let begun = false;
      try {
        const r = await fetch(address('&follow=' + box.checked + '&tail=' + tail), { signal: stop.signal });
        if (!r.ok) {
          const p = await r.json().catch(() => ({}));
          return r.status === 404 ? 'none' : (note(p.detail || said.lost), 'over');
        }
        if (log.dataset.state === 'none') { log.replaceChildren(); delete log.dataset.state; }
        const reader = r.body.getReader();
        const text = new TextDecoder();
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          begun = true;
          write(text.decode(value, { stream: true }));
        }
        return 'end';
      } catch (e) {
        return e.name === 'AbortError' ? 'stopped' : begun ? 'lost' : 'away';
      }
    }
    const live = () => {
      const apps = document.getElementById('live-session-apps'); // of the page of a session; a job's page says it itself
      return apps ? !apps.hidden : Boolean(document.querySelector('[data-log-live]'));
    };
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    let turn = 0;
    async function run() {
      const mine = ++turn;
      let tail = 1000;
      for (;;) {
        const how = await read(tail);
        if (mine !== turn || how === 'stopped' || how === 'over') return;
        if (how === 'none' && !log.textContent) { log.dataset.state = 'none'; note(said.none); }
        if (how === 'end') {
          if (!live() || !box.checked) { if (box.checked) note(said.end); return; }
          note(said.end); // it is started again, perhaps
        }
        if (how === 'lost') note(said.lost);
        tail = how === 'none' || how === 'away' ? 1000 : 1;
        if (how === 'none' && !live()) return;
        await wait(3000);
        if (mine !== turn) return;
      }
    }
    box.addEventListener('change', () => { turn++; if (stop) stop.abort(); if (box.checked) { log.replaceChildren(); rest = ''; at = null; run(); } });
    const earlier = document.getElementById('log-earlier');
    earlier.addEventListener('click', async () => {
      earlier.disabled = true;
      try {
        const r = await fetch(address('&earlier=true'));
        const text = r.ok ? (await r.text()).replace(escapes, '') : '';
        const lines = text.split('\n');
        const shown = document.createElement('span');
        shown.textContent = text.trim() ? lines.slice(-most).map(plain).join('\n') : '';
        if (!text.trim()) { note(said.noEarlier, true); return; }
        log.prepend(shown);
        note(said.before, true);
        log.scrollTop = 0;
      } catch { earlier.disabled = false; }
    });
    addEventListener('pagehide', () => { turn++; if (stop) stop.abort(); });
    run();
  }

  // An image of a session --------------------------------------------------------------------------------------------
  const commit = document.getElementById('commit-form');
  if (commit) {
    commit.addEventListener('submit', async (e) => {
      e.preventDefault();
      const said = commit.dataset;
      const problem = commit.querySelector('[data-problem]');
      const progress = commit.querySelector('.commit-progress');
      const bar = progress.querySelector('progress');
      const words = progress.querySelector('[role=status]');
      const button = commit.querySelector('[type=submit]');
      const refuse = (p) => {
        const box = document.createElement('div');
        box.className = 'alert alert-danger';
        box.setAttribute('role', 'alert');
        box.textContent = [p.detail || said.broken, p.hint].filter(Boolean).join(' ');
        for (const one of p.errors || []) { const line = document.createElement('div'); line.textContent = (one.field ? one.field + ': ' : '') + one.message; box.append(line); }
        problem.replaceChildren(box);
        progress.hidden = true;
      };
      problem.replaceChildren();
      progress.hidden = false;
      bar.removeAttribute('value');
      words.textContent = '';
      button.disabled = true;
      try {
        const f = commit.elements;
        const r = await fetch('/api/v1/sessions/' + encodeURIComponent(said.session) + '/commit?project=' + encodeURIComponent(said.project), {
          method: 'POST', headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ image: f.image.value.trim(), running: f.running.checked, replace: f.replace.checked }),
        });
        if (!r.ok) { refuse(await r.json().catch(() => ({}))); return; }
        const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = '', made = null, wrong = null;
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const lines = (rest + value).split('\n');
          rest = lines.pop();
          for (const line of lines.filter(Boolean)) {
            const p = JSON.parse(line);
            made = p.image || made;
            wrong = p.problem || wrong;
            if (p.total > 0) bar.value = p.done / p.total;
            if (p.message) words.textContent = p.message;
          }
        }
        if (!made) { refuse(wrong || {}); return; }
        commit.closest('dialog').close();
        palisade.toast(said.done + ' ' + made.name);
      } catch { refuse({}); } finally { button.disabled = false; progress.hidden = true; }
    });
  }
})();
