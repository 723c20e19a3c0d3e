// The terminal of a session in a browser: xterm.js over the websocket of held terminals. The shell belongs to the session's
// side: when the line is lost this page comes back by itself, and is shown what it has missed.
"use strict";

(() => {
  // The protocol palisade.exec.v1: binary messages, the first byte of each a channel.
  const STDIN = 0, STDOUT = 1, RESIZE = 3, EXIT = 4, PROBLEM = 5, TAKEN = 6;
  const CHUNK = 32 << 10, WINDOW = 256 << 10;

  const notice = document.getElementById("notice");
  const title = document.title;
  const encoder = new TextEncoder(), decoder = new TextDecoder();
  const wanted = new URLSearchParams(location.search).get("name") || "main";

  const term = new Terminal({
    scrollback: 10000, cursorBlink: true, fontSize: 14, allowProposedApi: false,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    theme: { background: "#101216", foreground: "#e6e6e6" },
  });
  const fit = new FitAddon.FitAddon();
  term.loadAddon(fit);
  term.open(document.getElementById("screen"));
  fit.fit();
  term.focus();
  window.palisadeTerminal = term; // for who automates this page

  let socket = null;    // the line, open or opening
  let free = WINDOW;    // bytes of input that may be sent yet
  let waiting = [];     // input that may not be sent yet, or has nowhere to go
  let heard = 0, typed = 0; // when something came last, and was typed
  let tries = 0, timer = 0, over = false;

  function say(text) {
    notice.hidden = !text;
    notice.textContent = text || "";
    document.title = text ? "· " + title : title;
    document.body.dataset.state = over ? "over" : text ? "waiting" : "open";
  }

  function message(channel, body) {
    const m = new Uint8Array(1 + body.length);
    m[0] = channel;
    m.set(body, 1);
    return m;
  }
  const json = (channel, value) => message(channel, encoder.encode(JSON.stringify(value)));

  function type(bytes) {
    if (over) {
      if (bytes[0] === 13) { over = false; tries = 0; term.reset(); connect(); }
      return;
    }
    if (bytes.length) { waiting.push(bytes); typed = Date.now(); }
    while (waiting.length && free > 0 && socket && socket.readyState === WebSocket.OPEN) {
      const next = waiting[0], n = Math.min(next.length, free, CHUNK);
      socket.send(message(STDIN, next.subarray(0, n)));
      free -= n;
      if (n === next.length) waiting.shift(); else waiting[0] = next.subarray(n);
    }
  }
  term.onData((text) => type(encoder.encode(text)));
  term.onBinary((text) => type(Uint8Array.from(text, (c) => c.charCodeAt(0) & 255)));

  const size = () => ({ rows: term.rows, columns: term.cols });
  function resized() {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(json(RESIZE, size()));
  }
  term.onResize(resized);
  let fitting = 0;
  new ResizeObserver(() => {
    clearTimeout(fitting);
    fitting = setTimeout(() => fit.fit(), 60);
  }).observe(document.getElementById("screen"));

  function end(text) {
    over = true;
    waiting = [];
    term.write("\r\n\x1b[0m\x1b[7m " + text + " Enter begins a new one. \x1b[0m\r\n");
    say("");
  }

  function connect() {
    clearTimeout(timer);
    const url = new URL("ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ name: wanted, term: "xterm-256color", rows: term.rows, columns: term.cols });
    const ws = socket = new WebSocket(url, "palisade.exec.v1");
    ws.binaryType = "arraybuffer";
    let first = true, untold = 0, ended = false;
    ws.onopen = () => {
      heard = Date.now();
      free = WINDOW;
      tries = 0;
      say("");
      resized();
      type([]);
    };
    ws.onmessage = (event) => {
      if (ws !== socket) return;
      heard = Date.now();
      const body = new Uint8Array(event.data).subarray(1);
      switch (new Uint8Array(event.data)[0]) {
      case STDOUT:
        if (first) { // what was shown before comes again
          first = false;
          term.reset();
        }
        // Taken in once it is drawn: so a program that writes without end is held up, and this page is not.
        term.write(body, () => {
          untold += body.length;
          if (untold >= WINDOW / 4 && ws.readyState === WebSocket.OPEN) {
            ws.send(json(TAKEN, { channel: STDOUT, bytes: untold }));
            untold = 0;
          }
        });
        break;
      case TAKEN: {
        const taken = JSON.parse(decoder.decode(body));
        if (taken.channel === STDIN) { free += taken.bytes; type([]); }
        break;
      }
      case EXIT:
        ended = true;
        end("The shell has ended: " + JSON.parse(decoder.decode(body)).message.replace(/\.$/, "") + ".");
        break;
      case PROBLEM: {
        const problem = JSON.parse(decoder.decode(body));
        say(problem.detail || problem.title);
        break;
      }
      }
    };
    ws.onclose = () => {
      if (ws !== socket) return;
      socket = null;
      if (!ended) again();
    };
  }

  // again comes back, at once and then ever more seldom; what the trouble is, is asked for where a websocket cannot say it.
  function again(why) {
    const wait = tries === 0 ? 0 : Math.min(5000, 250 * 2 ** Math.min(tries, 5));
    tries++;
    if (why || notice.hidden || tries > 2) say(why || "Connecting again…");
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (tries > 1) {
        try {
          const answer = await fetch("status", { cache: "no-store" });
          if (answer.status === 401) return halt("You are logged out. Get a new link: palisade app " + document.body.dataset.name + " terminal --url");
          if (answer.status === 404 || answer.status === 409) {
            const problem = await answer.json().catch(() => ({}));
            return again((problem.detail || "The session does not run.") + " Waiting for it…");
          }
          if (!answer.ok) return again();
        } catch {
          return again();
        }
      }
      connect();
    }, wait);
  }
  function halt(text) {
    say(text);
    document.body.dataset.state = "out";
  }

  // A computer that has slept, or another network: what is dead is found out now and not in minutes. Somebody has typed and
  // sees nothing come of it: either the program is silent, or nobody is there.
  let looking = false;
  async function look() {
    if (over || looking || document.body.dataset.state === "out") return;
    if (!socket || socket.readyState !== WebSocket.OPEN || typed <= heard || Date.now() - typed < 3000) return;
    const asked = socket;
    looking = true;
    try {
      await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(4000) });
      typed = 0;
    } catch {
      if (asked === socket) {
        socket = null;
        asked.close();
        again();
      }
    }
    looking = false;
  }
  addEventListener("online", () => { if (!socket) { tries = 1; again(); } });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { resized(); look(); } });
  setInterval(look, 2000);

  say("Connecting…");
  connect();
})();
