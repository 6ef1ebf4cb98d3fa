import { act } from 'react';
import { hydrateRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { expect, it, vi } from 'vitest';
import { AuthpipeProvider, InstallButton } from '../src/index.js';
import { connected, FakeHandler } from './handler.js';

const handler = new FakeHandler();
const app = (
  <AuthpipeProvider fetch={handler.fetch}>
    <InstallButton provider="facebook" />
  </AuthpipeProvider>
);

it('renders on a server without a window, and sends no request there', () => {
  vi.stubGlobal('window', undefined);
  vi.stubGlobal('document', undefined);
  vi.stubGlobal('sessionStorage', undefined);
  try {
    expect(renderToString(app)).toContain('Install with Facebook');
  } finally {
    vi.unstubAllGlobals();
  }
  expect(handler.asked).toEqual([]);
});

it('hydrates the server\'s markup', async () => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  const complaints = vi.spyOn(console, 'error');
  const container = document.createElement('div');
  container.innerHTML = renderToString(app);
  handler.connection = connected();
  await act(async () => void hydrateRoot(container, app, { onRecoverableError: (error) => expect.fail(String(error)) }));
  expect(container.querySelector('.authpipe')?.getAttribute('data-state')).toBe('connected');
  expect(complaints).not.toHaveBeenCalled();
});
