// The pages in a real browser: Debian's Chromium, driven by playwright-core, with axe's checks of accessibility.
//
// ADMIT_API_URL says where the stack is, NODE_MODULES where the packages are. SHOTS=folder writes the README's pictures.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.NODE_MODULES, '/'));
const { chromium } = require('playwright-core');
const { AxeBuilder } = require('@axe-core/playwright');

const URL = process.env.ADMIT_API_URL;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const HOUR = 3_600_000;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });

// ---- The API, for what is there before

async function call(method, path, body, token) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(URL + path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  assert(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

async function account() {
  const credentials = { username: `p${randomUUID()}`, password: 'password123' };
  await call('POST', '/users', credentials);
  const { access_token: token } = await call('POST', '/login', credentials);
  return { ...credentials, token };
}

const organizer = await account();
const sale = { name: 'Spring Fair', venue: 'Hall 1, Berlin', time_zone: 'Europe/Berlin', currency: 'EUR', capacity: 500 };

async function event(changes) {
  const types = [
    { name: 'Standing', price: 25 },
    { name: 'Seat', price: 40, quotas: [{ name: 'Chairs' }] },
    { name: 'Pair', price: 70, admits: 2, units: 2, quotas: [{ name: 'Chairs', units: 2 }] },
    { name: 'Late night', price: 15, sale_from: '2040-04-01T08:00:00Z' },
  ];
  const body = {
    ...sale, starts_at: '2040-05-01T17:00:00Z', ends_at: '2040-05-01T21:00:00Z',
    quotas: [{ name: 'Chairs', capacity: 8 }], ticket_types: types, ...changes,
  };
  return (await call('POST', '/events', body, organizer.token)).event_id;
}

// ---- Visitors

/** A page of a visitor of their own. Errors of scripts and of the policy fail the test. */
async function stranger(options = {}) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.errors = [];
  page.on('pageerror', error => page.errors.push(String(error)));
  page.on('console', message => {
    // A status is no error of the page.
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) page.errors.push(message.text());
  });
  return page;
}

/** Logs somebody new in, on the page to log in, and waits for where that leads. */
async function logIn(page, url) {
  const user = await account();
  await page.fill('#username', user.username);
  await page.fill('#password', user.password);
  await Promise.all([page.waitForURL(url), page.click('main button')]);
}

/** The same as `stranger`, logged in. */
async function visitor(options = {}) {
  const page = await stranger(options);
  await page.goto(`${URL}/sign-in`);
  await logIn(page, `${URL}/`);
  return page;
}

async function title(page, text) {
  await page.waitForFunction(text => document.querySelector('h1')?.textContent === text, text).catch(() => {});
  assert.equal(await page.textContent('h1'), text, page.url());
}

const choose = (page, name, quantity) => page.getByLabel(name, { exact: true }).selectOption(String(quantity));
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

