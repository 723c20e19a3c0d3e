// An editor for files of text that are checked while one types: line numbers, marks at the line and column of what is wrong,
// and the list of it below. It is a textarea with more: without this script it still is one.
//
// In a page: {{define "head"}}<link rel="stylesheet" href="{{asset "css/editor.css"}}"><script src="{{asset "js/editor.js"}}" defer></script>{{end}}
// and {{template "editor" dict "ID" "definition" "Name" "definition" "Label" (t "...") "Text" .Data.Text "Check" "/api/v1/..." "File" "pipeline.yaml"}}
// (templates/editor.parts.html). It keeps what was typed while live parts change.
//
// What [data-editor] may have:
//   data-check   where the text is checked: POST of JSON {NAME: text, "file": FILE}. 2xx: good (its "warnings", if any, are
//                marked); 4xx with a Problem: its errors with line and column are marked, and the rest is said.
//                With data-check-as="text" the body is the text itself.
//   data-key     NAME in that JSON; else the textarea's name
//   data-file    FILE; errors of another file are said without a mark
//   data-tab     "tab" where Tab is to put in a tab, else two spaces
// It tells what it finds: "editor:checked" bubbles from the element with detail {ok, answer, problem, text}.
// A refusal of the form that it stands in (htmx) is marked too. Ctrl+S or Cmd+S sends the form.
// Other scripts: palisade.editor(element) has text(), set(text), marks([{line, column, severity, message, hint, field}]), check().
(() => {
  'use strict';
  const known = new WeakMap();
  const most = 200; // marks that are shown

  function make(root) {
    const area = root.querySelector('textarea');
    const said = root.dataset;
    const box = document.createElement('div');
    box.className = 'editor-box';
    const gutter = document.createElement('div');
    gutter.className = 'editor-gutter';
    gutter.setAttribute('aria-hidden', 'true');
    const numbers = document.createElement('pre');
    const flags = document.createElement('div');
    gutter.append(numbers, flags);
    const field = document.createElement('div');
    field.className = 'editor-field';
    const under = document.createElement('pre');
    under.className = 'editor-under';
    under.setAttribute('aria-hidden', 'true');
    area.before(box);
    field.append(under, area);
    box.append(gutter, field);
    const list = root.querySelector('.editor-marks');
    const state = root.querySelector('.editor-state');
    root.classList.add('editor-on');
    area.wrap = 'off';
    area.spellcheck = false;

    let marks = [], clean = area.value, count = 0, timer, asked = 0, running;

    function draw() {
      const lines = area.value.split('\n');
      if (lines.length !== count) {
        count = lines.length;
        let text = '';
        for (let i = 1; i <= count; i++) text += i + '\n';
        numbers.textContent = text;
        numbers.style.setProperty('--digits', String(count).length);
      }
      const by = new Map();
      for (const m of marks) if (m.line >= 1 && m.line <= count && (!by.has(m.line) || m.severity !== 'warning')) by.set(m.line, m);
      under.replaceChildren();
      flags.replaceChildren();
      if (by.size) {
        const parts = [];
        lines.forEach((line, i) => {
          const m = by.get(i + 1);
          if (!m) { parts.push(line + '\n'); return; }
          const at = Math.min(Math.max((m.column || 1) - 1, 0), line.length);
          const from = at > 0 && at < line.length ? at : line.length - line.trimStart().length;
          const bad = document.createElement('span');
          bad.className = m.severity === 'warning' ? 'editor-warning' : 'editor-error';
          bad.textContent = line.slice(from) || ' ';
          parts.push(line.slice(0, from), bad, '\n');
          const flag = document.createElement('span');
          flag.className = 'editor-flag ' + bad.className;
          flag.textContent = m.severity === 'warning' ? '!' : '×';
          flag.title = m.message;
          flag.style.setProperty('--line', i);
          flags.append(flag);
        });
        under.append(...parts);
      }
      scroll();
    }
    function scroll() {
      gutter.scrollTop = area.scrollTop;
      under.scrollTop = area.scrollTop;
      under.scrollLeft = area.scrollLeft;
    }
    function jump(m) {
      const lines = area.value.split('\n');
      let at = 0;
      for (let i = 0; i < Math.min(m.line, lines.length) - 1; i++) at += lines[i].length + 1;
      const line = lines[Math.min(m.line, lines.length) - 1] || '';
      at += Math.min(Math.max((m.column || 1) - 1, 0), line.length);
      area.focus();
      area.setSelectionRange(at, at);
      const height = parseFloat(getComputedStyle(area).lineHeight) || 20;
      area.scrollTop = Math.max(0, (m.line - 5) * height);
      scroll();
    }
    function say(text, tone) {
      if (!state) return;
      state.textContent = text || '';
      state.dataset.tone = tone || '';
    }
    function show(all) {
      marks = all.slice(0, most);
      draw();
      const errors = marks.filter((m) => m.severity !== 'warning').length;
      area.setAttribute('aria-invalid', String(errors > 0));
      if (list) {
        list.replaceChildren();
        for (const m of marks) {
          const item = document.createElement('li');
          item.className = m.severity === 'warning' ? 'editor-warning' : 'editor-error';
          const words = document.createElement(m.line ? 'button' : 'span');
          if (m.line) {
            words.type = 'button';
            words.addEventListener('click', () => jump(m));
            const where = document.createElement('span');
            where.className = 'editor-where';
            where.textContent = (said.lineWord || '').replace('{0}', m.line).replace('{1}', m.column || 1);
            words.append(where, ' ');
          }
          if (m.field) {
            const code = document.createElement('code');
            code.textContent = m.field;
            words.append(code, ' ');
          }
          words.append(m.message || '');
          if (m.hint) {
            const hint = document.createElement('span');
            hint.className = 'text-secondary';
            hint.textContent = m.hint;
            words.append(' ', hint);
          }
          item.append(words);
          list.append(item);
        }
      }
      return errors;
    }
    // ofProblem makes marks of what the API says is wrong.
    function ofProblem(p) {
      const errors = (p && p.errors) || [];
      const all = errors.map((e) => {
        const elsewhere = e.file && said.file && e.file !== said.file && !e.file.endsWith('/' + said.file);
        return { ...e, line: elsewhere ? 0 : e.line, message: (elsewhere ? e.file + ': ' : '') + e.message };
      });
      if (!all.length && p) all.push({ message: p.detail || p.title, hint: p.hint });
      return all;
    }
    async function check() {
      clearTimeout(timer);
      if (!said.check) return;
      if (running) running.abort();
      if (!area.value.trim()) { show([]); say(''); return; }
      const turn = ++asked;
      const text = area.value;
      running = new AbortController();
      say(said.checking);
      let answer = null, ok = false;
      try {
        const body = said.checkAs === 'text' ? text : JSON.stringify({ [said.key || area.name]: text, ...(said.file ? { file: said.file } : {}) });
        const r = await fetch(said.check, {
          method: 'POST', body, signal: running.signal, headers: { 'Content-Type': said.checkAs === 'text' ? 'application/yaml' : 'application/json' },
        });
        ok = r.ok;
        answer = await r.json();
      } catch (e) {
        if (turn !== asked || e.name === 'AbortError') return;
        say(said.unchecked, 'warning');
        return;
      }
      if (turn !== asked) return;
      const errors = show(ok ? ((answer && answer.warnings) || []).map((w) => ({ ...w, severity: 'warning' })) : ofProblem(answer));
      if (ok) say(said.good, 'success');
      else say((said.bad || '').replace('{0}', errors || 1), 'danger');
      root.dispatchEvent(new CustomEvent('editor:checked', { bubbles: true, detail: { ok, text, answer: ok ? answer : null, problem: ok ? null : answer } }));
    }
    function typed() {
      draw();
      clearTimeout(timer);
      timer = setTimeout(check, 500);
    }
    // put writes so that the browser's undo knows it.
    function put(text, from, to) {
      area.focus();
      area.setSelectionRange(from, to);
      if (!document.execCommand('insertText', false, text)) {
        area.setRangeText(text, from, to, 'end');
        area.dispatchEvent(new Event('input', { bubbles: true }));
      }
    }
    const unit = said.tab === 'tab' ? '\t' : '  ';
    let leaving = false; // after Escape, Tab leaves the field
    function keys(e) {
      const { selectionStart: from, selectionEnd: to, value } = area;
      if ((e.ctrlKey || e.metaKey) && !e.altKey && e.key.toLowerCase() === 's') {
        e.preventDefault();
        if (area.form) area.form.requestSubmit();
        return;
      }
      if (e.key === 'Escape') { leaving = true; return; }
      if (e.key === 'Tab' && !leaving && !e.ctrlKey && !e.metaKey && !e.altKey && !area.readOnly) {
        e.preventDefault();
        const begin = value.lastIndexOf('\n', from - 1) + 1;
        const several = value.slice(from, to).includes('\n');
        if (!e.shiftKey && !several) { put(unit, from, to); return; }
        const block = value.slice(begin, to);
        const next = e.shiftKey ? block.replace(/^(\t| {1,2})/gm, '') : block.replace(/^(?=.)/gm, unit);
        if (next === block) return;
        put(next, begin, to);
        if (several) area.setSelectionRange(begin, begin + next.length);
        return;
      }
      if (e.key === 'Enter' && !e.shiftKey && !e.isComposing && !area.readOnly) {
        const begin = value.lastIndexOf('\n', from - 1) + 1;
        const line = value.slice(begin, from);
        let indent = (/^[ \t]*/.exec(line) || [''])[0];
        if (/:\s*$/.test(line)) indent += unit;
        if (indent) { e.preventDefault(); put('\n' + indent, from, to); }
      }
      if (e.key !== 'Shift') leaving = false;
    }
    area.addEventListener('input', typed);
    area.addEventListener('scroll', scroll, { passive: true });
    area.addEventListener('keydown', keys);
    area.addEventListener('blur', () => { leaving = false; });
    if (area.form) {
      area.form.addEventListener('submit', () => { clean = area.value; });
      area.form.addEventListener('htmx:afterRequest', (e) => { if (!e.detail.successful) clean = null; });
      area.form.addEventListener('htmx:responseError', (e) => {
        const holder = document.createElement('template');
        holder.innerHTML = e.detail.xhr.responseText;
        const all = [...holder.content.querySelectorAll('[data-line]')].filter((el) => Number(el.dataset.line) > 0).map((el) => ({
          line: Number(el.dataset.line), column: Number(el.dataset.column), field: el.dataset.field, message: el.dataset.message,
        }));
        if (all.length) show(all);
      });
    }
    addEventListener('beforeunload', (e) => { if (!area.readOnly && area.isConnected && area.value !== clean && area.value.trim() && !('free' in said)) e.preventDefault(); });
    draw();
    if (area.value.trim()) check();
    return {
      text: () => area.value,
      set: (text) => { area.value = text; clean = text; show([]); check(); },
      saved: () => { clean = area.value; },
      marks: show,
      problem: (p) => show(ofProblem(p)),
      check,
    };
  }

  function of(root) {
    if (root && !known.has(root)) known.set(root, make(root));
    return known.get(root);
  }
  function all() { for (const root of document.querySelectorAll('[data-editor]')) of(root); }
  all();
  document.addEventListener('palisade:part', all);
  document.addEventListener('htmx:load', all);
  if (window.palisade) window.palisade.editor = of;
})();
