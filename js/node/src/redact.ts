/** Shown in place of a secret. */
export const redacted = '[redacted]';

/**
 * hideGetters moves the getters of a class to a prototype that `util.inspect` takes for a built-in one, where it stops. With
 * `showHidden` and `getters` it would call them, and they return secrets.
 */
export function hideGetters(type: { prototype: object }): void {
  const { prototype } = type;
  const behind = Object.create(Object.getPrototypeOf(prototype) as object | null, { constructor: { value: Object } }) as object;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (property.get) {
      Object.defineProperty(behind, name, property);
      Reflect.deleteProperty(prototype, name);
    }
  }
  Object.setPrototypeOf(prototype, behind);
}

/** The key of the method by which `util.inspect`, and so `console.log`, shows an object. */
export const inspect: unique symbol = Symbol.for('nodejs.util.inspect.custom') as typeof inspect;
