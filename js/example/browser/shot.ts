import { mkdir, writeFile } from 'node:fs/promises';
import type { Browser, Locator, Page } from 'playwright-core';

const folder = process.env['SCREENSHOTS'];
const taken: { caption: string; png: Buffer }[] = [];

/** Takes a screenshot, if SCREENSHOTS names a folder. */
export async function shot(of: Page | Locator, name: string): Promise<void> {
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  const options = { animations: 'disabled', caret: 'hide' } as const;
  const png = 'goto' in of ? await of.screenshot({ ...options, fullPage: true }) : await of.screenshot(options);
  await writeFile(`${folder}/${name}.png`, png);
}

/** Takes a screenshot of a component in a state, for the table of all states. */
export async function shotOfState(of: Locator, caption: string): Promise<void> {
  if (!folder) return;
  // Without the pointer over it: a button looks different below it.
  await of.page().mouse.move(0, 0);
  taken.push({ caption, png: await of.locator('.authpipe').screenshot({ animations: 'disabled', caret: 'hide' }) });
}

/** Combines the screenshots of states in one. */
export async function tableOfStates(browser: Browser): Promise<void> {
  if (!folder || taken.length === 0) return;
  const page = await browser.newPage({ viewport: { width: 720, height: 100 } });
  const rows = taken.map(({ caption, png }) => `<tr><th>${caption}<td><img src="data:image/png;base64,${png.toString('base64')}">`);
  await page.setContent(`<!doctype html><style>
    body { margin: 0; font: 15px/1.4 system-ui, sans-serif; color: #1c1e21; background: #fff }
    table { border-collapse: collapse; width: 100% }
    tr + tr { border-top: 1px solid #d5d9e0 }
    th { width: 11rem; padding: 1rem; text-align: left; font-weight: 400; color: #5a626c }
    td { padding: .8rem 1rem } img { display: block }
  </style><table>${rows.join('')}</table>`);
  await writeFile(`${folder}/states.png`, await page.locator('table').screenshot());
  await page.close();
}
