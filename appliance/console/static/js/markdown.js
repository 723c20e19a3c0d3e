// Code in rendered Markdown gets a button that copies it. Whoever puts rendered Markdown onto a page later calls
// palisade.markdown(element).
(() => {
  'use strict';
  function dress(root) {
    for (const pre of root.querySelectorAll('.markdown pre.code')) {
      if (pre.querySelector(':scope > button')) continue;
      const code = pre.querySelector('code');
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'btn btn-sm markdown-copy';
      button.textContent = document.body.dataset.copyLabel;
      button.addEventListener('click', () => {
        button.dataset.copy = code.textContent; // console.js copies what stands here, when the click reaches it
      });
      pre.append(button);
      pre.tabIndex = 0; // what is wider than the page can be scrolled by keyboard
    }
  }
  dress(document);
  document.addEventListener('palisade:part', (e) => dress(e.target.parentNode || document));
  window.palisade.markdown = dress;
})();
