import { invalid } from './error.js';
import type { ConnectionRequest, CredentialRequest } from './request.js';

/** The parts of a ref. */
interface Parts {
  tenant: string;
  provider: string;
  user?: string | undefined;
  page?: string | undefined;
  name?: string | undefined;
}

/** Names one credential, as the engine's paths do. Its text is the cache's key. */
export class Ref {
  readonly tenant: string;
  readonly provider: string;
  readonly user: string | undefined;
  readonly page: string | undefined;
  readonly name: string | undefined;
  /** The ref in the engine's form. */
  readonly text: string;

  constructor(parts: Parts) {
    this.tenant = checked('tenantId', parts.tenant, 64, '._-');
    this.provider = checked('provider', parts.provider, 32, '_-');
    this.user = parts.user === undefined ? undefined : checked('userId', parts.user, 128, marks);
    this.page = parts.page === undefined ? undefined : checked('pageId', parts.page, 128, marks);
    this.name = parts.name === undefined ? undefined : checked('name', parts.name, 128, marks);
    this.text = this.#write();
  }

  #write(): string {
    const above = `${this.tenant}/${this.provider}`;
    if (this.name !== undefined) {
      return `${above}/static/${this.name}`;
    }
    const users = this.user === undefined ? '' : `/users/${this.user}`;
    if (this.page !== undefined) {
      return `${above}${users}/pages/${this.page}`;
    }
    return above + (users || '/installation');
  }

  /** above returns the credential that a page is reached through, and that is connected to repair it; for any other, itself. */
  get above(): Ref {
    return this.page === undefined ? this : new Ref({ ...this.#parts, page: undefined });
  }

  /** installation returns the same ref of the tenant's installation. */
  get installation(): Ref {
    return this.user === undefined ? this : new Ref({ ...this.#parts, user: undefined });
  }

  /** The path that connects it again. A static credential has none. */
  get connectPath(): string | undefined {
    return this.name === undefined ? `connect/${this.above.text}` : undefined;
  }

  get #parts(): Parts {
    return { tenant: this.tenant, provider: this.provider, user: this.user, page: this.page, name: this.name };
  }
}

const marks = '._-@|:+=~';

/**
 * checked refuses invalid names. The engine has the same rules. They are checked here too, because a name with a slash or ".." in
 * it would address another credential.
 */
export function checked(field: string, text: unknown, most: number, others: string): string {
  const known = typeof text === 'string' && text.length <= most && /^[A-Za-z0-9]/.test(text) && !text.includes('..');
  if (known && [...text].every((c) => /[A-Za-z0-9]/.test(c) || others.includes(c))) {
    return text;
  }
  throw invalid(field, `must be 1 to ${most} characters: a letter or digit, then letters, digits and any of ${others}, without ".."`);
}

/** The provider of a request that names none. */
export const defaultProvider = 'facebook';

/** refOf returns the ref that a request names; for `any` the user's, if it names one. */
export function refOf(request: CredentialRequest): Ref {
  const { provider = defaultProvider, tenantId: tenant } = request;
  switch (request.credentialFor) {
    case 'installation':
      return new Ref({ tenant, provider, page: request.pageId });
    case 'user':
      // Without an id it would be the installation's.
      return new Ref({ tenant, provider, user: request.userId ?? '', page: request.pageId });
    case 'any':
      return new Ref({ tenant, provider, user: request.userId, page: request.pageId });
    case 'static':
      return new Ref({ tenant, provider, name: request.name ?? '' });
    default:
      throw invalid('credentialFor', 'must be installation, user, any or static');
  }
}

/** exactRefOf is refOf without `any`, which JavaScript callers can pass although the type forbids it. */
export function exactRefOf(request: ConnectionRequest): Ref {
  if ((request.credentialFor as string) === 'any') {
    throw invalid('credentialFor', 'must be installation, user or static');
  }
  return refOf(request);
}

/** parseRef parses the engine's form of a ref; undefined if it is none. */
export function parseRef(text: string): Ref | undefined {
  const [tenant = '', provider = '', ...rest] = text.split('/');
  const parts: Parts = { tenant, provider };
  const names = { users: 'user', pages: 'page', static: 'name' } as const;
  for (let i = 0; i + 1 < rest.length; i += 2) {
    const kind = rest[i] as keyof typeof names;
    if (Object.hasOwn(names, kind)) {
      parts[names[kind]] = rest[i + 1];
    }
  }
  try {
    const ref = new Ref(parts);
    return ref.text === text ? ref : undefined;
  } catch {
    return undefined;
  }
}

/** isReachedThrough reports whether a ref is other, or a page that is reached through it. */
export function isReachedThrough(ref: Ref, other: Ref): boolean {
  return ref.text === other.text || (ref.page !== undefined && ref.above.text === other.text);
}

/** goesWith reports whether a ref is deleted when other is disconnected: an installation takes all users of the tenant along. */
export function goesWith(ref: Ref, other: Ref): boolean {
  const installed = other.user === undefined && other.page === undefined && other.name === undefined;
  return isReachedThrough(ref, other) || (installed && ref.name === undefined && ref.tenant === other.tenant && ref.provider === other.provider);
}
