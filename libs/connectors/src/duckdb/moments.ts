/** Texts of dates and times (see libs/contracts/src/types.ts) to the whole numbers that DuckDB stores. */

const days = (year: number, month: number, day: number): number | null => {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // 31 February would become a day in March.
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() / 86_400_000 : null;
};

const datePattern = /^([+-]?\d{4,6})-(\d\d)-(\d\d)$/;
const timePattern = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,12}))?)?$/;
const momentPattern = /^([+-]?\d{4,6}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?)(Z|[+-]\d\d(?::?\d\d)?)?$/;

/** Days since 1970-01-01; null when the text is no date. */
export const dateDays = (text: string): number | null => {
  const match = datePattern.exec(text);
  return match === null ? null : days(Number(match[1]), Number(match[2]), Number(match[3]));
};

/** Nanoseconds since midnight; null when the text is no time, or is finer than that. */
export const timeNanos = (text: string): bigint | null => {
  const match = timePattern.exec(text);
  if (match === null) return null;
  const [hours, minutes, seconds] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds > 59) return null;
  const fraction = (match[4] ?? '').padEnd(9, '0');
  if (/[1-9]/.test(fraction.slice(9))) return null;
  return BigInt(hours * 3600 + minutes * 60 + seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9));
};

/** Nanoseconds since 1970-01-01T00:00 (UTC where the text names an offset), and whether it names one; null when the text is no such moment. */
export const momentNanos = (text: string): { readonly nanos: bigint; readonly zoned: boolean } | null => {
  const match = momentPattern.exec(text);
  if (match === null) return null;
  const day = dateDays(match[1] ?? '');
  const time = timeNanos(match[2] ?? '');
  if (day === null || time === null) return null;
  const zone = match[3];
  let offsetMinutes = 0;
  if (zone !== undefined && zone !== 'Z') {
    const sign = zone.startsWith('-') ? -1 : 1;
    offsetMinutes = sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0));
  }
  return { nanos: BigInt(day) * 86_400_000_000_000n + time - BigInt(offsetMinutes) * 60_000_000_000n, zoned: zone !== undefined };
};
