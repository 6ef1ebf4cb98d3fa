import { readFile } from 'node:fs/promises';

import type { VaultAuth } from './auth.js';
import { reasonOf } from './cause.js';
import { backoff, later, spread, unless, within, type Clock } from './clock.js';
import { AuthpipeError, closed, denied, unknownToken } from './error.js';
import type { Auth, Transport } from './transport.js';

/** What a login needs. */
export interface LoginOptions {
  transport: Transport;
  auth: VaultAuth;
  now: Clock;
  /** How long one question to Vault may take. */
  timeout: number;
  shutdown: AbortSignal;
  /** Is told what fails in the background. */
  trouble(error: AuthpipeError): void;
}

/**
 * For how long Vault's word is taken that a token lives, or a new login is not tried for another refusal. It is short: a token
 * that is revoked meanwhile takes everything out of service for so long.
 */
const believed = 5000;

/** How often a token is replaced about which Vault says nothing, in ms: at first, and at last. */
const replacing = { least: 60_000, most: 60 * 60_000 };

/** Why Vault refused a question: the token, or a policy. */
export interface Verdict {
  /** Another token to ask with. */
  other?: string;
  /** Whether the token has ended. */
  dead: boolean;
}

/** What requests need of a login. */
export interface Tokens {
  /** Returns a token that has not ended. */
  token(): Promise<string>;
  /** Finds out why Vault refused a request that was sent with token. unknown says that Vault did not know the token. */
  refused(token: string, unknown: boolean): Promise<Verdict>;
}

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** A login has a token of Vault's, and sees to it that it lives. */
export class Login implements Tokens {
  readonly #options: LoginOptions;
  #token: string | undefined;
  #until = Infinity; // by the clock, when the token ends
  #first = 0; // how long its lease was at the beginning
  #renewable = false;
  /** What the last lookup found out about the token, and until when that is believed. */
  #judged = { dead: false, until: -Infinity };
  /** Whether a lookup has succeeded: policies allow it, so a refused lookup means that the token has ended. */
  #visible = false;
  /** When a token about which Vault says nothing was replaced, and how long that is not done again. */
  #replaced = { wait: 0, until: -Infinity };
  /** A token that Vault does not know any more. */
  #ended: string | undefined;
  readonly #revoking = new Set<Promise<unknown>>();
  #failures = 0;
  /** What the last login has failed with, and until when that is the answer. */
  #failed: { error: unknown; until: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #entering: Promise<string> | undefined;
  #inquiry: Promise<Verdict> | undefined;

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  /** token returns one that lives; who needs a new one shares the login with all who wait for it. */
  token(): Promise<string> {
    if (this.#token !== undefined && this.#options.now() < this.#until) {
      return Promise.resolve(this.#token);
    }
    return this.#enter();
  }

  /**
   * refused finds out why Vault refused a question that was asked with token: a policy forbids it, or the token has ended. unknown
   * says that Vault did not know the token. Many refused questions share one lookup.
   */
  async refused(token: string, unknown: boolean): Promise<Verdict> {
    const { auth, now } = this.#options;
    if (this.#token !== undefined && this.#token !== token) {
      return { other: this.#token, dead: true };
    }
    if (auth.method === 'token') {
      const next = await this.#enter();
      if (next !== token) {
        return { other: next, dead: true };
      }
    }
    if (now() < this.#judged.until) {
      return { dead: unknown || this.#judged.dead };
    }
    this.#inquiry ??= this.#inquire(token, unknown).finally(() => {
      this.#inquiry = undefined;
    });
    return this.#inquiry;
  }

  async #inquire(token: string, unknown: boolean): Promise<Verdict> {
    const state = unknown ? 'dead' : await this.#lookUp(token);
    const verdict: Verdict = { dead: state === 'dead' };
    if (this.#options.auth.method !== 'token' && (state === 'dead' || (state === 'hidden' && this.#options.now() >= this.#replaced.until))) {
      this.#ended = state === 'dead' ? token : undefined;
      const next = await this.#enter(); // where that fails, the refusal is an outage
      if (state === 'hidden') {
        const wait = Math.min(this.#replaced.wait * 2 || replacing.least, replacing.most);
        this.#replaced = { wait, until: this.#options.now() + wait };
        await this.#lookUp(next); // whether tokens of this role may be looked up is known then
      }
      if (next !== token) {
        verdict.other = next;
      }
    }
    this.#judged = { dead: verdict.dead && verdict.other === undefined, until: this.#options.now() + believed };
    return verdict;
  }

  /**
   * lookUp asks Vault about a token. One that was refused without a word that it is unknown may live, where the role's tokens have no
   * policy to look themselves up (`token_no_default_policy`): it is hidden. If Vault cannot be asked, that is thrown.
   */
  async #lookUp(token: string): Promise<'alive' | 'dead' | 'hidden'> {
    try {
      await within(this.#options.timeout, [this.#options.shutdown], (signal) => this.#options.transport.send(lookup, token, signal));
      this.#visible = true;
      return 'alive';
    } catch (error) {
      if (!denied(error)) {
        throw error;
      }
      return unknownToken(error) || this.#visible ? 'dead' : 'hidden';
    }
  }

  /** leave ends the renewing, and the token if it was logged in for: nobody else has it. */
  async leave(): Promise<void> {
    clearTimeout(this.#timer);
    const token = this.#token;
    this.#token = undefined;
    if (token !== undefined) {
      this.#revoke(token);
    }
    await Promise.all(this.#revoking);
  }

  /** revoke ends a token that was logged in for. If that fails, it ends by itself. */
  #revoke(token: string): void {
    if (this.#options.auth.method === 'token') {
      return;
    }
    const revocation = { op: 'revoking the own token', method: 'POST', path: 'auth/token/revoke-self', retries: 0 } as const;
    const revoking = within(2000, [], (signal) => this.#options.transport.send(revocation, token, signal))
      .catch(() => undefined)
      .finally(() => this.#revoking.delete(revoking));
    this.#revoking.add(revoking);
  }

  #enter(): Promise<string> {
    if (this.#failed && this.#options.now() < this.#failed.until) {
      return Promise.reject(this.#failed.error);
    }
    this.#entering ??= this.#attempt().finally(() => {
      this.#entering = undefined;
    });
    return this.#entering;
  }

  /** attempt logs in, and notes if it fails: whoever asks next must not try at once, for Vault locks out who fails too often. */
  async #attempt(): Promise<string> {
    try {
      const token = await this.#admit();
      this.#failed = undefined;
      return token;
    } catch (error) {
      const wait = backoff(++this.#failures);
      this.#failed = { error, until: this.#options.now() + spread(wait / 2, wait) };
      throw error;
    }
  }

  /** bounded waits for a secret no longer than for Vault. */
  async #bounded<T>(secret: Promise<T>): Promise<T> {
    const { timeout, shutdown } = this.#options;
    return within(timeout, [shutdown], async (until) => unless(secret, until).catch((error: unknown) => {
      throw until.aborted ? new AuthpipeError({ op: 'logging in to Vault', code: 'unavailable', message: 'what should return the secret takes too long' }) : error;
    }));
  }

  async #admit(): Promise<string> {
    const { auth, shutdown } = this.#options;
    if (auth.method === 'token') {
      const token = await this.#bounded(given(auth.token));
      if (token !== this.#token) {
        this.#token = token;
        this.#until = Infinity;
        void this.#look(token);
      }
      return token;
    }
    const sent = this.#options.now();
    const answered = await this.#ask('logging in to Vault', `auth/${mountOf(auth)}/login`, await this.#bounded(proof(auth)), undefined);
    if (shutdown.aborted) {
      throw closed();
    }
    if (!answered.auth?.client_token) {
      throw new AuthpipeError({ op: 'logging in to Vault', code: 'unexpected', message: 'the answer has no token in it' });
    }
    const former = this.#token;
    const lives = former !== undefined && former !== this.#ended && this.#options.now() < this.#until;
    this.#token = answered.auth.client_token;
    this.#hold(answered.auth, sent, true);
    if (lives) {
      this.#revoke(former);
    }
    return this.#token;
  }

