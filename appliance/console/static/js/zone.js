// Days begin at the viewer's midnight: a form that asks for days says in which zone.
(() => {
  'use strict';
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const input of document.querySelectorAll('input[data-zone]')) if (!input.value && zone) input.value = zone;
  // What a script follows: a select that asks at once.
  for (const select of document.querySelectorAll('select[data-submit]')) select.addEventListener('change', () => select.form.requestSubmit());
})();