/** No finding of axe's, and nothing to scroll sideways, in light and dark. */
async function sound(page, width) {
  // As wide as said, then with text twice as large, as a browser of 1280 pixels shows it at a zoom of 200 %.
  for (const [pixels, size] of [[640, '200%'], [width ?? page.viewportSize().width, '']]) {
    await page.setViewportSize({ width: pixels, height: 720 });
    await page.evaluate(size => { document.documentElement.style.fontSize = size; }, size);
    const scrolls = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(scrolls <= 0, `${page.url()} scrolls sideways by ${scrolls} px at ${pixels} px, text ${size || '100%'}`);
  }
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.target).join(', ')}`);
    assert.deepEqual(found, [], page.url());
  }
}

// ---- What is tried

const tests = {
  async 'what a visitor chose stays chosen while they log in'() {
    const page = await stranger();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await choose(page, 'Standing', 2);
    await sound(page, 320);
    await press(page, 'Log in to book');
    await title(page, 'Log in');
    await logIn(page, url => url.pathname === `/e/${id}`);
    assert.match(await page.textContent('#total'), /50\.00\sEUR/);
    await press(page, 'Reserve tickets');
    await title(page, 'Your tickets are reserved');
    assert.deepEqual(page.errors, []);
  },

  async 'a basket is held, a declined card is followed by another, and the booking is cancelled'() {
    const page = await visitor();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await choose(page, 'Standing', 2);
    await choose(page, 'Seat', 1);
    await press(page, 'Show total');
    assert.match(await page.textContent('#total'), /90\.00\sEUR/);
    await press(page, 'Reserve tickets');
    await title(page, 'Your tickets are reserved');
    await page.getByLabel('Test card (declined)').check();
    await press(page, 'Pay 90.00\u00a0EUR');
    await page.getByRole('heading', { name: 'Your card was declined' }).waitFor();
    await page.getByLabel('Test card (payment succeeds)').check();
    await press(page, 'Pay 90.00\u00a0EUR');
    await title(page, 'You’re going!');
    await sound(page, 320);
    await page.click('summary');
    await sound(page, 320);
    await press(page, 'Yes, cancel the booking');
    await title(page, 'Your booking is cancelled');
    await sound(page, 320);
    assert.deepEqual(page.errors, []);
  },

  async 'it works without JavaScript'() {
    const page = await visitor({ javaScriptEnabled: false });
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await choose(page, 'Pair', 1);
    await press(page, 'Reserve tickets');
    assert.match(await page.textContent('.clock'), /until \d\d:\d\d/);
    await press(page, 'Pay 70.00\u00a0EUR');
    assert.equal(await page.textContent('h1'), 'You’re going!');
  },

  async 'it works by the keyboard alone'() {
    const page = await visitor();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    const tabTo = async (name, role) => {
      for (let presses = 0; presses < 40; presses += 1) {
        await page.keyboard.press('Tab');
        const there = await page.evaluate(
          ([name, role]) => {
            const at = document.activeElement;
            const label = at.labels?.[0]?.textContent ?? at.textContent;
            return at.tagName === role && label.trim() === name;
          }, [name, role]);
        if (there) return;
      }
      assert.fail(`the keyboard does not reach ${name}`);
    };
    await tabTo('Skip to content', 'A');
    await page.keyboard.press('Enter');
    await tabTo('Standing', 'SELECT');
    await page.keyboard.press('ArrowDown');
    await tabTo('Reserve tickets', 'BUTTON');
    await page.keyboard.press('Enter');
    await title(page, 'Your tickets are reserved');
    await tabTo('Pay 25.00\u00a0EUR', 'BUTTON');
    await page.keyboard.press('Enter');
    await title(page, 'You’re going!');
  },

  async 'the countdown is right where the visitor’s clock is an hour wrong'() {
    for (const wrong of [-HOUR, HOUR]) {
      const page = await visitor();
      await page.addInitScript(wrong => {
        const now = Date.now.bind(Date);
        Date.now = () => now() + wrong;
      }, wrong);
      const id = await event();
      await page.goto(`${URL}/e/${id}`);
      await choose(page, 'Standing', 1);
      await press(page, 'Reserve tickets');
      await page.waitForFunction(() => /^\d+:\d\d$/.test(document.querySelector('.clock time').textContent));
      const [minutes] = (await page.textContent('.clock time')).split(':').map(Number);
      assert(minutes === 9 || minutes === 10, `${minutes} minutes are left of ten`);
    }
  },

  async 'two presses and the back button make one booking'() {
    const page = await visitor();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await choose(page, 'Standing', 1);
    await page.getByRole('button', { name: 'Reserve tickets' }).dblclick();
    await title(page, 'Your tickets are reserved');
    const hold = page.url();
    await page.goBack();
    await page.getByRole('button', { name: 'Reserve tickets' }).click();
    await page.waitForURL(/\/b\//);
    assert.equal(page.url().split('?')[0], hold);
    await page.getByRole('button', { name: 'Pay 25.00\u00a0EUR' }).dblclick();
    await title(page, 'You’re going!');
    await page.goto(`${URL}/me`);
    assert.equal(await page.locator('ul.tickets > li').count(), 1);
  },

  async 'a visitor from another time zone sees both times, and German is German'() {
    const page = await visitor({ timezoneId: 'America/New_York', locale: 'de-DE' });
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    assert.match(await page.textContent('dl time'), /Di\., 1\.\sMai 2040, 19:00\sUhr\sMESZ/);
    assert.match(await page.textContent('[data-local]'), /In Ihrer Zeitzone: 01\.05\.2040, 13:00/);
    await choose(page, 'Standing', 1);
    await press(page, 'Tickets reservieren');
    await title(page, 'Ihre Tickets sind reserviert');
    await page.locator('.langs a[lang=en]').click();
    await title(page, 'Your tickets are reserved');
    await press(page, 'Give the tickets back');
    await title(page, 'Spring Fair');
    await page.locator('.langs a[lang=de]').click();
    await choose(page, 'Standing', 2);
    await press(page, 'Tickets reservieren');
    await sound(page, 320);
    await press(page, '50,00\u00a0EUR bezahlen');
    await title(page, 'Sie sind dabei!');
    await sound(page, 320);
    await page.getByText('Buchung stornieren', { exact: true }).click();
    await press(page, 'Ja, Buchung stornieren');
    await title(page, 'Ihre Buchung ist storniert');
    await sound(page, 320);
  },

  async 'a bank asks, is told no, then yes, and a tab that is closed costs nothing'() {
    const page = await visitor();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await choose(page, 'Seat', 1);
    await press(page, 'Reserve tickets');
    await title(page, 'Your tickets are reserved');
    const hold = page.url();
    for (const [answer, next] of [['No', 'Your tickets are reserved'], ['Yes, pay', 'You’re going!']]) {
      // Asked, and gone away from: the hold is there still.
      await page.getByLabel('Test card (bank asks for confirmation)').check();
      await press(page, 'Pay 40.00\u00a0EUR');
      await title(page, 'Confirm your payment');
      await sound(page, 320);
      await page.goto(hold);
      await page.getByLabel('Test card (bank asks for confirmation)').check();
      await press(page, 'Pay 40.00\u00a0EUR');
      await title(page, 'Confirm your payment');
      await press(page, answer);
      await title(page, next);
    }
  },

  async 'an organizer changes an event and makes a code, which unlocks a ticket type'() {
    const own = await visitor();
    await own.goto(`${URL}/new-event`);
    for (const [field, value] of Object.entries({ name: 'Mine', venue: 'Hall', date: '2040-01-01', name_0: 'Standing', price_0: '12.50' })) {
      await own.fill(`#${field}`, value);
    }
    await press(own, 'Put on sale');
    await title(own, 'Mine');
    const id = own.url().split('/').pop();
    await own.getByRole('link', { name: 'Edit event' }).click();
    await sound(own, 320);
    await sound(own, 1280);
    await own.fill('#event-capacity', '0');
    await own.getByRole('button', { name: /^Save.*Event$/ }).click();
    await own.getByRole('alert').waitFor();
    await sound(own, 320);
    await own.fill('#event-capacity', '50');
    await own.getByRole('button', { name: /^Save.*Event$/ }).click();
    await own.getByText('Your changes are saved.').waitFor();
    await own.fill('#new-quota-name', 'Passes');
    await own.fill('#new-quota-capacity', '5');
    await own.getByRole('button', { name: /^Add.*New limit$/ }).click();
    await own.getByText('Your changes are saved.').waitFor();
    await own.fill('#new-type-name', 'Backstage');
    await own.fill('#new-type-price', '99');
    await own.fill('#new-type-tax_rate', '19');
    await own.getByLabel('Limited by').last().selectOption('Passes');
    await own.getByLabel('Who can buy it').last().selectOption('Only with a promo code');
    await own.getByRole('button', { name: /^Add.*New ticket type$/ }).click();
    await own.getByText('Your changes are saved.').waitFor();
    await own.fill('#new-code-code', 'crew');
    await own.fill('#new-code-value', '50');
    await own.getByLabel('Valid for').selectOption('Backstage');
    await own.getByLabel('Lets people buy this ticket type').check();
    await own.getByRole('button', { name: /^Add.*New promo code$/ }).click();
    await own.getByText('CREW – 50% off').first().waitFor();
    const page = await visitor();
    await page.goto(`${URL}/e/${id}`);
    assert.equal(await page.getByLabel('Backstage').count(), 0);
    await page.fill('#promo_code', 'crew');
    await press(page, 'Show total');
    await choose(page, 'Backstage', 1);
    await sound(page, 320);
    await press(page, 'Reserve tickets');
    await press(page, 'Pay 49.50\u00a0EUR');
    await title(page, 'You’re going!');
    for (const language of ['de', 'en']) {
      await own.goto(`${URL}/desk/${id}?lang=${language}`);
      await sound(own, 320);
      await sound(own, 1280);
    }
  },

  async 'every page is accessible, and fits 320 pixels and twice the text'() {
    const page = await visitor();
    const id = await event();
    await page.goto(`${URL}/e/${id}`);
    await sound(page, 320);
    await press(page, 'Reserve tickets');
    await page.getByRole('alert').waitFor();
    await sound(page);
    await choose(page, 'Standing', 1);
    await press(page, 'Reserve tickets');
    await sound(page);
    const hold = page.url();
    for (const path of ['/?lang=de', '/?lang=en&q=nothing+like+this', '/me', '/sign-in', '/sign-up?lang=de', '/b/nothing', hold]) {
      await page.goto(path.startsWith('http') ? path : URL + path);
      await sound(page, 320);
      await sound(page, 1280);
    }
    const own = await visitor();
    await own.goto(`${URL}/new-event?lang=de`);
    await sound(own, 320);
    await own.goto(`${URL}/new-event?lang=en`);
    for (const [field, value] of Object.entries({ name: 'Mine', venue: 'Hall', date: '2020-01-01', name_0: 'Standing', price_0: '12.50' })) {
      await own.fill(`#${field}`, value);
    }
    await press(own, 'Put on sale');
    await own.getByRole('alert').waitFor();
    await sound(own, 320);
    await own.fill('#date', '2040-01-01');
    await press(own, 'Put on sale');
    await title(own, 'Mine');
    await sound(own, 320);
    await own.goto(`${URL}/desk`);
    await sound(own, 320);
  },
};

