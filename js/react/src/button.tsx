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
  /** Other words than the provider's above. */
  words?: WordChanges | undefined;
  /** Beside `authpipe`, which the stylesheet goes by. */
  className?: string | undefined;
  /** Of the element around it all: the stylesheet's variables, for instance. */
  style?: CSSProperties | undefined;
  /** Pressing does nothing. Who uses a keyboard finds it all the same, and is told what is so. */
  disabled?: boolean | undefined;
  /** What stands before the label: an icon, for instance. */
  children?: ReactNode;
}

export interface InstallButtonProps extends ButtonProps {
  /** Told of the connection at the end of each attempt that succeeds. */
  onInstall?: ((installation: Connection) => void) | undefined;
}

export interface ConnectButtonProps extends ButtonProps {
  /** Told of the connection at the end of each attempt that succeeds. */
  onConnect?: ((connection: Connection) => void) | undefined;
}

/** Installs the application for the organization, which only its administrators may. */
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

/** One button that stays the same element in every state, so that the keyboard's focus stays with it, and one live line below. */
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
  // It goes when the waiting is over, by whatever; the keyboard's focus must not go with it. React calls this before it is out of the page.
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
