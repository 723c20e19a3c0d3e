// Folders: renaming an entry, and a clone that tells how far it is.
(() => {
  'use strict';
  document.addEventListener('click', (e) => {
    const el = e.target.closest('[data-rename]');
    if (!el) return;
    const dialog = document.getElementById('rename');
    const form = dialog.querySelector('form');
    form.elements.namedItem('from').value = el.dataset.rename;
    const to = form.elements.namedItem('to');
    to.value = el.dataset.name;
    dialog.showModal();
    const dot = to.value.lastIndexOf('.');
    to.focus();
    to.setSelectionRange(0, dot > 0 ? dot : to.value.length);
  });

  // lines calls each with what every line of an answer says.
  async function lines(body, each) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const all = rest.split('\n');
      rest = all.pop();
      for (const line of all) if (line.trim()) each(JSON.parse(line));
    }
    if (rest.trim()) each(JSON.parse(rest));
  }
  function problem(form, p) {
    const place = form.querySelector('[data-problem]');
    place.replaceChildren();
    if (!p) return;
    const el = document.createElement('div');
    el.className = 'alert alert-danger';
    el.setAttribute('role', 'alert');
    el.textContent = [p.detail || p.title, p.hint].filter(Boolean).join(' ');
    place.append(el);
  }
  async function clone(form) {
    const bar = form.querySelector('progress');
    const said = form.querySelector('[data-said]');
    const stop = form.querySelector('[data-stop]');
    const go = form.querySelector('[type=submit]');
    const control = new AbortController();
    stop.onclick = () => control.abort();
    problem(form, null);
    bar.hidden = stop.hidden = false;
    go.disabled = true;
    let end = null;
    try {
      const r = await fetch(form.dataset.clone, {
        method: 'POST', signal: control.signal, headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ name: form.elements.namedItem('name').value }),
      });
      if (!r.ok) throw await r.json();
      await lines(r.body, (line) => {
        end = line;
        bar.value = line.of_bytes ? line.bytes / line.of_bytes : line.of_files ? line.files / line.of_files : 0;
        said.textContent = palisade.bytes(line.bytes) + ' / ' + palisade.bytes(line.of_bytes) + ', ' + line.files + ' / ' + line.of_files;
      });
      if (!end || end.problem) throw (end && end.problem) || { detail: form.dataset.failed };
      location.href = form.dataset.to + encodeURIComponent(end.folder.id) + '/files/';
    } catch (p) {
      bar.hidden = true;
      said.textContent = '';
      if (p.name !== 'AbortError') problem(form, p.detail || p.title ? p : { detail: form.dataset.failed });
    }
    stop.hidden = true;
    go.disabled = false;
  }
  document.addEventListener('submit', (e) => {
    if (!e.target.matches('form[data-clone]')) return;
    e.preventDefault();
    clone(e.target);
  });
})();
