// Optional: every page works without this file.
(() => {
  const $ = (q, f) => document.querySelectorAll(q).forEach(f);

  // Countdown by the server's time: data-now is the server's clock when it made the page.
  $('time[data-until]', t => {
    const ahead = Date.parse(t.dataset.now) - Date.now();
    const until = Date.parse(t.dataset.until);
    const say = document.getElementById(t.dataset.say);
    let told = '';
    const tell = s => { if (say && s && s !== told) say.textContent = told = s; };
    t.setAttribute('role', 'timer');
    const tick = () => {
      const s = Math.max(0, Math.ceil((until - Date.now() - ahead) / 1000));
      t.textContent = Math.floor(s / 60) + ':' + String(s % 60).padStart(2, '0');
      if (s === 0) {
        tell(t.dataset.over);
        // The page knows by now that it is over.
        setTimeout(() => location.reload(), 1500);
      }
      else {
        if (s <= 60) tell(t.dataset.soon);
        setTimeout(tick, 500);
      }
    };
    tick();
  });

  // The viewer's own time, where it differs from the venue's.
  $('[data-local]', e => {
    const at = e.dataset.at, d = new Date(at), m = /([+-])(\d\d):(\d\d)$/.exec(at);
    const there = m ? (m[1] + 1) * (m[2] * 60 + +m[3]) : 0;
    if (there === -d.getTimezoneOffset()) return;
    const l = document.documentElement.lang.replace(/^en$/, 'en-GB');
    e.textContent = e.dataset.local.replace('{when}', d.toLocaleString(l, { dateStyle: 'medium', timeStyle: 'short' }));
    e.hidden = false;
  });

  // One submit per form; the back button gives it back.
  const busy = (f, on) => {
    f.sent = on;
    f.querySelectorAll('button').forEach(b => { b.disabled = on; });
  };
  addEventListener('submit', e => {
    const f = e.target;
    if ((e.submitter?.formMethod || f.method) !== 'post') return;
    if (f.sent) return e.preventDefault();
    f.sent = true;
    setTimeout(() => busy(f, true)); // after the browser took the button's value
    setTimeout(() => busy(f, false), 15000);
  });
  addEventListener('pageshow', () => $('form', f => busy(f, false)));
})();
