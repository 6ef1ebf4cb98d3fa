import type { ConnectionView } from '@authpipe/node';
import type { Connection } from '@authpipe/react';

/** What the handler writes, the components read: it compiles as long as that is so. Neither package knows the other. */
export const read = (written: ConnectionView): Connection => written;
