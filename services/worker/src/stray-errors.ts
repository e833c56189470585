/** Errors that no call threw and nobody awaits: drivers of one pipeline raise them, and the others must not suffer. */
import { messageOf } from '@tributary/errors/error';
import type { Logger } from '@tributary/runtime/logger';

const windowMs = 60_000;
/** More than this within the window is no longer one driver's mishap. */
const most = 20;

/** True: logged, go on. False: too many of them, the process is better started anew. */
export const tolerate = (log: Logger): ((error: unknown) => boolean) => {
  let times: number[] = [];
  return (error) => {
    const now = performance.now();
    times = [...times.filter((time) => now - time < windowMs), now];
    if (times.length > most) return false;
    log.error({ err: error }, `An error outside of any call was survived: ${messageOf(error)}`);
    return true;
  };
};
