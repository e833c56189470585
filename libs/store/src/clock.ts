/** The database server's clock, as all workers share it: leases are judged by it, so hosts may disagree about the time. */
import type { Connection } from 'mongoose';

export interface StoreClock {
  /** Never steps back with the host's wall clock: it follows the monotonic clock since the last `sync`. */
  now(): Date;
  sync(): Promise<void>;
}

export const openStoreClock = async (connection: Connection): Promise<StoreClock> => {
  let server = 0;
  let taken = 0;
  const sync = async (): Promise<void> => {
    const asked = performance.now();
    const { localTime } = await connection.db!.admin().command({ hello: 1 });
    taken = (asked + performance.now()) / 2;
    server = (localTime as Date).getTime();
  };
  await sync();
  return { now: () => new Date(server + (performance.now() - taken)), sync };
};
