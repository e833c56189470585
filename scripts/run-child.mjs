// A program run in our place: signals reach it, and it ends when npm, which started us, is gone.
import { spawn } from 'node:child_process';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const looksEveryMs = 500;

/**
 * Runs `command` and answers its exit code, and whether it was told to stop. Signals that we get are passed on; npm being
 * gone (killed, so that it could not pass on anything) counts as SIGTERM.
 */
export const runChild = (command, args, options) =>
  new Promise((resolve) => {
    let stopped = false;
    const child = spawn(command, args, options);
    const stop = (signal) => {
      stopped = true;
      child.kill(signal);
    };
    for (const signal of signals) process.on(signal, stop);
    const parent = process.ppid;
    // Run by hand we may outlive the shell we were started from, as every program may.
    const watch =
      process.env.npm_lifecycle_event === undefined ? undefined : setInterval(() => process.ppid !== parent && !stopped && stop('SIGTERM'), looksEveryMs);
    const end = (code) => {
      clearInterval(watch);
      for (const signal of signals) process.off(signal, stop);
      resolve({ code, stopped });
    };
    child.on('error', (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      end(1);
    });
    child.on('exit', (code) => end(code ?? 1));
  });
