/** Lets one loop sleep until something happened: a read, a commit, a timer, a signal. */
export interface Turn {
  /** Something happened; remembered when the loop is not asleep. */
  next(): void;
  wait(): Promise<void>;
}

export const createTurn = (): Turn => {
  let happened = false;
  let awake: (() => void) | null = null;
  return {
    next: () => {
      happened = true;
      awake?.();
      awake = null;
    },
    wait: async () => {
      if (!happened) {
        await new Promise<void>((resolve) => {
          awake = resolve;
        });
      }
      happened = false;
    },
  };
};
