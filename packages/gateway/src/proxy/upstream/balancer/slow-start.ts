/**
 * How far an instance is in its slow start, 0..1: in proportion to the time since it became available. Source: Envoy's
 * slow start with aggression 1. `slowStartMs` 0: it has its share at once.
 */
export function slowStartRamp(availableSinceMs: number, slowStartMs: number, nowMs: number): number {
  if (slowStartMs <= 0) return 1;
  return Math.min(1, Math.max(0, (nowMs - availableSinceMs) / slowStartMs));
}
