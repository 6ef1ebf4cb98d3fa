import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launch } from './chromium.js';
import { consent, consentAndClose, openDialog, organization, own } from './dialog.js';
import { shot, shotOfState, tableOfStates } from './shot.js';
import { World } from './world.js';

let browser: Browser;
let world: World;

beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await tableOfStates(browser);
  await browser.close();
});

beforeEach(async () => {
  world = await World.begin(browser);
});

afterEach(async () => {
  try {
    await world.learnSecrets();
    expect(await world.witness.leaks(), 'no secret reaches a browser').toEqual([]);
  } finally {
    await world.end();
  }
});

it('installs, connects a person, posts to a page and disconnects', async () => {
  const page = await world.signIn('Alice');
  const told: string[] = [];
  page.on('console', (message) => told.push(message.text()));
  const acme = organization(page);
  expect(await acme.becomes('idle')).toBe('');
  await shotOfState(acme.card, 'not connected');

  const popup = await openDialog(page, acme);
  await acme.becomes('waiting');
  await shotOfState(acme.card, 'waiting');
  await shot(acme.card, 'waiting');
  await consentAndClose(popup, 'Ada Admin');
  expect(await acme.becomes('connected')).toBe('Installed with Facebook.');
  await shotOfState(acme.card, 'installed');
  await expect.poll(() => told.filter((text) => text.startsWith('Installed!'))).toHaveLength(1);
  expect(await acme.card.getByRole('listitem').allTextContents()).toEqual(
    ['pages_manage_posts', 'pages_read_engagement', 'pages_show_list', 'public_profile'],
  );
  expect((await world.connection('installation')).connected_by.actor).toBe('alice');

  const mine = own(page);
  await consentAndClose(await openDialog(page, mine), 'Uma User');
  expect(await mine.becomes('connected')).toBe('Facebook is connected.');

  await page.getByRole('combobox', { name: 'Page' }).selectOption({ label: "Ada's Bakery" });
  await page.getByLabel('Message').fill('Fresh bread at seven.');
  await page.getByRole('button', { name: 'Post' }).click();
  await page.getByText(/^Posted: 100000000000777_/).waitFor();
  await shot(page, 'example');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 360, height: 640 });
  await shot(page, 'narrow-and-dark');

  await world.learnSecrets();
  await mine.card.getByRole('button', { name: 'Disconnect' }).click();
  await mine.becomes('idle');
  await expect(world.connection('users/alice')).rejects.toThrow('404');
  expect((await world.connection('installation')).status).toBe('active');
});

it('disconnecting the installation removes people\'s connections, and the page shows it', async () => {
  const page = await world.signIn('Bob');
  const mine = own(page);
  await mine.becomes('idle');
  await mine.button.click();
  expect(await mine.becomes('failed')).toBe('An administrator has to install Facebook first.');
  const alices = await world.signIn('Alice');
  await consentAndClose(await openDialog(alices, organization(alices)), 'Ada Admin');
  await organization(alices).becomes('connected');
  await consentAndClose(await openDialog(page, mine), 'Uma User');
  expect(await mine.becomes('connected')).toBe('Facebook is connected.');
  expect((await world.connection('users/bob')).connected_by.actor).toBe('bob');
  await consentAndClose(await openDialog(alices, own(alices)), 'Uma User');
  await own(alices).becomes('connected');
  await world.learnSecrets();
  await organization(alices).card.getByRole('button', { name: 'Disconnect' }).click();
  await organization(alices).becomes('idle');
  await own(alices).becomes('idle');
  await page.reload();
  await mine.becomes('idle');
});

