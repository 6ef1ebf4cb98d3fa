/** The application's listeners for one kind of event. */
export class Callbacks<T> {
  readonly #all = new Set<(of: T) => void>();

  add(callback: (of: T) => void): () => void {
    this.#all.add(callback);
    return () => this.#all.delete(callback);
  }

  /** Calls all. An error that one of them throws is reported like any uncaught error, and does not stop the others. */
  call(of: T): void {
    for (const callback of [...this.#all]) {
      try {
        callback(of);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
