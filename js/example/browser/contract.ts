import type { ConnectionView } from '@authpipe/node';
import type { Connection } from '@authpipe/react';

/** Checks at compile time that the components can read what the handler writes. Neither package imports the other. */
export const read = (written: ConnectionView): Connection => written;