describe('a person who stops half-way', () => {
  it('declines: nothing is connected, and they can begin again', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    const popup = await openDialog(page, acme);
    await Promise.all([popup.waitForEvent('close'), popup.getByRole('button', { name: 'Cancel' }).click()]);
    expect(await acme.becomes('cancelled')).toBe('Cancelled. Nothing was changed.');
    await shotOfState(acme.card, 'cancelled');
    await consentAndClose(await openDialog(page, acme), 'Ada Admin');
    await acme.becomes('connected');
  });

  it('closes the window', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    const popup = await openDialog(page, acme);
    await popup.close();
    expect(await acme.becomes('cancelled')).toBe('Cancelled. Nothing was changed.');
  });

  it('cancels on the page, and the window closes', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    const popup = await openDialog(page, acme);
    await Promise.all([popup.waitForEvent('close'), acme.card.getByRole('button', { name: 'Cancel' }).click()]);
    await acme.becomes('cancelled');
    await expect.poll(() => acme.button.evaluate((button) => button === document.activeElement)).toBe(true);
  });

  it('grants a part: the button shows what is missing, and asks for it again', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    await consentAndClose(await openDialog(page, acme), 'Ada Admin', { decline: ['pages_manage_posts'] });
    expect(await acme.becomes('connected')).toBe('Installed with Facebook, but without pages_manage_posts.');
    await shotOfState(acme.card, 'a part was granted');
    await consentAndClose(await openDialog(page, acme), 'Ada Admin');
    await acme.card.getByText('Installed with Facebook.').waitFor();
    expect((await world.connection('installation')).scopes).toContain('pages_manage_posts');
  });
});

describe('without a window', () => {
  // The browser itself refuses, by the page's own policy.
  const forbidWindows = (page: Page) =>
    page.route(world.origin + '/', async (route) => {
      const response = await route.fetch();
      const sandbox = 'sandbox allow-scripts allow-same-origin allow-forms allow-top-navigation allow-top-navigation-by-user-activation';
      await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': sandbox } });
    });

  it('this tab goes to Facebook and comes back, connected', async () => {
    const page = await world.signIn('Alice');
    const told: string[] = [];
    page.on('console', (message) => told.push(message.text()));
    await forbidWindows(page);
    await page.reload();
    await organization(page).becomes('idle');
    await organization(page).button.click();
    await page.getByRole('heading', { name: 'Log in to Demo' }).waitFor();
    await consent(page, 'Ada Admin');
    expect(await organization(page).becomes('connected')).toBe('Installed with Facebook.');
    expect(new URL(page.url()).pathname).toBe('/');
    expect(page.context().pages()).toHaveLength(1);
    await page.reload();
    await organization(page).becomes('connected');
    expect(told.filter((text) => text.startsWith('Installed!'))).toHaveLength(1);
  });

  it('this tab comes back without a decision', async () => {
    const page = await world.signIn('Alice');
    await forbidWindows(page);
    await page.reload();
    await organization(page).becomes('idle');
    await organization(page).button.click();
    await page.getByRole('heading', { name: 'Log in to Demo' }).waitFor();
    await page.goBack();
    await organization(page).becomes('cancelled');
  });
});

it('a page that is reloaded in mid-flow keeps waiting, and receives the outcome', async () => {
  const page = await world.signIn('Alice');
  const popup = await openDialog(page, organization(page));
  await page.reload();
  expect(await organization(page).becomes('waiting')).toContain('Waiting');
  await consentAndClose(popup, 'Ada Admin');
  await organization(page).becomes('connected');
});

// Facebook's pages may cut the window off from its opener (Cross-Origin-Opener-Policy). Then it looks closed, and gets no message.
it('a window that is cut off from its opener connects, too', async () => {
  const context = await world.visitor();
  await context.route(/\/dialog\/oauth/, async (route) => {
    const response = await route.fetch({ maxRedirects: 0 });
    await route.fulfill({ response, headers: { ...response.headers(), 'cross-origin-opener-policy': 'same-origin' } });
  });
  const page = await world.signIn('Alice', context);
  const acme = organization(page);
  const [popup] = await Promise.all([page.waitForEvent('popup'), acme.button.click()]);
  await acme.becomes('cancelled'); // it looks closed
  await consent(popup, 'Ada Admin');
  await acme.becomes('connected');
  await organization(popup).becomes('connected'); // it has no opener, and goes on here
});

