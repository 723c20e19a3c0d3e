// What every page does by itself: it follows changes, shows times in the viewer's zone, copies, asks before what cannot be
// undone, and says how a change went. Nothing here knows what a page is about.
(() => {
  'use strict';
  const body = document.body;

  // Times ------------------------------------------------------------------------------------------------------------
  const language = document.documentElement.lang;
  const full = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const steps = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
  function ago(at) {
    const seconds = (at - Date.now()) / 1000;
    for (const [unit, size] of steps) {
      if (Math.abs(seconds) >= size || unit === 'second') return relative.format(Math.round(seconds / size), unit);
    }
    return '';
  }
  function times(root) {
    for (const el of root.querySelectorAll('time[datetime]')) {
      const at = new Date(el.dateTime);
      if (isNaN(at)) continue;
      const text = 'ago' in el.dataset ? ago(at) : full.format(at);
      if (el.textContent !== text) el.textContent = text;
      el.title = full.format(at);
    }
  }
  times(document);
  setInterval(() => times(document), 10000);

  // Numbers of bytes, as the pages have them: the largest binary unit of which there is one, to a tenth, and no ".0" ------------
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  function bytes(n) {
    let i = 0;
    n = Math.round(n); // a rate has parts of one
    if (Math.abs(n) < 1024) return n + ' B';
    for (; Math.abs(n) >= 1023.95 && i < units.length - 1; i++) n /= 1024; // 1023.95 would be written 1024
    return n.toFixed(1).replace('.0', '') + ' ' + units[i];
  }

  // What scrolls sideways is reached by keyboard, too --------------------------------------------------------------------
  function reach() {
    for (const el of document.querySelectorAll('.table-responsive, main pre')) {
      if (el.scrollWidth > el.clientWidth && !el.hasAttribute('tabindex')) el.tabIndex = 0;
    }
  }
  reach();
  addEventListener('resize', reach);
  document.addEventListener('palisade:part', reach);
  document.addEventListener('htmx:afterSwap', reach);

  // Of tabs that are wider than the screen, the chosen one is seen --------------------------------------------------------
  for (const chosen of document.querySelectorAll('nav .nav-tabs .active')) {
    const row = chosen.closest('nav');
    const at = chosen.getBoundingClientRect(), of = row.getBoundingClientRect();
    row.scrollLeft += at.left - of.left - (of.width - at.width) / 2;
  }

  // Toasts -----------------------------------------------------------------------------------------------------------
  function toast(text, tone) {
    const box = document.getElementById('toasts');
    const el = document.createElement('div');
    el.className = 'toast show toast-' + (tone || 'success');
    el.textContent = text;
    box.append(el);
    setTimeout(() => el.remove(), 6000);
  }

  // Live parts -------------------------------------------------------------------------------------------------------
  // A part keeps what the viewer is doing in it: the field that has the focus, open details, and whatever is marked
  // data-keep, which draws itself.
  const keep = {
    morphStyle: 'outerHTML',
    callbacks: {
      beforeNodeMorphed: (old, now) => {
        if (old.nodeType !== 1) return true;
        if (old.hasAttribute('data-keep')) return false;
        if (old === document.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(old.tagName)) return false;
        if (old.tagName === 'DETAILS' && old.open) now.setAttribute('open', '');
        if (old.tagName === 'DIALOG' && old.open) return false;
        return true;
      },
    },
  };
  function place(html) {
    const holder = document.createElement('template');
    holder.innerHTML = html;
    const now = holder.content.firstElementChild;
    const old = now && document.getElementById(now.id);
    if (!old) return;
    times(holder.content);
    Idiomorph.morph(old, now, keep);
    const at = document.getElementById(now.id);
    if (window.htmx) htmx.process(at);
    at.dispatchEvent(new CustomEvent('palisade:part', { bubbles: true }));
  }
  let lost;
  function follow() {
    if (!body.dataset.live) return;
    const source = new EventSource(body.dataset.live);
    source.addEventListener('part', (e) => place(e.data));
    source.addEventListener('gone', () => { source.close(); location.reload(); });
    source.onopen = () => { clearTimeout(lost); body.classList.remove('offline'); };
    source.onerror = () => {
      clearTimeout(lost);
      lost = setTimeout(() => body.classList.add('offline'), 3000);
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
    };
    addEventListener('pagehide', () => source.close());
  }
  follow();
  addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });

  // Confirmation -----------------------------------------------------------------------------------------------------
  function ask(text) {
    const dialog = document.getElementById('confirm');
    dialog.querySelector('p').textContent = text;
    dialog.returnValue = 'no';
    dialog.showModal();
    return new Promise((done) => dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true }));
  }
  document.addEventListener('htmx:confirm', (e) => {
    const text = e.detail.elt.dataset.confirm;
    if (!text) return;
    e.preventDefault();
    ask(text).then((yes) => { if (yes) e.detail.issueRequest(true); });
  });

  // Changes ----------------------------------------------------------------------------------------------------------
  // An answer of 4xx or 5xx is a fragment that says what is wrong: it goes into the form's [data-problem], and to the
  // fields that it names.
  function problemPlace(elt) {
    const form = elt.closest('form, dialog, .card, main') || body;
    let place = form.querySelector('[data-problem]');
    if (!place) {
      place = document.createElement('div');
      place.setAttribute('data-problem', '');
      form.prepend(place);
    }
    return place;
  }
  function clear(form) {
    for (const el of form.querySelectorAll('.is-invalid')) { el.classList.remove('is-invalid'); el.removeAttribute('aria-invalid'); }
    for (const el of form.querySelectorAll('.invalid-feedback')) el.remove();
    for (const el of form.querySelectorAll('[data-problem]')) el.replaceChildren();
  }
  document.addEventListener('htmx:beforeRequest', (e) => clear(e.detail.elt.closest('form') || e.detail.elt));
  document.addEventListener('htmx:responseError', (e) => {
    const place = problemPlace(e.detail.elt);
    place.innerHTML = e.detail.xhr.responseText;
    const form = place.closest('form');
    for (const said of place.querySelectorAll('[data-field]')) {
      const input = form && said.dataset.field && form.elements.namedItem(said.dataset.field);
      if (!input || !input.classList) continue;
      input.classList.add('is-invalid');
      input.setAttribute('aria-invalid', 'true');
      const text = document.createElement('div');
      text.className = 'invalid-feedback';
      text.textContent = said.dataset.message;
      input.after(text);
    }
    place.scrollIntoView({ block: 'nearest' });
  });
  document.addEventListener('htmx:sendError', () => toast(body.dataset.offline, 'danger'));
  document.addEventListener('htmx:afterRequest', (e) => {
    const text = e.detail.xhr && e.detail.xhr.getResponseHeader('X-Palisade-Toast');
    if (text) toast(decodeURIComponent(text));
    if (e.detail.successful) {
      const dialog = e.detail.elt.closest('dialog');
      if (dialog && (e.detail.xhr.status === 204 || 'shut' in e.detail.elt.dataset)) dialog.close();
      if (e.detail.elt.tagName === 'FORM' && 'reset' in e.detail.elt.dataset) e.detail.elt.reset();
    }
  });

  // Buttons ----------------------------------------------------------------------------------------------------------
  async function copy(el) {
    const from = el.dataset.copy || (document.querySelector(el.dataset.copyFrom) || {}).textContent || '';
    try {
      await navigator.clipboard.writeText(from);
    } catch {
      const area = document.createElement('textarea'); // no secure context: plain http on another box
      area.value = from;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    toast(body.dataset.copied);
  }
  document.addEventListener('click', (e) => {
    const el = e.target.closest('[data-copy], [data-copy-from], [data-toggle], [data-open], [data-close]');
    for (const menu of document.querySelectorAll('details[data-menu][open]')) if (!menu.contains(e.target)) menu.open = false;
    if (!el) return;
    if (el.matches('[data-copy], [data-copy-from]')) copy(el);
    if (el.dataset.toggle) {
      const at = document.querySelector(el.dataset.toggle);
      el.setAttribute('aria-expanded', String(at.classList.toggle('show')));
    }
    if (el.dataset.open) document.querySelector(el.dataset.open).showModal();
    if ('close' in el.dataset) el.closest('dialog').close();
  });
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape') return;
    for (const menu of document.querySelectorAll('details[data-menu][open]')) { menu.open = false; menu.querySelector('summary').focus(); }
  });

  // Tabs: [role=tab] with aria-controls; arrows move.
  document.addEventListener('click', (e) => { const tab = e.target.closest('[role=tab]'); if (tab) choose(tab); });
  document.addEventListener('keydown', (e) => {
    const tab = e.target.closest && e.target.closest('[role=tab]');
    if (!tab || (e.key !== 'ArrowRight' && e.key !== 'ArrowLeft')) return;
    const all = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]')];
    const next = all[(all.indexOf(tab) + (e.key === 'ArrowRight' ? 1 : all.length - 1)) % all.length];
    next.focus();
    choose(next);
  });
  function choose(tab) {
    for (const other of tab.closest('[role=tablist]').querySelectorAll('[role=tab]')) {
      const on = other === tab;
      other.setAttribute('aria-selected', String(on));
      other.tabIndex = on ? 0 : -1;
      other.classList.toggle('active', on);
      const panel = document.getElementById(other.getAttribute('aria-controls'));
      if (panel) panel.hidden = !on;
    }
  }

  window.palisade = { toast, ask, times, bytes };
})();
