import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contextOf, launch } from './chromium.js';
import { consent } from './dialog.js';
import { shot } from './shot.js';
import { vault } from './vault.js';
import { World } from './world.js';

let browser: Browser;
let world: World;

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());
beforeEach(async () => {
  world = await World.begin(browser);
  await vault('POST', `${world.mount}/config/facebook`, { app_name: 'Flower Shop' });
});
afterEach(() => world.end());

/** Begins a session without a return URL, consents, and returns the engine's page with the errors that the browser has logged. */
async function callbackPage(options: BrowserContextOptions): Promise<{ page: Page; session: string; errors: string[]; close(): Promise<void> }> {
  const started = await vault('POST', `${world.mount}/connect/org_acme/facebook/installation`, { actor: 'alice' });
  const context = await contextOf(browser, options);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(String(started['authorization_url']));
  await consent(page, 'Ada Admin');
  await page.locator('summary').waitFor();
  return { page, session: String(started['session_id']), errors, close: () => context.close() };
}

const colour = (page: Page, selector: string, property: 'color' | 'backgroundColor') =>
  page.locator(selector).evaluate((element, name) => getComputedStyle(element)[name], property);

describe('the callback page', () => {
  it('shows a connect code that completes the session, after a click', async () => {
    const { page, session, errors, close } = await callbackPage({ viewport: { width: 760, height: 640 }, colorScheme: 'light' });
    expect(await page.title()).toBe('Almost connected · Flower Shop');
    expect(await colour(page, 'main', 'backgroundColor')).toBe('rgb(255, 255, 255)'); // its policy allows its own style
    expect(await page.locator('code').isVisible()).toBe(false);
    await shot(page, 'callback');
    await page.getByText('I started this connection').click();
    const code = await page.locator('code').innerText();
    await vault('POST', `${world.mount}/sessions/org_acme/${session}/complete`, { actor: 'alice', connect_code: code });
    expect((await world.connection('installation')).status).toBe('active');
    expect(errors).toEqual([]);
    await close();
  });

  it('fits a narrow phone, in the dark, from right to left', async () => {
    const { page, errors, close } = await callbackPage({ viewport: { width: 320, height: 640 }, colorScheme: 'dark', locale: 'ar-EG' });
    expect(await page.locator('html').evaluate(({ lang, dir }: HTMLElement) => [lang, dir])).toEqual(['ar', 'rtl']);
    await page.locator('summary').click();
    await page.locator('code').waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
    expect(await colour(page, 'main', 'backgroundColor')).toBe('rgb(29, 32, 36)');
    expect(errors).toEqual([]);
    await close();
  });

  it('stays where it is when the code opens', async () => {
    const { page, close } = await callbackPage({ viewport: { width: 1280, height: 800 } });
    const before = await page.locator('summary').boundingBox();
    await page.locator('summary').click();
    await page.locator('code').waitFor();
    expect(await page.locator('summary').boundingBox()).toEqual(before);
    await close();
  });
});
