/** How long to wait before trying again what may pass by itself. */

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Doubling from `firstMs` to `maxMs`, less up to half by chance: attempt 0 waits up to `firstMs`. */
export const backoffMs = (backoff: Backoff, attempt: number): number =>
  Math.round(Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2));
