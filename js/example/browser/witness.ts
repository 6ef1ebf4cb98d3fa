import type { BrowserContext, Page, Response } from 'playwright-core';

/** Records everything that reaches a browser, to search it for secrets at the end. */
export class Witness {
  readonly #seen: { where: string; text: string }[] = [];
  readonly #pending: Promise<void>[] = [];
  readonly #pages: Page[] = [];
  readonly #secrets = new Set<string>();

  /** A secret that no browser may see. */
  keep(...secrets: string[]): void {
    for (const secret of secrets) this.#secrets.add(secret);
  }

  get secrets(): number {
    return this.#secrets.size;
  }

  watch(context: BrowserContext): void {
    context.on('response', (response) => this.#pending.push(this.#note(response)));
    context.on('console', (message) => this.#see('the console', message.text()));
    context.on('page', (page) => {
      this.#pages.push(page);
      page.on('framenavigated', (frame) => this.#see('an address', frame.url()));
    });
    // All messages between windows.
    void context.exposeBinding('__told', (_, text: string) => this.#see('a message', text));
    void context.addInitScript(() => {
      window.addEventListener('message', (event) => (window as unknown as { __told(text: string): void }).__told(JSON.stringify(event.data)));
    });
  }

  async #note(response: Response): Promise<void> {
    const url = response.url();
    this.#see(`the headers of ${url}`, JSON.stringify([response.request().headers(), await response.allHeaders().catch(() => ({}))]));
    this.#see(`the body of ${url}`, await response.text().catch(() => '')); // a redirect has no body
  }

  #see(where: string, text: string): void {
    this.#seen.push({ where, text });
  }

  /** Returns where a secret was seen. It fails if too little was recorded to know. */
  async leaks(): Promise<string[]> {
    await Promise.all(this.#pending);
    for (const page of this.#pages.filter((each) => !each.isClosed())) {
      this.#see(`the page ${page.url()}`, await page.content());
      this.#see('storage', await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])));
    }
    if (!this.#seen.some(({ where }) => where.includes('/authpipe/'))) throw new Error('the witness has seen nothing of the handler');
    // Facebook's tokens begin so, known ones or not. Codes and ids are random and may contain the same letters, in one run out of
    // fifty.
    const token = /(?:^|[^\w-]|%[0-9A-F]{2})EAA[A-Za-z0-9]{100,}/;
    return this.#seen
      .filter(({ text }) => token.test(text) || [...this.#secrets].some((secret) => text.includes(secret)))
      .map(({ where }) => where);
  }
}
