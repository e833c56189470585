/** A point on the calendar and clock as it was written, and its texts in the representation of contracts/types.ts. */

/** Reused by the parsers, so that a cast allocates nothing but its result. */
export interface Moment {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  /** Digits after the decimal point, as written, at most 9; '' for none. */
  fraction: string;
  /** Minutes east of UTC; null where none was written. */
  offset: number | null;
}

export const newMoment = (): Moment => ({ year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, fraction: '', offset: null });

export const reset = (moment: Moment): void => {
  moment.year = 0;
  moment.month = 1;
  moment.day = 1;
  moment.hour = 0;
  moment.minute = 0;
  moment.second = 0;
  moment.fraction = '';
  moment.offset = null;
};

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

export const isDate = (year: number, month: number, day: number): boolean =>
  year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= (month === 2 && isLeap(year) ? 29 : (monthLengths[month - 1] ?? 0));

export const isTime = (hour: number, minute: number, second: number): boolean =>
  hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 59;

/** Days since 1970-01-01; Howard Hinnant's days_from_civil. */
const daysFromCivil = (year: number, month: number, day: number): number => {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
};

const twoDigits = Array.from({ length: 100 }, (_, n) => String(n).padStart(2, '0'));
const threeDigits = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'));
const two = (n: number): string => twoDigits[n] ?? '';
const three = (n: number): string => threeDigits[n] ?? '';
const four = (n: number): string => two(Math.floor(n / 100)) + two(n % 100);
const six = (n: number): string => three(Math.floor(n / 1000)) + three(n % 1000);

export const dateText = (m: Moment): string => `${four(m.year)}-${two(m.month)}-${two(m.day)}`;

export const timeText = (m: Moment): string =>
  m.fraction === '' ? `${two(m.hour)}:${two(m.minute)}:${two(m.second)}` : `${two(m.hour)}:${two(m.minute)}:${two(m.second)}.${m.fraction}`;

/** In UTC; a moment without offset is in UTC already. Undefined outside of the years 1 to 9999. */
export const utcText = (m: Moment): string | undefined => {
  if (m.offset === null || m.offset === 0) return `${dateText(m)}T${timeText(m)}Z`;
  const seconds = daysFromCivil(m.year, m.month, m.day) * 86_400 + m.hour * 3600 + (m.minute - m.offset) * 60 + m.second;
  const text = secondsText(seconds);
  if (text === undefined) return undefined;
  return m.fraction === '' ? `${text}Z` : `${text}.${m.fraction}Z`;
};

/** Seconds of 0001-01-01T00:00:00Z and of 9999-12-31T23:59:59Z. */
const firstSecond = -62_135_596_800;
const lastSecond = 253_402_300_799;

// Events come in order of time more or less, so the date of the last one is mostly the date of the next.
let lastDay = Number.NaN;
let lastDate = '';

/** Howard Hinnant's civil_from_days. */
const dateOfDay = (day: number): string => {
  if (day === lastDay) return lastDate;
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  lastDay = day;
  lastDate = `${four(year)}-${two(month)}-${two(dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1)}`;
  return lastDate;
};

/** `2024-01-31T12:34:56`; three times as fast as Date's toISOString. */
const secondsText = (seconds: number): string | undefined => {
  // Also true of NaN.
  if (!(seconds >= firstSecond && seconds <= lastSecond)) return undefined;
  const day = Math.floor(seconds / 86_400);
  const rest = seconds - day * 86_400;
  return `${dateOfDay(day)}T${two(Math.floor(rest / 3600))}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
};

/** From here on a number counts milliseconds, below it seconds: 1e11 s is the year 5138, 1e11 ms is 1973. */
const firstMillisecondCount = 1e11;

/** The UTC text of an epoch number, kept to the microsecond; undefined outside of the years 1 to 9999. */
export const epochText = (epoch: number): string | undefined => {
  const inMilliseconds = Math.abs(epoch) >= firstMillisecondCount;
  let seconds = Math.floor(inMilliseconds ? epoch / 1000 : epoch);
  // A double of today's seconds resolves a quarter of a microsecond, one of milliseconds a quarter of a nanosecond.
  let microseconds = Math.round(inMilliseconds ? (epoch - seconds * 1000) * 1000 : (epoch - seconds) * 1_000_000);
  if (microseconds === 1_000_000) {
    seconds += 1;
    microseconds = 0;
  }
  const text = secondsText(seconds);
  if (text === undefined) return undefined;
  if (microseconds === 0) return `${text}Z`;
  return microseconds % 1000 === 0 ? `${text}.${three(microseconds / 1000)}Z` : `${text}.${six(microseconds)}Z`;
};

/** Sets date and time of `moment` from whole epoch seconds or milliseconds, in UTC; false outside of the years 1 to 9999. */
export const setEpoch = (moment: Moment, epoch: number): boolean => {
  const text = epochText(epoch);
  if (text === undefined) return false;
  moment.year = Number(text.slice(0, 4));
  moment.month = Number(text.slice(5, 7));
  moment.day = Number(text.slice(8, 10));
  moment.hour = Number(text.slice(11, 13));
  moment.minute = Number(text.slice(14, 16));
  moment.second = Number(text.slice(17, 19));
  moment.fraction = text.slice(20, -1);
  moment.offset = 0;
  return true;
};

/** Sets month and day from the day of the year, 1 to 366; false when the year has no such day. */
export const setDayOfYear = (moment: Moment, dayOfYear: number): boolean => {
  let rest = dayOfYear;
  for (let month = 1; month <= 12; month += 1) {
    const length = month === 2 && isLeap(moment.year) ? 29 : (monthLengths[month - 1] ?? 0);
    if (rest <= length) {
      moment.month = month;
      moment.day = rest;
      return rest >= 1;
    }
    rest -= length;
  }
  return false;
};
