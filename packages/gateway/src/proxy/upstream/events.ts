/** What a worker tells of the breakers and ejections it changes: all threads share them, and one sees it happen. */
export interface UpstreamEvent {
  readonly kind: "breaker" | "ejection";
  readonly service: string;
  /** Absent: it is the breaker of the service as a whole. */
  readonly instance?: string;
  readonly from: string;
  readonly to: string;
  /** Completes "because": `5 failures in a row`. */
  readonly reason: string;
  /** Milliseconds of the clock. */
  readonly atMs: number;
}
