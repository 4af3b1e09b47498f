import type { Time } from "./core/time.ts";
import { backoffMs, hasLease, nextStep, type Step, type View } from "./plan.ts";
import { RegistryError, type Announcement, type Registry } from "./registry.ts";

/**
 * - `registered`: the lease was confirmed within its time to live.
 * - `retrying`: the registry does not hold the instance as far as is known; it is tried again and again.
 * - `draining`: gateways are told to send nothing new.
 * - `ended`: being deregistered, or deregistered; it stays so.
 */
export type RegistrationState = "registered" | "retrying" | "draining" | "ended";

export type LogLevel = "info" | "warn";

/** Told what happens; an outage is told once when it begins and once when it is over, not at every try. */
export type Log = (level: LogLevel, message: string) => void;

export interface SessionOptions {
  readonly registry: Registry;
  readonly announcement: Announcement;
  readonly ttlMs: number;
  readonly time: Time;
  readonly log: Log;
  /** The instance, for log lines: `users at 127.0.0.1:3001`. */
  readonly name: string;
}

/** Keeps one instance announced: takes one step after another, never two at once, and outlives every failure. */
export class Session {
  readonly #options: SessionOptions;
  readonly #listeners = new Set<(state: RegistrationState) => void>();
  #state: RegistrationState = "retrying";
  #wanted: Announcement;
  #announced: Announcement | undefined;
  #report: string | undefined;
  #ttlMs: number;
  #confirmedAtMs: number | undefined;
  #notBeforeMs = 0;
  #failures = 0;
  #wasRegistered = false;
  /** What was said last about the registration and about health reports, so that an outage is told once. */
  readonly #complaints = { lease: "", report: "" };
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => undefined;
  #onAnnounced: () => void = () => undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#wanted = options.announcement;
    this.#ttlMs = options.ttlMs;
  }

  get state(): RegistrationState {
    return this.#state;
  }

  /** Calls `listener` at every change of state. Returns how to stop that. */
  onState(listener: (state: RegistrationState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when the first try has come out, either way. */
  async start(): Promise<void> {
    const first = this.#take("register");
    this.#running = first.then(() => this.#run());
    await first;
  }

  /** Has the health report sent when nothing more pressing is to do; one that still waits is replaced. */
  report(report: string): void {
    this.#report = report;
    this.#wake();
  }

  /** Tells gateways to send nothing new. Resolves when they were told, or with the registration's end. */
  announceDraining(): Promise<void> {
    this.#wanted = { ...this.#wanted, status: "DRAINING" };
    this.#setState("draining");
    this.#wake();
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#announced !== this.#wanted && this.#state !== "ended") return;
        this.#onAnnounced = () => undefined;
        resolve();
      };
      this.#onAnnounced = look;
      look();
    });
  }

  /** Stops all steps and withdraws the instance. A registry that does not answer forgets it when the lease runs out. */
  async end(): Promise<void> {
    if (this.#state === "ended") return this.#running;
    this.#setState("ended");
    const running = this.#running;
    this.#wake();
    this.#onAnnounced();
    this.#running = running.then(() => this.#withdraw());
    return this.#running;
  }

  async #withdraw(): Promise<void> {
    const { registry, name, log } = this.#options;
    try {
      await registry.withdraw();
      this.#tell(log, "info", `${name} is deregistered`);
    } catch (error) {
      this.#tell(log, "warn", `${name} could not be deregistered and stays until its lease runs out: ${textOf(error)}`);
    }
  }

  async #run(): Promise<void> {
    while (this.#state !== "ended") {
      const nowMs = this.#options.time.now();
      const view = this.#view();
      // Seen here and not when the lease runs out: nothing else happens in between, and a stopped process cannot look.
      if (!hasLease(view, nowMs)) this.#setState("retrying");
      const step = nextStep(view, nowMs);
      if (step.do === "wait") await this.#sleep(step.delayMs);
      else await this.#take(step.do);
    }
  }

  #view(): View {
    return {
      confirmedAtMs: this.#confirmedAtMs,
      ttlMs: this.#ttlMs,
      isAnnounced: this.#announced === this.#wanted,
      hasReport: this.#report !== undefined,
      notBeforeMs: this.#notBeforeMs,
    };
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.time.after(Math.ceil(delayMs), resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  async #take(step: Exclude<Step["do"], "wait">): Promise<void> {
    const { registry, time } = this.#options;
    const sentAtMs = time.now();
    const wanted = this.#wanted;
    try {
      switch (step) {
        case "register":
          this.#ttlMs = await registry.register(wanted);
          this.#announced = wanted;
          this.#confirmedAtMs = sentAtMs;
          break;
        case "announce":
          await registry.announce(wanted);
          this.#announced = wanted;
          break;
        case "keep-alive":
          await registry.keepAlive(wanted);
          this.#confirmedAtMs = sentAtMs;
          break;
        case "report":
          await this.#sendReport();
          break;
        default:
          step satisfies never;
      }
      this.#succeeded(step);
    } catch (error) {
      this.#failed(step, error);
    }
    this.#onAnnounced();
  }

  async #sendReport(): Promise<void> {
    const report = this.#report;
    // Taken before it is sent: one that the registry refuses is not sent again, the next one comes soon.
    this.#report = undefined;
    if (report !== undefined) await this.#options.registry.report(report);
  }

  #succeeded(step: Step["do"]): void {
    const { log, name } = this.#options;
    if (step === "report") {
      this.#complaints.report = "";
      return;
    }
    this.#failures = 0;
    this.#complaints.lease = "";
    if (step === "register") {
      this.#tell(log, "info", `${name} is registered${this.#wasRegistered ? " again" : ""}`);
      this.#wasRegistered = true;
    }
    this.#setState("registered");
  }

  #failed(step: Step["do"], error: unknown): void {
    const { log, name, time } = this.#options;
    const isLost = error instanceof RegistryError && error.failure === "lost";
    if (isLost) {
      this.#confirmedAtMs = undefined;
      this.#announced = undefined;
      this.#setState("retrying");
    }
    // Losing a lease is no reason to wait. A report that does not arrive says nothing of the lease; keep-alives will.
    if (step !== "report" && !(isLost && step === "keep-alive")) {
      this.#failures++;
      this.#notBeforeMs = time.now() + backoffMs(this.#failures, this.#ttlMs, () => time.random());
    }
    const topic = step === "report" ? "report" : "lease";
    const complaint = textOf(error);
    if (complaint === this.#complaints[topic]) return;
    this.#complaints[topic] = complaint;
    const what = topic === "report" ? "could not report its health" : "is not sure to be registered, trying again";
    this.#tell(log, "warn", `${name} ${what}: ${complaint}`);
  }

  #setState(state: RegistrationState): void {
    const isLeaving = this.#state === "draining" && state !== "ended";
    if (this.#state === state || this.#state === "ended" || isLeaving) return;
    this.#state = state;
    for (const listener of this.#listeners) this.#tell(listener, state);
  }

  /** Code of the service: what it throws is its own affair and must not end the keep-alive. */
  #tell<Args extends readonly unknown[]>(listener: (...args: Args) => void, ...args: Args): void {
    try {
      listener(...args);
    } catch {
      // There is nobody left to tell.
    }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
