/** Writes docs/performance.md from the results of one run. */
import { quietLoad } from './measure.ts';
import { mediansOf, type Medians, type Run } from './results.ts';

const thousands = (number: number): string => Math.round(number).toLocaleString('en-US');
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;

const table = (medians: readonly Medians[]): string => {
  const head = ['Tool', 'Guarantee', 'CPU µs/msg', 'msg/s', 'broker CPU µs/msg', 'peak MB', 'start s', 'other load'];
  const line = (one: Medians): string =>
    row([
      one.tool.title,
      one.tool.guarantee,
      `**${one.cpuMicros.toFixed(2)}** (${one.cpuRange.map((value) => value.toFixed(2)).join(' to ')})`,
      `**${thousands(one.messagesPerSecond)}** (${one.rateRange.map(thousands).join(' to ')})`,
      one.brokerCpuMicros.toFixed(2),
      thousands(one.peakMegabytes),
      one.startSeconds.toFixed(1),
      percent(one.otherLoad),
    ]);
  return row(head) + row(head.map((_, index) => (index < 2 ? '---' : '---:'))) + medians.map(line).join('');
};

interface Figure {
  readonly name: 'cpuMicros' | 'messagesPerSecond';
  readonly title: string;
  readonly lessIsBetter: boolean;
  readonly show: (value: number) => string;
  /** What the one behind is told, `factor` being above 1. */
  readonly compare: (ahead: string, behind: string, factor: string) => string;
}

const figures: readonly Figure[] = [
  {
    name: 'cpuMicros',
    title: 'CPU per message',
    lessIsBetter: true,
    show: (value) => `${value.toFixed(2)} µs`,
    compare: (_ahead, behind, factor) => `${behind} needs ${factor} times as much`,
  },
  {
    name: 'messagesPerSecond',
    title: 'messages per second',
    lessIsBetter: false,
    show: thousands,
    compare: (ahead, _behind, factor) => `${ahead} is ${factor} times as fast`,
  },
];

/** Figures this close are no difference: single copies of one tool differ by more. */
const evenBelow = 1.05;

const nameOf = ({ tool }: Medians): string => `${tool.title} (${tool.guarantee})`;

const isDisturbed = ({ otherLoad }: Medians): boolean => otherLoad > quietLoad;

/** One line for a figure beside that of the best peer: who is ahead, and by what factor. Of disturbed copies nothing is concluded. */
const verdict = (ours: Medians, peers: readonly Medians[], figure: Figure): string => {
  const calm = peers.filter((peer) => !isDisturbed(peer));
  const disturbed = [ours, ...peers].filter(isDisturbed).map((one) => `${nameOf(one)} at ${percent(one.otherLoad)} other load`);
  const [first, ...others] = calm;
  if (first === undefined || isDisturbed(ours)) return `- **No verdict** on ${figure.title}: disturbed were ${disturbed.join(', ')}.\n`;
  const isBetter = (a: Medians, b: Medians): boolean => (figure.lessIsBetter ? a[figure.name] < b[figure.name] : a[figure.name] > b[figure.name]);
  const best = others.reduce((leader, other) => (isBetter(other, leader) ? other : leader), first);
  const [low, high] = [ours[figure.name], best[figure.name]].toSorted((a, b) => a - b) as [number, number];
  const factor = high / low;
  const won = isBetter(ours, best);
  const [ahead, behind] = won ? [ours.tool.title, best.tool.title] : [best.tool.title, ours.tool.title];
  const word = factor < evenBelow ? 'Even' : won ? 'Win' : 'Loss';
  const ratio = factor < evenBelow ? 'within 5 %' : figure.compare(ahead, behind, factor.toFixed(2));
  const left = disturbed.length === 0 ? '' : ` Not considered, since disturbed: ${disturbed.join(', ')}.`;
  return `- **${word}** in ${figure.title}: ${figure.show(ours[figure.name])}; the best peer, ${nameOf(best)}, ${figure.show(best[figure.name])}: ${ratio}.${left}\n`;
};

const verdicts = (ours: Medians, peers: readonly Medians[]): string => figures.map((figure) => verdict(ours, peers, figure)).join('');

