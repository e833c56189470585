/** CPU and memory of processes, by Linux's /proc (https://man7.org/linux/man-pages/man5/proc.5.html). */
import { readFileSync, readdirSync } from 'node:fs';

/** USER_HZ, the unit of CPU times in /proc, is 100 on every Linux that Node runs on. */
const microsPerTick = 10_000;

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process ended meanwhile.
    return '';
  }
};

/** The process and all below it. */
export const processTree = (pid: number): number[] => {
  const found = [pid];
  for (const parent of found) {
    let threads: string[] = [];
    try {
      threads = readdirSync(`/proc/${parent}/task`);
    } catch {
      continue;
    }
    for (const thread of threads) {
      for (const child of read(`/proc/${parent}/task/${thread}/children`).split(' ')) if (child.trim() !== '') found.push(Number(child));
    }
  }
  return found;
};

/** User and system time of all threads, in microseconds; of children that ended as well. */
export const cpuMicrosOf = (pids: readonly number[]): number => {
  let ticks = 0;
  for (const pid of pids) {
    const stat = read(`/proc/${pid}/stat`);
    // The name before ')' may hold anything; utime is the 14th field, stime, cutime and cstime follow it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    for (let field = 11; field <= 14; field++) ticks += Number(fields[field] ?? 0);
  }
  return ticks * microsPerTick;
};

/** The most physical memory each has ever had, summed, in MB. */
export const peakMegabytesOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + Number(/VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024, 0);

export interface MachineCpu {
  /** Of all processes and the kernel, in microseconds. */
  readonly busy: number;
  /** What the host gave to others although this machine wanted it. */
  readonly stolen: number;
}

export const machineCpu = (): MachineCpu => {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu +(.*)$/m.exec(read('/proc/stat'))?.[1] ?? '').split(' ').map(Number);
  return { busy: (user + nice + system + irq + softirq) * microsPerTick, stolen: steal * microsPerTick };
};
