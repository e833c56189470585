/** ISO 8601 in its extended form, as databases and JSON write it: `2024-01-31`, `2024-01-31T12:34:56.123Z`, `2024-01-31 12:34+02`, `12:34:56`. */
import { isDate, isTime, type Moment } from './moment.ts';

const zero = 48;

/** The two digits at `at`, or -1. */
const twoDigits = (text: string, at: number): number => {
  const tens = text.charCodeAt(at) - zero;
  const ones = text.charCodeAt(at + 1) - zero;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
};

const isDigit = (code: number): boolean => code >= zero && code <= zero + 9;

/** Reads a date at the start of `text`; gives the index behind it, or -1. */
const readDate = (text: string, moment: Moment): number => {
  const century = twoDigits(text, 0);
  const year = twoDigits(text, 2);
  if (century === -1 || year === -1 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return -1;
  moment.year = century * 100 + year;
  moment.month = twoDigits(text, 5);
  moment.day = twoDigits(text, 8);
  return isDate(moment.year, moment.month, moment.day) ? 10 : -1;
};

/** Reads `HH:MM[:SS[.f]]`; gives the index behind it, or -1. */
const readTime = (text: string, from: number, moment: Moment): number => {
  moment.hour = twoDigits(text, from);
  moment.minute = twoDigits(text, from + 3);
  if (text.charCodeAt(from + 2) !== 58) return -1;
  let at = from + 5;
  moment.second = 0;
  moment.fraction = '';
  if (text.charCodeAt(at) === 58) {
    moment.second = twoDigits(text, at + 1);
    at += 3;
    const mark = text.charCodeAt(at);
    if (mark === 46 || mark === 44) {
      const begin = at + 1;
      at = begin;
      while (isDigit(text.charCodeAt(at))) at += 1;
      if (at === begin) return -1;
      moment.fraction = text.slice(begin, Math.min(at, begin + 9));
    }
  }
  return isTime(moment.hour, moment.minute, moment.second) ? at : -1;
};

/** Reads `Z`, `UTC`, `+02`, `+0200`, `+02:00`, also behind one space; gives the index behind it, or -1. Nothing there: `from`, and no offset. */
export const readOffset = (text: string, from: number, moment: Moment): number => {
  let at = from;
  if (text.charCodeAt(at) === 32) at += 1;
  const sign = text.charCodeAt(at);
  if (sign === 90 || sign === 122) {
    moment.offset = 0;
    return at + 1;
  }
  if (sign === 85 || sign === 117) {
    if (text.slice(at, at + 3).toUpperCase() !== 'UTC') return -1;
    moment.offset = 0;
    return at + 3;
  }
  if (sign !== 43 && sign !== 45) {
    moment.offset = null;
    return from;
  }
  const hours = twoDigits(text, at + 1);
  if (hours === -1 || hours > 18) return -1;
  at += 3;
  let minutes = 0;
  if (text.charCodeAt(at) === 58) at += 1;
  else if (!isDigit(text.charCodeAt(at))) {
    moment.offset = sign === 45 ? -hours * 60 : hours * 60;
    return at;
  }
  minutes = twoDigits(text, at);
  if (minutes === -1 || minutes > 59) return -1;
  moment.offset = (hours * 60 + minutes) * (sign === 45 ? -1 : 1);
  return at + 2;
};

/** A date, alone or with time and offset. False when `text` is anything else. */
export const readIsoDateTime = (text: string, moment: Moment): boolean => {
  let at = readDate(text, moment);
  if (at === -1) return false;
  moment.hour = 0;
  moment.minute = 0;
  moment.second = 0;
  moment.fraction = '';
  moment.offset = null;
  if (at === text.length) return true;
  const separator = text.charCodeAt(at);
  if (separator !== 84 && separator !== 116 && separator !== 32) return false;
  at = readTime(text, at + 1, moment);
  if (at === -1) return false;
  at = readOffset(text, at, moment);
  return at === text.length;
};

/** A time, alone or behind a date, with or without offset. False when `text` is anything else. */
export const readIsoTime = (text: string, moment: Moment): boolean => {
  if (text.charCodeAt(2) !== 58) return text.length > 10 && readIsoDateTime(text, moment);
  const at = readTime(text, 0, moment);
  return at !== -1 && readOffset(text, at, moment) === text.length;
};
