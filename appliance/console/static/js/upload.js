// Uploads into a directory of a folder: files and directories, by button or dropped. Each file goes over in parts, with a
// checksum each and one over all of it; what is cut off goes on where it was, after a pause, a lost connection or a reload of
// the page (then the same files are chosen again). A file is there as a whole or not at all.
//
// #uploads has: data-api (the folder's address in the API), data-project, data-at (the directory), and what is said.
(() => {
  'use strict';
  const root = document.getElementById('uploads');
  if (!root) return;
  const say = root.dataset;
  const partSize = 8 << 20;
  const sliceSize = 1 << 20; // what is summed at once: the page stays quick meanwhile
  const atOnce = 2;
  const shown = 500; // rows at most; all are counted

  // Sums -------------------------------------------------------------------------------------------------------------
  const crcTable = new Int32Array(256).map((_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
    return n;
  });
  function crc32c(sum, bytes) {
    sum = ~sum;
    for (let i = 0; i < bytes.length; i++) sum = crcTable[(sum ^ bytes[i]) & 255] ^ (sum >>> 8);
    return ~sum;
  }
  function crcText(sum) {
    return 'crc32c ' + btoa(String.fromCharCode(sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255));
  }
  // The browser's own SHA-256 takes a file as a whole, and only on a page by TLS.
  const constants = (() => {
    const first = [], root3 = [];
    for (let n = 2; root3.length < 64; n++) {
      if (first.some((p) => n % p === 0)) continue;
      first.push(n);
      root3.push(Math.floor((Math.cbrt(n) % 1) * 2 ** 32));
    }
    return { k: new Int32Array(root3), h: first.slice(0, 8).map((p) => Math.floor((Math.sqrt(p) % 1) * 2 ** 32) | 0) };
  })();
  class SHA256 {
    constructor() {
      this.h = new Int32Array(constants.h);
      this.w = new Int32Array(64);
      this.rest = new Uint8Array(64);
      this.held = 0;
      this.length = 0;
    }
    block(b, at) {
      const { h, w } = this, k = constants.k;
      for (let i = 0; i < 16; i++, at += 4) w[i] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15], y = w[i - 2];
        w[i] = (w[i - 16] + w[i - 7] + (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) + (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))) | 0;
      }
      let a = h[0], c1 = h[1], c2 = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
      for (let i = 0; i < 64; i++) {
        const t1 = (last + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
        const t2 = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & c1) ^ (a & c2) ^ (c1 & c2))) | 0;
        last = g; g = f; f = e; e = (d + t1) | 0; d = c2; c2 = c1; c1 = a; a = (t1 + t2) | 0;
      }
      h[0] += a; h[1] += c1; h[2] += c2; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += last;
    }
    add(b) {
      this.length += b.length;
      let at = 0;
      if (this.held) {
        at = Math.min(64 - this.held, b.length);
        this.rest.set(b.subarray(0, at), this.held);
        this.held += at;
        if (this.held < 64) return;
        this.block(this.rest, 0);
        this.held = 0;
      }
      for (; at + 64 <= b.length; at += 64) this.block(b, at);
      this.rest.set(b.subarray(at));
      this.held = b.length - at;
    }
    copy() {
      const other = new SHA256();
      other.h.set(this.h);
      other.rest.set(this.rest);
      other.held = this.held;
      other.length = this.length;
      return other;
    }
    digest() {
      const end = this.copy();
      const bits = end.length * 8;
      const tail = new Uint8Array((end.held < 56 ? 64 : 128) - end.held);
      tail[0] = 0x80;
      const view = new DataView(tail.buffer);
      view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32));
      view.setUint32(tail.length - 4, bits >>> 0);
      end.add(tail);
      return 'sha256:' + Array.from(end.h, (n) => (n >>> 0).toString(16).padStart(8, '0')).join('');
    }
  }

  // The API ----------------------------------------------------------------------------------------------------------
  const address = (path, query) => say.api + path + '?' + new URLSearchParams({ project: say.project, ...query });
  class Refused extends Error {
    constructor(status, problem) {
      super([problem.detail || problem.title, problem.hint].filter(Boolean).join(' — '));
      this.status = status;
      this.kind = String(problem.type || '').split(':').pop();
    }
  }
  class Cut extends Error {} // no answer: try again
  class Stopped extends Error {} // paused or given up

  // ask sends one request. XMLHttpRequest tells how far a body has gone, which fetch does not.
  function ask(item, method, url, body, headers, tell) {
    return new Promise((done, fail) => {
      const x = new XMLHttpRequest();
      x.open(method, url);
      for (const [name, value] of Object.entries(headers || {})) x.setRequestHeader(name, value);
      if (tell) x.upload.onprogress = (e) => { tell(e.loaded); watch(); };
      let idle;
      const watch = () => { clearTimeout(idle); idle = setTimeout(() => x.abort(), 60000); };
      watch();
      item.request = x;
      const end = () => { clearTimeout(idle); item.request = null; };
      x.onload = () => {
        end();
        let answer = {};
        try { answer = x.responseText ? JSON.parse(x.responseText) : {}; } catch { answer = { detail: x.statusText }; }
        if (x.status >= 200 && x.status < 300) done({ answer, x });
        else if (x.status === 502 || x.status === 503 || x.status === 504) fail(new Cut());
        else fail(new Refused(x.status, answer));
      };
      x.onerror = () => { end(); fail(new Cut()); };
      x.onabort = () => { end(); fail(item.state === 'going' && !paused ? new Cut() : new Stopped()); };
      x.send(body || null);
    });
  }
  const json = { 'Content-Type': 'application/json' };

  // Files ------------------------------------------------------------------------------------------------------------
  const items = [];
  let going = 0, paused = false, replace = null, asking = null, doneCount = 0;
  const waiters = new Set();
  function wait(milliseconds) {
    return new Promise((done) => {
      const end = () => { clearTimeout(timer); waiters.delete(end); done(); };
      const timer = setTimeout(end, milliseconds);
      waiters.add(end);
    });
  }
  addEventListener('online', () => { for (const end of waiters) end(); });

  async function bytesOf(item, from, to) {
    try {
      return new Uint8Array(await item.file.slice(from, to).arrayBuffer());
    } catch {
      throw new Refused(0, { detail: say.unreadable }); // removed, changed or locked since it was chosen
    }
  }
  async function sumUp(item, sum, from, to) {
    for (let at = from; at < to; at += sliceSize) {
      if (item.state !== 'going' || paused) throw new Stopped();
      sum.add(await bytesOf(item, at, Math.min(at + sliceSize, to)));
    }
  }

  // there looks whether the file is there already: the same one is left alone, of another one it is asked what to do.
  async function there(item) {
    let head;
    try {
      head = await ask(item, 'HEAD', address('/files', { path: item.path }));
    } catch (e) {
      if (e instanceof Refused && e.status !== 401) return false; // what is wrong is said when it is begun
      throw e;
    }
    const size = Number(head.x.getResponseHeader('Content-Length'));
    const at = Math.floor(Date.parse(head.x.getResponseHeader('Last-Modified')) / 1000);
    if (size === item.file.size && at === Math.floor(item.file.lastModified / 1000)) { finish(item, 'done', say.same); return true; }
    if (replace === null) {
      asking = asking || palisade.ask(say.replace.replace('{0}', item.path));
      replace = await asking;
    }
    if (!replace) { finish(item, 'done', say.skipped); return true; }
    return false;
  }

  async function send(item) {
    const file = item.file;
    if (await there(item)) return;
    const wish = JSON.stringify({ path: item.path, size: file.size, mod_time: new Date(file.lastModified).toISOString() });
    let { answer: up } = await ask(item, 'POST', address('/uploads'), wish, json);
    let sum = new SHA256();
    if (up.offset > 0 && item.sum && item.sum.length === up.offset) {
      sum = item.sum; // it is known from before the connection was lost
    } else if (up.offset > 0) {
      show(item, say.checking);
      await sumUp(item, sum, 0, up.offset);
      if (sum.digest() !== up.digest) { // what is there is the beginning of another file
        await ask(item, 'DELETE', address('/uploads/' + up.id));
        ({ answer: up } = await ask(item, 'POST', address('/uploads'), wish, json));
        sum = new SHA256();
      }
    }
    item.upload = up.id;
    let at = up.offset;
    while (at < file.size) {
      if (item.state !== 'going' || paused) throw new Stopped();
      const part = await bytesOf(item, at, Math.min(at + partSize, file.size));
      const before = sum.copy();
      for (let i = 0; i < part.length; i += sliceSize) sum.add(part.subarray(i, i + sliceSize));
      try {
        const from = at;
        await ask(item, 'PATCH', address('/uploads/' + up.id), part, { 'Content-Type': 'application/octet-stream', 'Upload-Offset': String(at), 'Upload-Checksum': crcText(crc32c(0, part)) }, (n) => progress(item, from + n));
        at += part.length;
      } catch (e) {
        item.sum = before;
        throw e;
      }
      progress(item, at);
    }
    show(item, say.finishing);
    await ask(item, 'POST', address('/uploads/' + up.id + '/finish'), JSON.stringify({ digest: sum.digest() }), json);
    finish(item, 'done', say.done);
  }

  // run sends a file, as often as the connection is lost.
  async function run(item) {
    item.state = 'going';
    for (let turn = 0; item.state === 'going'; turn++) {
      try {
        show(item, '');
        await send(item);
      } catch (e) {
        if (e instanceof Stopped) { if (item.state === 'going') { item.state = 'waiting'; show(item, say.paused); } break; }
        if (e instanceof Cut || (e instanceof Refused && e.kind === 'conflict' && turn < 3)) {
          show(item, say.again);
          await wait(Math.min(1000 * 2 ** turn, 30000));
          if (paused && item.state === 'going') item.state = 'waiting';
          continue;
        }
        if (e instanceof Refused && e.status === 401) { setPaused(true); item.state = 'waiting'; show(item, say.loggedOut, true); break; }
        finish(item, 'failed', e.message);
      }
    }
  }

  function next() {
    while (!paused && going < atOnce) {
      const item = items.find((i) => i.state === 'waiting');
      if (!item) break;
      going++;
      run(item).finally(() => { going--; next(); });
    }
    total();
    if (!going && !items.some((i) => i.state === 'waiting')) settled();
  }
  function settled() {
    if (doneCount && window.htmx) {
      doneCount = 0;
      htmx.ajax('GET', location.href, { target: '#browse-list', select: '#browse-list', swap: 'outerHTML' }).then(() => { if (window.palisade) palisade.times(document); });
    }
    replace = asking = null;
  }
  function finish(item, state, text) {
    item.state = state;
    if (state === 'done') {
      item.sent = item.file.size;
      doneCount++;
      for (const el of root.querySelectorAll('[data-unfinished]')) if (el.dataset.unfinished === item.path) el.remove();
    }
    show(item, text, state === 'failed');
    total();
  }

  // What is seen -----------------------------------------------------------------------------------------------------
  const card = document.getElementById('upload-card');
  const list = document.getElementById('upload-list');
  const bar = document.getElementById('upload-bar');
  const heading = document.getElementById('upload-total');
  const pauseButton = document.getElementById('upload-pause');
  const cancelButton = document.getElementById('upload-cancel');
  function row(item) {
    if (item.row || list.children.length >= shown) return item.row;
    const el = document.createElement('li');
    const name = document.createElement('span');
    name.className = 'up-name';
    name.textContent = item.path;
    const much = document.createElement('span');
    much.className = 'text-secondary up-size';
    const meter = document.createElement('progress');
    meter.max = 1;
    meter.value = 0;
    meter.setAttribute('aria-label', item.path);
    const said = document.createElement('span');
    said.className = 'up-said text-secondary';
    el.append(name, much, meter, said);
    list.append(el);
    item.row = { el, much, meter, said };
    return item.row;
  }
  function show(item, text, bad) {
    const r = row(item);
    if (!r) return;
    r.said.textContent = text;
    r.el.className = bad ? 'up-bad' : '';
    r.meter.hidden = item.state === 'failed' || item.state === 'done';
    r.much.textContent = palisade.bytes(item.file.size);
    if (bad && item.state === 'failed') {
      const again = document.createElement('button');
      again.type = 'button';
      again.className = 'btn btn-sm ms-2';
      again.textContent = say.retry;
      again.onclick = () => { item.state = 'waiting'; show(item, say.waiting); next(); };
      r.said.append(again);
    }
  }
  function progress(item, n) {
    item.sent = Math.min(n, item.file.size);
    const r = row(item);
    if (r) {
      r.meter.value = item.file.size ? item.sent / item.file.size : 1;
      r.much.textContent = palisade.bytes(item.sent) + ' / ' + palisade.bytes(item.file.size);
    }
    total();
  }
  function total() {
    let all = 0, sent = 0, done = 0, failed = 0;
    for (const i of items) {
      all += i.file.size;
      sent += i.state === 'done' ? i.file.size : i.sent;
      if (i.state === 'done') done++;
      if (i.state === 'failed') failed++;
    }
    bar.value = all ? sent / all : items.length ? done / items.length : 0;
    heading.textContent = say.total.replace('{0}', done).replace('{1}', items.length).replace('{2}', palisade.bytes(sent)).replace('{3}', palisade.bytes(all)) + (failed ? ' · ' + say.failed.replace('{0}', failed) : '');
    card.hidden = !items.length;
    const busy = items.some((i) => i.state === 'waiting' || i.state === 'going');
    pauseButton.hidden = !busy;
    pauseButton.textContent = paused ? say.go : say.pause;
    cancelButton.textContent = busy ? say.cancel : say.closeWord;
    card.setAttribute('data-state', busy ? (paused ? 'paused' : 'going') : failed ? 'failed' : 'done');
  }
  function setPaused(on) {
    paused = on;
    if (on) for (const i of items) if (i.request) i.request.abort();
    if (on) for (const end of waiters) end();
    if (!on) next();
    total();
  }
  pauseButton.onclick = () => setPaused(!paused);
  // What has come of files that are given up is thrown away.
  cancelButton.onclick = () => {
    for (const i of items) {
      const busy = i.state === 'waiting' || i.state === 'going';
      if (!busy) continue;
      i.state = 'dropped';
      if (i.request) i.request.abort();
      if (i.upload) fetch(address('/uploads/' + i.upload), { method: 'DELETE' }).catch(() => {});
    }
    items.length = 0;
    list.replaceChildren();
    paused = false;
    total();
    settled();
  };
  root.addEventListener('click', async (e) => {
    const button = e.target.closest('[data-give-up]');
    if (!button) return;
    const r = await fetch(address('/uploads/' + button.dataset.giveUp), { method: 'DELETE' });
    if (r.ok || r.status === 404) button.closest('li').remove();
    else palisade.toast((await r.json()).detail, 'danger');
  });
  addEventListener('beforeunload', (e) => { if (items.some((i) => i.state === 'going' || i.state === 'waiting')) e.preventDefault(); });

  // What is chosen ---------------------------------------------------------------------------------------------------
  function take(files) {
    for (const { file, path } of files) {
      const at = say.at ? say.at + '/' + path : path;
      const item = { file, path: at, state: 'waiting', sent: 0, upload: '', sum: null, request: null, row: null };
      items.push(item);
      show(item, say.waiting);
    }
    next();
  }
  for (const [button, input] of [['upload-files', 'pick-files'], ['upload-directory', 'pick-directory']]) {
    const pick = document.getElementById(input);
    document.getElementById(button).onclick = () => pick.click();
    pick.onchange = () => {
      take(Array.from(pick.files, (file) => ({ file, path: file.webkitRelativePath || file.name })));
      pick.value = '';
    };
  }
  // entries reads a directory that was dropped: it is told of in pieces.
  async function walk(entry, above, out) {
    const path = above ? above + '/' + entry.name : entry.name;
    if (entry.isFile) {
      out.push({ file: await new Promise((done, fail) => entry.file(done, fail)), path });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return;
      for (const one of some) await walk(one, path, out);
    }
  }
  const zone = () => document.getElementById('browse-list');
  let depth = 0;
  const hasFiles = (e) => e.dataTransfer && Array.from(e.dataTransfer.types).includes('Files');
  addEventListener('dragenter', (e) => { if (hasFiles(e)) { depth++; zone().classList.add('dropping'); } });
  addEventListener('dragleave', (e) => { if (hasFiles(e) && --depth <= 0) { depth = 0; zone().classList.remove('dropping'); } });
  addEventListener('dragover', (e) => { if (hasFiles(e)) { e.preventDefault(); e.dataTransfer.dropEffect = 'copy'; } });
  addEventListener('drop', async (e) => {
    if (!hasFiles(e)) return;
    e.preventDefault();
    depth = 0;
    zone().classList.remove('dropping');
    const entries = Array.from(e.dataTransfer.items, (i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
    const plain = Array.from(e.dataTransfer.files, (file) => ({ file, path: file.name }));
    if (!entries.length) { take(plain); return; }
    const out = [];
    try {
      for (const entry of entries) await walk(entry, '', out);
    } catch {
      palisade.toast(say.unreadable, 'danger');
    }
    take(out);
  });
  total();
})();
