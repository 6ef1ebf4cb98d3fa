import { Refusal } from './guard.js';

/**
 * Where the browser goes at the end. It is kept in a cookie for each session, and never taken from the URL of the return, which
 * anyone can write. Scripts cannot read the cookie. Its value is validated again when it is read, because a sibling domain may have
 * written it.
 */
interface Kept {
  session: string;
  to: string;
}

/** Browsers drop a cookie of more than 4096 bytes, and this is in one, URL-encoded. */
const longest = 2048;

/** path returns to, if it is a path of the application's own. */
export function path(to: unknown, own: string): string | undefined {
  if (typeof to !== 'string' || !to.startsWith('/') || to.length > longest || /[\u0000-\u001f\\]/.test(to)) {
    return undefined;
  }
  try {
    const url = new URL(to, own);
    const here = url.pathname + url.search + url.hash;
    // "/.//elsewhere" becomes "//elsewhere", which a browser would read as a host.
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

/**
 * How many cookies of earlier starts stay beside a new one, and how many bytes all take. Those of abandoned starts would
 * pile up to the limit of a request's header, 16 KiB in Node, beyond which the whole application answers 431.
 */
const most = { earlier: 3, bytes: 4096 };

/**
 * keep returns the cookie that stores the path as long as the session lives, and those that delete the earliest of too many others.
 */
export function keep(request: Request, session: string, to: string, expiresAt: Date, own: string): string[] {
  const value = Buffer.from(JSON.stringify({ session, to } satisfies Kept)).toString('base64url');
  const seconds = Math.max(Math.ceil((expiresAt.getTime() - Date.now()) / 1000), 60);
  const kept = cookie(name(session, own), value, seconds, own);
  let left = most.bytes - kept.length;
  const earlier = cookies(request).filter(([known]) => known.startsWith(prefix(own)) && known !== name(session, own));
  // A browser sends the earliest first.
  const dropped = earlier.reverse().filter(([known, old], i) => {
    left -= known.length + old.length;
    return i >= most.earlier || left < 0;
  });
  return [kept, ...dropped.map(([known]) => cookie(known, '', 0, own))];
}

/** drop returns the cookie that deletes it. */
export function drop(session: string, own: string): string {
  return cookie(name(session, own), '', 0, own);
}

/** cookies returns the names and values of a request's cookies. */
function cookies(request: Request): [name: string, value: string][] {
  return (request.headers.get('cookie') ?? '').split(/;\s*/).map((part) => {
    const end = part.indexOf('=');
    return end < 0 ? ['', part] : [part.slice(0, end), part.slice(end + 1)];
  });
}

/** kept returns the path that was stored for a session. */
export function kept(request: Request, session: string, own: string): string | undefined {
  const [, found = ''] = cookies(request).find(([known]) => known === name(session, own)) ?? [];
  try {
    const value = JSON.parse(Buffer.from(found, 'base64url').toString('utf8')) as Partial<Kept>;
    return value.session === session ? path(value.to, own) : undefined;
  } catch {
    return undefined;
  }
}

function cookie(named: string, value: string, seconds: number, own: string): string {
  const secure = own.startsWith('https:') ? '; Secure' : '';
  return `${named}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}

/** name has the prefix that keeps siblings from writing the cookie, in browsers that support it. Session ids are in base64url. */
function name(session: string, own: string): string {
  return prefix(own) + session.slice(0, 16);
}

function prefix(own: string): string {
  return `${own.startsWith('https:') ? '__Host-' : ''}authpipe-`;
}
