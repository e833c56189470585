// Ends the processes of a stack when the process that started them is killed and cannot do it itself.
import { spawn } from 'node:child_process';

export interface Watchdog {
  /** `signal` asks the process to end; default SIGTERM. */
  readonly watch: (pid: number, signal?: NodeJS.Signals) => void;
  readonly release: (pid: number) => void;
  /** Lets the watchdog go without touching anything. */
  readonly close: () => void;
}

// Its standard input is a pipe held by the starter alone, and the system closes it whatever way the starter dies.
const script = `
trap '' INT TERM HUP
pids=' '
signals=' '
while read -r verb pid signal; do
  case $verb in
    watch) pids="$pids$pid " signals="$signals$signal/$pid " ;;
    release)
      signals=$(printf %s "$signals" | sed "s| [A-Z0-9]*/$pid | |g")
      pids=$(printf %s "$pids" | sed "s/ $pid / /g") ;;
    close) exit 0 ;;
  esac
done
alive() { for pid in $pids; do kill -0 "$pid" 2>/dev/null && return 0; done; return 1; }
for each in $signals; do kill -"\${each%/*}" "\${each#*/}" 2>/dev/null; done
for round in 1 2 3 4 5 6 7 8 9 10; do alive || exit 0; sleep 1; done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
`;

export const startWatchdog = (): Watchdog => {
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  // Without a watchdog the next start still finds what is left; see leftovers in server-process.ts.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  const say = (line: string): void => {
    child.stdin.write(`${line}\n`);
  };
  return {
    watch: (pid, signal = 'SIGTERM') => say(`watch ${pid} ${signal.replace('SIG', '')}`),
    release: (pid) => say(`release ${pid}`),
    close: () => {
      say('close');
      child.stdin.end();
    },
  };
};
