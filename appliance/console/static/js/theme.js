// Before anything is painted: where nothing was chosen, colours are those of the system.
(() => {
  const root = document.documentElement;
  if (root.dataset.theme) return;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const set = () => root.setAttribute('data-bs-theme', dark.matches ? 'dark' : 'light');
  dark.addEventListener('change', set);
  set();
})();
