// The catalog: filters are applied as they are chosen, what a plan offers is taken into the form, and a secret that is missing
// is named in the form that sets it.
(() => {
  'use strict';
  for (const form of document.querySelectorAll('form[data-autosubmit]')) {
    form.addEventListener('submit', () => {
      for (const el of form.elements) if (el.name && !el.value) el.disabled = true; // a short address
    });
    form.addEventListener('change', () => form.requestSubmit());
  }
  addEventListener('pageshow', () => { for (const el of document.querySelectorAll('form[data-autosubmit] :disabled')) el.disabled = false; });
  document.addEventListener('click', (e) => {
    const take = e.target.closest('[data-take]');
    const form = document.getElementById('install-form');
    if (take && form) {
      const field = form.elements.namedItem(take.dataset.take);
      if (!field) return;
      field.value = take.dataset.value;
      field.dispatchEvent(new Event('change', { bubbles: true }));
      field.focus();
    }
    const secret = e.target.closest('[data-secret]');
    if (secret) document.getElementById('secret-name').value = secret.dataset.secret;
  });
  // A secret that was set changes the plan.
  document.addEventListener('htmx:afterRequest', (e) => {
    const first = document.getElementById('install-variant');
    if (e.detail.successful && first && e.detail.elt.closest && e.detail.elt.closest('#secret')) first.dispatchEvent(new Event('change', { bubbles: true }));
  });
})();
