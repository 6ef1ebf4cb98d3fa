import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core';

/** How long a test waits for a step, in ms. Only a failing test waits so long: a busy machine may stop for many seconds. */
export const patience = 120_000;

/** Starts Debian's Chromium without a screen. Its own sandbox does not work for root, as which containers often run. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium', args: process.getuid?.() === 0 ? ['--no-sandbox'] : [], timeout: patience,
  });

/** Returns a context whose steps wait that long. */
export async function contextOf(browser: Browser, options?: BrowserContextOptions): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience);
  return context;
}
