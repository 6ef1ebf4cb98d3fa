import { createHash } from 'node:crypto';

import type { ReturnMessage } from './view.js';

/**
 * The page's script. It removes the connect code from the address bar, informs the windows of its origin, and closes itself or goes
 * on. It ignores an opener of another origin: that one did not open this window for the connection, so the window must not be
 * closed.
 */
const script = `(() => {
  const { message, returnTo } = JSON.parse(document.getElementById('authpipe').textContent);
  history.replaceState(null, '', location.pathname + '?session_id=' + encodeURIComponent(message.sessionId));
  try {
    const channel = new BroadcastChannel('authpipe');
    channel.postMessage(message);
    channel.close();
  } catch {}
  let opener = null;
  try {
    if (window.opener && window.opener.location.origin === location.origin) opener = window.opener;
  } catch {}
  if (opener) opener.postMessage(message, location.origin);
  if (opener || !returnTo) window.close();
  else location.replace(returnTo);
})();`;

const style = `:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { display: grid; place-items: center; min-height: 90vh; margin: 0; text-align: center }
h1 { font-size: 1.25rem } p { margin: .5rem 1rem }`;

const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const policy = [
  "default-src 'none'", `script-src ${hash(script)}`, `style-src ${hash(style)}`,
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
].join('; ');

const titles = { connected: 'Connected', cancelled: 'Cancelled', failed: 'Not connected' };

/** page returns the last page of a connection, in the browser. Without scripts it shows the outcome and a link. */
export function page(status: number, message: ReturnMessage, returnTo: string | undefined, cookies: readonly string[]): Response {
  const headers = new Headers({
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': policy,
    'Referrer-Policy': 'no-referrer', // the URL has a connect code
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'X-Robots-Tag': 'noindex',
    // Any other value would cut this window off from its opener.
    'Cross-Origin-Opener-Policy': 'unsafe-none',
  });
  for (const cookie of cookies) {
    headers.append('Set-Cookie', cookie);
  }
  const title = titles[message.outcome];
  const why = message.error ? `<p>${escaped(message.error.message)}</p>\n` : '';
  const on = returnTo === undefined ? '<p>You can close this window.</p>' : `<p><a href="${escaped(returnTo)}">Continue</a></p>`;
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main role="status">
<h1>${title}</h1>
${why}${on}
</main>
<script type="application/json" id="authpipe">${data({ message, returnTo })}</script>
<script>${script}</script>
</body>
</html>
`;
  return new Response(html, { status, headers });
}

/** data returns JSON that cannot end its script element. */
function data(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
