/** What a helper needs of a test: a place to say how to clean up. `TestContext` of node:test is one. */
export interface Scope {
  after(cleanup: () => void | Promise<void>): void;
}

/** A scope for programs that are not tests (the soak, the fuzzer): `close` runs the clean-ups, newest first. */
export class ManualScope implements Scope {
  readonly #cleanups: (() => void | Promise<void>)[] = [];

  after(cleanup: () => void | Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        // What is left would keep the process from ending.
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/**
 * A test's scope that cleans up newest first (node:test does it oldest first): what was started with a store ends while
 * the store still answers.
 */
export function newestFirst(scope: Scope): Scope {
  const manual = new ManualScope();
  scope.after(() => manual.close());
  return manual;
}
