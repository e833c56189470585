/** `npm run chaos [kills]`: the long form. Exit code 1 when a row was lost or doubled. */
import { startPlatform } from '@tributary/devstack/platform';
import { killWorkers } from './kill-workers.ts';

const kills = Number(process.argv[2] ?? 100);
const say = (line: string): void => console.log(`[${new Date().toISOString().slice(11, 19)}] ${line}`);

say('Starting servers and two workers ...');
const platform = await startPlatform({ workers: 2 });
try {
  const report = await killWorkers({ platform, kills, zombieEvery: 10, messagesPerSecond: 2000, log: say });
  console.table(report.comparisons);
  const at = (share: number): string => `${((report.recoveries[Math.floor((report.recoveries.length - 1) * share)] ?? 0) / 1000).toFixed(1)} s`;
  say(`${report.kills} kills, ${report.zombies} zombies; rows moved again after ${at(0.5)} (median), ${at(1)} (longest)`);
  process.exitCode = report.comparisons.every((one) => one.lost === 0 && one.doubled === 0 && one.foreign === 0 && one.balanced) ? 0 : 1;
} finally {
  await platform.stop();
}
