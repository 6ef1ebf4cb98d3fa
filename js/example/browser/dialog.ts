import type { Locator, Page } from 'playwright-core';

/** One of the two cards of the application. */
export interface Card {
  card: Locator;
  button: Locator;
  note: Locator;
  state(): Promise<string | null>;
  /** Waits for a state, and returns the note. */
  becomes(state: string): Promise<string>;
}

export const organization = (page: Page): Card => cardOf(page, 'Acme’s Facebook account');
export const own = (page: Page): Card => cardOf(page, 'Your own Facebook account');

function cardOf(page: Page, name: string): Card {
  const card = page.getByRole('region', { name });
  const root = card.locator('.authpipe');
  const note = root.getByRole('status');
  return {
    card, note,
    button: root.locator('.authpipe-button'),
    state: () => root.getAttribute('data-state'),
    becomes: async (state) => {
      await card.locator(`.authpipe[data-state="${state}"]`).waitFor();
      return (await note.textContent()) ?? '';
    },
  };
}

/** Presses the button and returns the window that opens, at Facebook. */
export async function openDialog(page: Page, { button }: Card): Promise<Page> {
  const [popup] = await Promise.all([page.waitForEvent('popup'), button.click()]);
  await popup.getByRole('heading', { name: 'Log in to Demo' }).waitFor();
  return popup;
}

/** Consents to everything that is not declined. */
export async function consent(dialog: Page, who: 'Ada Admin' | 'Uma User', { decline = [] as string[] } = {}): Promise<void> {
  await dialog.getByRole('link', { name: who }).click();
  for (const scope of decline) await dialog.getByRole('checkbox', { name: scope }).uncheck();
  await dialog.getByRole('button', { name: `Continue as ${who}` }).click();
}

/** Consents in a window that closes then. */
export async function consentAndClose(popup: Page, ...rest: [who: 'Ada Admin' | 'Uma User', options?: { decline?: string[] }]): Promise<void> {
  await Promise.all([popup.waitForEvent('close'), consent(popup, ...rest)]);
}
