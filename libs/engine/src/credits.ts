/**
 * Byte credits: what is read takes some, what is committed gives them back, so memory is bounded and a slow target
 * pauses its source. Asked by one loop, so nobody waits in here: whoever gets none tries again after a commit.
 */
export interface Credits {
  /** Would `take` succeed? */
  fits(bytes: number): boolean;
  /** Takes `bytes` if they fit, or if nothing is held at all: so one batch beyond the budget passes, alone. */
  take(bytes: number): boolean;
  /** Corrects an earlier `take` once the true size is known; it is in memory already, so it counts even beyond the budget. */
  settle(taken: number, actual: number): void;
  give(bytes: number): void;
  readonly held: number;
}

export const createCredits = (budget: number): Credits => {
  let held = 0;
  const fits = (bytes: number): boolean => held === 0 || held + bytes <= budget;
  return {
    fits,
    take: (bytes) => {
      if (!fits(bytes)) return false;
      held += bytes;
      return true;
    },
    settle: (taken, actual) => {
      held += actual - taken;
    },
    give: (bytes) => {
      held -= bytes;
    },
    get held() {
      return held;
    },
  };
};
