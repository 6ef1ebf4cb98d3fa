import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Who can sign in here. A real application asks for a password; this one is about what comes after that. */
export interface Person {
  id: string;
  name: string;
  /** May connect the organization's account, and disconnect it. */
  mayInstall: boolean;
}

export const people: readonly Person[] = [
  { id: 'alice', name: 'Alice, an administrator', mayInstall: true },
  { id: 'bob', name: 'Bob, a colleague', mayInstall: false },
];

// Anew at each start: whoever was signed in signs in again.
const key = randomBytes(32);
const cookie = 'example_person';

const sign = (id: string) => createHmac('sha256', key).update(id).digest('base64url');

/** The person who is signed in. This is what `authenticate` is made of: it is asked anew at each request, and believes nothing but the cookie. */
export function personOf(request: Request): Person | undefined {
  const sent = request.headers.get('cookie')?.split(/; */).find((each) => each.startsWith(`${cookie}=`));
  const [id = '', signature = ''] = (sent?.slice(cookie.length + 1) ?? '').split('.');
  const expected = Buffer.from(sign(id));
  const given = Buffer.from(signature);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return people.find((person) => person.id === id);
}

/**
 * The cookie that signs a person in, or out. Lax, not Strict: the person comes back from the provider through Vault, from another
 * site, and must be known then. Secure where there is TLS; this example runs on loopback.
 */
export function signedIn(person: Person | undefined): string {
  const common = 'Path=/; HttpOnly; SameSite=Lax';
  return person ? `${cookie}=${person.id}.${sign(person.id)}; ${common}` : `${cookie}=; Max-Age=0; ${common}`;
}