  /** look finds out how long a token lives that came from elsewhere. One that may not ask is used as it is. */
  async #look(token: string): Promise<void> {
    const sent = this.#options.now();
    try {
      const { data } = await within(this.#options.timeout, [this.#options.shutdown], (signal) =>
        this.#options.transport.send<{ ttl?: number; renewable?: boolean }>(lookup, token, signal));
      this.#visible = true;
      if (token === this.#token) {
        this.#hold({ client_token: token, lease_duration: data.ttl ?? 0, renewable: data.renewable ?? false }, sent, true);
      }
    } catch {
      // It will be refused if it is none.
    }
  }

  /** hold notes when the token ends, and plans its renewal well before. */
  #hold(auth: Auth, sent: number, begins: boolean): void {
    const lease = auth.lease_duration * 1000;
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#failed = undefined;
    this.#renewable = auth.renewable;
    if (begins) {
      this.#first = lease;
    }
    if (lease === 0) { // it does not end
      this.#until = Infinity;
      return;
    }
    this.#until = sent + lease;
    this.#plan(spread(lease / 2, (lease * 2) / 3));
  }

  #plan(wait: number): void {
    clearTimeout(this.#timer);
    if (!this.#options.shutdown.aborted) {
      this.#timer = later(wait, () => void this.#renew());
    }
  }

  async #renew(): Promise<void> {
    const token = this.#token;
    if (token === undefined || this.#options.shutdown.aborted) {
      return;
    }
    try {
      if (!this.#renewable || !(await this.#prolong(token))) {
        await this.#enter();
      }
    } catch (error) {
      if (error instanceof AuthpipeError && !this.#options.shutdown.aborted) {
        this.#options.trouble(error);
      }
      // A login that has failed was counted.
      const wait = backoff(this.#failed ? this.#failures : ++this.#failures);
      const left = this.#until - this.#options.now();
      if (left > 0) { // then who asks next logs in
        this.#plan(Math.min(spread(wait / 2, wait), left));
      }
    }
  }

  /** prolong renews the token, and tells whether it is worth it: near its greatest age a token is given less each time. */
  async #prolong(token: string): Promise<boolean> {
    const sent = this.#options.now();
    try {
      const { auth } = await this.#ask('renewing the token of Vault', 'auth/token/renew-self', {}, token);
      if (!auth || token !== this.#token) {
        return token !== this.#token;
      }
      this.#hold(auth, sent, false);
      return this.#options.auth.method === 'token' || auth.lease_duration * 1000 > this.#first / 2;
    } catch (error) {
      if (error instanceof AuthpipeError && error.code !== 'unavailable' && error.code !== 'throttled') {
        return false;
      }
      throw error;
    }
  }

  async #ask(op: string, path: string, body: unknown, token: string | undefined) {
    const { transport, timeout, shutdown } = this.#options;
    try {
      return await within(timeout, [shutdown], (signal) => transport.send({ op, method: 'POST', path, body }, token, signal));
    } catch (error) {
      if (error instanceof AuthpipeError && error.status !== undefined && error.status < 500 && error.code !== 'throttled' && error.code !== 'unavailable') {
        // A secret id that has ended is a 400: the caller is nobody to Vault all the same.
        throw new AuthpipeError({ op, code: 'permission_denied', status: error.status, message: error.detail });
      }
      throw error;
    }
  }
}

