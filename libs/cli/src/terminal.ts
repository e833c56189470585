/** What the command writes: results to stdout, all that is said on the way to stderr. */
export interface Terminal {
  /** A result, e.g. a table. */
  out(text: string): void;
  /** A line for people, without secrets. What others made, such as an error's message, has to be cleaned before. */
  say(text: string): void;
  /** A line that replaces itself: on a terminal in place, else at most one in two seconds. */
  progress(text: string): void;
  /** Ends the line that replaces itself. */
  endProgress(): void;
  hide(texts: readonly HiddenText[]): void;
  /** `text` with what stands for each hidden text. */
  clean(text: string): string;
}

export interface HiddenText {
  readonly text: string;
  readonly shownAs: string;
  /** Never to be shown, not even as part of a word. Else a value of the environment, whose text may also be a word of ours. */
  readonly isSecret: boolean;
}

interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

const plainProgressMs = 2000;

export const openTerminal = (stdout: Sink, stderr: Sink): Terminal => {
  let hidden: HiddenText[] = [];
  let drawn = false;
  let lastPlain = -Infinity;

  const replace = (text: string, { text: found, shownAs, isSecret }: HiddenText): string =>
    isSecret ? text.replaceAll(found, () => shownAs) : text.replaceAll(new RegExp(`(?<![\\w-])${escaped(found)}(?![\\w-])`, 'g'), () => shownAs);
  const clean = (text: string): string => hidden.reduce(replace, text);
  const withoutSecrets = (text: string): string => hidden.filter(({ isSecret }) => isSecret).reduce(replace, text);
  const endProgress = (): void => {
    if (drawn) stderr.write('\r\u001b[2K');
    drawn = false;
  };

  return {
    clean,
    endProgress,
    out: (text) => {
      endProgress();
      stdout.write(`${text}\n`);
    },
    say: (text) => {
      endProgress();
      stderr.write(`${withoutSecrets(text)}\n`);
    },
    progress: (text) => {
      if (stderr.isTTY === true) {
        stderr.write(`\r\u001b[2K${text.slice(0, Math.max(20, (stderr.columns || 80) - 1))}`);
        drawn = true;
      } else if (performance.now() - lastPlain >= plainProgressMs) {
        lastPlain = performance.now();
        stderr.write(`${text}\n`);
      }
    },
    hide: (texts) => {
      // Secrets first, and longer texts before parts of them.
      hidden = [...hidden, ...texts].sort((one, other) => Number(other.isSecret) - Number(one.isSecret) || other.text.length - one.text.length);
    },
  };
};

/** Columns of text, as wide as their widest cell; numbers to the right. */
export const tableText = (rows: readonly (readonly string[])[], rightFrom = Infinity): string => {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, index) => (index >= rightFrom ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};
