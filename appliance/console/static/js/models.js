// Models: how far comparing checksums is, and bundles that are sent to the appliance. Both speak to the API directly: what they
// send or receive is no page.
(() => {
  'use strict';
  const fill = (text, ...args) => args.reduce((t, a, i) => t.replaceAll('{' + i + '}', a), text);

  const verify = document.getElementById('verify');
  if (verify) {
    const bar = verify.querySelector('progress'), said = verify.querySelector('[data-said]'), now = verify.querySelector('[data-now]'), damaged = verify.querySelector('[data-damaged]');
    const start = document.getElementById('verify-start');
    let model = '', running = null;
    document.addEventListener('click', (e) => { const at = e.target.closest('[data-verify]'); if (at) { model = at.dataset.verify; reset(); } });
    const reset = () => { bar.value = 0; said.textContent = now.textContent = ''; damaged.replaceChildren(); };
    verify.addEventListener('close', () => { if (running) running.abort(); });
    start.addEventListener('click', async () => {
      reset();
      running = new AbortController();
      start.disabled = true;
      try {
        const resp = await fetch('/api/v1/models/verify?project=' + encodeURIComponent(verify.dataset.project), {
          method: 'POST', headers: { 'Content-Type': 'application/json' }, signal: running.signal,
          body: JSON.stringify({ model: model || undefined, repair: document.getElementById('verify-repair').checked }),
        });
        if (!resp.ok) throw new Error((await resp.json()).detail);
        const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = '', ended = false;
        for (;;) {
          const { value, done } = await reader.read();
          const lines = (rest + (value || '')).split('\n');
          rest = lines.pop();
          for (const line of lines) if (line) ended = step(JSON.parse(line)) || ended;
          if (done) break;
        }
        if (!ended) throw new Error(verify.dataset.failed);
      } catch (e) {
        if (!running.signal.aborted) said.textContent = e.message || verify.dataset.failed;
      }
      running = null;
      start.disabled = false;
    });
    function step(p) {
      if (p.problem) throw new Error(p.problem.detail);
      bar.value = p.bytes ? p.read / p.bytes : p.done ? 1 : 0;
      said.textContent = p.done ? ((p.damaged || []).length ? verify.dataset.bad : verify.dataset.good) : fill(verify.dataset.doneOf, palisade.bytes(p.read), palisade.bytes(p.bytes));
      now.textContent = p.done ? '' : p.message || '';
      damaged.replaceChildren(...(p.damaged || []).map((d) => {
        const li = document.createElement('li');
        li.textContent = d.model + ' ' + d.revision + (d.file ? ' ' + d.file : '') + ': ' + d.problem + (d.repaired ? ' · ' + verify.dataset.repaired : d.failed ? ' · ' + d.failed : '');
        return li;
      }));
      return p.done;
    }
  }

  const form = document.getElementById('receive-form');
  if (form) {
    const holder = form.querySelector('.upload-bar'), bar = form.querySelector('progress'), said = form.querySelector('[data-said]'), problem = form.querySelector('[data-problem]');
    let sending = null;
    form.closest('dialog').addEventListener('close', () => { if (sending) sending.abort(); });
    form.addEventListener('submit', (e) => {
      e.preventDefault();
      const file = document.getElementById('receive-file').files[0];
      if (!file || sending) return;
      problem.replaceChildren();
      holder.hidden = false;
      const unsigned = document.getElementById('receive-unsigned').checked ? '?allow_unsigned=true' : '';
      const fail = (text) => {
        const at = document.createElement('div');
        at.className = 'alert alert-danger';
        at.setAttribute('role', 'alert');
        at.textContent = text;
        problem.replaceChildren(at);
        holder.hidden = true;
        sending = null;
      };
      const explain = (status, raw) => {
        try { const p = JSON.parse(raw); return p.detail + (p.hint ? ' ' + p.hint : ''); } catch { return form.dataset.failed; }
      };
      // The beginning says whether it would be taken: nobody sends a hundred gigabytes to be refused.
      sending = new AbortController();
      fetch('/api/v1/bundles/check' + unsigned, { method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body: file.slice(0, 40 << 20), signal: sending.signal }).then(async (resp) => {
        if (!resp.ok) throw new Error(explain(resp.status, await resp.text()));
        const up = new XMLHttpRequest();
        sending = up;
        up.upload.addEventListener('progress', (p) => {
          bar.value = p.total ? p.loaded / p.total : 0;
          said.textContent = p.loaded < p.total ? fill(form.dataset.sending, palisade.bytes(p.loaded), palisade.bytes(p.total)) : form.dataset.checking;
        });
        up.addEventListener('load', () => {
          if (up.status >= 300) { fail(explain(up.status, up.responseText)); return; }
          sending = null;
          palisade.toast(form.dataset.done);
          form.reset();
          holder.hidden = true;
          form.closest('dialog').close();
        });
        up.addEventListener('error', () => fail(form.dataset.failed));
        up.addEventListener('abort', () => { sending = null; holder.hidden = true; });
        up.open('POST', '/api/v1/bundles' + unsigned);
        up.setRequestHeader('Content-Type', 'application/octet-stream');
        up.send(file);
      }).catch((wrong) => { if (wrong.name !== 'AbortError') fail(wrong.message); else sending = null; });
    });
  }
})();
