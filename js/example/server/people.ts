import { randomBytes } from 'node:crypto';

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

// Kept here and not in the cookie, so that signing out ends it wherever it is; anew at each start. A real application has a database for it.
const sessions = new Map<string, Person>();
const cookie = 'example_session';

/** The person who is signed in. This is what `authenticate` is made of: it is asked anew at each request, and believes nothing but the cookie. */
export function personOf(request: Request): Person | undefined {
  return sessions.get(sessionOf(request));
}

/**
 * Signs a person in, and returns the cookie for that: always a new one, so that nobody can have known it before. Lax, not Strict: the
 * person comes back from the provider through Vault, from another site, and must be known then. Secure where there is TLS; this example
 * runs on loopback.
 */
export function signIn(request: Request, person: Person): string {
  sessions.delete(sessionOf(request));
  const session = randomBytes(32).toString('base64url');
  sessions.set(session, person);
  return `${cookie}=${session}; ${attributes}`;
}

/** Ends what the cookie stands for, and returns the one that has browsers forget it. */
export function signOut(request: Request): string {
  sessions.delete(sessionOf(request));
  return `${cookie}=; Max-Age=0; ${attributes}`;
}

const attributes = 'Path=/; HttpOnly; SameSite=Lax';

function sessionOf(request: Request): string {
  const sent = request.headers.get('cookie')?.split(/; */).find((each) => each.startsWith(`${cookie}=`));
  return sent?.slice(cookie.length + 1) ?? '';
}
