import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server on loopback, on a free port. */
export interface Listening {
  origin: string;
  close(): Promise<void>;
}

export async function serving(listener: RequestListener): Promise<Listening> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

/** listening answers without a body. */
export function listening(answer: (request: IncomingMessage) => { status: number; headers: Record<string, string> }): Promise<Listening> {
  return serving((request, response) => {
    const { status, headers } = answer(request);
    response.writeHead(status, headers).end();
  });
}
