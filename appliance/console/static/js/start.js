// The form that starts a session: what belongs together is shown together, what would come of it is asked for while one types,
// and the last choice is kept in this browser, but for names and variables, which may be secrets.
(() => {
  'use strict';
  const form = document.getElementById('session-form');
  if (!form) return;
  const place = 'palisade.session';
  const forget = new Set(['name', 'environ', 'bootstrap', 'startup_command', 'starts_at', 'depends_on', 'resources', 'array']);

  if (!('from' in form.dataset)) {
    try {
      const kept = JSON.parse(localStorage.getItem(place) || '{}');
      for (const el of form.elements) {
        if (!el.name || forget.has(el.name) || !(el.name in kept)) continue;
        if (el.type === 'radio') el.checked = el.value === kept[el.name] || (el.checked && !form.querySelector('[name="' + CSS.escape(el.name) + '"][value="' + CSS.escape(kept[el.name]) + '"]'));
        else if (el.type === 'checkbox') el.checked = Boolean(kept[el.name]);
        else if (el.tagName !== 'SELECT' || [...el.options].some((o) => o.value === kept[el.name])) el.value = kept[el.name];
      }
    } catch { /* nothing is kept, or nothing may be */ }
  }
  form.addEventListener('submit', () => {
    const keep = {};
    for (const [name, value] of new FormData(form)) if (!forget.has(name) && typeof value === 'string') keep[name] = value;
    try { localStorage.setItem(place, JSON.stringify(keep)); } catch { /* it may not be kept */ }
  });

  // A moment is sent with the viewer's zone.
  form.addEventListener('formdata', (e) => {
    const text = e.formData.get('starts_at');
    if (text && !isNaN(new Date(text))) e.formData.set('starts_at', new Date(text).toISOString().replace(/\.\d+Z$/, 'Z'));
  });

  function show() {
    const now = new FormData(form);
    for (const el of form.querySelectorAll('[data-when]')) {
      const [name, value] = el.dataset.when.split('=');
      el.hidden = now.get(name) !== value;
    }
    const rows = [...form.querySelectorAll('.mount-row')];
    for (const row of rows) {
      if (row.querySelector('select').value) row.removeAttribute('data-spare');
      row.hidden = row.hasAttribute('data-spare');
    }
    const more = document.getElementById('mount-more');
    if (more) more.hidden = !rows.some((r) => r.hidden);
  }
  // What may only be read is mounted so.
  form.addEventListener('change', (e) => {
    const option = e.target.selectedOptions && e.target.selectedOptions[0];
    const row = e.target.closest('.mount-row');
    if (row && option && option.dataset.permission === 'ro') row.querySelector('[name$=".mode"]').value = 'ro';
    show();
  });
  const more = document.getElementById('mount-more');
  if (more) more.addEventListener('click', () => {
    const next = form.querySelector('.mount-row[data-spare]');
    if (!next) return;
    next.removeAttribute('data-spare');
    show();
    next.querySelector('select').focus();
  });
  const ask = () => form.dispatchEvent(new Event('look'));
  form.addEventListener('input', ask);
  form.addEventListener('change', ask);
  show();
})();