it('a revocation at Facebook is noticed, and repaired by connecting again', async () => {
  const context = await world.visitor();
  const page = await world.signIn('Alice', context);
  const acme = organization(page);
  await consentAndClose(await openDialog(page, acme), 'Ada Admin');
  await acme.becomes('connected');
  await world.learnSecrets();
  const control = await context.newPage();
  await control.goto(`${world.facebook.base}/_control`);
  await control.getByRole('button', { name: 'Remove app' }).click();
  // Chromium may never close a page that is navigating.
  await control.getByText('Nobody has logged in yet.').waitFor();
  await control.close();
  await expect.poll(async () => (await world.connection('installation')).status).toBe('revoked');
  await page.reload();
  expect(await acme.becomes('needs_reauth')).toBe('Access was taken away at Facebook.');
  await shotOfState(acme.card, 'taken away');
  await consentAndClose(await openDialog(page, acme), 'Ada Admin');
  await acme.becomes('connected');
  expect((await world.connection('installation')).status).toBe('active');
});

describe('a stranger', () => {
  it('that finishes another person\'s session connects nothing, and the engine refuses', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    const popup = await openDialog(page, acme);
    const link = popup.url();
    await popup.goto('about:blank');
    // Bob follows Alice's link in his own browser and consents, believing that the link is his.
    const bob = await (await world.signIn('Bob')).context().newPage();
    await bob.goto(link);
    await consent(bob, 'Uma User');
    await bob.waitForURL(`${world.origin}/**`);
    const id = await page.evaluate(() => (JSON.parse(sessionStorage.getItem('authpipe:facebook:installation') ?? '{}') as { sessionId: string }).sessionId);
    await expect.poll(async () => JSON.stringify(await world.session(id))).toContain('actor_mismatch');
    await expect(world.connection('installation')).rejects.toThrow('404');
    await expect(world.connection('users/bob')).rejects.toThrow('404');
    await popup.close();
    expect(await acme.becomes('failed')).toBe('Somebody else finished this connection, so it was refused.');
    await shotOfState(acme.card, 'failed');
  });

  it('is also a person who has signed in meanwhile in the same browser', async () => {
    const page = await world.signIn('Alice');
    const acme = organization(page);
    const popup = await openDialog(page, acme);
    const other = await page.context().newPage();
    await other.goto(world.origin);
    await other.getByRole('button', { name: 'Sign out' }).click();
    await other.getByRole('button', { name: 'Bob' }).click();
    await organization(other).becomes('idle');
    await consentAndClose(popup, 'Ada Admin');
    expect(await acme.becomes('failed')).toBe('Somebody else finished this connection, so it was refused.');
    await expect(world.connection('installation')).rejects.toThrow('404');
  });
});

it('a person who may not install sees that', async () => {
  const page = await world.signIn('Bob');
  const acme = organization(page);
  await acme.becomes('idle');
  const [popup] = await Promise.all([page.waitForEvent('popup'), acme.button.click()]);
  expect(await acme.becomes('failed')).toBe('You may not do this. Ask an administrator.');
  await expect.poll(() => popup.isClosed()).toBe(true); // the event comes later
});

it('works with the keyboard alone, and announces what happens', async () => {
  const page = await world.signIn('Alice');
  const acme = organization(page);
  await acme.becomes('idle');
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  for (let tabs = 0; tabs < 5 && (await focused()) !== 'Install with Facebook'; tabs++) await page.keyboard.press('Tab');
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.keyboard.press('Enter')]);
  await popup.getByRole('link', { name: 'Ada Admin' }).press('Enter');
  await Promise.all([popup.waitForEvent('close'), popup.getByRole('button', { name: 'Continue as Ada Admin' }).press('Enter')]);
  await acme.becomes('connected');
  await expect.poll(focused).toBe('Installed');
  expect(await acme.note.getAttribute('aria-live')).toBe('polite');
});
