import { act, type ReactNode, StrictMode } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, vi } from 'vitest';
import { AuthpipeProvider } from '../src/index.js';
import { FakeHandler } from './handler.js';

/** A window that was opened: its address, and whether it was closed. */
export class FakePopup {
  closed = false;
  focused = 0;
  readonly visited: string[] = [];
  readonly location = { replace: (url: string) => void this.visited.push(url) };
  focus() {
    this.focused++;
  }
  close() {
    this.closed = true;
  }
}

/** The channel of this origin's windows, with the methods that one window needs. */
class FakeChannel {
  static readonly open = new Set<FakeChannel>();
  onmessage: ((event: { data: unknown }) => void) | null = null;
  constructor(readonly name: string) {
    FakeChannel.open.add(this);
  }
  close() {
    FakeChannel.open.delete(this);
  }
}

/** The environment of a test: a page with a handler behind it, and a browser that opens windows or blocks them. */
export interface Page {
  handler: FakeHandler;
  popups: FakePopup[];
  /** The addresses that this tab was sent to. */
  left: string[];
  /** Whether windows are blocked. */
  blocked: boolean;
  open: ReturnType<typeof vi.fn>;
  show(element: ReactNode): Promise<HTMLElement>;
  /** Reloads the page: memory is lost, and this tab's storage stays. */
  reload(element: ReactNode): Promise<HTMLElement>;
  /** Advances the time. */
  pass(milliseconds: number): Promise<void>;
}

export let page: Page;
let root: Root | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  window.sessionStorage.clear();
  const handler = new FakeHandler();
  page = {
    handler, popups: [], left: [], blocked: false, show, reload, pass,
    open: vi.fn(() => {
      if (page.blocked) return null;
      const popup = new FakePopup();
      page.popups.push(popup);
      return popup;
    }),
  };
  vi.stubGlobal('open', page.open);
  FakeChannel.open.clear();
  vi.stubGlobal('BroadcastChannel', FakeChannel);
});

afterEach(async () => {
  await unload();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function show(element: ReactNode): Promise<HTMLElement> {
  const container = document.body.appendChild(document.createElement('div'));
  root = createRoot(container);
  const { handler, left } = page;
  const navigate = (url: string) => void left.push(url);
  await act(async () => {
    root?.render(
      <StrictMode>
        <AuthpipeProvider fetch={handler.fetch} navigate={navigate}>{element}</AuthpipeProvider>
      </StrictMode>,
    );
  });
  return container;
}

async function unload() {
  await act(async () => root?.unmount());
  document.body.replaceChildren();
  const now = Date.now();
  vi.clearAllTimers(); // and resets the clock
  vi.setSystemTime(now);
}

async function reload(element: ReactNode) {
  await unload();
  return show(element);
}

async function pass(milliseconds: number) {
  await act(() => vi.advanceTimersByTimeAsync(milliseconds));
}

/** Presses a button by mouse or keyboard. */
export async function press(button: Element | null) {
  if (!(button instanceof HTMLButtonElement)) throw new Error('there is no such button');
  button.focus();
  await act(async () => button.click());
}

/** The message of the handler's return page, as it arrives here. */
export async function post(data: unknown, from: { origin?: string; source?: FakePopup | undefined } = {}) {
  const { origin = window.location.origin, source = page.popups.at(-1) } = from;
  await act(async () => {
    window.dispatchEvent(new MessageEvent('message', { data, origin, source: (source ?? null) as unknown as Window | null }));
  });
}

/** Posts the return page's message to all windows of this origin, and returns how many received it. */
export async function broadcast(data: unknown): Promise<number> {
  const listening = [...FakeChannel.open].filter(({ name }) => name === 'authpipe');
  await act(async () => listening.forEach((channel) => channel.onmessage?.({ data })));
  return listening.length;
}

export const messageOf = (outcome: string, more: object = {}) => ({
  source: 'authpipe', sessionId: `session-${page.handler.sessions.size}`, provider: 'facebook', for: 'installation', outcome, ...more,
});

export const button = (of: HTMLElement) => of.querySelector('.authpipe-button') as HTMLButtonElement;
export const note = (of: HTMLElement) => of.querySelector('[role=status]')?.textContent;
export const state = (of: HTMLElement) => of.querySelector('.authpipe')?.getAttribute('data-state');
