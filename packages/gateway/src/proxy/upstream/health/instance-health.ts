import { instanceLayout } from "../memory.ts";

// Layout: int32 words 0 and 1, then one float64.
const blockersAt = 0;
const biasAt = 1;
const sinceBytes = 8;

/** Why an instance is not used, as bits: it is available where none is set, so that memory full of zeros is a new one. */
const checkBit = 1;
const reportBit = 2;

/** The bias is kept in thousandths above 1: zero is none. */
const biasUnits = 1_000;
/** However bad a report is, its instance takes this share of what it would take, at least. */
const biasMax = 100;

/**
 * What checks and reports say of one instance, in the memory all threads share (`instanceLayout.health`). The control
 * thread writes, workers read. It holds no settings: a change of them changes nothing here.
 */
export class InstanceHealth {
  readonly #words: Int32Array;
  readonly #since: Float64Array;

  constructor(memory: SharedArrayBuffer, byteOffset: number = instanceLayout.health) {
    this.#words = new Int32Array(memory, byteOffset, 2);
    this.#since = new Float64Array(memory, byteOffset + sinceBytes, 1);
  }

  /** Whether neither checks nor the instance's own report speak against it. One load: it is asked at every pick. */
  get available(): boolean {
    return Atomics.load(this.#words, blockersAt) === 0;
  }

  /** When it appeared or recovered, for slow start; 0: it was there from the beginning. Milliseconds of the clock. */
  get availableSinceMs(): number {
    return this.#since[0] ?? 0;
  }

  /** By how much its cost is multiplied for the load it reports; at least 1. */
  get bias(): number {
    return 1 + Atomics.load(this.#words, biasAt) / biasUnits;
  }

  /** Control thread only: its share of requests begins anew, as that of an instance that was just started. */
  begin(nowMs: number): void {
    this.#since[0] = nowMs;
  }

  /** Control thread only: what the checks say. */
  setCheck(isHealthy: boolean, nowMs: number): void {
    this.#set(checkBit, !isHealthy, nowMs);
  }

  /** Control thread only: what the instance says of itself. `bias` is brought into 1 to 100. */
  setReport(isUp: boolean, bias: number, nowMs: number): void {
    Atomics.store(this.#words, biasAt, Math.round((Math.min(Math.max(bias, 1), biasMax) - 1) * biasUnits));
    this.#set(reportBit, !isUp, nowMs);
  }

  #set(bit: number, isSet: boolean, nowMs: number): void {
    const before = Atomics.load(this.#words, blockersAt);
    const after = isSet ? before | bit : before & ~bit;
    if (after === before) return;
    // Before the word that lets workers in: none sees it available with the time of the last recovery.
    if (after === 0) this.begin(nowMs);
    Atomics.store(this.#words, blockersAt, after);
  }
}
