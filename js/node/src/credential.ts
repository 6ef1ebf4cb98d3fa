import { needsReauth } from './error.js';
import { hideGetters, inspect, redacted } from './redact.js';
import type { Ref } from './ref.js';

/** The kind of a credential: an access token, or a static one. */
export type CredentialType = 'oauth_token' | 'api_key' | 'webhook_secret';

/**
 * Whose a credential is: the tenant's `installation`, a person's `connection`, or `static`. A page's has the source of the
 * credential that it is reached through.
 */
export type CredentialSource = 'installation' | 'connection' | 'static';

/** The state of a credential or connection. `active` needs no action; the engine's documentation has the others. */
export type Status = 'active' | 'needs_reauth' | 'revoked' | 'failed';

/** The answer of creds/. */
export interface CredentialData {
  provider?: string;
  tenant_id?: string;
  user_id?: string;
  page_id?: string;
  name?: string;
  credential_type: CredentialType;
  access_token?: string;
  token_type?: string;
  appsecret_proof?: string;
  credential?: string;
  provider_user_id?: string;
  business_id?: string;
  scopes?: string[] | null;
  missing_scopes?: string[] | null;
  status: Status;
  expires_at?: string;
  data_access_expires_at?: string;
  ttl?: number;
}

/**
 * A credential that works, as far as the engine knows. All callers share it, and it is frozen. It may be logged and serialized:
 * secrets show as `[redacted]`. Only {@link Credential.credential} has the secret.
 */
export class Credential {
  readonly #secret: string;
  readonly #proof: string | undefined;

  /** The ref: `<tenant>/<provider>/users/<user>` and so on. */
  readonly ref: string;
  /** An access token, or the kind of static credential. */
  readonly type: CredentialType;
  /** Whose it is. With `credentialFor: 'any'` it says which of the two was found. */
  readonly source: CredentialSource;
  /** The authorization server's short name. */
  readonly provider: string;
  /** The tenant that owns it. */
  readonly tenantId: string;
  /** Your application's id of the person, of a person's. */
  readonly userId: string | undefined;
  /** The page's id, of a page's. */
  readonly pageId: string | undefined;
  /** The name of a static credential. */
  readonly name: string | undefined;
  /** `bearer`; `undefined` for a static credential. */
  readonly tokenType: string | undefined;
  /** The provider's id of the account. */
  readonly providerUserId: string | undefined;
  /** The business that the token is for, if any. */
  readonly businessId: string | undefined;
  /** The scopes that were granted. */
  readonly scopes: readonly string[];
  /** The scopes that were asked for and not granted. */
  readonly missingScopes: readonly string[];
  /**
   * When it ends, by the engine's clock; `undefined` if it does not. Do not schedule by it. Ask again: the client answers from
   * memory, and never with a token that has ended.
   */
  readonly expiresAt: Date | undefined;
  /** When the app's access to the person's data ends, if it does. */
  readonly dataAccessExpiresAt: Date | undefined;
  /** `active`, or why it can no longer be refreshed while its token lives. */
  readonly status: Status;
  /** Whether only the person can keep it alive, by connecting again. It works until it ends. */
  readonly needsReauth: boolean;
  /** Whether it replaced another that this client had. If you have stored the former one somewhere, store this one there. */
  readonly refreshed: boolean;
  /** The engine's warnings. */
  readonly warnings: readonly string[];

  /** Made by the client. */
  constructor(ref: Ref, data: CredentialData, warnings: readonly string[], refreshed = false) {
    this.#secret = (ref.name === undefined ? data.access_token : data.credential) ?? '';
    this.#proof = data.appsecret_proof;
    this.ref = ref.text;
    this.type = data.credential_type;
    this.source = ref.name !== undefined ? 'static' : ref.user !== undefined ? 'connection' : 'installation';
    this.provider = ref.provider;
    this.tenantId = ref.tenant;
    this.userId = ref.user;
    this.pageId = ref.page;
    this.name = ref.name;
    this.tokenType = data.token_type;
    this.providerUserId = data.provider_user_id;
    this.businessId = data.business_id;
    this.scopes = Object.freeze([...(data.scopes ?? [])]);
    this.missingScopes = Object.freeze([...(data.missing_scopes ?? [])]);
    this.expiresAt = instant(data.expires_at);
    this.dataAccessExpiresAt = instant(data.data_access_expires_at);
    this.status = data.status;
    this.needsReauth = needsReauth(data.status);
    this.refreshed = refreshed;
    this.warnings = Object.freeze([...warnings]);
    Object.freeze(this);
  }

  /** The access token, ready to use; of a static credential the API key or webhook secret. */
  get credential(): string {
    return this.#secret;
  }

  /**
   * The parameter `appsecret_proof`, by which a caller proves to Facebook that it acts for the app, without having the app secret.
   * `undefined` where the engine has no app secret.
   */
  get appSecretProof(): string | undefined {
    return this.#proof;
  }

  /** Whether both are the same secret, with the same proof. */
  equals(other: Credential): boolean {
    return this.#secret === other.#secret && this.#proof === other.#proof;
  }

  /** The credential without its secrets. */
  toJSON(): Record<string, unknown> {
    return { ...(this as object), credential: redacted, ...(this.#proof === undefined ? {} : { appSecretProof: redacted }) };
  }

  /** The ref, without secrets. */
  toString(): string {
    return `credential ${this.ref}`;
  }

  /** What `console.log` shows: the credential without its secrets. */
  [inspect](_depth: number, options: unknown, show: (value: unknown, options: unknown) => string): string {
    return `Credential ${show(this.toJSON(), options)}`;
  }
}

hideGetters(Credential);

/** flaw returns why an answer is not about ref, or cannot be used. A proxy with a bad cache may answer with another credential. */
export function flaw(ref: Ref, data: CredentialData): string | undefined {
  const said = [data.tenant_id, data.provider, data.user_id, data.page_id, ref.name === undefined ? undefined : data.name];
  const meant = [ref.tenant, ref.provider, ref.user, ref.page, ref.name];
  if (said.some((part, i) => (part || undefined) !== meant[i])) {
    return 'the answer is about another credential';
  }
  // An unreadable time would be one that never comes.
  const readable = [data.scopes ?? [], data.missing_scopes ?? []].every(Array.isArray) && typeof (data.ttl ?? 0) === 'number' &&
    [data.expires_at, data.data_access_expires_at].every((text) => !Number.isNaN(instant(text)?.getTime()));
  if (!readable) {
    return 'the answer cannot be read';
  }
  if (ref.name !== undefined) {
    return data.credential ? undefined : 'the answer has no credential in it';
  }
  return data.access_token ? undefined : 'the answer has no access_token in it';
}

/** instant parses a time of the engine, which is in RFC 3339. */
export function instant(text: string | null | undefined): Date | undefined {
  return text === undefined || text === null ? undefined : new Date(text);
}