const lookup = { op: 'looking up the own token', method: 'GET', path: 'auth/token/lookup-self' } as const;

type LoggingIn = Exclude<VaultAuth, { method: 'token' }>;

function mountOf(auth: LoggingIn): string {
  return (auth.mount ?? auth.method).replace(/^\/+|\/+$/g, '');
}

async function proof(auth: LoggingIn): Promise<Record<string, string | undefined>> {
  switch (auth.method) {
    case 'approle':
      return { role_id: auth.roleId, secret_id: auth.secretId === undefined ? undefined : await given(auth.secretId) };
    case 'jwt':
      return { role: auth.role, jwt: await given(auth.jwt) };
    case 'kubernetes':
      return { role: auth.role, jwt: await given(auth.jwt ?? (() => readFile(serviceAccount, 'utf8'))) };
  }
}

/** given is a secret that is there, or that is asked for. What comes from a file has a line's end. */
async function given(secret: string | (() => string | Promise<string>)): Promise<string> {
  try {
    return (typeof secret === 'string' ? secret : await secret()).trim();
  } catch (error) {
    const why = reasonOf(error);
    throw new AuthpipeError({ op: 'logging in to Vault', code: 'unavailable', message: `what should return the secret has failed${why ? `: ${why.text}` : ''}` });
  }
}
