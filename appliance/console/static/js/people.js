// Log-in and profile: a password can be looked at, a wait counts down, recovery codes are printed. All works without it.
(() => {
  'use strict';
  for (const button of document.querySelectorAll('[data-reveal]')) button.hidden = false;
  document.addEventListener('click', (e) => {
    const el = e.target.closest('[data-reveal], [data-print]');
    if (!el) return;
    if ('print' in el.dataset) { window.print(); return; }
    const input = document.getElementById(el.dataset.reveal);
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    el.setAttribute('aria-pressed', String(shown));
  });
  const wait = document.querySelector('[data-countdown]');
  if (!wait) return;
  const button = document.querySelector('#login button[type=submit]');
  const until = Date.now() + Number(wait.dataset.countdown) * 1000;
  const pattern = wait.textContent.replace(wait.dataset.countdown, '{0}');
  function tick() {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    wait.textContent = pattern.replace('{0}', left > 90 ? Math.floor(left / 60) + ':' + String(left % 60).padStart(2, '0') : left);
    button.disabled = left > 0;
    if (left > 0) setTimeout(tick, 500);
    else wait.closest('.alert').hidden = true;
  }
  tick();
})();
