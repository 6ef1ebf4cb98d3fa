import { randomBytes } from 'node:crypto';

/** The people who can sign in. A real application asks for a password. */
export interface Person {
  id: string;
  name: string;
  /** Whether the person may connect the organization's account, and disconnect it. */
  mayInstall: boolean;
}

export const people: readonly Person[] = [
  { id: 'alice', name: 'Alice, an administrator', mayInstall: true },
  { id: 'bob', name: 'Bob, a colleague', mayInstall: false },
];

// Sessions are stored here and not in the cookie, so that signing out ends them everywhere. They end with the process; a real
// application has a database.
const sessions = new Map<string, Person>();
const cookie = 'example_session';

/** Returns the person who is signed in, by the cookie alone, at each request. `authenticate` uses it. */
export function personOf(request: Request): Person | undefined {
  return sessions.get(sessionOf(request));
}

/**
 * Signs a person in, and returns the cookie: always a new one, so that no other person can have known it before. Lax, not Strict,
 * because the person comes back from the provider through Vault, from another site, and must be signed in then. Secure with TLS;
 * this example runs on loopback.
 */
export function signIn(request: Request, person: Person): string {
  sessions.delete(sessionOf(request));
  const session = randomBytes(32).toString('base64url');
  sessions.set(session, person);
  return `${cookie}=${session}; ${attributes}`;
}

/** Ends the cookie's session, and returns the cookie that makes browsers delete it. */
export function signOut(request: Request): string {
  sessions.delete(sessionOf(request));
  return `${cookie}=; Max-Age=0; ${attributes}`;
}

const attributes = 'Path=/; HttpOnly; SameSite=Lax';

function sessionOf(request: Request): string {
  const sent = request.headers.get('cookie')?.split(/; */).find((each) => each.startsWith(`${cookie}=`));
  return sent?.slice(cookie.length + 1) ?? '';
}
