/** Functions of the application that want to be told of something. */
export class Callbacks<T> {
  readonly #all = new Set<(of: T) => void>();

  add(callback: (of: T) => void): () => void {
    this.#all.add(callback);
    return () => this.#all.delete(callback);
  }

  /** Tells all. What one of them throws is reported as any other error that nobody catches, and disturbs nobody else. */
  tell(of: T): void {
    for (const callback of [...this.#all]) {
      try {
        callback(of);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
