/** What is shown in the place of a secret. */
export const redacted = '[redacted]';

/** The method that Node's `util.inspect`, and so `console.log`, asks how an object is to be shown. */
export const inspect: unique symbol = Symbol.for('nodejs.util.inspect.custom') as typeof inspect;
