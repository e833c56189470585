/** Liveness, and readiness that is tied to progress: a named check says what is wrong, or null when it is well. */
export interface Health {
  /** `check` must answer at once from what it last saw; it makes no calls. */
  add(name: string, check: () => string | null): void;
  /** Takes the service out of rotation for good, before it stops. */
  drain(): void;
  report(): { ready: boolean; checks: Record<string, string> };
}

export const createHealth = (): Health => {
  const checks = new Map<string, () => string | null>();
  let draining = false;
  return {
    add: (name, check) => void checks.set(name, check),
    drain: () => {
      draining = true;
    },
    report: () => {
      const results = Object.fromEntries([...checks].map(([name, check]) => [name, check() ?? 'ok']));
      if (draining) results['lifecycle'] = 'stopping';
      return { ready: Object.values(results).every((result) => result === 'ok'), checks: results };
    },
  };
};

/** A check that fails when `touch` was not called for `limitMs`: for loops that must keep turning. */
export const heartbeat = (limitMs: number): { touch(): void; check(): string | null } => {
  let last = Date.now();
  return {
    touch: () => {
      last = Date.now();
    },
    check: () => (Date.now() - last <= limitMs ? null : `no progress for ${Math.round((Date.now() - last) / 1000)} s`),
  };
};
