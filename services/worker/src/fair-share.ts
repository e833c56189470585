/** How many slots each worker should run: an equal share, filled up to what each can take. */

/**
 * The share of a worker of `capacity` among all of `capacities` (its own included) when `wanted` slots are to run: the
 * lowest level at which all fit, no more than it can take. All of its capacity when they do not fit anyway.
 */
export const fairShare = (wanted: number, capacity: number, capacities: readonly number[]): number => {
  const fits = (level: number): boolean => capacities.reduce((sum, each) => sum + Math.min(each, level), 0) >= wanted;
  let low = 0;
  let high = Math.max(0, ...capacities);
  if (!fits(high)) return capacity;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle + 1;
  }
  return Math.min(capacity, low);
};

export interface Neighbour {
  readonly id: string;
  readonly capacity: number;
  readonly held: number;
}

export interface Balance {
  /** Take no more while so many are held. */
  readonly limit: number;
  /** Give so many back, to a neighbour that has room for them. */
  readonly surplus: number;
}

/**
 * `stuck`: a slot has been waiting in the queue for so long that whoever should take it does not; then everybody takes what
 * there is and nobody gives back.
 */
export const balance = (self: Neighbour, live: readonly Neighbour[], wanted: number, stuck: boolean): Balance => {
  const others = live.filter(({ id, capacity }) => id !== self.id && capacity > 0);
  if (others.length === 0 || stuck) return { limit: self.capacity, surplus: 0 };
  const capacities = [self.capacity, ...others.map(({ capacity }) => capacity)];
  // One is always worth taking: slots that were not wanted when this was counted come in at any time.
  const limit = Math.min(self.capacity, Math.max(1, fairShare(wanted, self.capacity, capacities)));
  const room = others.reduce((sum, other) => sum + Math.max(0, fairShare(wanted, other.capacity, capacities) - other.held), 0);
  return { limit, surplus: Math.min(room, Math.max(0, self.held - limit)) };
};
