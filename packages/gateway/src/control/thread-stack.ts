import type { Session as InspectorSession } from "node:inspector";
import type { Timers } from "../core/timers.ts";

/** How long a thread may take to say where it is, milliseconds; one that sleeps inside of node never does. */
const answerMsMax = 3000;

/** Where a thread is. */
export interface ThreadStack {
  /** The lines of a stack; empty where the thread does not say. */
  readonly stack: string;
  /** To be called when the thread has ended, not before: one that is asked to stop and loses who asked never ends. */
  readonly close: () => void;
}

/**
 * Where another thread is at this moment. Through the inspector, as the thread itself is busy: what it runs is stopped,
 * told, and goes on. Costs some 100 ms of that thread. Of the other threads' code nothing is looked at.
 */
export async function threadStack(threadId: number, timers: Timers): Promise<ThreadStack> {
  const { Session } = await import("node:inspector");
  const session = new Session();
  try {
    session.connect();
  } catch {
    return { stack: "", close: () => undefined }; // a node built without it
  }
  let disarm = (): void => undefined;
  const late = new Promise<string>((done) => {
    disarm = timers.after(answerMsMax, () => done(""));
  });
  const thread = new InspectedThread(session, threadId);
  const stack = await Promise.race([thread.stack(), late]);
  await Promise.race([thread.goOn(), late]);
  disarm();
  return { stack, close: () => session.disconnect() };
}

interface FromThread {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly scriptId?: string;
    readonly url?: string;
    readonly callFrames?: readonly {
      readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber: number };
    }[];
  };
}

/** The DevTools protocol with one thread, as far as it is needed here. */
class InspectedThread {
  readonly #session: InspectorSession;
  readonly #threadId: number;
  #sessionId = "";
  #lastId = 0;
  readonly #answers = new Map<number, () => void>();
  readonly #urls = new Map<string, string>();
  #stopped: (stack: string) => void = () => undefined;

  constructor(session: InspectorSession, threadId: number) {
    this.#session = session;
    this.#threadId = threadId;
  }

  stack(): Promise<string> {
    return new Promise((resolve) => {
      this.#stopped = resolve;
      this.#session.on("NodeWorker.receivedMessageFromWorker", ({ params: { sessionId, message } }) => {
        if (sessionId === this.#sessionId) this.#hear(JSON.parse(message) as FromThread); // the protocol's format
      });
      this.#session.on("NodeWorker.attachedToWorker", ({ params: { sessionId, workerInfo } }) => {
        // Its id is another one, counted by the session.
        if (!workerInfo.title.startsWith(`[worker ${this.#threadId}] `)) return;
        this.#sessionId = sessionId;
        void this.#ask("Debugger.enable");
        void this.#ask("Debugger.pause");
      });
      this.#session.post("NodeWorker.enable", { waitForDebuggerOnStart: false });
    });
  }

  /** Resolves when the thread runs again. */
  goOn(): Promise<void> {
    return this.#ask("Debugger.disable");
  }

  #ask(method: string): Promise<void> {
    const id = ++this.#lastId;
    const answered = new Promise<void>((resolve) => this.#answers.set(id, resolve));
    const message = JSON.stringify({ id, method });
    this.#session.post("NodeWorker.sendMessageToWorker", { sessionId: this.#sessionId, message });
    return answered;
  }

  #hear({ id, method, params = {} }: FromThread): void {
    if (id !== undefined) this.#answers.get(id)?.();
    if (method === "Debugger.scriptParsed") this.#urls.set(params.scriptId ?? "", params.url ?? "");
    if (method !== "Debugger.paused") return;
    const lines = (params.callFrames ?? []).map(({ location: { scriptId, lineNumber, columnNumber } }) => {
      return `    at ${this.#urls.get(scriptId) ?? "unknown"}:${lineNumber + 1}:${columnNumber + 1}`;
    });
    this.#stopped(lines.join("\n"));
  }
}