/** A hold whose time is over while the other tests run. */
async function expiring() {
  const page = await visitor();
  const id = await event({ hold_seconds: 60 });
  await page.goto(`${URL}/e/${id}`);
  await choose(page, 'Seat', 8);
  await press(page, 'Reserve tickets');
  await title(page, 'Your tickets are reserved');
  return async () => {
    await page.getByRole('heading', { name: 'Your reservation has ended' }).waitFor({ timeout: 70_000 });
    await sound(page, 320);
    // Its tickets are for somebody else.
    const other = await visitor();
    const seats = other.getByLabel('Seat', { exact: true });
    for (const until = Date.now() + 30_000; Date.now() < until && !(await seats.count()); await other.waitForTimeout(500)) {
      await other.goto(`${URL}/e/${id}`);
    }
    await choose(other, 'Seat', 1);
    await press(other, 'Reserve tickets');
    await title(other, 'Your tickets are reserved');
  };
}

async function shots(folder) {
  const page = await visitor({ deviceScaleFactor: 2 });
  const id = await event({ name: 'Spring Fair 2040' });
  await page.goto(`${URL}/e/${id}`);
  await choose(page, 'Standing', 2);
  await choose(page, 'Seat', 1);
  await page.screenshot({ path: join(folder, 'shop-event.png') });
  await press(page, 'Reserve tickets');
  await title(page, 'Your tickets are reserved');
  await page.screenshot({ path: join(folder, 'shop-hold.png') });
}

let failed = 0;
try {
  if (process.env.SHOTS) {
    await shots(process.env.SHOTS);
  } else {
    const over = await expiring();
    for (const [name, test] of Object.entries({ ...tests, 'a hold whose time is over says so, and keeps no tickets': over })) {
      try {
        await test();
        console.log(`  ✓ ${name}`);
      } catch (error) {
        failed += 1;
        console.log(`  ✗ ${name}\n${error.stack}`);
      }
    }
  }
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
