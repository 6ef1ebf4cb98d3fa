import { Authpipe, type AuthpipeOptions } from '../src/index.js';

/** The double's entry for a ref. */
export interface Held {
  token?: string;
  /** In ms since the epoch, by the double's clock. */
  expires?: number;
  ttl?: number;
  /** A refusal's text, and its status. */
  refusal?: string;
  status?: number;
  /** The refusal of a check. */
  check?: string;
  /** Further fields of the answer. */
  more?: Record<string, unknown>;
}

type Meanwhile = (request: Request) => Promise<Response | void> | Response | void;

/** A test double of Vault with the engine, behind a fetch. It counts requests. */
export class Double {
  readonly #held = new Map<string, Held>();
  readonly asked: string[] = [];
  readonly requests: Request[] = [];
  /** The requests under way, by subject. */
  readonly twice: string[] = [];
  /**
   * Holds the requests themselves, as a server does: one without a reference is garbage collected, and then its abort is not seen.
   */
  readonly #underWay = new Map<string, Request>();
  #meanwhile: Meanwhile = () => undefined;

  /** How far Vault's clock is ahead, in ms. */
  skew = 0;

  put(ref: string, held: Held): void {
    this.#held.set(ref, held);
  }

  /** meanwhile runs before each answer, or answers in its place. */
  meanwhile(happens: Meanwhile = () => undefined): void {
    this.#meanwhile = happens;
  }

  count(prefix: string): number {
    return this.asked.filter((question) => question.startsWith(prefix)).length;
  }

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    const path = decodeURIComponent(new URL(request.url).pathname).replace('/v1/authpipe/', '').replace('/v1/', '');
    const question = `${request.method} ${path}`;
    this.asked.push(question);
    this.requests.push(request.clone());
    if (this.#underWay.has(question)) this.twice.push(question);
    this.#underWay.set(question, request);
    try {
      return (await this.#meanwhile(request)) ?? this.answer(path);
    } finally {
      this.#underWay.delete(question);
    }
  };

  answer(path: string): Response {
    if (path === 'auth/token/lookup-self') return this.reply({});
    const [kind = '', ref = ''] = [path.slice(0, path.indexOf('/')), path.slice(path.indexOf('/') + 1)];
    const checks = kind === 'connections' && ref.endsWith('/check');
    const held = this.#held.get(checks ? ref.slice(0, -'/check'.length) : ref);
    if (!held) return this.refuse(404, 'not_found: there is none');
    if (checks) return held.check ? this.refuse(409, held.check) : this.reply({});
    if (held.refusal) return this.refuse(held.status ?? 409, held.refusal);
    return this.reply({ ...parts(ref), ...secret(ref, held), expires_at: held.expires && new Date(held.expires).toISOString(), ttl: held.ttl, ...held.more });
  }

  reply(data: Record<string, unknown>, more: Record<string, unknown> = {}): Response {
    return Response.json({ data, ...more }, { headers: this.#headers() });
  }

  refuse(status: number, ...texts: string[]): Response {
    const errors = texts.map((text) => `1 error occurred:\n\t* ${text}\n\n`);
    return Response.json({ errors }, { status, headers: this.#headers() });
  }

  #headers(): Record<string, string> {
    return { Date: new Date(Date.now() + this.skew).toUTCString() };
  }
}

function parts(ref: string): Record<string, unknown> {
  const [tenant_id, provider, ...rest] = ref.split('/');
  const all: Record<string, unknown> = { tenant_id, provider, ref, status: 'active', credential_type: 'oauth_token', scopes: ['email'], missing_scopes: [] };
  const names: Record<string, string> = { users: 'user_id', pages: 'page_id', static: 'name' };
  for (let i = 0; i + 1 < rest.length; i += 2) all[names[rest[i]!]!] = rest[i + 1];
  return all;
}

function secret(ref: string, held: Held): Record<string, unknown> {
  return ref.includes('/static/')
    ? { credential: held.token, credential_type: 'api_key' }
    : { access_token: held.token, token_type: 'bearer', appsecret_proof: `proof-of-${held.token}` };
}

/** client returns a client of the double. */
export function clientOf(double: Double, options: AuthpipeOptions = {}): Authpipe {
  return new Authpipe({ vaultAddr: 'http://vault.test', auth: { method: 'token', token: 'a-token-of-vault' }, fetch: double.fetch, ...options });
}