const isOurs = ({ tool }: Medians): boolean => tool.name.startsWith('tributary');

const comparison = (title: string, about: string, medians: readonly Medians[]): string => {
  const ours = medians.find(isOurs);
  const peers = medians.filter((one) => !isOurs(one));
  let text = `## ${title}\n\n${about}\n\n${table(medians)}\n`;
  if (ours === undefined || peers.length === 0) return `${text}Nothing to compare: ${ours === undefined ? 'Tributary' : 'no peer'} was measured.\n`;
  text += `Tributary (${ours.tool.guarantee}) beside the best peer of this run, whatever that one guarantees:\n\n${verdicts(ours, peers)}`;
  const same = peers.filter(({ tool }) => tool.guarantee === ours.tool.guarantee);
  if (same.length > 0 && same.length < peers.length) text += `\nBeside the best of those with the same guarantee:\n\n${verdicts(ours, same)}`;
  return text;
};

export const renderPage = (run: Run): string => {
  const { summary } = run;
  const { machine } = summary;
  const medians = mediansOf(run);
  const loads = run.copies.map(({ measured }) => measured.otherLoad);
  const stolen = Math.max(...run.copies.map(({ measured }) => measured.stolen));
  const failed = summary.tools.filter(({ failure }) => failure !== null);
  const unordered = medians.filter(({ outOfOrder }) => outOfOrder > 0).map(({ tool }) => tool.title);
  return [
    '# Performance\n\n',
    '<!-- Written by `npm run bench`; changes made by hand are lost. -->\n\n',
    `Measured on ${summary.run.slice(0, 10)}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGigabytes} GB of memory, ${machine.system}. Kafka ${summary.kafka}, one broker on the same machine.\n\n`,
    `Each tool copies the same ${thousands(summary.messages)} JSON messages of ${Math.round(summary.bytes)} bytes from one topic of four partitions to another, without compression, acknowledged by all replicas. `,
    `Figures are medians of ${summary.rounds}, least and most in brackets; the tools took turns, one after the other, on the same broker and data.\n\n`,
    'CPU per message is the user and system time of the tool’s own processes between having its partitions and the last commit; it is the figure to compare, since tool, broker and whatever else runs share the cores and messages per second depend on all of them. ',
    'It includes the warming up of just-in-time compilers within these messages; a Java program gets faster on a longer run. ',
    `‘Start’ is the time before that. ‘Other load’ is the share of the machine that was used by anything but tool and broker: ${percent(Math.min(...loads))} to ${percent(Math.max(...loads))} in single copies; the host took away up to ${percent(stolen)}. Under load a message costs more CPU too, since caches are shared; so nothing is concluded where the median of it is above ${percent(quietLoad)}.\n\n`,
    'After each copy its whole target is read back, committed messages only: every message is there once, and the key and each field hold the expected values. A copy that fails this is not in the figures.',
    unordered.length > 0
      ? ` Not all kept the order of messages within a partition: ${unordered.join(', ')} did not.`
      : ' All kept the order of messages within a partition.',
    '\n\n',
    comparison(
      'Consume, map six fields, produce',
      'Six fields, two of them nested, become a flat row, keyed by the user.',
      medians.filter(({ tool }) => tool.maps),
    ),
    '\n',
    comparison(
      'Consume, produce',
      'Messages stay as they are.',
      medians.filter(({ tool }) => !tool.maps),
    ),
    '\n## How each was run\n\n',
    ...summary.tools.map(({ title, version, note }) => `- **${title}**${version === null ? '' : ` (${version})`}: ${note}\n`),
    failed.length > 0 ? '\n## Not measured\n\n' : '',
    ...failed.map(({ title, failure }) => `- **${title}**: ${(failure ?? '').replaceAll(/\s+/g, ' ').slice(0, 300)}\n`),
    `\n## Again\n\n\`npm run bench\` (\`-- --messages ${summary.messages} --runs ${summary.rounds}\`) repeats this and writes this page; \`-- --short\` is a look in under two minutes, \`-- --only tributary,java\` runs some of them. All results are appended to \`.local/bench/results.jsonl\`. Peers are in \`test/bench/peers\`.\n`,
  ].join('');
};
