// Shared by the tests: the app, its person, and the connections to the simulator.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

import { Agent, buildConnector, setGlobalDispatcher } from 'undici';

export const app = {
  id: '1234567890123456',
  secret: 'facebook-simulator-secret',
  callback: 'https://app.example/callback',
};
export const page = { id: '100000000000777', name: "Ada's Bakery" };
export const scope = ['email', 'user_birthday', 'pages_show_list', 'pages_read_engagement', 'pages_manage_posts'];

/** base is the simulator for a new app. */
export const base = process.env.SIMULATOR;
/** oldApp is the simulator for an app of before 2026-11-04. */
export const oldApp = process.env.SIMULATOR_OLD_APP;
/** lenient accepts HTTP Basic authentication and any PKCE challenge. */
export const lenient = process.env.SIMULATOR_LENIENT;

const facebook = new Set(['www.facebook.com', 'graph.facebook.com', 'facebook.com']);

/**
 * redirect leads connections to Facebook's hosts to a simulator, for libraries that use fetch or the default agent of node:https.
 * The host in the request, and the name in the certificate, stay Facebook's.
 */
export function redirect(to = base) {
  const { hostname, port } = new URL(to);
  https.globalAgent = new (class extends https.Agent {
    createConnection(options, callback) {
      if (facebook.has(options.host)) {
        options = { ...options, servername: options.host, host: hostname, port };
      }
      return super.createConnection(options, callback);
    }
  })();
  const connect = buildConnector({});
  setGlobalDispatcher(new Agent({
    connect(options, callback) {
      if (facebook.has(options.hostname)) {
        options = { ...options, servername: options.hostname, hostname, host: `${hostname}:${port}`, port };
      }
      connect(options, callback);
    },
  }));
}

/** proxy starts an HTTP proxy that leads to the simulator, and stops it after the test. */
export async function proxy(t, to = base) {
  const { hostname, port } = new URL(to);
  const sockets = new Set();
  const server = http.createServer();
  server.on('connect', (request, client) => {
    assert.ok(facebook.has(request.url.split(':')[0]), request.url);
    const upstream = net.connect(port, hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** unescapeHTML reads an attribute's value, as html/template writes it. */
function unescapeHTML(value) {
  return value.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(code)).replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

/**
 * consent opens an authorization URL like Ada's browser, clicks through the pages, and returns the URL of the final redirect. It posts
 * the form's fields; options.decline unticks permissions, options.cancel presses the other button.
 */
export async function consent(authorizationURL, { decline = [], cancel = false } = {}) {
  const people = new URL(authorizationURL);
  const chosen = await (await fetch(people)).text();
  const link = /href="(\?_as=ada[^"]*)"/.exec(chosen);
  assert.ok(link, chosen);
  const dialog = new URL(unescapeHTML(link[1]), people);
  const form = new URLSearchParams();
  for (const [input] of (await (await fetch(dialog)).text()).matchAll(/<input [^>]*>/g)) {
    const attribute = (name) => unescapeHTML(new RegExp(` ${name}="([^"]*)"`).exec(input)?.[1] ?? '');
    if (attribute('name') && !decline.includes(attribute('value'))) {
      form.append(attribute('name'), attribute('value'));
    }
  }
  form.append('action', cancel ? 'cancel' : 'continue');
  const sent = await fetch(dialog, { method: 'POST', body: form, redirect: 'manual' });
  assert.equal(sent.status, 302, `${sent.status}`);
  return new URL(sent.headers.get('location'));
}

/** received returns the URL as the server behind the callback receives it: without the fragment. */
export function received(url) {
  const seen = new URL(url);
  seen.hash = '';
  return seen;
}
