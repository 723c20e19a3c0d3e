// The playground: one conversation with one or two services, asked as any client asks them. What a model says is text until the
// appliance has made harmless HTML of it; nothing else that a model says becomes a part of the page.
(() => {
  'use strict';
  const byId = (id) => document.getElementById(id);
  const texts = byId('playground-texts') ? JSON.parse(byId('playground-texts').textContent) : {};
  const say = (key, ...args) => args.reduce((text, a, i) => text.replaceAll('{' + i + '}', a), texts[key] || key);
  const choose = byId('playground-choose');
  if (choose) choose.addEventListener('change', () => {
    const two = byId('pg-two');
    if (two && !two.value) two.disabled = true; // a short address
    choose.submit();
  });
  addEventListener('pageshow', () => { if (byId('pg-two')) byId('pg-two').disabled = false; });

  const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });
  const seconds = (s) => s < 1 ? number.format(s * 1000) + ' ms' : number.format(s) + ' s';
  const el = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Services ---------------------------------------------------------------------------------------------------------
  function service(name) {
    const all = JSON.parse(byId('live-playground').textContent) || [];
    return all.find((s) => s.name === name) || { name, model: name };
  }
  const inProject = (path) => path + (path.includes('?') ? '&' : '?') + 'project=' + encodeURIComponent(project);

  // Tokens: made when first needed, kept here and nowhere else, taken away when the page is left ------------------------
  const tokens = new Map(); // service -> {until, made: promise of {id, secret}}
  let project = '';
  async function token(name) {
    const has = tokens.get(name);
    if (has && has.until > Date.now()) return (await has.made).secret;
    if (has) forget(name);
    const made = make(name);
    tokens.set(name, { until: Date.now() + 50 * 60000, made }); // before it is there: two who ask at once share one
    try {
      return (await made).secret;
    } catch (e) {
      tokens.delete(name);
      throw e;
    }
  }
  async function make(name) {
    const resp = await fetch(inProject('/api/v1/services/' + encodeURIComponent(name) + '/token'), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'playground', duration: '1h', limits: { concurrent_requests: 4 } }),
    });
    const said = await resp.json().catch(() => ({}));
    if (!resp.ok) throw new Refusal(resp.status, said.detail || '', said.hint || '');
    ids.set(name, said.token.id);
    return { id: said.token.id, secret: said.secret };
  }
  const ids = new Map(); // of tokens that are there: when a page is left nothing can be waited for
  function forget(name) {
    const id = ids.get(name);
    tokens.delete(name);
    ids.delete(name);
    if (id) fetch(inProject('/api/v1/services/' + encodeURIComponent(name) + '/tokens/' + encodeURIComponent(id)), { method: 'DELETE', keepalive: true }).catch(() => {});
  }
  addEventListener('pagehide', () => { for (const name of [...ids.keys()]) forget(name); });

  class Refusal extends Error {
    constructor(status, message, hint, retry) { super(message); this.status = status; this.hint = hint; this.retry = retry; }
  }
  // explain says a refusal in plain words: what it is, and what to do.
  function explain(e) {
    if (!(e instanceof Refusal)) return say('network');
    const m = (e.message || '').toLowerCase();
    switch (true) {
      case e.status === 400 && /context|too long|token limit|max_model_len|exceed/.test(m): return say('too_long');
      case e.status === 413: return say('too_long');
      case e.status === 429: return e.retry ? say('limited_for', e.retry) : say('limited');
      case e.status === 401 || e.status === 403: return say('refused');
      case e.status === 404 || e.status === 405 || e.status === 501: return say('no_chat');
      case e.status === 502 || e.status === 503 || e.status === 504: return say('unavailable');
      default: return say('engine');
    }
  }
  async function ask(name, path, body, signal) {
    for (let tried = 0; ; tried++) {
      const headers = { 'Content-Type': 'application/json' };
      if (!service(name).public) headers.Authorization = 'Bearer ' + await token(name);
      const resp = await fetch('/v1' + path, { method: 'POST', credentials: 'omit', headers, body: JSON.stringify(body), signal });
      if (resp.ok) return resp;
      const raw = await resp.text();
      let said = {};
      try { said = JSON.parse(raw); } catch { /* it is no JSON: shown as it is */ }
      const message = (said.error && (said.error.message || said.error)) || said.detail || said.message || raw.slice(0, 300);
      if (resp.status === 401 && tried === 0 && tokens.has(name)) { forget(name); continue; }
      throw new Refusal(resp.status, String(message), '', resp.headers.get('Retry-After'));
    }
  }

  // Rendering: the appliance makes HTML of what was said ----------------------------------------------------------------
  async function rendered(text) {
    const resp = await fetch('/console/playground/markdown', { method: 'POST', headers: { 'HX-Request': 'true' }, body: new URLSearchParams({ text }) });
    if (!resp.ok || !(resp.headers.get('Content-Type') || '').startsWith('text/html')) throw new Error('not rendered');
    return resp.text();
  }

  const root = byId('playground');
  if (root) chat();
  const embed = byId('pg-embed');
  if (embed) embeddings();

  function chat() {
    project = root.dataset.project;
    const key = 'palisade.playground.' + project;
    const names = { one: root.dataset.first, two: root.dataset.second };
    const columns = [...root.querySelectorAll('[data-column]')].map((at) => ({ at, id: at.dataset.column, name: names[at.dataset.column], turns: at.querySelector('[data-turns]'), status: at.querySelector('[data-status]') }));
    const fields = ['system', 'temperature', 'top_p', 'max_tokens', 'seed', 'stop'];
    const state = { turns: [], settings: {} };
    let images = []; // data URLs that go with the next message
    let editing = -1; // the turn that is written anew
    let running = null; // AbortController
    let lastRequest = null;
    if (matchMedia('(max-width: 991px)').matches) byId('pg-settings').open = false;

    // What is kept -----------------------------------------------------------------------------------------------------
    try { Object.assign(state, JSON.parse(sessionStorage.getItem(key)) || {}); } catch { /* nothing of use */ }
    for (const f of fields) if (state.settings[f]) byId('pg-' + f).value = state.settings[f];
    byId('pg-json').checked = !!state.settings.json;
    function save() {
      for (const f of fields) state.settings[f] = byId('pg-' + f).value;
      state.settings.json = byId('pg-json').checked;
      const kept = (withImages) => JSON.stringify(state, (k, v) => (k === 'images' && !withImages ? [] : v));
      try { sessionStorage.setItem(key, kept(true)); } catch {
        try { sessionStorage.setItem(key, kept(false)); } catch { /* it is not kept */ }
      }
    }
    byId('pg-settings').addEventListener('change', save);

    // Status of the services, as it changes --------------------------------------------------------------------------------
    function statuses() {
      for (const c of columns) {
        const s = service(c.name);
        c.status.textContent = (s.status || '').toLowerCase();
        c.status.className = 'badge bg-' + ({ HEALTHY: 'success', DEGRADED: 'warning', UNHEALTHY: 'danger', PROVISIONING: 'info' }[s.status] || 'secondary') + '-lt';
        c.status.title = s.reason || '';
      }
    }
    statuses();
    document.addEventListener('palisade:part', (e) => { if (e.target.id === 'live-playground') statuses(); });

    // Requests --------------------------------------------------------------------------------------------------------------
    function request(c, upTo) {
      const messages = [];
      const system = byId('pg-system').value.trim();
      if (system) messages.push({ role: 'system', content: system });
      state.turns.slice(0, upTo + 1).forEach((turn, i) => {
        const content = !turn.images.length ? turn.text : [{ type: 'text', text: turn.text }, ...turn.images.map((url) => ({ type: 'image_url', image_url: { url } }))];
        messages.push({ role: 'user', content });
        const answer = turn.answers[c.id];
        if (i < upTo && answer && answer.text) messages.push({ role: 'assistant', content: answer.text });
      });
      const body = { model: service(c.name).model, messages, stream: true, stream_options: { include_usage: true } };
      for (const f of ['temperature', 'top_p', 'max_tokens', 'seed']) {
        const v = byId('pg-' + f).value.trim();
        if (v !== '' && isFinite(v)) body[f] = Number(v);
      }
      const stop = byId('pg-stop').value.split('\n').filter((line) => line !== '');
      if (stop.length) body.stop = stop.slice(0, 4);
      if (byId('pg-json').checked) body.response_format = { type: 'json_object' };
      return body;
    }

    // A turn on the page ----------------------------------------------------------------------------------------------------
    function showUser(c, turn, i) {
      const at = el('div', 'turn user');
      at.append(el('div', 'turn-text', turn.text));
      for (const url of turn.images) { const img = el('img'); img.src = url; img.alt = ''; at.append(img); }
      if (c.id === 'one') {
        const tools = el('div', 'turn-tools');
        const edit = el('button', 'btn btn-sm btn-ghost-secondary', say('edit'));
        edit.type = 'button';
        edit.addEventListener('click', () => { if (running) return; editing = i; byId('pg-text').value = turn.text; images = [...turn.images]; showImages(); byId('pg-text').focus(); });
        tools.append(edit);
        at.append(tools);
      }
      c.turns.append(at);
    }
    function showAnswer(c, answer) {
      const at = el('div', 'turn model');
      const thought = el('details', 'turn-thought'); thought.append(el('summary', '', say('thinking')), el('div')); thought.hidden = true;
      const body = el('div', 'turn-plain');
      const wait = el('div', 'turn-wait');
      const wrong = el('div', 'turn-error'); wrong.hidden = true;
      const figures = el('div', 'turn-figures');
      at.append(thought, body, wait, wrong, figures);
      c.turns.append(at);
      const view = { at, thought, body, wait, wrong, figures };
      if (answer) paint(view, answer, true);
      return view;
    }
    function figuresOf(a) {
      const parts = [];
      if (a.rate) parts.push(say('tokens_s', number.format(a.rate)));
      if (a.first != null) parts.push(say('first', seconds(a.first)));
      if (a.took != null) parts.push(say('total', seconds(a.took)));
      if (a.tokens) parts.push(say('tokens', a.tokens, a.prompt || '–'));
      return parts.join(' · ');
    }
    function paint(view, a, whole) {
      if (a.thought) { view.thought.hidden = false; view.thought.lastChild.textContent = a.thought; }
      view.figures.textContent = figuresOf(a) + (a.stopped ? ' · ' + say('stopped') : '');
      if (a.error) {
        view.wrong.hidden = false;
        view.wrong.replaceChildren(el('strong', '', a.error));
        if (a.said) view.wrong.append(el('div', 'said', a.said));
      }
      if (!whole) return;
      if (!a.text) { if (!a.error && !a.thought && a.took != null) view.body.textContent = say('empty'); return; }
      view.body.textContent = a.text;
      format(view, a);
    }
    // format shows what was said so far as Markdown: one request at a time, and none that is older than what is shown.
    function format(view, a) {
      if (view.busy) { view.late = true; return; }
      view.busy = true;
      const begun = performance.now();
      const text = a.text;
      rendered(text).then((html) => {
        view.body.className = 'turn-markdown markdown';
        view.body.innerHTML = html; // made by the appliance, which leaves nothing in it that runs
        palisade.markdown(view.at);
        if (a.text.length > text.length && !view.late) view.late = true;
      }, () => { view.body.className = 'turn-plain'; view.body.textContent = a.text; }).finally(() => {
        setTimeout(() => {
          view.busy = false;
          if (view.late) { view.late = false; format(view, a); }
        }, Math.max(300, 3 * (performance.now() - begun)));
      });
    }
    function follow(c) {
      const t = c.turns;
      if (t.scrollHeight - t.scrollTop - t.clientHeight < 160) t.scrollTop = t.scrollHeight;
    }
    function show() {
      for (const c of columns) {
        c.turns.replaceChildren();
        state.turns.forEach((turn, i) => { showUser(c, turn, i); if (turn.answers[c.id]) showAnswer(c, turn.answers[c.id]); });
        c.turns.scrollTop = c.turns.scrollHeight;
      }
      buttons();
    }
    function buttons() {
      byId('pg-send').hidden = !!running;
      byId('pg-stop-button').hidden = !running;
      byId('pg-again').disabled = !!running || !state.turns.length;
    }

    // Asking ------------------------------------------------------------------------------------------------------------------
    async function answer(c, i, signal) {
      const a = { text: '', thought: '', tokens: 0, prompt: 0 };
      state.turns[i].answers[c.id] = a;
      const view = showAnswer(c, null);
      const body = request(c, i);
      if (c.id === 'one') lastRequest = body;
      const begun = performance.now();
      const since = () => (performance.now() - begun) / 1000;
      view.wait.textContent = say('waiting');
      const waiting = setInterval(() => starting(c, view), 2000);
      let pieces = 0, said = null;
      const piece = (text, thought) => {
        if (said === null) { a.first = said = since(); clearInterval(waiting); view.wait.remove(); }
        pieces++;
        a.text += text; a.thought += thought;
        const took = since() - said;
        a.rate = took > 0.2 ? pieces / took : 0;
        a.took = since();
        paint(view, a, false);
        if (text) { if (view.body.className === 'turn-plain') view.body.textContent = a.text; format(view, a); }
        follow(c);
      };
      try {
        const resp = await ask(c.name, '/chat/completions', body, signal);
        await stream(resp, (data) => {
          if (data.error) throw new Refusal(data.error.code || 500, data.error.message || String(data.error), '');
          if (data.usage) { a.tokens = data.usage.completion_tokens || 0; a.prompt = data.usage.prompt_tokens || 0; }
          const choice = (data.choices || [])[0];
          if (!choice) return;
          const delta = choice.delta || choice.message || {};
          const text = delta.content || choice.text || '';
          const thought = delta.reasoning_content || delta.reasoning || '';
          if (text || thought) piece(text, thought);
        });
      } catch (e) {
        if (signal.aborted) a.stopped = true;
        else { a.error = explain(e); a.said = e instanceof Refusal ? e.message : (a.text ? say('broken') : ''); }
      }
      clearInterval(waiting);
      view.wait.remove();
      a.took = since();
      if (a.tokens && said !== null && a.took > said) a.rate = a.tokens / (a.took - said);
      paint(view, a, !a.text);
      if (a.text) format(view, a);
      follow(c);
      return a;
    }
    // starting says what a request waits for, where that is known.
    async function starting(c, view) {
      try {
        const resp = await fetch(inProject('/api/v1/services/' + encodeURIComponent(c.name)));
        if (!resp.ok) return;
        const s = await resp.json();
        if (s.healthy_routes > 0) { view.wait.textContent = say('waiting'); return; }
        const left = s.ready_at ? Math.round((new Date(s.ready_at) - Date.now()) / 1000) : 0;
        view.wait.textContent = (left > 0 ? say('starting_eta', seconds(left)) : say('starting')) + ' ' + (s.last_error || s.reason || '');
      } catch { /* the next look may know */ }
    }
    async function stream(resp, each) {
      if (!(resp.headers.get('Content-Type') || '').includes('event-stream')) { each(await resp.json()); return; }
      const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '', ended = false;
      for (;;) {
        const { value, done } = await reader.read();
        rest += value || '';
        const lines = rest.split('\n');
        rest = done ? '' : lines.pop();
        for (const line of lines) {
          if (!line.startsWith('data:')) continue;
          const data = line.slice(5).trim();
          if (data === '[DONE]') { ended = true; continue; }
          if (data) each(JSON.parse(data));
        }
        if (done) break;
      }
      if (!ended) throw new Error('broken off');
    }
    async function run(i) {
      running = new AbortController();
      buttons();
      const done = await Promise.all(columns.map((c) => answer(c, i, running.signal)));
      running = null;
      save();
      buttons();
      byId('pg-said').textContent = say('answer') + ' ' + done.map((a) => a.error || a.text.slice(0, 400)).join(' — ');
    }

    // What the viewer does --------------------------------------------------------------------------------------------------------
    const composer = byId('pg-composer'), text = byId('pg-text');
    composer.addEventListener('submit', (e) => {
      e.preventDefault();
      if (running || (!text.value.trim() && !images.length)) return;
      if (editing >= 0) { state.turns.length = editing; editing = -1; }
      state.turns.push({ text: text.value, images, answers: {} });
      text.value = '';
      images = [];
      showImages();
      show();
      run(state.turns.length - 1);
    });
    text.addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); composer.requestSubmit(); }
      if (e.key === 'Escape' && editing >= 0) { editing = -1; text.value = ''; images = []; showImages(); }
    });
    byId('pg-stop-button').addEventListener('click', () => { if (running) running.abort(); text.focus(); });
    byId('pg-again').addEventListener('click', () => {
      if (running || !state.turns.length) return;
      state.turns[state.turns.length - 1].answers = {};
      show();
      run(state.turns.length - 1);
    });
    byId('pg-clear').addEventListener('click', () => {
      if (running) running.abort();
      state.turns = []; editing = -1; images = [];
      showImages(); save(); show(); text.focus();
    });
    byId('pg-code').addEventListener('htmx:configRequest', (e) => {
      const body = lastRequest || (() => {
        const turn = { text: text.value || '…', images, answers: {} };
        if (!state.turns.length) state.turns.push(turn);
        const made = request(columns[0], state.turns.length - 1);
        if (state.turns.at(-1) === turn) state.turns.pop();
        return made;
      })();
      e.detail.parameters.base = location.origin + '/v1';
      e.detail.parameters.request = JSON.stringify(body);
    });
    document.addEventListener('htmx:afterSwap', (e) => { if (e.detail.target.id === 'pg-code-text') palisade.markdown(document); });

    // Images --------------------------------------------------------------------------------------------------------------------------
    const kinds = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'], mostBytes = 4 << 20, mostImages = 4;
    byId('pg-attach').hidden = !columns.some((c) => ['', 'vision', undefined].includes(service(c.name).task));
    function take(files) {
      for (const file of files) {
        if (!kinds.includes(file.type)) { palisade.toast(say('image_kind'), 'danger'); continue; }
        if (file.size > mostBytes) { palisade.toast(say('image_large'), 'danger'); continue; }
        if (images.length >= mostImages) { palisade.toast(say('image_many'), 'danger'); break; }
        const reader = new FileReader();
        reader.onload = () => { if (images.length < mostImages) { images.push(reader.result); showImages(); } };
        reader.readAsDataURL(file);
      }
    }
    function showImages() {
      byId('pg-images').replaceChildren(...images.map((url, i) => {
        const at = el('div', 'playground-image'), img = el('img'), remove = el('button', '', '×');
        img.src = url; img.alt = '';
        remove.type = 'button';
        remove.setAttribute('aria-label', say('remove_image'));
        remove.addEventListener('click', () => { images.splice(i, 1); showImages(); });
        at.append(img, remove);
        return at;
      }));
    }
    byId('pg-attach').addEventListener('click', () => byId('pg-file').click());
    byId('pg-file').addEventListener('change', (e) => { take(e.target.files); e.target.value = ''; });
    text.addEventListener('paste', (e) => { if (!byId('pg-attach').hidden && e.clipboardData.files.length) { e.preventDefault(); take(e.clipboardData.files); } });
    composer.addEventListener('dragover', (e) => { e.preventDefault(); composer.classList.add('over'); });
    composer.addEventListener('dragleave', () => composer.classList.remove('over'));
    composer.addEventListener('drop', (e) => {
      e.preventDefault();
      composer.classList.remove('over');
      if (!byId('pg-attach').hidden) take(e.dataTransfer.files);
    });

    show();
  }

  // Embeddings -----------------------------------------------------------------------------------------------------------------------------
  function embeddings() {
    project = embed.dataset.project;
    const out = byId('pg-embed-out');
    embed.addEventListener('submit', async (e) => {
      e.preventDefault();
      const input = [byId('pg-embed-a').value, byId('pg-embed-b').value].filter((t) => t.trim());
      const button = embed.querySelector('[type=submit]');
      button.disabled = true;
      const begun = performance.now();
      try {
        const resp = await ask(embed.dataset.first, '/embeddings', { model: service(embed.dataset.first).model, input });
        const vectors = (await resp.json()).data.map((d) => d.embedding);
        out.replaceChildren(...vectors.map((v) => {
          const at = el('p', 'mt-3');
          at.append(el('strong', '', say('numbers', v.length)), el('br'), el('code', 'breakable', '[' + v.slice(0, 8).map((x) => x.toFixed(4)).join(', ') + (v.length > 8 ? ', …' : '') + ']'));
          return at;
        }));
        if (vectors.length === 2) {
          let dot = 0, a = 0, b = 0;
          vectors[0].forEach((x, i) => { const y = vectors[1][i]; dot += x * y; a += x * x; b += y * y; });
          out.append(el('p', 'h2', say('cosine', (dot / Math.sqrt(a * b)).toFixed(4))));
        }
        out.append(el('p', 'text-secondary', say('total', seconds((performance.now() - begun) / 1000))));
      } catch (wrong) {
        out.replaceChildren(el('div', 'alert alert-danger mt-3', explain(wrong) + ' ' + (wrong.message || '')));
      }
      button.disabled = false;
    });
  }
})();
