// Pulling an image: the API tells how far it is, a line of JSON at a time. Leaving the page ends the pull, as Ctrl-C does on the
// command line; what has come by then is not fetched again.
(() => {
  'use strict';
  const form = document.getElementById('pull');
  if (!form) return;
  const box = document.getElementById('pull-progress');
  const bar = box.querySelector('progress');
  const text = box.querySelector('[data-text]');
  const problem = form.querySelector('[data-problem]');
  const button = form.querySelector('button[type=submit]');
  const cancel = box.querySelector('[data-cancel]');
  let stop = null;

  function show(p) {
    if (p.total > 0) { bar.max = p.total; bar.value = p.done; } else { bar.removeAttribute('value'); }
    text.textContent = (p.message || '') + (p.total > 0 ? ' · ' + palisade.bytes(p.done) + ' / ' + palisade.bytes(p.total) : '');
  }
  function fail(p) {
    const alert = document.createElement('div');
    alert.className = 'alert alert-danger';
    alert.setAttribute('role', 'alert');
    const said = document.createElement('div');
    const strong = document.createElement('strong');
    strong.textContent = p.detail || p.title || form.dataset.broken;
    said.append(strong);
    if (p.hint) {
      const hint = document.createElement('div');
      hint.textContent = p.hint;
      said.append(hint);
    }
    alert.append(said);
    problem.replaceChildren(alert);
  }
  async function pull(image) {
    stop = new AbortController();
    const answer = await fetch('/api/v1/images/pull', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ image }), signal: stop.signal, credentials: 'same-origin',
    });
    if (!answer.ok) {
      fail(await answer.json().catch(() => ({})));
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const lines = rest.split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (!line.trim()) continue;
        const p = JSON.parse(line);
        if (p.problem) return fail(p.problem);
        if (p.image) {
          palisade.toast(form.dataset.done.replace('{0}', p.image.name));
          form.reset();
          return;
        }
        show(p);
      }
    }
    fail({});
  }
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const image = form.elements.image.value.trim();
    problem.replaceChildren();
    button.disabled = true;
    box.hidden = false;
    bar.removeAttribute('value');
    text.textContent = image;
    try {
      await pull(image);
    } catch (err) {
      if (err.name !== 'AbortError') fail({});
    }
    stop = null;
    box.hidden = true;
    button.disabled = false;
  });
  cancel.addEventListener('click', () => stop && stop.abort());
  addEventListener('beforeunload', (e) => { if (stop) e.preventDefault(); });
})();
