export const exitCodes = {
  ok: 0,
  error: 1,
  usage: 2,
  /** A sync was stopped before its data ended; as shells have it for Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
