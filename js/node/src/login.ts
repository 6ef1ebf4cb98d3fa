import { readFile } from 'node:fs/promises';

import type { VaultAuth } from './auth.js';
import { reasonOf } from './cause.js';
import { backoff, later, spread, unless, within, type Clock } from './clock.js';
import { AuthpipeError, closed } from './error.js';
import type { Auth, Wire } from './wire.js';

/** What a login needs. */
export interface LoginOptions {
  wire: Wire;
  auth: VaultAuth;
  now: Clock;
  /** How long one question to Vault may take. */
  timeout: number;
  life: AbortSignal;
  /** Is told what fails in the background. */
  trouble(error: AuthpipeError): void;
}

/**
 * For how long Vault's word is taken that a token lives, or a new login is not tried for another refusal. It is short: a token
 * that is revoked meanwhile takes everything out of service for so long.
 */
const believed = 5000;

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** A login has a token of Vault's, and sees to it that it lives. */
export class Login {
  readonly #options: LoginOptions;
  #token: string | undefined;
  #until = Infinity; // by the clock, when the token ends
  #first = 0; // how long its lease was at the beginning
  #renewable = false;
  #believed = -Infinity;
  #failures = 0;
  /** What the last login has failed with, and until when that is the answer. */
  #failed: { error: unknown; until: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #entering: Promise<string> | undefined;
  #inquiry: Promise<string | undefined> | undefined;

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
   * refused is told that Vault has refused a token, which may be a policy's doing or the token's end, and returns another one to
   * try with, if there is. A crowd that is refused asks Vault about it once.
   */
  refused(token: string): Promise<string | undefined> {
    const { auth, now } = this.#options;
    if (this.#token !== undefined && this.#token !== token) {
      return Promise.resolve(this.#token);
    }
    if (auth.method === 'token') {
      return this.#enter().then((next) => (next === token ? undefined : next));
    }
    if (now() < this.#believed) {
      return Promise.resolve(undefined);
    }
    this.#inquiry ??= this.#inquire(token).finally(() => {
      this.#inquiry = undefined;
    });
    return this.#inquiry;
  }

  async #inquire(token: string): Promise<string | undefined> {
    const alive = await this.#lives(token);
    const next = alive ? token : await this.#enter();
    this.#believed = this.#options.now() + believed;
    return next === token ? undefined : next;
  }

  /** leave ends the renewing, and the token if it was logged in for: nobody else has it. */
  async leave(): Promise<void> {
    clearTimeout(this.#timer);
    const token = this.#token;
    this.#token = undefined;
    if (token === undefined || this.#options.auth.method === 'token') {
      return;
    }
    const farewell = { op: 'revoking the own token', method: 'POST', path: 'auth/token/revoke-self', retries: 0 } as const;
    await within(2000, [], (signal) => this.#options.wire.send(farewell, token, signal)).catch(() => undefined); // it ends by itself
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
    const { timeout, life } = this.#options;
    return within(timeout, [life], async (until) => unless(secret, until).catch((error: unknown) => {
      throw until.aborted ? new AuthpipeError({ op: 'logging in to Vault', code: 'unavailable', message: 'what should return the secret takes too long' }) : error;
    }));
  }

  async #admit(): Promise<string> {
    const { auth, life } = this.#options;
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
    if (life.aborted) {
      throw closed();
    }
    if (!answered.auth?.client_token) {
      throw new AuthpipeError({ op: 'logging in to Vault', code: 'unexpected', message: 'the answer has no token in it' });
    }
    this.#token = answered.auth.client_token;
    this.#hold(answered.auth, sent, true);
    return this.#token;
  }

  /** look finds out how long a token lives that came from elsewhere. One that may not ask is used as it is. */
  async #look(token: string): Promise<void> {
    const sent = this.#options.now();
    try {
      const { data } = await within(this.#options.timeout, [this.#options.life], (signal) =>
        this.#options.wire.send<{ ttl?: number; renewable?: boolean }>(lookup, token, signal));
      if (token === this.#token) {
        this.#hold({ client_token: token, lease_duration: data.ttl ?? 0, renewable: data.renewable ?? false }, sent, true);
      }
    } catch {
      // It will be refused if it is none.
    }
  }

  /** lives asks Vault about a token. If that cannot be found out, a new login is no remedy. */
  async #lives(token: string): Promise<boolean> {
    try {
      await within(this.#options.timeout, [this.#options.life], (signal) => this.#options.wire.send(lookup, token, signal));
      return true;
    } catch (error) {
      return !(error instanceof AuthpipeError && error.code === 'permission_denied');
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
    if (!this.#options.life.aborted) {
      this.#timer = later(wait, () => void this.#renew());
    }
  }

  async #renew(): Promise<void> {
    const token = this.#token;
    if (token === undefined || this.#options.life.aborted) {
      return;
    }
    try {
      if (!this.#renewable || !(await this.#prolong(token))) {
        await this.#enter();
      }
    } catch (error) {
      if (error instanceof AuthpipeError && !this.#options.life.aborted) {
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
    const { wire, timeout, life } = this.#options;
    try {
      return await within(timeout, [life], (signal) => wire.send({ op, method: 'POST', path, body }, token, signal));
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
