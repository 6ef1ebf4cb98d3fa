import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Authpipe, toNodeHandler } from '@authpipe/node';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { createApp } from '../server/app.js';
import { contextOf } from './chromium.js';
import { Closers } from './closers.js';
import { type Facebook, startFacebook } from './facebook.js';
import { mountEngine, need, tokenWith, vault, vaultAddr, vaultToken } from './vault.js';
import { Witness } from './witness.js';

const tenantId = 'org_acme';
const webhookVerifyToken = 'what-only-facebook-knows';

/** The parts of one test: an engine, a Facebook, the example's server, and a record of what browsers received. */
export class World {
  readonly witness = new Witness();
  readonly #closers = new Closers();
  readonly #browser: Browser;
  #token!: string;
  facebook!: Facebook;
  mount!: string;
  /** Another site than Facebook's and Vault's, which are at 127.0.0.1: cookies depend on it. */
  origin!: string;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async begin(browser: Browser): Promise<World> {
    const world = new World(browser);
    try {
      await world.#start();
    } catch (error) {
      await world.end().catch(() => {}); // the first error is more useful
      throw error;
    }
    return world;
  }

  async #start(): Promise<void> {
    const { mount, unmount } = await mountEngine();
    this.mount = mount;
    this.#closers.push(unmount);
    this.#token = await tokenOf(mount);
    await this.#serve();
    const engine = `${vaultAddr}/v1/${mount}`;
    this.facebook = await startFacebook({
      program: need('FACEBOOK_SIMULATOR'), webhookVerifyToken,
      redirectURI: `${engine}/callback/facebook`,
      deauthorizeURL: `${engine}/webhooks/facebook/deauthorize`,
      webhookURL: `${this.origin}/authpipe/webhook/facebook`,
    });
    this.#closers.push(() => this.facebook.stop());
    await this.#configure(engine);
  }

  async #serve(): Promise<void> {
    const { mount } = this;
    let app: ((request: Request) => Promise<Response>) | undefined;
    const server = createServer(toNodeHandler((request) => (app ??= this.#app(mount))(request))).listen(0, '127.0.0.1');
    this.#closers.push(async () => server.close().closeAllConnections());
    await new Promise((resolve) => server.once('listening', resolve));
    this.origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  }

  #app(mount: string): (request: Request) => Promise<Response> {
    const authpipe = new Authpipe({ vaultAddr, mount, auth: { method: 'token', token: this.#token } });
    this.#closers.push(() => authpipe.close());
    const facebook = () => this.facebook.base; // Facebook starts after this, and needs its address
    return createApp({
      authpipe, tenantId, webhookVerifyToken, origin: this.origin, web: fileURLToPath(new URL('../dist/web', import.meta.url)),
      get graph() {
        return `${facebook()}/v27.0`;
      },
      get control() {
        return `${facebook()}/_control`;
      },
    });
  }

  async #configure(engine: string): Promise<void> {
    const { base, appId, appSecret } = this.facebook;
    this.witness.keep(vaultToken, this.#token, appSecret);
    await vault('POST', `${this.mount}/config/facebook`, {
      client_id: appId, client_secret: appSecret, redirect_uris: `${engine}/callback/facebook`,
      return_urls: `${this.origin}/authpipe/return`, dialog_url: base, graph_url: base,
    });
  }

  /** Opens a separate browser, in which no person is signed in. */
  async visitor(): Promise<BrowserContext> {
    const context = await contextOf(this.#browser, { viewport: { width: 760, height: 900 } });
    this.witness.watch(context);
    this.#closers.push(() => context.close());
    return context;
  }

  /** Opens the application as a person who has signed in. */
  async signIn(name: 'Alice' | 'Bob', context?: BrowserContext): Promise<Page> {
    const page = await (context ?? (await this.visitor())).newPage();
    await page.goto(this.origin);
    await page.getByRole('button', { name }).click();
    await page.getByRole('heading', { name: 'Acme’s Facebook account' }).waitFor();
    return page;
  }

  /** Returns the engine's state of a connection. */
  connection(of: string): Promise<{ status: string; scopes: string[]; connected_by: { actor: string } }> {
    return vault('GET', `${this.mount}/connections/${tenantId}/facebook/${of}`);
  }

  session(id: string): Promise<{ status: string; error?: unknown }> {
    return vault('GET', `${this.mount}/sessions/${tenantId}/${id}`);
  }

  /** Adds the present credentials to the secrets that the witness searches for. */
  async learnSecrets(): Promise<void> {
    for (const of of ['installation', 'users/alice', 'users/bob', 'pages/100000000000777']) {
      const found = await vault('GET', `${this.mount}/creds/${tenantId}/facebook/${of}`).catch(() => undefined);
      if (found) this.witness.keep(String(found['access_token']), String(found['appsecret_proof']));
    }
  }

  end(): Promise<void> {
    return this.#closers.close();
  }
}

/** Creates a token with the example's own policy. */
async function tokenOf(mount: string): Promise<string> {
  const policy = await readFile(new URL('../policy.hcl', import.meta.url), 'utf8');
  await vault('POST', `sys/policies/acl/${mount}`, { policy: policy.replaceAll('"authpipe/', `"${mount}/`) });
  return tokenWith(mount);
}
