import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Readable } from 'node:stream';

/** Serves what answers a Request with a Response, as Node's server wants it. */
export function serve(origin: () => string, answer: (request: Request) => Promise<Response>): Server {
  return createServer((incoming, outgoing) => {
    void answer(requestOf(incoming, origin()))
      .catch(() => new Response('that did not work', { status: 500 }))
      .then(async (response) => {
        outgoing.writeHead(response.status, [...response.headers].flat());
        outgoing.end(Buffer.from(await response.arrayBuffer()));
      });
  });
}

function requestOf(incoming: IncomingMessage, origin: string): Request {
  const { method = 'GET', url = '/', headers } = incoming;
  const sent = new Headers();
  for (const [name, value] of Object.entries(headers)) sent.set(name, String(value));
  const bodyless = method === 'GET' || method === 'HEAD';
  return new Request(new URL(url, origin), { method, headers: sent, ...(!bodyless && { body: Readable.toWeb(incoming) as ReadableStream, duplex: 'half' }) } as RequestInit);
}
