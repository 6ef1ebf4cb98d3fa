import { Refusal } from './guard.js';

/**
 * Where the browser goes in the end is kept in a cookie of its own for each session, and never taken from the URL of the return,
 * which anybody can write. No script reads it. Whatever it says is looked at again when it is read: a sibling domain may have
 * written it.
 */
interface Kept {
  session: string;
  to: string;
}

/** Browsers drop a cookie of more than 4096 bytes, and this is in one, as written for a URL. */
const longest = 2048;

/** path returns where to go if it is a path of the application's own. */
export function path(to: unknown, own: string): string | undefined {
  if (typeof to !== 'string' || !to.startsWith('/') || to.length > longest || /[\u0000-\u001f\\]/.test(to)) {
    return undefined;
  }
  try {
    const url = new URL(to, own);
    const here = url.pathname + url.search + url.hash;
    // What is left of "/.//elsewhere" would be read as a host by whoever goes there.
    return url.origin === own && !here.startsWith('//') && here.length <= longest ? here : undefined;
  } catch {
    return undefined;
  }
}

/** asked returns where a start wants the browser to go. */
export function asked(to: unknown, own: string): string | undefined {
  if (to === undefined || to === null) {
    return undefined;
  }
  const known = path(to, own);
  if (known === undefined) {
    throw new Refusal(400, 'invalid_request', 'returnTo must be a path of this application.');
  }
  return known;
}

/** keep returns the cookie that remembers it as long as the session lives. */
export function keep(session: string, to: string, expiresAt: Date, own: string): string {
  const value = Buffer.from(JSON.stringify({ session, to } satisfies Kept)).toString('base64url');
  const seconds = Math.max(Math.ceil((expiresAt.getTime() - Date.now()) / 1000), 60);
  return cookie(session, value, seconds, own);
}

/** drop returns the cookie that forgets it. */
export function drop(session: string, own: string): string {
  return cookie(session, '', 0, own);
}

/** kept reads what was remembered of a session. */
export function kept(request: Request, session: string, own: string): string | undefined {
  const prefix = `${name(session, own)}=`;
  const found = (request.headers.get('cookie') ?? '').split(/;\s*/).find((part) => part.startsWith(prefix));
  try {
    const value = JSON.parse(Buffer.from(found?.slice(prefix.length) ?? '', 'base64url').toString('utf8')) as Partial<Kept>;
    return value.session === session ? path(value.to, own) : undefined;
  } catch {
    return undefined;
  }
}

function cookie(session: string, value: string, seconds: number, own: string): string {
  const secure = own.startsWith('https:') ? '; Secure' : '';
  return `${name(session, own)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}

/** name has the prefix that keeps siblings from writing it, where browsers take it. Session ids are of base64url's letters. */
function name(session: string, own: string): string {
  return `${own.startsWith('https:') ? '__Host-' : ''}authpipe-${session.slice(0, 16)}`;
}
