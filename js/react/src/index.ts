'use client';

export { ConnectButton, type ButtonProps, type ConnectButtonProps, InstallButton, type InstallButtonProps } from './button.js';
export type { Connection, Level } from './connection.js';
export { AuthpipeError } from './failure.js';
export { AuthpipeProvider, type AuthpipeProviderProps } from './provider.js';
export type { ConnectionState, Ended, Snapshot } from './state.js';
export type { ConnectOptions } from './store.js';
export { useConnection, type UseConnection, type UseConnectionOptions } from './use-connection.js';
export type { WordChanges, Words } from './words.js';
