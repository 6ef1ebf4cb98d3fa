import { type CSSProperties, type ReactNode, useCallback, useId, useRef } from 'react';
import type { Connection, Level } from './connection.js';
import type { AuthpipeError } from './failure.js';
import { useShared } from './provider.js';
import type { Ended } from './state.js';
import type { ConnectOptions } from './store.js';
import { useConnection } from './use-connection.js';
import { say, type WordChanges } from './words.js';

export interface ButtonProps extends ConnectOptions {
  /** The provider's short name: `facebook`. */
  provider: string;
  onCancel?: (() => void) | undefined;
  onError?: ((error: AuthpipeError) => void) | undefined;
  /** Texts that replace the AuthpipeProvider's. */
  words?: WordChanges | undefined;
  /** Added to `authpipe`, the class that the stylesheet uses. */
  className?: string | undefined;
  /** Styles of the outer element, such as the stylesheet's variables. */
  style?: CSSProperties | undefined;
  /** Pressing does nothing. The button stays focusable, so that the keyboard and screen readers reach it and its note. */
  disabled?: boolean | undefined;
  /** Content before the label, such as an icon. */
  children?: ReactNode;
}

export interface InstallButtonProps extends ButtonProps {
  /** Receives the connection at the end of each attempt that succeeds. */
  onInstall?: ((installation: Connection) => void) | undefined;
}

export interface ConnectButtonProps extends ButtonProps {
  /** Receives the connection at the end of each attempt that succeeds. */
  onConnect?: ((connection: Connection) => void) | undefined;
}

/** Installs the application for the organization. Only its administrators may. */
export function InstallButton({ onInstall, ...props }: InstallButtonProps) {
  return <Button {...props} level="installation" onDone={onInstall} />;
}

/** Connects the account of the person who is signed in. */
export function ConnectButton({ onConnect, ...props }: ConnectButtonProps) {
  return <Button {...props} level="user" onDone={onConnect} />;
}

interface AnyButtonProps extends ButtonProps {
  level: Level;
  onDone: ((connection: Connection) => void) | undefined;
}

/** One button that stays the same element in every state, so that it keeps the keyboard's focus, and a live line below it. */
function Button({ provider, level, onDone, onCancel, onError, words, className, style, disabled, children, scopes, reauthorize, returnTo, display }: AnyButtonProps) {
  const onEnd = (ended: Ended) => {
    if (ended.outcome === 'connected') onDone?.(ended.connection);
    else if (ended.outcome === 'cancelled') onCancel?.();
    else onError?.(ended.error);
  };
  const connection = useConnection({ provider, for: level, onEnd });
  const note = useId();
  const button = useRef<HTMLButtonElement>(null);
  const { state, last } = connection;
  const said = say(connection, provider, level, { ...useShared().words, ...words });
  const missing = state === 'connected' && connection.connection?.missingScopes.length !== 0;
  const inert = disabled || state === 'loading' || (state === 'connected' && !missing);
  const press = () => {
    if (inert) return;
    if (state === 'failed' && last === null) return void connection.refresh();
    void connection.connect({ scopes, reauthorize: missing || reauthorize, returnTo, display });
  };
  // When the cancel button is removed, the focus moves to the main button. React calls this before the element leaves the page.
  const cancelButton = useRef<HTMLButtonElement>(null);
  const keepFocus = useCallback((element: HTMLButtonElement | null) => {
    if (!element && cancelButton.current === document.activeElement) button.current?.focus();
    cancelButton.current = element;
  }, []);
  return (
    <div className={className ? `authpipe ${className}` : 'authpipe'} data-state={state} data-missing={missing || undefined} style={style}>
      <div className="authpipe-buttons">
        <button
          ref={button}
          type="button"
          className="authpipe-button"
          onClick={press}
          aria-disabled={inert || undefined}
          aria-busy={state === 'loading' || state === 'waiting' || undefined}
          aria-describedby={note}
        >
          {children}
          <span className="authpipe-label">{said.label}</span>
        </button>
        {state === 'waiting' && (
          <button type="button" ref={keepFocus} className="authpipe-cancel" onClick={connection.cancel}>
            {said.cancel}
          </button>
        )}
      </div>
      <p id={note} className="authpipe-note" role="status" aria-live="polite">
        {said.note}
      </p>
    </div>
  );
}
